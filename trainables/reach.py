"""Reach of a method on given masks at a given size, before anything is trained.

A defect narrower than a cell of the method's grid cannot be outlined, whatever is learned, and a mask of
which no cell reaches one half teaches no defect. ``measure_reach`` says how much of that there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, median

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from trainables.contract import Grid
from trainables.data.mask_statistics import defect_width
from trainables.metrics.pixels import truth_at

__all__ = ["Reach", "grid_cells", "is_taught", "measure_reach"]

_HALF = 0.5


class Reach(BaseModel, frozen=True):
    """Reach of a method at one size: what its masks teach, and how well a perfect map could outline."""

    model_config = ConfigDict(extra="forbid")
    image_size: tuple[int, int] = Field(description="Height and width of the network's input, pixels.")
    stride: int = Field(description="Pixels between cells of the method's grid; 0: it names none.")
    tiles: bool = Field(default=False, description="Masks are those of tiles.")
    learnt_from: int = Field(description="Training masks that were looked at.")
    below_half: int = Field(description="Of these, masks without a cell above one half.")
    vanished: int = Field(description="Of these, masks of which nothing is left.")
    untaught: tuple[str, ...] = Field(
        default=(), description="Images of those below one half, the least of a defect first."
    )
    largest_cell: float = Field(description="Median of a training mask's largest cell, 0 to 1.")
    measured: int = Field(description="Test masks that were looked at.")
    width: float = Field(description="Median width of a test image's defects, pixels of the network's input.")
    grown_iou: float = Field(description="Mean IoU of the true mask and the same, a pixel larger all around.")
    grid_iou: float = Field(description="Mean IoU of the true mask and the best map of the grid's cells.")


def measure_reach(
    training: Iterable[tuple[str, NDArray[np.uint8]]],
    test: Iterable[NDArray[np.uint8]],
    image_size: tuple[int, int],
    grid: Grid | None,
) -> Reach | None:
    """Reach of a method whose grid is ``grid``; None without any test mask.

    Args:
        training: Names and masks (h × w, 1 = defect) of images that some trial may learn from.
        test: Masks of defective test images. What is measured on them chooses nothing.
        image_size: Height and width of the network's input.
        grid: Cells on which the method sees masks, if it says so.
    """
    learnt = training if grid is not None and grid.window else ()
    cells = [(float(grid_cells(mask, image_size, grid or Grid()).max()), name) for name, mask in learnt]
    largest = [cell for cell, _ in cells]
    truths = [truth_at(mask, *image_size) for mask in test]
    if not truths:
        return None
    stride = grid.stride if grid is not None else 1
    return Reach(
        image_size=image_size,
        stride=grid.stride if grid is not None else 0,
        learnt_from=len(largest),
        below_half=sum(cell <= _HALF for cell in largest),
        untaught=tuple(dict.fromkeys(name for cell, name in sorted(cells) if cell <= _HALF)),
        vanished=sum(cell == 0 for cell in largest),
        largest_cell=median(largest) if largest else 0.0,
        measured=len(truths),
        width=median(defect_width(truth.astype(np.uint8)) for truth in truths),
        grown_iou=fmean(_grown_iou(truth) for truth in truths),
        grid_iou=fmean(_best_iou(truth, stride) for truth in truths),
    )


def is_taught(mask: NDArray[np.uint8], image_size: tuple[int, int], grid: Grid) -> bool:
    """True where some cell of a mask is above one half."""
    return float(grid_cells(mask, image_size, grid).max()) > _HALF


def grid_cells(mask: NDArray[np.uint8], image_size: tuple[int, int], grid: Grid) -> NDArray[np.float32]:
    """Target of the method: the mask dilated, at the network's size, averaged around every cell."""
    height, width = image_size
    if grid.window == 1:
        return truth_at(mask, height, width).astype(np.float32)
    grey = mask * np.uint8(255)
    if grid.dilation > 1:
        grey = cv2.dilate(grey, np.ones((grid.dilation, grid.dilation), np.uint8))
    resized = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    blurred = cv2.blur(resized, (grid.window, grid.window), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred[:: grid.stride, :: grid.stride], np.float32)


def _grown_iou(truth: NDArray[np.bool_]) -> float:
    grown = cv2.dilate(truth.astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.count_nonzero(truth) / max(1, np.count_nonzero(grown))


def _best_iou(truth: NDArray[np.bool_], stride: int) -> float:
    """IoU of the best threshold on the true shares of cells, brought back to full size bilinearly."""
    height, width = truth.shape
    if stride == 1:
        return 1.0
    cells = (-(-width // stride), -(-height // stride))
    shares = cv2.resize(truth.astype(np.float32), cells, interpolation=cv2.INTER_AREA)
    levels = cv2.resize(shares, (width, height), interpolation=cv2.INTER_LINEAR).ravel()
    order = np.argsort(-levels)
    hits = np.cumsum(truth.ravel()[order])
    last = np.append(np.diff(levels[order]) != 0, True)  # pixels of one level are chosen together
    chosen = np.arange(1, len(hits) + 1)
    return float((hits / (hits[-1] + chosen - hits))[last].max())
