"""A mask as SegDecNet learns from it: widened, weighed by the distance to its rim, and as it is shown.

Nothing here loads torch: pages show the maps without it. ``targets.py`` makes the training's own of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.contract import MaskTarget
from trainables.segdec.config import SegDecConfig

__all__ = ["CELL", "WINDOW", "dilate_and_resize", "distance_weights", "mask_and_weights", "mask_target"]

CELL = 8  # pixels between cells of the mask's grid
_CENTRE = 0.5 / CELL  # of the first cell: the middle of the corner's pixel
WINDOW = 17  # side of the window a cell averages, pixels


def mask_target(config: SegDecConfig, mask: NDArray[np.uint8]) -> MaskTarget | None:
    """Target and weights of the mask loss, of an image with this mask (h × w, 0/1).

    They are the training's, up to rounding. None: the mask is lost in the grid, and nothing is learned.
    """
    height, width = config.image_size
    if not mask.any():  # a normal image
        flat = np.ones((height // CELL, width // CELL), np.float32)
        return MaskTarget(0 * flat, flat, _CENTRE)
    maps_2hw = mask_and_weights(mask, config, _cells)
    return None if maps_2hw is None else MaskTarget(maps_2hw[0], maps_2hw[1], _CENTRE)


def mask_and_weights(
    mask: NDArray[np.uint8],
    config: SegDecConfig,
    downsize: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> NDArray[np.float32] | None:
    """Target and weights on the mask's grid, 2 × h × w, by means of ``downsize``; None: the mask is lost."""
    # Weights are measured on the resized mask at full resolution and averaged like it; on the grid itself
    # most defects are a cell wide and would have no inside.
    mask_HW = dilate_and_resize(mask, config.dilation, config.image_size)
    mask_hw = downsize(mask_HW)
    if not mask_hw.any():
        return None
    weight_hw = np.ones_like(mask_hw)
    if config.distance_weights:
        weight_hw = downsize(distance_weights(mask_HW, config.w_pos, config.p, config.distance_scope))
    return np.stack((mask_hw, weight_hw))


def _cells(map_HW: NDArray[np.float32]) -> NDArray[np.float32]:
    """The means of ``targets.downsize``."""
    # Reflecting without repeating the border's pixel is what the padding of ``downsize`` does.
    means = cv2.blur(map_HW, (WINDOW, WINDOW), borderType=cv2.BORDER_REFLECT_101)
    return np.ascontiguousarray(means[::CELL, ::CELL], np.float32)


def dilate_and_resize(
    mask: NDArray[np.uint8], dilation: int, image_size: tuple[int, int]
) -> NDArray[np.float32]:
    """Dilate a mask (h × w, 0/1) at its original size, then bring it to the network's H × W, in [0, 1].

    Bilinear on 8-bit grey, so that rims are grey in steps of 1/255 as in the published pipeline.
    """
    grey = mask * np.uint8(255)
    # Dilated before the resize, because the published widths are in pixels of the original images.
    if dilation > 1:
        grey = cv2.dilate(grey, np.ones((dilation, dilation), np.uint8))
    height, width = image_size
    resized = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.float32) / np.float32(255)


def distance_weights(
    mask_HW: NDArray[np.float32], w_pos: float, p: float, scope: Literal["image", "component"]
) -> NDArray[np.float32]:
    """Weigh each pixel: ``w_pos · (D / max D)^p`` in the defect, 1 outside.

    D is the Euclidean distance to the nearest background pixel; what lies outside the image is no
    background. ``max D`` is taken over the image or over each 8-connected defect.

    Source: Božič et al. 2021, arXiv:2104.06064, Eq. 5.
    """
    defect = (mask_HW > 0).astype(np.uint8)
    if defect.all():  # no rim to measure from
        return np.full_like(mask_HW, w_pos)
    # A rim's grey pixels count as defect, as in the published code, which asks for non-zero.
    distance = cv2.distanceTransform(defect, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64)

    # With the largest distance of the whole image a small defect beside a large one weighs next to nothing;
    # relative to its own largest distance each has a centre of full weight.
    if scope == "image":
        largest = np.full_like(distance, distance.max())
    else:
        count, numbers = cv2.connectedComponents(defect, connectivity=8)
        component = numbers.astype(np.intp)
        peaks = np.zeros(count)
        np.maximum.at(peaks, component.ravel(), distance.ravel())
        largest = peaks[component]
    weight = np.ones_like(distance)
    np.divide(distance, largest, out=weight, where=defect > 0)
    return np.where(defect > 0, w_pos * weight**p, 1.0).astype(np.float32)
