"""Gaussian smoothing of images and maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["gaussian_blur"]


def gaussian_blur(x_BCHW: Tensor, sigma: float, radius: int | None = None) -> Tensor:
    """Smooth with a separable Gaussian; the border is repeated, the size stays.

    Args:
        x_BCHW: Images or maps of any size.
        sigma: Standard deviation, pixels.
        radius: Where the Gaussian is cut, pixels; 3 σ by default.
    """
    channels, radius = x_BCHW.shape[1], radius or max(1, round(3 * sigma))
    places = torch.arange(-radius, radius + 1, device=x_BCHW.device, dtype=x_BCHW.dtype)
    kernel = torch.exp(-(places**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    wide = F.pad(x_BCHW, (radius, radius, radius, radius), mode="replicate")
    # Under autocast convolutions would run in bfloat16, whose steps are larger than faint defects.
    with torch.autocast(x_BCHW.device.type, enabled=False):
        across = F.conv2d(wide, kernel, groups=channels)
        return F.conv2d(across, kernel.transpose(2, 3), groups=channels)
