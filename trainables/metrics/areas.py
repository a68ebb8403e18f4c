"""Shares of cells that a part of a picture covers: what a mask is at another size, exact but for rounding."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["HALF", "Cover", "cover_of"]

HALF = 0.5 - 1e-6  # area weights are rounded


class Cover(NamedTuple):
    """Shares of the cells that a part reaches."""

    rows: slice
    columns: slice
    shares: NDArray[np.float64]  # of these rows and columns, 0 to 1


def cover_of(
    part: NDArray[Any], corner: tuple[int, int], stored: tuple[int, int], size: tuple[int, int]
) -> Cover:
    """Cover of ``part``, whose first pixel is at ``corner`` of a picture of ``stored``, in cells of ``size``.

    All are height and width, or row and column. ``part`` holds what of each pixel is covered, 0 to 1.
    """
    first_row, down_cells_by_pixels = _shares(corner[0], part.shape[0], stored[0], size[0])
    first_column, across_cells_by_pixels = _shares(corner[1], part.shape[1], stored[1], size[1])
    shares = down_cells_by_pixels @ part.astype(np.float64) @ across_cells_by_pixels.T
    return Cover(
        slice(first_row, first_row + shares.shape[0]),
        slice(first_column, first_column + shares.shape[1]),
        shares,
    )


def _shares(start: int, length: int, stored: int, cells: int) -> tuple[int, NDArray[np.float64]]:
    """The first cell that some pixels of one axis reach, and the share of each cell in each of them."""
    step = stored / cells
    first, last = int(start / step + 1e-9), min(cells, int(np.ceil((start + length) / step - 1e-9)))
    edges = np.arange(first, max(last, first + 1) + 1) * step
    pixels = np.arange(start, start + length)
    low, high = np.maximum(edges[:-1, None], pixels), np.minimum(edges[1:, None], pixels + 1)
    return first, np.clip(high - low, 0, None) / step
