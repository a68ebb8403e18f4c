"""Resolution limit of a method on given masks at a given size, before anything is trained.

A defect narrower than a cell of the method's grid cannot be outlined, whatever is learned, and a mask of
which no cell reaches one half teaches no defect. ``measure_resolution_limit`` says how much of that there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from trainables.contract import Grid
from trainables.data.inspect.mask_statistics import defect_width
from trainables.evaluation.metrics.pixels import truth_at

__all__ = ["ResolutionLimit", "grid_cells", "lines_between", "measure_resolution_limit", "teaches_a_defect"]

_HALF = 0.5
# Of the fit of a map: more steps add a few hundredths of IoU at most, and take as much longer.
_LOOKS = 6  # thresholds that are tried
_GAIN = 0.005  # of IoU from one to the next; less ends the fit
_STEPS = 10  # between two of them
_STEEPNESS = 20.0


class ResolutionLimit(BaseModel, frozen=True):
    """Limit of a method at one size: what its masks teach, and how well a map of its cells can outline."""

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
    grid_iou: float = Field(description="Mean IoU of the true mask and a map of cells that is fitted to it.")


def measure_resolution_limit(
    training: Iterable[tuple[str, NDArray[np.uint8]]],
    test: Iterable[NDArray[np.uint8]],
    image_size: tuple[int, int],
    grid: Grid | None,
) -> ResolutionLimit | None:
    """Resolution limit of a method whose grid is ``grid``; None without any test mask.

    Args:
        training: Names and masks (h × w, 1 = defect) of images that some trial may learn from.
        test: Masks of defective test images. What is measured on them chooses nothing.
        image_size: Height and width of the network's input.
        grid: Cells on which the method sees masks, if it says so.
    """
    # The smallest targets are those that teach nothing: sorted, so that a reader sees the worst images first.
    learnt = training if grid is not None and grid.window else ()
    cells = [(float(grid_cells(mask, image_size, grid or Grid()).max()), name) for name, mask in learnt]
    largest = [cell for cell, _ in cells]
    truths = [truth_at(mask, *image_size) for mask in test]
    if not truths:
        return None
    return ResolutionLimit(
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
        grid_iou=fmean(_fitted_iou(truth, grid or Grid()) for truth in truths),
    )


def teaches_a_defect(mask: NDArray[np.uint8], image_size: tuple[int, int], grid: Grid) -> bool:
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


def _fitted_iou(truth: NDArray[np.bool_], grid: Grid) -> float:
    """IoU of a map of the grid's cells that is fitted to ``truth``, at its best threshold.

    The shares of the mask around each cell, then steps of a logistic regression on its pixels. A map may be
    shifted and stretched before it is put into [0, 1], so what the steps make of it needs no bounds.
    """
    if grid.stride == 1:
        return 1.0
    # Only what lies around the defects is fitted; the rest of the map can be 0 for certain.
    near = _around(truth, grid.stride)
    down, across = (lines_between(side, grid) for side in near.shape)
    weight = np.outer(down.sum(axis=0), across.sum(axis=0))
    target = near.astype(np.float32)
    cells = down.T @ target @ across / weight
    best, threshold = _best_threshold(down @ cells @ across.T, near)
    for _ in range(_LOOKS):
        for _ in range(_STEPS):
            # One gradient step of a logistic regression: the error of each pixel goes back to the cells it
            # is read from.
            distance = _STEEPNESS * (down @ cells @ across.T - threshold)
            wanted = target - 1 / (1 + np.exp(-np.clip(distance, -30, 30)))
            cells += down.T @ wanted @ across / weight
        iou, threshold = _best_threshold(down @ cells @ across.T, near)
        gained, best = iou - best, max(best, iou)
        if gained < _GAIN:
            break
    return best


def lines_between(side: int, grid: Grid) -> NDArray[np.float32]:
    """Weights of the cells along an axis in each of its ``side`` pixels, as the methods enlarge maps."""
    count = -(-side // grid.stride)
    places = np.clip((np.arange(side) - grid.first) / grid.stride, 0, count - 1)
    return np.clip(1 - np.abs(places[:, None] - np.arange(count)), 0, None).astype(np.float32)


def _around(truth: NDArray[np.bool_], stride: int) -> NDArray[np.bool_]:
    """The part of ``truth`` with its defects and two cells around them; it begins where a cell does."""
    x, y, width, height = cv2.boundingRect(truth.astype(np.uint8))
    top, left = (max(0, (start // stride - 2) * stride) for start in (y, x))
    return truth[top : y + height + 2 * stride, left : x + width + 2 * stride]


def _best_threshold(heatmap: NDArray[np.floating[Any]], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """The best IoU of any threshold, and that threshold."""
    levels = heatmap.ravel()
    # With pixels in falling order every prefix is a threshold's decision, so all IoU come from one
    # cumulative sum.
    order = np.argsort(-levels)
    hits = np.cumsum(truth.ravel()[order])
    last = np.append(np.diff(levels[order]) != 0, True)  # pixels of one level are chosen together
    chosen = np.arange(1, len(hits) + 1)
    ious = np.where(last, hits / (hits[-1] + chosen - hits), 0)
    best = int(ious.argmax())
    return float(ious[best]), float(levels[order][best])
