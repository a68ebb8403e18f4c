"""Shares of cells that a part of a picture covers: what a mask is at another size, exact but for rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HALF", "cover_of"]

HALF = 0.5 - 1e-5  # area weights are rounded: by 6e-6 where 1,706 pixels become one


def cover_of(
    part: NDArray[Any], corner: tuple[int, int], stored: tuple[int, int], size: tuple[int, int]
) -> tuple[slice, slice, NDArray[np.float64]]:
    """Cover of ``part``, whose first pixel is at ``corner`` of a picture of ``stored``, in cells of ``size``.

    All are height and width, or row and column. ``part`` holds what of each pixel is covered, 0 to 1.

    Returns:
        Rows and columns of the cells that the part reaches, and the share of each of them, 0 to 1.
    """
    first_row, shares = _shares(part.astype(np.float64), 0, corner, stored, size)
    first_column, shares = _shares(shares, 1, corner, stored, size)
    rows, columns = shares.shape
    return slice(first_row, first_row + rows), slice(first_column, first_column + columns), shares


def _shares(
    covered: NDArray[np.float64],
    axis: int,
    corner: tuple[int, int],
    stored: tuple[int, int],
    size: tuple[int, int],
) -> tuple[int, NDArray[np.float64]]:
    """The first cell that ``covered`` reaches along an axis, and the mean of each cell."""
    # Edges of cells in units of the part's pixels; an edge within a pixel takes its share of it. The
    # cumulative sum up to each edge, differenced, is the cover of each cell.
    start, length, cells = corner[axis], covered.shape[axis], size[axis]
    step = stored[axis] / cells
    first, last = int(start / step + 1e-9), min(cells, int(np.ceil((start + length) / step - 1e-9)))
    edges = np.clip(np.arange(first, max(last, first + 1) + 1) * step - start, 0, length)
    whole = np.minimum(edges.astype(np.int64), length - 1)
    rest = (edges - whole)[:, None] if axis == 0 else edges - whole
    sums = np.cumsum(covered, axis=axis)
    up_to_edges = sums.take(whole, axis) + (rest - 1) * covered.take(whole, axis)
    return first, np.diff(up_to_edges, axis=axis) / step
