"""Defects that are made up: Gaussian noise on features, in blots of Perlin noise.

Each image has random numbers of its own, so that it gets the same noise whichever worker it falls to.

Source: Rolih, Fučka, Skočaj 2024, section 3; Perlin 1985 (noise); that lattices are as fine as the map at
most is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.nn.batches.on_device import sent
from trainables.supersimple.config import SuperSimpleConfig

__all__ = ["Noise", "draw_noise", "perlin"]

_FINEST = 5  # a lattice has 2⁰ to 2⁵ squares along an axis


class Noise(NamedTuple):
    """Noise of B images."""

    values_BChw: Tensor  # to be added; 0 where there is none
    on_B1hw: Tensor  # bool


def draw_noise(
    allowed_B1hw: Tensor, config: SuperSimpleConfig, generators: Sequence[np.random.Generator]
) -> Noise:
    """Noise within ``allowed_B1hw`` (bool), which leaves out true defects; one generator for each image."""
    size = (allowed_B1hw.shape[2], allowed_B1hw.shape[3])
    # True defects stay as they are, so the blots are cut by what is allowed before anything is drawn for
    # them.
    blots = [_blot(size, config, generator) for generator in generators]
    on_B1hw = sent(torch.from_numpy(np.stack(blots)), allowed_B1hw.device)[:, None] & allowed_B1hw
    # Numbers are drawn for cells with noise only, by each image's generator on the CPU: a draw on the
    # device would depend on which images share a batch.
    counts = on_B1hw.sum(dim=(1, 2, 3)).tolist()
    drawn = [
        generator.standard_normal((count, config.features), dtype=np.float32)
        for count, generator in zip(counts, generators, strict=True)
    ]
    values_BhwC = torch.zeros(len(blots), *size, config.features, device=on_B1hw.device)
    added = sent(torch.from_numpy(np.concatenate(drawn)), on_B1hw.device)
    values_BhwC[on_B1hw[:, 0]] = config.noise_sd * added
    return Noise(values_BhwC.permute(0, 3, 1, 2), on_B1hw)


def _blot(size: tuple[int, int], config: SuperSimpleConfig, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Cells of an image that may get noise; none in the images that get none."""
    # Both sides of the lattice are drawn for themselves, so blots may be long or round. A lattice finer
    # than the cells would be mere noise.
    chosen = rng.random() < config.noise_share
    powers = rng.integers(0, _FINEST + 1, 2).tolist()
    squares = [min(side, 1 << power) for side, power in zip(size, powers, strict=True)]
    return (perlin(size, (squares[0], squares[1]), rng) > config.perlin_threshold) & chosen


def perlin(size: tuple[int, int], squares: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Gradient noise in [−1, 1] on h × w cells, over a lattice of so many squares."""
    down, across = squares
    # A direction for each corner of the lattice; a cell's value is blended from its distances along the
    # four around it.
    angle = 2 * math.pi * rng.random((down + 1, across + 1))
    y_h, x_w = ((np.arange(side) + 0.5) * count / side for side, count in zip(size, squares, strict=True))
    row_h, column_w = y_h.astype(np.intp), x_w.astype(np.intp)
    dy_h1, dx_w = (y_h - row_h)[:, None], x_w - column_w

    def slope(below: int, right: int) -> NDArray[np.float64]:
        angle_hw = angle[np.ix_(row_h + below, column_w + right)]
        return np.sin(angle_hw) * (dy_h1 - below) + np.cos(angle_hw) * (dx_w - right)

    # Perlin's polynomial of degree five has neither slope nor curvature at the corners, so no lattice lines
    # are seen.
    fade_h1, fade_w = (t * t * t * (t * (6 * t - 15) + 10) for t in (dy_h1, dx_w))
    top, bottom = (slope(row, 0) + fade_w * (slope(row, 1) - slope(row, 0)) for row in (0, 1))

    # Four unit slopes reach √½ at most: the factor brings the noise to [−1, 1], which the threshold is
    # given in.
    return math.sqrt(2) * (top + fade_h1 * (bottom - top))
