"""Layers of torch whose backward pass is slow for channels_last images on a CPU, with a faster one.

Parameters, initial values and what they compute are torch's; prediction is torch's own code. With torch's
layers a training step of the small U-Net takes 1.07 to 1.11 times as long (docs/benchmarks.md).

Trade-off: another order of additions. A gradient differs from torch's by its last bits, as it does between
two processors. It cannot be differentiated again, so a gradient penalty needs torch's layers.
"""

# B images, C channels, h × w or H × W pixels; R rows of N numbers, several pixels with all their channels

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["GroupNorm", "PointwiseConv", "Rows", "enlarged"]

_ROW = 256  # numbers of a row: a broadcast factor per channel is repeated until it fills one


def _trains_channels_last(x_BCHW: Tensor, weight: Tensor) -> bool:
    """Say if a backward pass will come, on a CPU, of images that lie channels last."""
    return (
        torch.is_grad_enabled()
        and x_BCHW.requires_grad
        and x_BCHW.device.type == "cpu"
        and x_BCHW.dtype == weight.dtype
        and x_BCHW.is_contiguous(memory_format=torch.channels_last)
    )


class Rows(NamedTuple):
    """Images channels last as rows of several pixels, where sums and factors per channel are fast."""

    images: int
    channels: int
    height: int
    width: int

    @property
    def repeats(self) -> int:
        """Pixels of a row."""
        return math.gcd(self.height * self.width, max(1, _ROW // self.channels))

    def of(self, t_BCHW: Tensor) -> Tensor:
        """Numbers by image and row; a view of what lies channels last."""
        return t_BCHW.permute(0, 2, 3, 1).reshape(self.images, -1, self.repeats * self.channels)

    def back(self, t_BRN: Tensor) -> Tensor:
        """Bring the rows back to the images that they are of."""
        return t_BRN.view(self.images, self.height, self.width, self.channels).permute(0, 3, 1, 2)

    def sums(self, t_BRN: Tensor) -> Tensor:
        """Sums by image and channel."""
        return self.total([self.partial(t_BRN)])

    def partial(self, t_BRN: Tensor) -> Tensor:
        """Sums of all rows, or of some rows of one image."""
        return t_BRN.sum(1)

    def total(self, partial: Sequence[Tensor]) -> Tensor:
        """Sums by image and channel from those of all images at once, or of parts, image by image."""
        repeats = self.repeats
        # Parts of one image follow each other, so they are added image by image and never across images.
        if len(partial) == 1:
            sums_BN = partial[0]
        else:
            sums_BN = torch.cat(list(partial)).view(self.images, -1, repeats * self.channels).sum(1)
        return sums_BN if repeats == 1 else sums_BN.view(self.images, repeats, self.channels).sum(1)

    def each(self, t_BC: Tensor) -> Tensor:
        """Numbers by image and channel as a row that all rows are combined with."""
        # Less than half of the time of Tensor.repeat, which makes views for each dimension.
        shape = (self.images, 1, self.repeats, self.channels)
        return t_BC.view(self.images, 1, 1, self.channels).expand(shape).reshape(self.images, 1, -1)


class PointwiseConv(nn.Conv2d):
    """A 1 × 1 convolution: of channels_last images it is one product of matrices."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, input: Tensor) -> Tensor:
        if not _trains_channels_last(input, self.weight):
            return super().forward(input)
        y_BHWO = F.linear(input.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return y_BHWO.permute(0, 3, 1, 2)


def enlarged(x_BChw: Tensor, size: Sequence[int]) -> Tensor:
    """Maps enlarged bilinearly to ``size``, height and width."""
    large = F.interpolate(x_BChw, size=tuple(size), mode="bilinear", align_corners=False)
    return cast("Tensor", _PackedGradient.apply(large))


class _PackedGradient(torch.autograd.Function):
    """The identity, whose gradient lies channels last where the values do.

    Of maps that were joined with others the gradient is a part of a larger one. torch enlarges the gradient's
    way back in the other layout then, which takes three times as long as the copy and the right layout.
    """

    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor) -> Tensor:
        ctx.packs = x_BCHW.is_contiguous(memory_format=torch.channels_last)
        return x_BCHW.view_as(x_BCHW)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad_BCHW = cast("Tensor", gradients[0])
        return grad_BCHW.contiguous(memory_format=torch.channels_last) if ctx.packs else grad_BCHW


class GroupNorm(nn.GroupNorm):
    """Group normalisation (Wu and He 2018, arXiv:1803.08494) with a weight and a bias per channel."""

    def forward(self, input: Tensor) -> Tensor:
        if not _trains_channels_last(input, self.weight):
            return super().forward(input)
        settings = (self.num_groups, float(self.eps))
        return cast("Tensor", _GroupNorm.apply(input, self.weight, self.bias, settings))


class _GroupNorm(torch.autograd.Function):
    """torch's forward pass, and its derivative as one multiply-add per pixel.

    With x̂ = (x − μ) ρ over the n numbers of a group, weight w and incoming gradient g::

        dL/dx = ρ (w g − (Σ w g + x̂ Σ w g x̂) / n) = ρ w g − pull · ρ x + shift

    where ρ w belongs to an image and channel, pull and shift to an image and group.
    """

    @staticmethod
    def forward(
        ctx: Any, x_BCHW: Tensor, weight_C: Tensor, bias_C: Tensor, settings: tuple[int, float]
    ) -> Tensor:
        images, channels, height, width = x_BCHW.shape
        y_BCHW, mean_BG, rate_BG = torch.native_group_norm(
            x_BCHW, weight_C, bias_C, images, channels, height * width, *settings
        )
        ctx.save_for_backward(x_BCHW, weight_C, mean_BG, rate_BG)
        ctx.groups = settings[0]
        return y_BCHW

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Any
    ) -> tuple[Tensor | None, ...]:
        x_BCHW, weight_C, mean_BG, rate_BG = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        groups = ctx.groups
        images, channels, height, width = x_BCHW.shape
        pixels, of_group = height * width, channels // groups
        rows = Rows(*x_BCHW.shape)

        def sums(t_BRN: Tensor) -> Tensor:
            return rows.sums(t_BRN).view(images, groups, of_group)

        def each_row(t_BGD: Tensor) -> Tensor:
            return rows.each(t_BGD.expand(images, groups, of_group).reshape(images, channels))

        x_BRN, grad_BRN = rows.of(x_BCHW), rows.of(gradients[0])
        mean_BG1, rate_BG1 = mean_BG[..., None], rate_BG[..., None]
        weight_GD = weight_C.view(groups, of_group)
        # Σ g and Σ g x̂ of each channel, from one walk over the maps.
        sum_BGD = sums(grad_BRN)
        along_BGD = (sums(grad_BRN * x_BRN) - mean_BG1 * sum_BGD) * rate_BG1  # Σ g x̂ of each channel

        # The terms of the derivative that all pixels of a group share; what is left is a multiply-add for
        # each pixel.
        pull_BG1 = rate_BG1 * (weight_GD * along_BGD).mean(2, keepdim=True) / pixels
        push_BG1 = (weight_GD * sum_BGD).mean(2, keepdim=True) / pixels
        shift_BG1 = rate_BG1 * (mean_BG1 * pull_BG1 - push_BG1)
        dx_BRN = torch.addcmul(each_row(shift_BG1), grad_BRN, each_row(rate_BG1 * weight_GD))
        dx_BRN = dx_BRN.addcmul_(x_BRN, each_row(rate_BG1 * pull_BG1), value=-1)
        return rows.back(dx_BRN), along_BGD.sum(0).view(-1), sum_BGD.sum(0).view(-1), None
