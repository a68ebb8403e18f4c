"""Tiny textured surfaces with a bright blob as defect, and configs that train on them in a second."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.segdec import SegDecConfig


def tiny_config(**changes: Any) -> SegDecConfig:
    settings = {"image_size": (64, 128), "channel_scale": 1 / 16, "epochs": 3, "lr": 0.05, "batch_size": 2}
    return SegDecConfig.model_validate(settings | changes)


def surfaces(positives: int, negatives: int, *, masks: int | None = None, seed: int = 0) -> ImageSet:
    """Grey 64 × 128 images; the first ``positives`` have a blob, the first ``masks`` of them a mask."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"{seed}-{i:03d}" for i in range(positives + negatives))
    images, known = {}, {}
    for i, name in enumerate(ids):
        image = rng.normal(110, 12, (64, 128, 1)).clip(0, 255)
        if i < positives:
            y, x = int(rng.integers(8, 40)), int(rng.integers(8, 100))
            image[y : y + 16, x : x + 16] += 90
            if masks is None or i < masks:
                mask = np.zeros((64, 128), np.uint8)
                mask[y : y + 16, x : x + 16] = 1
                known[name] = mask
        images[name] = image.clip(0, 255).astype(np.uint8)
    return ImageSet(ids, np.arange(len(ids)) < positives, images, known)


def tiny_data(*, masks: int | None = None, validation: bool = True) -> TrainingData:
    kind = {None: "full", 0: "weak"}.get(masks, {"mixed": masks})
    return TrainingData(
        surfaces(4, 6, masks=masks),
        surfaces(3, 3, seed=1, masks=0) if validation else None,
        Supervision.model_validate(kind),
    )
