"""Tiny textured surfaces and configs that train on them in seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.supervised import SupervisedConfig

SIZE = (48, 64)


def tiny_config(**changes: Any) -> SupervisedConfig:
    settings: dict[str, Any] = {
        "image_size": SIZE, "width": 8, "stages": 2, "output_stride": 4, "base": 4, "levels": 2, "norm": "gn",
        "epochs": 3, "batch_size": 4, "validate_every": 1,
    }  # fmt: skip
    return SupervisedConfig.model_validate(settings | changes)


def surfaces(positives: int, negatives: int, *, masks: int | None = None, seed: int = 0) -> ImageSet:
    """Grey images; the first ``positives`` have a small square, the first ``masks`` of them a mask."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"{seed}-{i:03d}" for i in range(positives + negatives))
    images, known = {}, {}
    for i, name in enumerate(ids):
        image = rng.normal(rng.uniform(90, 130), 12, (*SIZE, 1))
        if i < positives:
            y, x = int(rng.integers(4, SIZE[0] - 12)), int(rng.integers(4, SIZE[1] - 12))
            image[y : y + 8, x : x + 8] += 60
            if masks is None or i < masks:
                mask = np.zeros(SIZE, np.uint8)
                mask[y : y + 8, x : x + 8] = 1
                known[name] = mask
        images[name] = image.clip(0, 255).astype(np.uint8)
    return ImageSet(ids, np.arange(len(ids)) < positives, images, known)


def joined(*parts: ImageSet) -> ImageSet:
    """All images of several sets, without masks."""
    return ImageSet(
        tuple(name for part in parts for name in part.ids),
        np.concatenate([part.labels for part in parts]),
        {name: part.images[name] for part in parts for name in part.ids},
    )


def tiny_data(*, masks: int | None = None, validation: bool = True, count: int = 6) -> TrainingData:
    kind = {None: "full", 0: "weak"}.get(masks, {"mixed": masks})
    return TrainingData(
        surfaces(count, count + 2, masks=masks),
        surfaces(5, 8, seed=1, masks=0) if validation else None,
        Supervision.model_validate(kind),
    )
