"""Passes: the images that go through a network at once, so that memory stays bounded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from trainables.contract import Prediction, StageMaps
from trainables.data.samples import ImageSet
from trainables.data.tensors import images_to_tensor
from trainables.runtime.device import usable_share

__all__ = [
    "image_batches",
    "image_passes",
    "images_per_pass",
    "in_halves",
    "in_passes",
    "joined",
    "joined_stages",
]

_AnswerT = TypeVar("_AnswerT")

# Of resnet18 at half of its stride and of small U-Nets; a process with a share of a GPU takes its share.
_PIXELS_PER_PASS = {"cpu": 4 * 512 * 512, "cuda": 32 * 512 * 512}


def in_passes(images_BCHW: Tensor, cost: float = 1) -> Sequence[Tensor]:
    """The batch in parts; in one while it is exported, as the number of parts would fix its size.

    ``cost``: memory that a pixel takes, in units of resnet18 at half of its stride.
    """
    if torch.compiler.is_exporting():
        return [images_BCHW]
    height, width = images_BCHW.shape[2:]
    return images_BCHW.split(images_per_pass((height, width), images_BCHW.device, cost))


def image_passes(
    images: ImageSet, positions: Sequence[int], device: torch.device, cost: float = 1
) -> Iterator[Tensor]:
    """The images at ``positions`` (at least one), in order, as batches B × C × H × W on ``device``."""
    height, width = images.images[images.ids[positions[0]]].shape[:2]
    return image_batches(images, positions, device, images_per_pass((height, width), device, cost))


def image_batches(
    images: ImageSet, positions: Sequence[int], device: torch.device, count: int
) -> Iterator[Tensor]:
    """The images at ``positions`` as in :func:`image_passes`, ``count`` at a time, fewer in the last."""
    for start in range(0, len(positions), count):
        arrays = [images.images[images.ids[i]] for i in positions[start : start + count]]
        yield images_to_tensor(arrays, device)


def in_halves(forward: Callable[[Tensor], _AnswerT], images_BCHW: Tensor) -> list[_AnswerT]:
    """Answers of ``forward`` to the batch, in order: several where the GPU's memory holds less at once.

    Raises:
        torch.OutOfMemoryError: If it does not hold a single image.
    """
    answers: list[_AnswerT] = []
    waiting = [images_BCHW]
    while waiting:
        # The first half is asked first, so answers come in the order of the images.
        part = waiting.pop()
        try:
            answers.append(forward(part))
            continue
        except torch.OutOfMemoryError:
            if len(part) == 1:
                raise
        # Only here has the exception let go of the tensors that were in its way.
        torch.cuda.empty_cache()
        half = len(part) // 2
        logging.getLogger(__name__).warning("out of memory with %d images: asked in halves", len(part))
        waiting += [part[half:], part[:half]]
    return answers


def joined(parts: Sequence[Prediction]) -> Prediction:
    """The prediction of a batch from those of its passes."""
    scores, heatmaps = zip(*parts, strict=True)
    return Prediction(torch.cat(scores), torch.cat(heatmaps))


def joined_stages(parts: Sequence[StageMaps]) -> StageMaps:
    """The same with the stages that led to it."""
    stages = {name: torch.cat([part.stages[name] for part in parts]) for name in parts[0].stages}
    return StageMaps(joined([part.prediction for part in parts]), stages)


def images_per_pass(size: tuple[int, int], device: torch.device, cost: float = 1) -> int:
    """Number of images of ``size`` (height, width) in a pass; ``cost`` as of :func:`in_passes`."""
    height, width = size
    return max(1, int(usable_share(device) * _PIXELS_PER_PASS[device.type] / (cost * height * width)))
