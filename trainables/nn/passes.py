"""Passes: the images that go through a network at once, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from trainables.contract import Prediction
from trainables.data.samples import ImageSet
from trainables.data.tensors import images_to_tensor

__all__ = ["image_passes", "in_passes", "joined"]

# Of resnet18 at half of its stride and of small U-Nets.
_PIXELS_PER_PASS = {"cpu": 4 * 512 * 512, "cuda": 32 * 512 * 512}


def in_passes(images_BCHW: Tensor, cost: float = 1) -> Sequence[Tensor]:
    """The batch in parts; in one while it is exported, as the number of parts would fix its size.

    ``cost``: memory that a pixel takes, in units of resnet18 at half of its stride.
    """
    if torch.compiler.is_exporting():
        return [images_BCHW]
    height, width = images_BCHW.shape[2:]
    return images_BCHW.split(_per_pass(height, width, images_BCHW.device, cost))


def image_passes(
    images: ImageSet, positions: Sequence[int], device: torch.device, cost: float = 1
) -> Iterator[Tensor]:
    """The images at ``positions`` (at least one), in order, as batches B × C × H × W on ``device``."""
    height, width = images.images[images.ids[positions[0]]].shape[:2]
    count = _per_pass(height, width, device, cost)
    for start in range(0, len(positions), count):
        arrays = [images.images[images.ids[i]] for i in positions[start : start + count]]
        yield images_to_tensor(arrays, device)


def joined(parts: Sequence[Prediction]) -> Prediction:
    """The prediction of a batch from those of its passes."""
    scores, heatmaps = zip(*parts, strict=True)
    return Prediction(torch.cat(scores), torch.cat(heatmaps))


def _per_pass(height: int, width: int, device: torch.device, cost: float) -> int:
    return max(1, int(_PIXELS_PER_PASS[device.type] / (cost * height * width)))
