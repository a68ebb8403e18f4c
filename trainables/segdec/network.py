"""SegDecNet's layers: a trunk, a mask head at an eighth of the resolution, and a decision from both.

The parameter names are those of the authors' checkpoints, so a published state dict loads as it is.
With ``channel_scale`` s, the trunk has 32 s, 64 s and 1024 s channels; the small decision head (8, 16, 32
channels, 1 % of the work) keeps its size, because a quarter of it would be two channels.

Trade-off: the additions of the paper are arguments of ``forward``, not state, so one network serves
training and prediction and no switch can be forgotten.

Source: Božič et al. 2021, arXiv:2104.06064, section 3.1 and Table 1, and the behaviour of the released code.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from trainables.nn.layers.channels_last import Rows
from trainables.nn.layers.pooling import Halve, halve
from trainables.nn.layers.same_conv import SameConv
from trainables.nn.models import with_layout
from trainables.segdec.config import SegDecConfig

__all__ = [
    "Divisor",
    "FeatureNorm",
    "SegDecNet",
    "SegDecOutput",
    "initialise",
    "new_network",
]

Divisor = Literal["sqrt_std", "std"]

_EXPONENTS: Mapping[Divisor, float] = {"sqrt_std": 0.5, "std": 1.0}
_EPSILON = 0.001  # added to the standard deviation, as in the released code


class FeatureNorm(nn.Module):
    """Normalise each channel of each image: ``scale · (x − mean) / √(std + 0.001) + bias``.

    It divides by the square root *of the (unbiased) standard deviation*, as the released code does, so the
    output's own standard deviation is about √std(x). With ``divisor`` "std" it divides by std + 0.001.
    Nothing is kept between images: training and prediction compute the same, and a batch is the same as its
    images one by one. Needs two pixels. With ``relu`` what is below 0 becomes 0.
    """

    def __init__(
        self, channels: int, divisor: Divisor = "sqrt_std", *, bias: bool = True, relu: bool = False
    ) -> None:
        super().__init__()
        self.settings = (_EXPONENTS[divisor], relu)
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1), requires_grad=bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return cast("Tensor", _Normalise.apply(x_BCHW, self.scale, self.bias, self.settings))

    def halved(self, x_BCHW: Tensor) -> Tensor:
        """``halve(self(x))``, bit by bit; without gradient what is left is scaled, a quarter of the maps.

        Scale, bias and ReLU keep the order of numbers, rounding included, where no scale is negative.
        """
        plain = torch.is_grad_enabled() or torch.compiler.is_exporting() or x_BCHW.device.type != "cpu"
        if plain or (self.scale < 0).any():
            return halve(self(x_BCHW))
        exponent, relu = self.settings
        of_all = _moments(x_BCHW)
        left_BChw = halve(of_all.laid.back(of_all.centred_BRN))
        of_left = of_all._replace(laid=_arranged(left_BChw))
        of_left = of_left._replace(centred_BRN=of_left.laid.of(left_BChw))
        y_BRN = of_left.scaled(self.scale, self.bias, exponent, relu=relu, in_place=True)
        return of_left.laid.back(y_BRN.to(x_BCHW.dtype))


class _Planes(NamedTuple):
    """Images as they lie, with the sums and factors that :class:`Rows` has."""

    images: int
    channels: int

    def of(self, t_BCHW: Tensor) -> Tensor:
        return t_BCHW

    def back(self, t_BCHW: Tensor) -> Tensor:
        return t_BCHW

    def sums(self, t_BCHW: Tensor) -> Tensor:
        return t_BCHW.sum(dim=(2, 3))

    def each(self, t_BC: Tensor) -> Tensor:
        return t_BC.view(self.images, self.channels, 1, 1)


def _arranged(x_BCHW: Tensor) -> Rows | _Planes:
    """The arrangement in which sums over an image's pixels are fast and exact."""
    if torch.compiler.is_exporting() or not x_BCHW.is_contiguous(memory_format=torch.channels_last):
        return _Planes(*x_BCHW.shape[:2])
    return Rows(*x_BCHW.shape)


class _Moments(NamedTuple):
    """Images less their means, and their standard deviations, by image and channel."""

    laid: Rows | _Planes
    centred_BRN: Tensor
    std_BC: Tensor

    def scaled(
        self, scale_1C11: Tensor, bias_1C11: Tensor, exponent: float, *, relu: bool, in_place: bool
    ) -> Tensor:
        """The normalised numbers, arranged as they are laid; ``in_place``: where x − mean was."""
        gain_BC = scale_1C11.flatten(1) * _rate(self.std_BC, exponent)
        shift_BC = bias_1C11.flatten(1).expand_as(self.std_BC)
        y_BRN = torch.addcmul(
            self.laid.each(shift_BC),
            self.centred_BRN,
            self.laid.each(gain_BC),
            out=self.centred_BRN if in_place else None,
        )
        return y_BRN.relu_() if relu else y_BRN


