"""Likeness of two images in structure: SSIM, multi-scale gradient magnitudes (MSGMS), and PSNR.

Images are in [0, 1]. Similarities are 1 for equal images and symmetric in the two; as a loss, take
``1 − similarity``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.nn.layers.blur import gaussian_blur

__all__ = ["msgms", "msgms_map", "psnr", "ssim", "ssim_map"]

_C1, _C2 = 0.01**2, 0.03**2  # Wang et al. 2004, for a range of 1
_WINDOW_SIGMA, _WINDOW_RADIUS = 1.5, 5  # the same: 11 × 11 pixels
_GRADIENT_C = 170 / 255**2  # Xue et al. 2014, section III-A
_SCALES = 4  # RIAD: full size, a half, a quarter, an eighth
_ROOT_EPS = 1e-12  # the root has no slope at 0


def ssim_map(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Structural similarity of the surroundings of each pixel, B × C × H × W, in [−1, 1].

    Source: Wang et al. 2004, IEEE Transactions on Image Processing 13, Eq. 13; Gaussian window of 11 × 11.
    """
    # All five moments go through one blur.
    moments = torch.cat((a_BCHW, b_BCHW, a_BCHW.square(), b_BCHW.square(), a_BCHW * b_BCHW), dim=1)
    a, b, aa, bb, ab = gaussian_blur(moments, _WINDOW_SIGMA, _WINDOW_RADIUS).chunk(5, dim=1)
    light = (2 * a * b + _C1) / (a.square() + b.square() + _C1)
    return light * (2 * (ab - a * b) + _C2) / (aa - a.square() + bb - b.square() + _C2)


def ssim(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Mean of :func:`ssim_map`, B values."""
    return ssim_map(a_BCHW, b_BCHW).mean(dim=(1, 2, 3))


def msgms(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Multi-scale gradient magnitude similarity, the mean over pixels and four scales: B values in (0, 1].

    Source: Zavrtanik et al. 2021, *Reconstruction by inpainting for visual anomaly detection* (RIAD), Pattern
    Recognition 112; the similarity of one scale is that of Xue et al. 2014, arXiv:1308.3052, Eq. 4.
    """
    return torch.stack([each.mean(dim=(1, 2, 3)) for each in _gradient_similarities(a_BCHW, b_BCHW)]).mean(0)


def msgms_map(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """The similarities of all scales brought to full size and averaged: B × H × W, in (0, 1]."""
    size = a_BCHW.shape[2:]
    scales = [
        F.interpolate(each, size=size, mode="bilinear", align_corners=False)
        for each in _gradient_similarities(a_BCHW, b_BCHW)
    ]
    return torch.stack(scales).mean(0)[:, 0]


def psnr(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, dB, B values; infinite for equal images."""
    return -10 * (a_BCHW - b_BCHW).square().mean(dim=(1, 2, 3)).log10()


def _gradient_similarities(a_BCHW: Tensor, b_BCHW: Tensor) -> list[Tensor]:
    """Per scale, B × 1 × h × w; colour images by the mean of their channels."""
    a, b = a_BCHW.mean(dim=1, keepdim=True), b_BCHW.mean(dim=1, keepdim=True)
    similarities: list[Tensor] = []
    for scale in range(_SCALES):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        slope_a, slope_b = _slope(a), _slope(b)
        above = 2 * slope_a * slope_b + _GRADIENT_C
        similarities.append(above / (slope_a.square() + slope_b.square() + _GRADIENT_C))
    return similarities


def _slope(x_B1HW: Tensor) -> Tensor:
    """Magnitude of the Prewitt gradient; the border is repeated."""
    # Prewitt's kernel is a mean of three lines and a difference across them.
    wide = F.pad(x_B1HW, (1, 1, 1, 1), mode="replicate")
    rows = (wide[:, :, :-2] + wide[:, :, 1:-1] + wide[:, :, 2:]) / 3
    columns = (wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]) / 3
    across = rows[..., 2:] - rows[..., :-2]
    down = columns[:, :, 2:] - columns[:, :, :-2]
    return (across.square() + down.square() + _ROOT_EPS).sqrt()
