"""A convolution along rows as three products with matrices and few multiplications between them.

Rows of W cells and a kernel of k go to R numbers each, which are multiplied place by place, and the products
lead back to the W cells of the result: ``back.T @ ((cells @ row) * (kernel @ weights))``. That is a discrete
Fourier transform with what lies around it. R is about 1.5 (W + k / 2), where the convolution itself takes k W
multiplications. A product with a matrix runs at the machine's peak, where a library's transform of so few
numbers does not.

- A period of W + k // 2 is enough for rows whose convolution reaches k // 2 beyond both ends: what lies
  beyond them comes round to the cells behind the row's end, which nobody reads. Any number may be a period.
- A frequency's complex product takes three real ones. Those of x' + i x'' and w' + i w'' are (x' + x'') w',
  x' (w'' − w') and x'' (w' + w''). The first less the third is the real part, the first and the second
  together are the imaginary one. All sums are within the matrices.

Source: Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7 (circular and linear convolution);
Knuth, The Art of Computer Programming, section 4.6.4 (a complex product by three real ones).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["RowTransforms", "row_products", "row_transforms"]


class RowTransforms(NamedTuple):
    """Matrices of a 'same' convolution of side k along rows of W cells, with R products."""

    cells: Tensor  # R × W
    kernel: Tensor  # R × k
    back: Tensor  # R × W


def row_products(width: int, kernel: int) -> int:
    """Multiplications R of a row of ``width`` cells and a kernel's row, both transformed."""
    period = width + kernel // 2
    return 1 + 3 * ((period - 1) // 2) + (period + 1) % 2


@lru_cache(maxsize=32)  # a network has one or two shapes; a set of matrices is some 30 kB
def row_transforms(width: int, kernel: int, dtype: torch.dtype) -> RowTransforms:
    """Matrices for rows of this width; computed in float64, so that each number is off by half a bit."""
    half = kernel // 2
    period = width + half
    with torch.inference_mode(False):  # they outlive the call: a training may be the next to use them
        # The three real products of a complex one are spread over the three matrices: sums of the factors
        # in the first two, and in the last what puts real and imaginary part together again.
        cos, sin = _waves(period, torch.arange(width))
        near_cos, near_sin = _waves(period, torch.arange(-half, kernel - half))
        cells = _threes(cos - sin, cos, -sin, cos, period)
        weights = _threes(near_cos, near_sin - near_cos, near_cos + near_sin, near_cos, period)
        back = _threes(cos - sin, -sin, -cos, cos / 2, period) * (2 / period)
        return RowTransforms(cells.to(dtype), weights.to(dtype), back.to(dtype))


def _waves(period: int, places: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the frequencies 0 to half of the period: frequencies × places."""
    # Products reduced to one period first: cos(2π · 31 · 31 / 32) would lose a digit.
    turns = torch.arange(period // 2 + 1)[:, None] * places % period
    angles = turns.double() * (2 * math.pi / period)
    return torch.cos(angles), torch.sin(angles)


def _threes(first: Tensor, second: Tensor, third: Tensor, real: Tensor, period: int) -> Tensor:
    """Three rows for each complex frequency, and one for those that are real: the lowest, and of an even
    period the highest."""
    inner = slice(1, (period + 1) // 2)
    complex_rows = torch.stack((first[inner], second[inner], third[inner]), 1).flatten(0, 1)
    return torch.cat((real[:1], complex_rows, real[(period + 1) // 2 :]))
