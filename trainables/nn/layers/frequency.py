"""The real two-dimensional Fourier transform of small tiles as products of matrices, by overlap-save.

A 'same' convolution of side k multiplies k² numbers per pixel and pair of channels. On the spectra of tiles
of 32 × 32 pixels, which overlap by k − 1, it multiplies about ten for k = 15. A product with a matrix runs at
the machine's peak where a library's transform reaches a tenth of it. Sides need not be powers of two.

Shapes: T₁ × T₂ pixels of a tile, S = T − k + 1 pixels of its result, f₂ = T₂ // 2 + 1 columns of a spectrum,
N tiles and channels. The spectrum of a real tile is T₁ × f₂ × 2 × N: real parts, then imaginary ones.

Source: Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7 (overlap-save).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Transforms", "inverse", "spectrum", "transforms"]


class _Forward(NamedTuple):
    """Matrices of a transform of r₁ × r₂ pixels: along the rows, then along the columns."""

    across: Tensor  # 2 · f₂ · 2 × r₂: (re, im), and (im, −re) for the sines of the other direction
    down: Tensor  # T₁ × r₁ · 2: cosine and sine


class _Inverse(NamedTuple):
    """Matrices of the way back to the first s₁ × s₂ pixels of a tile."""

    down: Tensor  # s₁ · 2 × T₁
    across: Tensor  # s₂ × 2 · f₂ · 2


class Transforms(NamedTuple):
    """All transforms of a convolution of side k in tiles of T₁ × T₂."""

    kernel: _Forward
    tile: _Forward
    result: _Forward  # a gradient: S₁ × S₂ pixels, the others 0
    to_kernel: _Inverse
    to_tile: _Inverse
    to_result: _Inverse


@lru_cache(maxsize=32)  # a network has one or two shapes; a set of matrices is some 50 kB
def transforms(tile: tuple[int, int], kernel: int, dtype: torch.dtype) -> Transforms:
    """Matrices for tiles of this size; computed in float64, so that each number is off by half a bit."""
    result = (tile[0] - kernel + 1, tile[1] - kernel + 1)

    def onwards(side: tuple[int, int]) -> _Forward:
        return _Forward(*(matrix.to(dtype) for matrix in _forward(tile, side)))

    def back(side: tuple[int, int]) -> _Inverse:
        return _Inverse(*(matrix.to(dtype) for matrix in _inverse(tile, side)))

    with torch.inference_mode(False):  # they outlive the call: a training may be the next to use them
        return Transforms(
            kernel=onwards((kernel, kernel)),
            tile=onwards(tile),
            result=onwards(result),
            to_kernel=back((kernel, kernel)),
            to_tile=back(tile),
            to_result=back(result),
        )


def _waves(period: int, frequencies: int, pixels: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines: frequencies × pixels."""
    # Products reduced to one period first: cos(2π · 31 · 31 / 32) would lose a digit.
    turns = torch.arange(frequencies)[:, None] * torch.arange(pixels) % period
    angles = turns.double() * (2 * math.pi / period)
    return torch.cos(angles), torch.sin(angles)


def _forward(tile: tuple[int, int], pixels: tuple[int, int]) -> tuple[Tensor, Tensor]:
    cos, sin = _waves(tile[1], tile[1] // 2 + 1, pixels[1])
    real, imaginary = cos, -sin
    # e^(−ia)(re + i im) = cos a · (re + i im) + sin a · (im − i re)
    across = torch.stack((torch.stack((real, imaginary), 1), torch.stack((imaginary, -real), 1)))
    cos, sin = _waves(tile[0], tile[0], pixels[0])
    return across.flatten(0, 2), torch.stack((cos, sin), 2).flatten(1)


def _inverse(tile: tuple[int, int], pixels: tuple[int, int]) -> tuple[Tensor, Tensor]:
    cos, sin = (wave.T for wave in _waves(tile[0], tile[0], pixels[0]))
    down = torch.stack((cos, sin), 1).flatten(0, 1)
    columns = tile[1] // 2 + 1
    weight = torch.full((columns,), 2 / (tile[0] * tile[1]), dtype=torch.float64)
    weight[0] /= 2
    if tile[1] % 2 == 0:  # the highest frequency is its own mirror image, as the lowest
        weight[-1] /= 2
    cos, sin = (wave.T * weight for wave in _waves(tile[1], columns, pixels[1]))
    across = torch.stack((torch.stack((cos, -sin), 2), torch.stack((-sin, -cos), 2)), 1)
    return down, across.flatten(1)


def spectrum(pixels_RRN: Tensor, matrices: _Forward) -> Tensor:
    """Transform r₁ × r₂ × N real pixels (beyond them a tile is 0) to T₁ × f₂ × 2 × N."""
    rows, columns, count = pixels_RRN.shape
    assert matrices.across.shape[1] == columns, "matrices are those of another size"
    across = torch.matmul(matrices.across, pixels_RRN)
    return torch.mm(matrices.down, across.view(2 * rows, -1)).view(matrices.down.shape[0], -1, 2, count)


def inverse(spectrum_TFN: Tensor, matrices: _Inverse) -> Tensor:
    """Transform T₁ × 2 f₂ × N back to the first s₁ × s₂ pixels of each tile, s₁ × s₂ × N."""
    down = torch.mm(matrices.down, spectrum_TFN.reshape(spectrum_TFN.shape[0], -1))
    count = spectrum_TFN.shape[-1]
    return torch.matmul(matrices.across, down.view(-1, matrices.across.shape[1], count))
