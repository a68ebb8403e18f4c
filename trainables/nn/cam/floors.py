"""Floors: maps that any weakly supervised method must beat to have learned something.

Each floor is a plain function: three maps that no training makes, and a trained map times a residual that
needs none (the fair opponent of everything that sharpens a map).

On blowholes in magnetic tiles, stretched to 224 × 224, the maps reach a pixel AP of 0.001 (random), 0.005
(centre prior) and 0.01 to 0.02 (blur residual).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainables.nn.layers.blur import gaussian_blur

__all__ = ["blur_residual", "centre_prior", "map_times_residual", "random_maps"]

_SIGMA = 15.0  # pixels: 5 would find thin defects better, 15 finds compact ones
_CENTRE_WIDTH = 0.25  # standard deviation, as a share of the side


def random_maps(count: int, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Every pixel by chance, ``count`` × H × W in [0, 1): its pixel AP is the share of defect pixels."""
    return torch.from_numpy(rng.random((count, *size), dtype=np.float32))


def centre_prior(count: int, size: tuple[int, int]) -> Tensor:
    """One Gaussian in the middle, as photographs centre what they show: ``count`` × H × W, in (0, 1]."""
    rows, columns = (torch.linspace(-0.5, 0.5, side) / _CENTRE_WIDTH for side in size)
    prior_HW = torch.exp(-(rows[:, None].square() + columns.square()) / 2)
    return prior_HW.expand(count, *size)


def blur_residual(images_BCHW: Tensor) -> Tensor:
    """``|x − G_σ ∗ x|``, averaged over channels: B × H × W, in [0, 1] for images in [0, 1]."""
    return (images_BCHW - gaussian_blur(images_BCHW, _SIGMA)).abs().mean(dim=1)


def map_times_residual(map_BHW: Tensor, residual_BHW: Tensor) -> Tensor:
    """``√(map · residual)``: where a map points and the image differs from its surroundings, B × H × W.

    It needs no inpainting. Pixel AP of blowholes rose from 0.28 (CAM) to 0.42, of cracks from 0.16 to 0.24.
    """
    return (map_BHW * residual_BHW).sqrt()
