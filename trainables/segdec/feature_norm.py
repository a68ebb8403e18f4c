"""FeatureNorm: SegDecNet's normalisation of each channel of each image, with its derivative by hand.

On a CPU large maps are gone through block by block, small enough for a core's cache: what one step leaves of
a block, the next finds there. With whole maps each step waits for the memory: a prediction of 704 × 256
pixels takes 1.08 times as long.

Trade-off: sums are those of blocks, added up. torch adds 256 rows first and then their sums, as blocks do, so
trainings had the same bits with and without them. Nothing promises that. The blocks of an image do not depend
on the images beside it, so a batch has the bits of its images one by one.

Source: Božič et al. 2021, arXiv:2104.06064, section 3.1, and the behaviour of the released code.
"""

# B images, C channels, h × w cells; R rows or planes of N numbers

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainables.nn.layers.channels_last import Rows
from trainables.nn.layers.pooling import halve

__all__ = ["Divisor", "FeatureNorm"]

Divisor = Literal["sqrt_std", "std"]

_EXPONENTS: Mapping[Divisor, float] = {"sqrt_std": 0.5, "std": 1.0}
_EPSILON = 0.001  # added to the standard deviation, as in the released code
_BLOCK = 2**16  # numbers of a block, 256 KiB: three to five lie in a core's cache


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
        # The largest of four pixels is the same before and after the scaling, so the maps are halved first
        # and three quarters of the numbers are never scaled.
        left_BChw = halve(of_all.laid.back(of_all.centred_BRN))
        of_left = of_all._replace(laid=_arranged(left_BChw))
        of_left = of_left._replace(centred_BRN=of_left.laid.of(left_BChw))
        rate_BC = _rate(of_left.std_BC, exponent)
        y_BRN = of_left.scaled(rate_BC, self.scale, self.bias, relu=relu, in_place=True)
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
        return self.partial(t_BCHW)

    def partial(self, t_BCHW: Tensor) -> Tensor:
        return t_BCHW.sum(dim=(2, 3))

    def total(self, partial: Sequence[Tensor]) -> Tensor:
        return torch.cat([part_BC.flatten() for part_BC in partial]).view(self.images, self.channels)

    def each(self, t_BC: Tensor) -> Tensor:
        return t_BC.view(self.images, self.channels, 1, 1)


def _arranged(x_BCHW: Tensor) -> Rows | _Planes:
    """The arrangement in which sums over an image's pixels are fast and exact."""
    if torch.compiler.is_exporting() or not x_BCHW.is_contiguous(memory_format=torch.channels_last):
        return _Planes(*x_BCHW.shape[:2])
    return Rows(*x_BCHW.shape)


