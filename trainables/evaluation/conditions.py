"""Test images under another condition: darker, blurred, noisy, moved, or only some of them.

All is defined on 8-bit images read as numbers in [0, 1], at the size at which the method gets them, and is
the same for an image whenever it is asked for: what is drawn (noise, the way of a shift) is drawn by the
image's id. A condition chooses nothing: thresholds stay those of validation.

======  =====================================================================================
light   brightness times a factor, clipped at white
blur    Gaussian of this standard deviation in pixels, edges repeated (OpenCV)
noise   normal noise of this standard deviation, a share of full scale, for each pixel and channel
shift   so many pixels left, right, up or down, edges repeated; masks move alike. A defective image
        whose mask has left the picture is left out
where   only images with a property that the reader knows, unchanged
======  =====================================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.conditions import Condition
from trainables.data.samples import ImageSet, ImageSource

__all__ = ["changed_image", "images_under"]

_WAYS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # rows down, columns right


def images_under(condition: Condition, images: ImageSet, properties: Mapping[str, str]) -> ImageSet:
    """The test images as they are under a condition.

    Args:
        condition: What changes them, or chooses among them.
        images: With the masks that are known.
        properties: Sample id → value of ``condition.by``; read for ``where`` alone.

    Returns:
        Images in their order, changed when they are asked for; for ``where`` and ``shift`` maybe fewer.

    Example:
        >>> under = images_under(Condition(kind="light", amount=0.5), test, {})
        >>> under[0].image.mean() < test[0].image.mean()
        True
    """
    if condition.kind == "where":
        chosen = [i for i, sample in enumerate(images.ids) if properties.get(sample) in condition.values]
        return images.at(chosen)
    assert images.stored is None, "plans refuse to change images as they are stored"
    changed = replace(images, images=_Changed(condition, images.images))
    if condition.kind != "shift":
        return changed
    pixels = int(condition.amount)
    masks = _Moved(images.masks, images.images, pixels)
    changed = replace(changed, masks=masks, ignored=_Moved(images.ignored, images.images, pixels))
    # What is left of a defect that moved out of the picture could be neither found nor missed.
    return changed.at(
        [
            i
            for i, sample in enumerate(images.ids)
            if sample not in masks or not images.masks[sample].any() or masks[sample].any()
        ]
    )


def changed_image(condition: Condition, image: NDArray[np.uint8], sample: str) -> NDArray[np.uint8]:
    """An image (H × W × C, 8 bits) under a condition that changes it; read-only.

    Args:
        condition: Any but ``where``.
        image: At the size at which the method gets it.
        sample: Its id, by which everything is drawn.
    """
    match condition.kind:
        case "light":
            changed = image * np.float64(condition.amount)
        case "blur":
            # OpenCV drops the last axis of a grey image.
            blurred = cv2.GaussianBlur(
                image.astype(np.float32), (0, 0), condition.amount, borderType=cv2.BORDER_REPLICATE
            )
            changed = blurred.reshape(image.shape)
        case "noise":
            drawn = np.random.default_rng(_seed("noise", sample)).normal(0, 255, image.shape)
            changed = image + condition.amount * drawn
        case "shift":
            pixels = int(condition.amount)
            changed = _moved(image, _way(sample), (pixels, pixels))
        case "where":
            raise AssertionError("a choice among images changes none")
    result = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    result.flags.writeable = False
    return result


@dataclass(frozen=True)
class _Changed:
    condition: Condition
    images: ImageSource

    def __getitem__(self, sample_id: str, /) -> NDArray[np.uint8]:
        return changed_image(self.condition, self.images[sample_id], sample_id)


@dataclass(frozen=True)
class _Moved(Mapping[str, NDArray[np.uint8]]):
    """Masks, h × w at the size as stored, moved as their images (H × W) are."""

    masks: Mapping[str, NDArray[np.uint8]]
    images: ImageSource
    pixels: int  # of an image

    def __getitem__(self, sample: str) -> NDArray[np.uint8]:
        mask, size = self.masks[sample], self.images[sample].shape
        scaled = [round(self.pixels * mask.shape[axis] / size[axis]) for axis in (0, 1)]
        return _moved(mask, _way(sample), (scaled[0], scaled[1]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.masks)

    def __len__(self) -> int:
        return len(self.masks)


def _moved(image: NDArray[np.uint8], way: tuple[int, int], pixels: tuple[int, int]) -> NDArray[np.uint8]:
    """An image or a mask moved one ``way`` by so many pixels (of rows, of columns), its edge repeated."""
    for axis in (0, 1):
        last = image.shape[axis] - 1
        places = np.arange(last + 1) - way[axis] * pixels[axis]
        image = np.take(image, np.clip(places, 0, last), axis=axis)
    return image


def _way(sample: str) -> tuple[int, int]:
    return _WAYS[_seed("shift", sample) % len(_WAYS)]


def _seed(purpose: str, sample: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{purpose}:{sample}".encode()).digest()[:8], "big")
