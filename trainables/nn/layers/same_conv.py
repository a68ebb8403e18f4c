"""``SameConv``: torch's 'same' convolution of stride 1, faster on a CPU where kernels are large.

    conv = SameConv(16, 256, 15)
    conv.plan(88, 32)    # ConvPlan(way='frequency', tile=(36, 22), chunk=16)

Parameters, initial values and what it computes are those of ``nn.Conv2d(…, padding=k // 2, bias=False)``. The
way is chosen by shape and the processor's instructions (:func:`plan_conv`), never by a measurement, so one
machine always gives the same bits:

- ``frequency``: on the spectra of overlapping tiles (``frequency.py``), a chunk of output channels at a time,
  so that spectra stay in the processor's cache. For k = 15 ten multiplications take the place of 225.
- ``direct``: torch's own convolution, where kernels or maps are small. Other devices and precisions, and
  exports, take it too.

Trade-off: another order of additions. Results differ from torch's by their last bits, and are no further from
float64 than torch's own. It cannot be differentiated twice. Tried and left out: im2col and one product. For
maps of 16 × 16 it is slower than the better of the two with AVX2 as with AVX-512.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainables.nn.layers.frequency import Transforms, inverse, spectrum, transforms

__all__ = ["KEPT_BYTES", "ConvPlan", "SameConv", "convolve", "plan_conv"]

KEPT_BYTES = 320 * 2**20  # of a layer's spectra between predictions; SegDecNet at full width takes 272 MiB

_LARGE = 9  # kernel side from which another way than torch's can be faster
_TILES = range(22, 48, 2)  # sides of tiles that are tried
_CHUNK = 16  # output channels; of 32 it takes up to 1.15 times as long, of 64 up to 1.3 times
_SAVED_BYTES = 32 * 2**20  # of spectra that a pass with gradient saves for its way back; else made again
# Multiplications that tiles must save: with AVX-512 torch makes its own at twice the speed.
_LEAST_SAVING = 3.0 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 1.5


@dataclass(frozen=True)
class ConvPlan:
    """Way of a convolution on maps of one size."""

    way: Literal["frequency", "direct"]
    tile: tuple[int, int] = (0, 0)  # inputs of a tile, down and across; its result is k − 1 smaller
    chunk: int = 0  # output channels at a time

    def spectra_bytes(self, pairs: int) -> int:
        """Bytes of all weights' spectra in float32, for so many pairs of channels."""
        return 8 * self.tile[0] * (self.tile[1] // 2 + 1) * pairs


@lru_cache(maxsize=1024)
def plan_conv(
    size: tuple[int, int], kernel: int, pairs: int, least_saving: float = _LEAST_SAVING
) -> ConvPlan:
    """The way to convolve maps.

    Args:
        size: Of a map: height and width, cells.
        kernel: Side, cells; odd.
        pairs: Input channels times output channels.
        least_saving: Times that tiles must multiply less often than torch does, to be taken; a third more
            where spectra are too large to be saved, and are made twice in a training step.
    """
    sides = [side for side in _TILES if side > kernel]
    if kernel < _LARGE or not sides:
        return ConvPlan("direct")

    def cost(tile: tuple[int, int]) -> float:
        """Multiplications per pair of channels: of the weights' spectra and of the tiles' products."""
        tiles = math.prod(-(-side // (t - kernel + 1)) for side, t in zip(size, tile, strict=True))
        columns = tile[1] // 2 + 1
        return 4 * columns * (kernel**2 + kernel * tile[0]) + 4 * tile[0] * columns * tiles

    best = min(((high, wide) for high in sides for wide in sides), key=cost)
    plan = ConvPlan("frequency", best, _CHUNK)
    price = cost(best) * (1 if plan.spectra_bytes(pairs) <= _SAVED_BYTES else 4 / 3)
    return plan if least_saving * price <= kernel**2 * math.prod(size) else ConvPlan("direct")


class SameConv(nn.Conv2d):
    """A 'same' convolution without bias, of stride 1 and an odd kernel.

    Passes without gradient keep the weights' spectra, up to ``KEPT_BYTES``. They are used as long as the
    weights are equal to those they were made of, bit by bit, by passes with gradient too.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        assert kernel % 2, f"'same' needs an odd kernel, found {kernel}"
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self._kept: _KeptSpectra | None = None

    def plan(self, height: int, width: int) -> ConvPlan:
        """The way that float32 maps of this size take on a CPU."""
        return plan_conv((height, width), self.kernel_size[0], self.in_channels * self.out_channels)

    def forward(self, input: Tensor) -> Tensor:
        if not _is_plain(input, self.weight):
            return super().forward(input)
        plan = self.plan(*input.shape[2:])
        return (
            super().forward(input)
            if plan.way == "direct"
            else convolve(input, self.weight, plan, self._spectra(plan))
        )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_kept": None}  # a copy makes its own

    def _spectra(self, plan: ConvPlan) -> Sequence[Tensor] | None:
        """Spectra of the weights as they are now; None where they are not kept."""
        kept, weight = self._kept, self.weight
        if kept is not None and kept.tile == plan.tile and torch.equal(kept.weight, weight):
            return kept.chunks
        self._kept = None
        trains = torch.is_grad_enabled() and weight.requires_grad
        if trains or plan.spectra_bytes(self.in_channels * self.out_channels) > KEPT_BYTES:
            return None
        with torch.inference_mode(False), torch.no_grad():  # a training may be the next to use them
            matrices = transforms(plan.tile, weight.shape[2], weight.dtype)
            chunks = [_kernel_spectrum(part, matrices) for part in weight.split(plan.chunk)]
            self._kept = _KeptSpectra(weight.detach().clone(), plan.tile, chunks)
        return self._kept.chunks


class _KeptSpectra(NamedTuple):
    weight: Tensor  # a copy of what they are spectra of: no in-place change can be missed
    tile: tuple[int, int]
    chunks: Sequence[Tensor]  # of output channels


def _is_plain(x_BCHW: Tensor, weight: Tensor) -> bool:
    """Say if a pass is one on a CPU in float32, and neither traced nor empty."""
    return (
        not torch.compiler.is_exporting()
        and x_BCHW.device.type == "cpu"
        and x_BCHW.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x_BCHW.dim() == 4
        and x_BCHW.numel() > 0
    )


def convolve(
    x_BCHW: Tensor, weight_OCkk: Tensor, plan: ConvPlan, spectra: Sequence[Tensor] | None = None
) -> Tensor:
    """A 'same' convolution in the frequency domain, with gradients for maps and weights; channels last.

    Args:
        x_BCHW: Maps on a CPU, in float32 or float64.
        weight_OCkk: Weights of an odd side k.
        plan: Of the way ``frequency``, with tiles of at least k.
        spectra: Of the weights, chunk by chunk, where they are known.
    """
    return cast("Tensor", _Frequency.apply(x_BCHW, weight_OCkk, plan, spectra))


class _Grid(NamedTuple):
    """Tiles that cover a batch of maps: B images, n₁ × n₂ tiles each, S₁ × S₂ cells of a result."""

    images: int
    down: int
    right: int
    high: int  # S₁
    wide: int  # S₂

    @classmethod
    def of(cls, x_BCHW: Tensor, tile: tuple[int, int], kernel: int) -> _Grid:
        high, wide = tile[0] - kernel + 1, tile[1] - kernel + 1
        return cls(len(x_BCHW), -(-x_BCHW.shape[2] // high), -(-x_BCHW.shape[3] // wide), high, wide)

    @property
    def tiles(self) -> int:
        return self.images * self.down * self.right


class _Frequency(torch.autograd.Function):
    """Overlap-save: spectra of tiles times spectra of weights, and both derivatives the same way.

    With spectra X of tiles, W of weights and G of incoming gradients, a result is Y = X W*, its derivatives
    are G W (added up where tiles overlap) and X G*. A spectrum's real and imaginary parts lie beside each
    other, so each of these is one product of real matrices per frequency.
    """

    @staticmethod
    def forward(
        ctx: Any, x_BCHW: Tensor, weight_OCkk: Tensor, plan: ConvPlan, spectra: Sequence[Tensor] | None
    ) -> Tensor:
        images, _, height, width = x_BCHW.shape
        outputs, _, side, _ = weight_OCkk.shape
        matrices, grid = transforms(plan.tile, side, x_BCHW.dtype), _Grid.of(x_BCHW, plan.tile, side)
        tiles_F2M2C = _tile_spectra(x_BCHW, grid, side, matrices)
        y_BHWO = x_BCHW.new_empty(images, grid.down * grid.high, grid.right * grid.wide, outputs)
        y_BdSrSO = y_BHWO.view(images, grid.down, grid.high, grid.right, grid.wide, outputs)
        saves = (
            ctx.needs_input_grad[0] and plan.spectra_bytes(weight_OCkk[:, :, 0, 0].numel()) <= _SAVED_BYTES
        )
        saved: list[Tensor] = []
        for i, start in enumerate(range(0, outputs, plan.chunk)):
            part = slice(start, start + plan.chunk)
            kernel_F2CO = _kernel_spectrum(weight_OCkk[part], matrices) if spectra is None else spectra[i]
            chunk = kernel_F2CO.shape[2]
            if saves:
                saved.append(kernel_F2CO)
            result = torch.bmm(tiles_F2M2C, kernel_F2CO).view(plan.tile[0], -1, grid.tiles * chunk)
            cells = inverse(result, matrices.to_result).view(
                grid.high, grid.wide, images, grid.down, grid.right, chunk
            )
            y_BdSrSO[..., part] = cells.permute(2, 3, 0, 4, 1, 5)
        ctx.save_for_backward(tiles_F2M2C if ctx.needs_input_grad[1] else None, weight_OCkk)
        ctx.plan, ctx.grid, ctx.size = plan, grid, x_BCHW.shape
        ctx.spectra = saved if saves else spectra
        return y_BHWO[:, :height, :width].permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Any
    ) -> tuple[Tensor | None, ...]:
        tiles_F2M2C, weight_OCkk = cast("tuple[Tensor | None, Tensor]", ctx.saved_tensors)
        plan, grid = cast("tuple[ConvPlan, _Grid]", (ctx.plan, ctx.grid))
        outputs, inputs, side, _ = weight_OCkk.shape
        matrices = transforms(plan.tile, side, weight_OCkk.dtype)
        grad_BdSrSO = _in_tiles(cast("Tensor", gradients[0]), grid)
        dx_F2MC2: Tensor | None = None
        dw_OCkk = torch.empty_like(weight_OCkk) if ctx.needs_input_grad[1] else None
        for i, start in enumerate(range(0, outputs, plan.chunk)):
            part = slice(start, start + plan.chunk)
            grad_SSN = grad_BdSrSO[..., part].permute(2, 4, 0, 1, 3, 5).flatten(2)
            grad_F2MO = spectrum(grad_SSN.reshape(grid.high, grid.wide, -1), matrices.result)
            grad_F2MO = grad_F2MO.view(-1, 2 * grid.tiles, grad_BdSrSO[..., part].shape[-1])
            if ctx.needs_input_grad[0]:
                known = ctx.spectra is not None
                kernel_F2CO = ctx.spectra[i] if known else _kernel_spectrum(weight_OCkk[part], matrices)
                product = kernel_F2CO.transpose(1, 2)
                dx_F2MC2 = (
                    torch.bmm(grad_F2MO, product)
                    if dx_F2MC2 is None
                    else dx_F2MC2.baddbmm_(grad_F2MO, product)
                )
            if dw_OCkk is not None and tiles_F2M2C is not None:
                dw_TFN = torch.bmm(tiles_F2M2C.transpose(1, 2), grad_F2MO).view(
                    plan.tile[0], -1, inputs * grad_F2MO.shape[2]
                )
                dw_kkCO = inverse(dw_TFN, matrices.to_kernel).view(side, side, inputs, -1)
                dw_OCkk[part] = dw_kkCO.permute(3, 2, 0, 1)
        dx_BCHW = None if dx_F2MC2 is None else _maps_of(dx_F2MC2, grid, ctx.size, side, matrices)
        return dx_BCHW, dw_OCkk, None, None


def _kernel_spectrum(weight_OCkk: Tensor, matrices: Transforms) -> Tensor:
    """Spectra of weights, F × 2 C × O."""
    outputs, inputs, side, _ = weight_OCkk.shape
    pixels = weight_OCkk.permute(2, 3, 1, 0).reshape(side, side, -1)
    return spectrum(pixels, matrices.kernel).view(-1, 2 * inputs, outputs)


def _tile_spectra(x_BCHW: Tensor, grid: _Grid, side: int, matrices: Transforms) -> Tensor:
    """Spectra of overlapping tiles as real matrices, F × 2 M × 2 C: (re, im) above (im, −re)."""
    _, channels, height, width = x_BCHW.shape
    half = side // 2
    below = grid.down * grid.high + side - 1 - half - height
    beyond = grid.right * grid.wide + side - 1 - half - width
    padded_BHWC = F.pad(x_BCHW.permute(0, 2, 3, 1), (0, 0, half, beyond, half, below))
    tiles = padded_BHWC.unfold(1, grid.high + side - 1, grid.high).unfold(2, grid.wide + side - 1, grid.wide)
    pixels = tiles.permute(4, 5, 0, 1, 2, 3).reshape(*tiles.shape[4:], -1)
    parts = spectrum(pixels, matrices.tile).view(-1, 2, grid.tiles, channels)
    real, imaginary = parts.unbind(1)
    return torch.cat((torch.cat((real, imaginary), 2), torch.cat((imaginary, -real), 2)), 1)


def _in_tiles(grad_BOHW: Tensor, grid: _Grid) -> Tensor:
    """Gradients of results, beyond the maps 0, as B × n₁ × S₁ × n₂ × S₂ × O."""
    outputs, height, width = grad_BOHW.shape[1:]
    below, beyond = grid.down * grid.high - height, grid.right * grid.wide - width
    padded_BHWO = F.pad(grad_BOHW.permute(0, 2, 3, 1), (0, 0, 0, beyond, 0, below))
    return padded_BHWO.reshape(grid.images, grid.down, grid.high, grid.right, grid.wide, outputs)


def _maps_of(dx_F2MC2: Tensor, grid: _Grid, size: torch.Size, side: int, matrices: Transforms) -> Tensor:
    """Gradients of maps, from products whose four parts are still apart, added up where tiles overlap."""
    images, channels, height, width = size
    parts = dx_F2MC2.view(-1, 2, grid.tiles, 2, channels)
    spectra = torch.stack((parts[:, 0, :, 0] - parts[:, 1, :, 1], parts[:, 0, :, 1] + parts[:, 1, :, 0]), 1)
    high, wide = grid.high + side - 1, grid.wide + side - 1
    tiles = inverse(spectra.view(high, -1, grid.tiles * channels), matrices.to_tile)
    tiles = tiles.view(high, wide, images, grid.down, grid.right, channels)
    dx_BHWC = tiles.new_zeros(
        images, grid.down * grid.high + side - 1, grid.right * grid.wide + side - 1, channels
    )
    for down in range(grid.down):
        for right in range(grid.right):
            top, left = down * grid.high, right * grid.wide
            dx_BHWC[:, top : top + high, left : left + wide] += tiles[:, :, :, down, right].permute(
                2, 0, 1, 3
            )
    half = side // 2
    return dx_BHWC[:, half : half + height, half : half + width].permute(0, 3, 1, 2)
