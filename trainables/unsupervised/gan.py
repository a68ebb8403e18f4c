"""f-AnoGAN's three networks: residual, for patches of 16, 32 or 64 pixels.

The critic has layer normalisation: batch normalisation ties the images of a batch together, and the gradient
penalty is about one image at a time. Generator and encoder have batch normalisation as in the published
code, or group normalisation.

Source: Schlegl et al. 2019, Medical Image Analysis 54, with the layout of its published code (64 × 64
patches, DIM 64, z 128), which is that of Gulrajani et al. 2017, arXiv:1704.00028. For smaller patches the
outer blocks are left out.
"""

# N patches of P × P pixels, z of Z dimensions

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.nn.choices import Norm
from trainables.nn.layers.norm import norm_layer
from trainables.unsupervised.config import COARSE, gan_widths

__all__ = ["Critic", "Encoder", "Generator", "gradient_penalty"]


_MakeNorm = Callable[[int], nn.Module]


class _Down(nn.Module):
    """A residual block that halves the map by means."""

    def __init__(self, inputs: int, outputs: int, norm: _MakeNorm) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(inputs), norm(inputs)
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x_NCpp: Tensor) -> Tensor:
        inner = self.conv1(self.norm1(x_NCpp).relu())
        inner = F.avg_pool2d(self.conv2(self.norm2(inner).relu()), 2)
        return self.shortcut(F.avg_pool2d(x_NCpp, 2)) + inner


class _Up(nn.Module):
    """A residual block that doubles the map by repetition."""

    def __init__(self, inputs: int, outputs: int, norm: _MakeNorm) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x_NCpp: Tensor) -> Tensor:
        inner = self.conv1(F.interpolate(self.norm1(x_NCpp).relu(), scale_factor=2))
        inner = self.conv2(self.norm2(inner).relu())
        # A 1 × 1 convolution before the repetition is the one after it, at a quarter of the cost.
        return F.interpolate(self.shortcut(x_NCpp), scale_factor=2) + inner


class _Trunk(nn.Module):
    """From a patch to the features of its coarsest map."""

    def __init__(self, channels: int, width: int, patch: int, norm: _MakeNorm) -> None:
        super().__init__()
        widths = gan_widths(width, patch)
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        pairs = pairwise(widths)
        self.blocks = nn.Sequential(*(_Down(inputs, outputs, norm) for inputs, outputs in pairs))
        self.features = widths[-1] * COARSE**2

    def forward(self, patches_NCPP: Tensor) -> Tensor:
        return self.blocks(self.first(patches_NCPP)).flatten(1)


class Generator(nn.Module):
    """From z to a patch in [−1, 1]."""

    def __init__(self, channels: int, latent: int, width: int, patch: int, norm: Norm) -> None:
        super().__init__()
        widths = gan_widths(width, patch)[::-1]
        self.first = nn.Linear(latent, widths[0] * COARSE**2)
        pairs = pairwise(widths)
        self.blocks = nn.Sequential(*(_Up(i, o, lambda c: norm_layer(norm, c)) for i, o in pairs))
        self.norm = norm_layer(norm, width)
        self.last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, z_NZ: Tensor) -> Tensor:
        coarse = self.first(z_NZ).unflatten(1, (-1, COARSE, COARSE))
        return self.last(self.norm(self.blocks(coarse)).relu()).tanh()


class Critic(nn.Module):
    """From a patch in [−1, 1] to a number that is higher where it looks real."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.trunk = _Trunk(channels, width, patch, partial(nn.GroupNorm, 1))
        self.last = nn.Linear(self.trunk.features, 1)

    def features(self, patches_NCPP: Tensor) -> Tensor:
        """N × (8 · width · 16) numbers; 8192 at the published size."""
        return self.trunk(patches_NCPP)

    def forward(self, patches_NCPP: Tensor) -> Tensor:
        return self.last(self.trunk(patches_NCPP)).squeeze(1)


class Encoder(nn.Module):
    """From a patch in [−1, 1] to z; linear at the end, as z is Gaussian."""

    def __init__(self, channels: int, latent: int, width: int, patch: int, norm: Norm) -> None:
        super().__init__()
        self.trunk = _Trunk(channels, width, patch, lambda c: norm_layer(norm, c))
        self.last = nn.Linear(self.trunk.features, latent)

    def forward(self, patches_NCPP: Tensor) -> Tensor:
        return self.last(self.trunk(patches_NCPP))


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real_NCHW: Tensor, made_NCHW: Tensor, mix_N: Tensor
) -> Tensor:
    """``(|∇ critic(x̃)| − 1)²`` of each image, at ``x̃ = real + mix · (made − real)``.

    Args:
        critic: From images to N numbers; each must depend on its own image only.
        real_NCHW: Images.
        made_NCHW: As many.
        mix_N: Where between them, in [0, 1].

    Returns:
        N numbers that can be differentiated once more.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, Eq. 3.
    """
    # A point between a real image and a made one, of each pair. Its slope must be differentiable itself,
    # hence ``create_graph``.
    between = real_NCHW + mix_N[:, None, None, None] * (made_NCHW - real_NCHW)
    between = between.detach().requires_grad_()
    (slope_NCHW,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope_NCHW.flatten(1).norm(dim=1) - 1).square()