def _moments(x_BCHW: Tensor) -> _Moments:
    pixels = x_BCHW.shape[2] * x_BCHW.shape[3]
    laid = _arranged(x_BCHW)
    # bfloat16 has 8 bits of mantissa: a mean over 10⁵ pixels needs float32.
    wide_BRN = laid.of(x_BCHW.float() if x_BCHW.dtype == torch.bfloat16 else x_BCHW)
    centred_BRN = wide_BRN - laid.each(laid.sums(wide_BRN) / pixels)
    std_BC = (laid.sums(centred_BRN * centred_BRN) / (pixels - 1)).sqrt()
    return _Moments(laid, centred_BRN, std_BC)


class _Normalise(torch.autograd.Function):
    """FeatureNorm's arithmetic and its derivative by hand: half the passes over memory that autograd makes.

    With c = x − mean over n pixels, σ = √(Σ c² / (n − 1)), r = (σ + ε)^−k with k = ½ or 1, and incoming
    gradient g: ``dL/dx = scale · r · (g − mean g − c · Σ(g·c) · k / ((σ + ε) σ (n − 1)))``. Where σ = 0 the
    last term is 0. Sums are those of ``Tensor.sum``: ``vector_norm`` is off by 1e-5 over 180,000 pixels.
    """

    @staticmethod
    def forward(
        ctx: Any, x_BCHW: Tensor, scale_1C11: Tensor, bias_1C11: Tensor, settings: tuple[float, bool]
    ) -> Tensor:
        exponent, relu = settings
        moments = _moments(x_BCHW)
        laid, centred_BRN, std_BC = moments
        # A pass without a way back needs no x − mean any more: its place is taken.
        in_place = not (any(ctx.needs_input_grad) or torch.compiler.is_exporting())
        y_BRN = moments.scaled(scale_1C11, bias_1C11, exponent, relu=relu, in_place=in_place)
        y_BCHW = laid.back(y_BRN.to(x_BCHW.dtype))
        ctx.save_for_backward(centred_BRN, std_BC, scale_1C11, y_BCHW if relu else None)
        ctx.laid, ctx.exponent, ctx.pixels = laid, exponent, x_BCHW.shape[2] * x_BCHW.shape[3]
        return y_BCHW

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        centred_BRN, std_BC, scale_1C11, y_BCHW = cast(
            "tuple[Tensor, Tensor, Tensor, Tensor | None]", ctx.saved_tensors
        )
        grad_BCHW, laid, pixels = cast(
            "tuple[Tensor, Rows | _Planes, int]", (gradients[0], ctx.laid, ctx.pixels)
        )
        grad_BRN = laid.of(grad_BCHW)
        if y_BCHW is not None:
            grad_BRN = torch.ops.aten.threshold_backward(grad_BRN, laid.of(y_BCHW), 0)
        grad_BRN = grad_BRN.to(centred_BRN.dtype)
        sum_BC = laid.sums(grad_BRN)
        along_BC = laid.sums(grad_BRN * centred_BRN)
        rate_BC = _rate(std_BC, ctx.exponent)
        dx_BCHW: Tensor | None = None
        if ctx.needs_input_grad[0]:
            gain_BC = scale_1C11.flatten(1) * rate_BC
            flat_BC = std_BC.clamp_min(torch.finfo(std_BC.dtype).tiny)
            shifted_BC = (std_BC + _EPSILON) / ctx.exponent
            pull_BC = gain_BC * along_BC / (shifted_BC * (pixels - 1)) / flat_BC
            dx_BRN = torch.addcmul(laid.each(-gain_BC * sum_BC / pixels), grad_BRN, laid.each(gain_BC))
            dx_BRN = dx_BRN.addcmul_(centred_BRN, laid.each(pull_BC), value=-1)
            dx_BCHW = laid.back(dx_BRN.to(grad_BCHW.dtype))
        of_scale_C, of_bias_C = (along_BC * rate_BC).sum(0), sum_BC.sum(0)
        return dx_BCHW, of_scale_C.view_as(scale_1C11), of_bias_C.view_as(scale_1C11), None


def _rate(std_BC: Tensor, exponent: float) -> Tensor:
    shifted_BC = std_BC + _EPSILON
    return torch.rsqrt(shifted_BC) if exponent == 0.5 else torch.reciprocal(shifted_BC)


class _Volume(nn.Sequential):
    """Blocks, some with a pooling behind them, which is part of their normalisation."""

    def forward(self, input: Tensor) -> Tensor:
        layers, x_BCHW = list(self), input
        for layer, behind in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, Halve):
                continue  # done with the block before it
            if isinstance(behind, Halve):
                convolution, norm = cast("nn.Sequential", layer)
                x_BCHW = cast("FeatureNorm", norm).halved(convolution(x_BCHW))
            else:
                x_BCHW = layer(x_BCHW)
        return x_BCHW


