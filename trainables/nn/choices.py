"""Choices that settings of several methods offer, and the small values that settings become.

They stand apart from the layers and steps that follow them, whose modules import torch: a study is read and
planned without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = [
    "PATCH",
    "STEM_STRIDE",
    "TRUNK_WIDTHS",
    "Crf",
    "Cutoffs",
    "FilterBy",
    "FilterMode",
    "Flips",
    "Fusion",
    "GradientFilter",
    "GradientSign",
    "GuidedFilter",
    "ImageTask",
    "Norm",
    "Policy",
    "Pool",
    "RateSchedule",
    "Refiner",
    "ResNetShape",
    "Stem",
    "TrainingSchedule",
    "TransformerName",
    "TrunkName",
    "TrunkStride",
    "cells_along",
    "flip_views",
]

Flips = Literal["none", "horizontal", "vertical", "both"]
RateSchedule = Literal["constant", "cosine"]
Norm = Literal["bn", "gn"]
Stem = Literal["tv", "mid", "small"]
Pool = Literal["gap", "topk", "lse", "gmp"]
Fusion = Literal["mean", "max"]
Policy = Literal["fixed", "otsu", "area_prior"]
FilterBy = Literal["gradient", "activation_x_gradient"]
FilterMode = Literal["quantile", "share_of_max"]
GradientSign = Literal["positive", "negative"]

TrunkName = Literal["resnet18", "lite0", "wide_resnet50_2"]
TransformerName = Literal["dinov2_vits14", "dinov2_vits14_reg"]
TrunkStride = Literal[4, 8, 14, 16, 32]
PATCH: Literal[14] = 14  # pixels along a transformer's patch

# Channels of the maps of published networks, by pixels between cells.
TRUNK_WIDTHS: Mapping[TrunkName | TransformerName, Mapping[TrunkStride, int]] = {
    "resnet18": {4: 64, 8: 128, 16: 256, 32: 512},
    "lite0": {4: 24, 8: 40, 16: 112, 32: 320},
    "wide_resnet50_2": {4: 256, 8: 512, 16: 1024, 32: 2048},
    "dinov2_vits14": {14: 384},
    "dinov2_vits14_reg": {14: 384},
}


def flip_views(flips: Flips) -> tuple[tuple[bool, bool], ...]:
    """The views that ``flips`` shows: left and right exchanged, top and bottom exchanged; as it is first."""
    across = (False, True) if flips in {"horizontal", "both"} else (False,)
    down = (False, True) if flips in {"vertical", "both"} else (False,)
    return tuple((mirrored, overturned) for overturned in down for mirrored in across)


def cells_along(side: int, stride: TrunkStride) -> int:
    """Cells of a trunk's map along ``side`` pixels: of a transformer as many as whole patches are nearest."""
    return max(1, round(side / stride)) if stride == PATCH else -(-side // stride)


STEM_STRIDE: dict[Stem, int] = {"tv": 4, "mid": 2, "small": 1}


@dataclass(frozen=True)
class ResNetShape:
    """Size of a ``resnet18s``. The default is torchvision's ``resnet18`` at half of its stride.

    Raises:
        ValueError: If ``output_stride`` cannot be reached with this stem and number of stages.
    """

    channels: int = 3  # of the image
    width: int = 64  # channels of the stem and the first stage; each later stage doubles them
    stem: Stem = "tv"  # tv: 7 × 7 / 2 and max-pool / 2; mid: 3 × 3 / 2; small: 3 × 3 / 1
    stages: int = 4
    blocks: int = 2  # per stage
    output_stride: int = 16  # pixels between cells of the last stage, stem included
    norm: Norm = "bn"

    def __post_init__(self) -> None:
        low, high = STEM_STRIDE[self.stem], STEM_STRIDE[self.stem] << (self.stages - 1)
        if not low <= self.output_stride <= high:
            raise ValueError(
                f"stem {self.stem} and {self.stages} stages give an output_stride of {low} to {high}, "
                f"found {self.output_stride}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.width << stage for stage in range(self.stages))

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels between cells of each stage's output."""
        stem = STEM_STRIDE[self.stem]
        return tuple(min(stem << stage, self.output_stride) for stage in range(self.stages))


@dataclass(frozen=True)
class TrainingSchedule:
    """Length and pace of a training."""

    epochs: int
    min_steps: int = 0  # epochs are added until there are as many
    rate: RateSchedule = "constant"  # of the optimiser's learning rates, over all steps
    validate_every: int = 0  # epochs, counted from the first, and the last one always; 0: the last one only
    warmup_epochs: int = 0  # over which the rate rises linearly, from its first step on
    clip_norm: float = 0.0  # gradients of all weights together are shortened to this length; 0: never

    def rate_at(self, peak: float, step: int, steps: int, steps_per_epoch: int) -> float:
        """The learning rate of ``step`` (from 0) out of ``steps``: a function of it, so that nothing is kept.

        Source: Loshchilov and Hutter 2017, arXiv:1608.03983, Eq. 5 without restarts (cosine).
        """
        # The warm-up multiplies whatever the schedule says, from a first step above 0 on.
        rate = peak if self.rate == "constant" else peak * (1 + math.cos(math.pi * step / steps)) / 2
        warmup = self.warmup_epochs * steps_per_epoch
        return rate if step >= warmup else rate * ((step + 1) / warmup)

    def validates(self, epoch: int, epochs: int) -> bool:
        """Say if ``epoch`` (from 0) out of ``epochs`` ends with a validation."""
        return epoch == epochs - 1 or (self.validate_every > 0 and epoch % self.validate_every == 0)


@dataclass(frozen=True)
class Cutoffs:
    """Rule of where a map's foreground starts and its background ends.

    ``fixed``: at ``foreground``. ``otsu``: at each image's own Otsu threshold. ``area_prior``: so that a
    share ``area`` of each image is foreground. Background ends at ``background`` in all three; what lies
    between is unknown.
    """

    policy: Policy = "fixed"
    foreground: float = 0.5  # in map units, 0..1
    background: float = 0.2
    area: float = 0.005  # share of the image


@dataclass(frozen=True)
class GradientFilter:
    """Rule of what passes a ReLU of a gradient."""

    guided: bool = True  # only the gradients of ``sign``
    q: float = 0.5  # in [0, 1): the quantile below which gradients are dropped, or a share of the largest
    by: FilterBy = "gradient"  # what is compared: |g₁|, or |a · g₁| as in RectGrad
    mode: FilterMode = "quantile"
    sign: GradientSign = "positive"  # negative: "truncating the positive gradient", arXiv:2308.02118


class ImageTask(NamedTuple):
    """The image head of a segmentation net, and the weight of its loss."""

    top_share: float  # of the pixels, the most suspicious ones, that it reads
    weight: float  # of its loss


@dataclass(frozen=True)
class Crf:
    """The pairwise terms and the window; lengths in pixels."""

    w_xy: float = 3.0  # weight of being near
    s_xy: float = 3.0
    w_rgb: float = 10.0  # weight of being near and alike
    s_far: float = 50.0
    s_rgb: float = 10.0  # grey levels: how unlike two pixels may be
    radius: int = 5  # of the window, in steps of ``dilation``
    dilation: int = 1
    steps: int = 10  # T

    def offsets(self) -> Iterator[tuple[int, int]]:
        """Half of the window: (dy, dx) of which no two are opposite, without (0, 0)."""
        reach = range(-self.radius, self.radius + 1)
        for y in range(self.radius + 1):
            for x in reach:
                if y > 0 or x > 0:
                    yield y * self.dilation, x * self.dilation


@dataclass(frozen=True)
class GuidedFilter:
    """Its window and its idea of an edge."""

    radius: int = 5  # pixels
    s_rgb: float = 10.0  # √ε, grey levels


Refiner = Crf | GuidedFilter