def _blocks(maps_BRN: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of the same block of all, block by block; small maps, and those of a GPU, are one.

    Args:
        maps_BRN: By image, and row or plane.
        others: Such maps, or factors of each image that hold for all of its rows (B × 1 × N).
    """
    images, rows = maps_BRN.shape[:2]
    numbers = maps_BRN.numel() // images
    if maps_BRN.device.type != "cpu" or torch.compiler.is_exporting() or numbers < 2 * _BLOCK:
        yield (maps_BRN, *others)
        return
    # A block never spans two images, so an image is added up in the same order whatever lies beside it.
    of_block = max(1, _BLOCK * rows // numbers)
    for image in range(images):
        of_image = [t[image : image + 1] for t in (maps_BRN, *others)]
        for start in range(0, rows, of_block):
            yield tuple(t if t.shape[1] == 1 else t[:, start : start + of_block] for t in of_image)


class _Moments(NamedTuple):
    """Images less their means, and their standard deviations, by image and channel."""

    laid: Rows | _Planes
    centred_BRN: Tensor
    std_BC: Tensor

    def scaled(
        self, rate_BC: Tensor, scale_1C11: Tensor, bias_1C11: Tensor, *, relu: bool, in_place: bool
    ) -> Tensor:
        """The normalised numbers, arranged as they are laid; ``in_place``: where x − mean was."""
        # Scale and rate are one factor, so each number is read and written once.
        gain_BRN = self.laid.each(scale_1C11.flatten(1) * rate_BC)
        shift_BRN = self.laid.each(bias_1C11.flatten(1).expand_as(rate_BC))
        y_BRN = self.centred_BRN if in_place else torch.empty_like(self.centred_BRN)
        for y, centred, gain, shift in _blocks(y_BRN, self.centred_BRN, gain_BRN, shift_BRN):
            torch.addcmul(shift, centred, gain, out=y)
            if relu:
                y.relu_()
        return y_BRN


def _moments(x_BCHW: Tensor) -> _Moments:
    pixels = x_BCHW.shape[2] * x_BCHW.shape[3]
    laid = _arranged(x_BCHW)
    # bfloat16 has 8 bits of mantissa: a mean over 10⁵ pixels needs float32.
    wide_BRN = laid.of(x_BCHW.float() if x_BCHW.dtype == torch.bfloat16 else x_BCHW)
    mean_BRN = laid.each(laid.sums(wide_BRN) / pixels)
    # The mean is taken off before squaring: a difference of mean squares would cancel on bright, flat
    # surfaces.
    centred_BRN = torch.empty_like(wide_BRN)
    squares: list[Tensor] = []
    for centred, x, mean in _blocks(centred_BRN, wide_BRN, mean_BRN):
        torch.sub(x, mean, out=centred)
        squares.append(laid.partial(centred * centred))
    return _Moments(laid, centred_BRN, (laid.total(squares) / (pixels - 1)).sqrt())


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
        rate_BC = _rate(std_BC, exponent)
        y_BRN = moments.scaled(rate_BC, scale_1C11, bias_1C11, relu=relu, in_place=in_place)
        # With ReLU the result is kept as well: its zeros say where the gradient stops.
        y_BCHW = laid.back(y_BRN.to(x_BCHW.dtype))
        ctx.save_for_backward(centred_BRN, std_BC, rate_BC, scale_1C11, y_BCHW if relu else None)
        ctx.laid, ctx.exponent, ctx.pixels = laid, exponent, x_BCHW.shape[2] * x_BCHW.shape[3]
        return y_BCHW

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Any
    ) -> tuple[Tensor | None, ...]:
        centred_BRN, std_BC, rate_BC, scale_1C11, y_BCHW = cast(
            "tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]", ctx.saved_tensors
        )
        grad_BCHW, laid, pixels = cast(
            "tuple[Tensor, Rows | _Planes, int]", (gradients[0], ctx.laid, ctx.pixels)
        )
        grad_BRN = laid.of(grad_BCHW).to(centred_BRN.dtype)
        passed_BRN = torch.empty_like(centred_BRN)  # the gradient where ReLU lets it pass
        y_BRN = passed_BRN if y_BCHW is None else laid.of(y_BCHW)

        # The first walk over the blocks takes the gradient back through ReLU and collects its two sums, of
        # g and of g·c.
        sums, along = list[Tensor](), list[Tensor]()
        for passed, grad, y, centred in _blocks(passed_BRN, grad_BRN, y_BRN, centred_BRN):
            if y_BCHW is None:
                passed.copy_(grad)
            else:
                torch.ops.aten.threshold_backward.grad_input(grad, y, 0, grad_input=passed)
            sums.append(laid.partial(passed))
            along.append(laid.partial(passed * centred))
        sum_BC, along_BC = laid.total(sums), laid.total(along)

        # The second walk puts them together. Images themselves need no gradient, so the first layer leaves
        # it out.
        dx_BCHW: Tensor | None = None
        if ctx.needs_input_grad[0]:
            gain_BC = scale_1C11.flatten(1) * rate_BC
            # In a flat channel g·c is 0 as well: the smallest positive number as divisor gives 0 where 0 /
            # 0 would be NaN.
            flat_BC = std_BC.clamp_min(torch.finfo(std_BC.dtype).tiny)
            spread_BC = (std_BC + _EPSILON) * ((pixels - 1) / ctx.exponent)
            pull_BC = gain_BC * along_BC / spread_BC / flat_BC
            factors = (laid.each(t_BC) for t_BC in (gain_BC * sum_BC / -pixels, gain_BC, pull_BC))
            for passed, centred, shift, gain, pull in _blocks(passed_BRN, centred_BRN, *factors):
                torch.addcmul(shift, passed, gain, out=passed)
                passed.addcmul_(centred, pull, value=-1)
            dx_BCHW = laid.back(passed_BRN.to(grad_BCHW.dtype))

        # Scale and bias are shared by all images, so theirs are the sums over the batch.
        of_scale_C, of_bias_C = (along_BC * rate_BC).sum(0), sum_BC.sum(0)
        return dx_BCHW, of_scale_C.view_as(scale_1C11), of_bias_C.view_as(scale_1C11), None


def _rate(std_BC: Tensor, exponent: float) -> Tensor:
    shifted_BC = std_BC + _EPSILON
    return torch.rsqrt(shifted_BC) if exponent == 0.5 else torch.reciprocal(shifted_BC)
