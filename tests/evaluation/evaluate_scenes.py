"""Small sets of images whose every score is known: the predictor reads brightness."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.contract import Prediction
from trainables.data.samples import ImageSet

CPU = torch.device("cpu")


@dataclass
class Brightness:
    """Heatmap: brightness of each pixel. Score: that of the brightest pixel, squared."""

    seen: list[int] = field(default_factory=list)  # batch sizes

    def predict(self, images: Tensor) -> Prediction:
        self.seen.append(len(images))
        heatmap = images.mean(dim=1)
        return Prediction(heatmap.amax(dim=(1, 2)) ** 2, heatmap)

    def save(self, folder: Path) -> None:
        raise AssertionError("an evaluation judges a model, it does not save it")

    def to(self, device: torch.device) -> Self:
        return self


def make_set(
    prefix: str, count: int, seed: int, *, masks: bool, size: tuple[int, int] = (24, 40)
) -> ImageSet:
    """Noise with a brighter square in every third image; its mask is twice the image's size."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"{prefix}{i:03d}" for i in range(count))
    labels = np.arange(count) % 3 == 0
    images: dict[str, NDArray[np.uint8]] = {}
    truth: dict[str, NDArray[np.uint8]] = {}
    for sample, label in zip(ids, labels, strict=True):
        image = rng.integers(0, 150, (*size, 1), dtype=np.uint8)
        if label:
            y, x = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
            image[y : y + 8, x : x + 8] = rng.integers(90, 256, (8, 8, 1), dtype=np.uint8)
            mask = np.zeros((2 * size[0], 2 * size[1]), dtype=np.uint8)
            mask[2 * y : 2 * y + 16, 2 * x : 2 * x + 16] = 1
            truth[sample] = mask
        images[sample] = image
    classes = tuple(("scratch" if i % 2 else "blob") if label else None for i, label in enumerate(labels))
    items = tuple(f"part{i // 2}" for i in range(count))
    return ImageSet(ids, labels, images, truth if masks else {}, items, classes)


def relabelled(images: ImageSet, labels: NDArray[np.bool_]) -> ImageSet:
    return replace(images, labels=labels)