def _block(inputs: int, outputs: int, kernel: int, divisor: Divisor) -> nn.Sequential:
    """Convolution without bias, FeatureNorm with ReLU; the size stays."""
    return nn.Sequential(SameConv(inputs, outputs, kernel), FeatureNorm(outputs, divisor, relu=True))


class SegDecOutput(NamedTuple):
    """Logits of a batch. B images, h × w cells of 8 × 8 pixels."""

    cls_logits_B: Tensor
    seg_logits_B1hw: Tensor


class SegDecNet(nn.Module):
    """The segmentation–decision network."""

    def __init__(self, config: SegDecConfig) -> None:
        super().__init__()
        first, trunk, features = config.widths
        divisor = config.feature_norm
        volume: OrderedDict[str, nn.Module] = OrderedDict()
        volume["0"] = _block(config.channels, first, 5, divisor)
        if config.first_convs == 2:
            volume["0b"] = _block(first, first, 5, divisor)  # named so that all other keys stay the authors'
        volume["1"] = Halve()
        volume["2"] = _block(first, trunk, 5, divisor)
        volume["3"] = _block(trunk, trunk, 5, divisor)
        volume["4"] = _block(trunk, trunk, 5, divisor)
        volume["5"] = Halve()
        for index in range(6, 10):
            volume[str(index)] = _block(trunk, trunk, 5, divisor)
        volume["10"] = Halve()
        volume["11"] = _block(trunk, features, config.sf_kernel, divisor)
        self.volume = _Volume(volume)
        self.seg_mask = nn.Sequential(
            nn.Conv2d(features, 1, 1, bias=False),
            FeatureNorm(1, divisor, bias=config.seg_norm_bias == "trained"),
        )
        self.extractor = nn.Sequential(
            Halve(),
            _block(features + 1, 8, 5, divisor),
            Halve(),
            _block(8, 16, 5, divisor),
            Halve(),
            _block(16, 32, 5, divisor),
        )
        self.fc = nn.Linear(66, 1)

    def forward(
        self, images_BCHW: Tensor, *, stop: bool = False, trunk_gradient: bool = True
    ) -> SegDecOutput:
        """Logits of images (values in [0, 1], sides multiples of 8).

        Args:
            images_BCHW: Images.
            stop: Gradient stop: the decision's gradient does not reach trunk and mask head.
            trunk_gradient: Whether trunk and mask head are differentiated at all. A defective image without
                a mask has no segmentation loss, so under the stop its trunk needs no backward pass: the
                same update in a third of the time.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and trunk_gradient):
            features_BChw = self.volume(images_BCHW)
            seg_B1hw = self.seg_mask[1](self.seg_mask[0](features_BChw).to(self.fc.weight.dtype))
        seen_B1hw = seg_B1hw.detach() if stop else seg_B1hw
        if stop:
            features_BChw = features_BChw.detach()
        context_BChw = self.extractor(torch.cat((features_BChw, seen_B1hw.to(features_BChw.dtype)), dim=1))
        pooled_B66 = torch.cat(
            (
                context_BChw.amax(dim=(2, 3)).to(seen_B1hw.dtype),
                context_BChw.mean(dim=(2, 3), dtype=seen_B1hw.dtype),
                seen_B1hw.amax(dim=(2, 3)),
                seen_B1hw.mean(dim=(2, 3)),
            ),
            dim=1,
        )
        with torch.autocast(pooled_B66.device.type, enabled=False):  # a bfloat16 logit has 8 bits: ties
            logits_B1 = self.fc(pooled_B66)
        return SegDecOutput(logits_B1.squeeze(1), seg_B1hw)


def initialise(network: SegDecNet, seed: int) -> None:
    """Set initial weights: Xavier normal convolutions, PyTorch's default for the last layer.

    Each tensor has random numbers of its own, drawn from ``seed`` and its name. So two networks that differ
    in one layer start equal in all others, which makes their comparison a paired one.
    """
    for name, parameter in network.named_parameters():
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
        with torch.no_grad():
            if name.startswith("fc."):
                bound = 1 / math.sqrt(network.fc.in_features)
                parameter.uniform_(-bound, bound, generator=generator)
            elif name.endswith("weight"):
                nn.init.xavier_normal_(parameter, generator=generator)


def new_network(config: SegDecConfig, seed: int, device: torch.device) -> SegDecNet:
    """A network with its initial weights, in the config's memory format."""
    network = SegDecNet(config)
    initialise(network, seed)
    return with_layout(network.to(device), config)  # a large kernel lies row by row on a CPU alone
