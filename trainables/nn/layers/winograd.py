"""A 'same' convolution of 5 × 5 kernels along rows, four cells at a time: 8 multiplications instead of 20.

Eight neighbouring cells of a row and the five weights of a kernel's row go to eight numbers each, which are
multiplied place by place, and the products lead to the four cells in the middle. The five rows that a kernel
covers are added up as they are, in the same products: with many channels they are a convolution down the
columns in eight groups, which oneDNN computes at its full speed. At 64 channels it takes 0.6 to 0.8 times
the time of torch's own convolution.

Trade-off: rounding. Values and gradients are 1e-6 to 3e-6 of their norm away from float64's, torch's own 3e-7
to 3e-6. Tried and left out, in shares of torch's time (AVX2 and AVX-512): two cells at a time (0.9–1.4),
kernels of 3 × 3 (0.75–2.7), fewer than 32 channels (0.75–1.8).

Source: Winograd, Arithmetic Complexity of Computations (1980), chapter IV; Lavin and Gray 2016,
arXiv:1509.09308, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

from trainables.nn.layers.frequency import RowTransforms

__all__ = ["SIDE", "convolve_tiles", "tile_transforms"]

SIDE = 5  # of a kernel, cells
_CELLS = 4  # of a tile's result
_PRODUCTS = _CELLS + SIDE - 1
_REACH = SIDE // 2  # cells beyond the middle that a kernel sees
# Where polynomials are evaluated: small numbers, whose powers leave a float32 its digits. And at infinity.
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)


@cache
def tile_transforms(dtype: torch.dtype) -> RowTransforms:
    """Matrices of a tile with eight products, computed in float64: cells 8 × 8, kernel 8 × 5, back 8 × 4."""
    with torch.inference_mode(False):  # they outlive the call: a training may be the next to use them
        # A tile's result is a polynomial product: the kernel and the back transform evaluate polynomials at
        # the points, and the cells' matrix is the transposed interpolation.
        from_values = torch.linalg.inv(_powers(_PRODUCTS)).T
        # Polynomials whose highest coefficient is 1 have all others in float32 without rounding.
        highest_R1 = torch.cat((from_values[:-1, -2:-1], from_values[-1:, -1:]))
        cells, kernel = from_values / highest_R1, _powers(SIDE) * highest_R1
        return RowTransforms(cells.to(dtype), kernel.to(dtype), _powers(_CELLS).to(dtype))


def _powers(count: int) -> Tensor:
    """The powers 0 to ``count`` − 1 of the points; of infinity the highest counts alone."""
    exponents = torch.arange(count, dtype=torch.float64)
    at_infinity = (exponents == count - 1).double()
    return torch.cat((torch.tensor(_POINTS, dtype=torch.float64)[:, None] ** exponents, at_infinity[None]))


def convolve_tiles(x_BCHW: Tensor, weight_OC55: Tensor, band: int) -> Tensor:
    """A 'same' convolution in tiles, with gradients for maps and weights.

    Args:
        x_BCHW: Maps on a CPU, in float32 or float64.
        weight_OC55: Weights of 5 × 5 cells.
        band: Rows of a map at a time, at least 1.
    """
    return cast("Tensor", _Tiles.apply(x_BCHW, weight_OC55, band))


class _Tiles(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_OC55: Tensor, band: int) -> Tensor:
        ctx.save_for_backward(x_BCHW if ctx.needs_input_grad[1] else None, weight_OC55)
        ctx.band = band
        return _convolved(x_BCHW, weight_OC55, band)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Any
    ) -> tuple[Tensor | None, ...]:
        x_BCHW, weight_OC55 = cast("tuple[Tensor | None, Tensor]", ctx.saved_tensors)
        grad_BOHW = cast("Tensor", gradients[0])
        dx_BCHW = None
        if ctx.needs_input_grad[0]:
            turned_CO55 = weight_OC55.transpose(0, 1).flip(2, 3)
            dx_BCHW = _convolved(grad_BOHW, turned_CO55, ctx.band)
        dw_OC55 = None if x_BCHW is None else _weight_gradient(x_BCHW, grad_BOHW, ctx.band)
        return dx_BCHW, dw_OC55, None


def _convolved(x_BCHW: Tensor, weight_OC55: Tensor, band: int) -> Tensor:
    """Each product of the tiles is a group of a convolution down the columns, with R · C channels."""
    images, _, height, width = x_BCHW.shape
    outputs, inputs, _, _ = weight_OC55.shape
    matrices = tile_transforms(x_BCHW.dtype)
    lines = torch.mm(matrices.kernel, weight_OC55.permute(3, 0, 1, 2).reshape(SIDE, -1))
    kernel = lines.view(_PRODUCTS * outputs, inputs, SIDE, 1)
    # Band by band, since the tiles of a whole map would leave the core's caches.
    y_BOHTt = x_BCHW.new_empty(images, outputs, height, _tiles(width), _CELLS)
    for image, rows, seen_1KhT in _bands(x_BCHW, band, matrices):
        products = F.conv2d(seen_1KhT, kernel, groups=_PRODUCTS)
        made = torch.mm(matrices.back.T, products.view(_PRODUCTS, -1))
        y_BOHTt[image, :, rows] = made.view(_CELLS, outputs, -1, y_BOHTt.shape[3]).permute(1, 2, 3, 0)
    return y_BOHTt.flatten(3)[..., :width].contiguous()


def _weight_gradient(x_BCHW: Tensor, grad_BOHW: Tensor, band: int) -> Tensor:
    """Gradients of the kernels' numbers, band by band, and back to those of the weights."""
    inputs, outputs, width = x_BCHW.shape[1], grad_BOHW.shape[1], x_BCHW.shape[3]
    matrices = tile_transforms(x_BCHW.dtype)
    tiles = _tiles(width)
    # Rows are filled up to whole tiles; what is filled in has gradient 0 and adds nothing.
    filled_BOHW = F.pad(grad_BOHW, (0, tiles * _CELLS - width))
    shape = (_PRODUCTS * outputs, inputs, SIDE, 1)
    dkernel = x_BCHW.new_zeros(shape)
    for image, rows, seen_1KhT in _bands(x_BCHW, band, matrices):
        grad_OhTt = filled_BOHW[image, :, rows].unflatten(2, (tiles, _CELLS))
        lines = torch.mm(matrices.back, grad_OhTt.permute(3, 0, 1, 2).reshape(_CELLS, -1))
        of_products = lines.view(1, _PRODUCTS * outputs, -1, tiles)
        dkernel += conv2d_weight(seen_1KhT, shape, of_products, groups=_PRODUCTS)
    dw_kOCk = torch.mm(matrices.kernel.T, dkernel.view(_PRODUCTS, -1)).view(SIDE, outputs, inputs, SIDE)
    return dw_kOCk.permute(1, 2, 3, 0)


def _tiles(width: int) -> int:
    """Tiles of a row; the last one may reach beyond it."""
    return -(-width // _CELLS)


def _bands(x_BCHW: Tensor, band: int, matrices: RowTransforms) -> Iterator[tuple[int, slice, Tensor]]:
    """An image, rows of it, and the tiles that they see, transformed: 1 × R · C × (rows + 4) × tiles."""
    images, channels, height, width = x_BCHW.shape
    beyond = _tiles(width) * _CELLS - width
    padded_BCHW = F.pad(x_BCHW, (_REACH, beyond + _REACH, _REACH, _REACH))
    for image in range(images):
        for first in range(0, height, band):
            rows = slice(first, min(first + band, height))
            seen_ChW = padded_BCHW[image, :, rows.start : rows.stop + 2 * _REACH]
            tiles_ChTk = seen_ChW.unfold(2, _PRODUCTS, _CELLS)
            lines = torch.mm(matrices.cells, tiles_ChTk.permute(3, 0, 1, 2).reshape(_PRODUCTS, -1))
            yield image, rows, lines.view(1, _PRODUCTS * channels, *tiles_ChTk.shape[1:3])
