"""Gaussian smoothing of images and maps."""

# B images, C channels; L places of a line of pixels, K places of the kernel

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["gaussian_blur"]


def gaussian_blur(x_BCHW: Tensor, sigma: float, radius: int | None = None) -> Tensor:
    """Smooth with a separable Gaussian; the border is repeated, the size stays.

    One product with a matrix for each direction: a convolution of one channel with 73 places (σ 12) takes
    four to eight times as long on a CPU, and was a quarter of the training of a small classifier.

    Args:
        x_BCHW: Images or maps of any size.
        sigma: Standard deviation, pixels.
        radius: Where the Gaussian is cut, pixels; 3 σ by default.
    """
    radius = radius or max(1, round(3 * sigma))
    down_HH, across_WW = (_smoothing(side, sigma, radius, x_BCHW) for side in x_BCHW.shape[2:])
    # Under autocast products would be of bfloat16, whose steps are larger than faint defects.
    with torch.autocast(x_BCHW.device.type, enabled=False):
        return down_HH @ (x_BCHW @ across_WW.T)


def _smoothing(side: int, sigma: float, radius: int, like: Tensor) -> Tensor:
    """The matrix that smooths a line of ``side`` pixels, side × side; its rows add up to 1."""
    places_K = torch.arange(-radius, radius + 1, device=like.device)
    weights_K = torch.exp(-(places_K.to(like.dtype) ** 2) / (2 * sigma**2))
    weights_K = weights_K / weights_K.sum()
    read_LK = (torch.arange(side, device=like.device)[:, None] + places_K).clamp(0, side - 1)
    return like.new_zeros(side, side).scatter_add(1, read_LK, weights_K.expand(side, -1))
