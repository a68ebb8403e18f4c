"""``SameConv``: torch's 'same' convolution of stride 1, faster on a CPU where kernels are large.

    conv = SameConv(16, 256, 15)
    conv.plan(88, 32)    # ConvPlan(way='rows', chunk=256, piece=176, images=6, wide=True, band=0)

Parameters, initial values and what it computes are those of ``nn.Conv2d(…, padding=k // 2, bias=False)``. The
way is chosen by shape alone (:func:`plan_conv`), never by a measurement, so one machine always gives the same
bits:

- ``rows``: on the spectra of rows (``frequency.py``). Across a row about two products a cell take the place
  of k, and the k rows that a kernel covers are added up as they are. So weights are transformed in one
  direction, which is most of the work where maps are small. On a CPU large kernels lie column by column for
  it: their transform and that of their gradient are products of matrices as they lie, and spectra are used a
  piece at a time while a core's cache still holds them. A training step of 128 × 128 pixels takes 0.85
  times as long.
- ``tiles``: kernels of 5 × 5 with many channels, four cells of a row at a time (``winograd.py``).
- ``direct``: torch's own convolution, where kernels, maps or channels are small. Other devices and
  precisions, and exports, take it too.

Trade-off: another order of additions. Results differ from torch's by their last bits; those of ``rows`` are
nearer to float64 than torch's own. It cannot be differentiated twice. Tried and left out: spectra in both
directions, of tiles of the map (1.3 to 2.7 times as long for up to 88 × 32 cells, equal at 176 × 64), complex
products by four real ones (0.8 times as long at 16 × 16 cells, 1.1 times at 88 × 32), and im2col with one
product (slower than torch's own).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainables.nn.layers.frequency import RowTransforms, row_products, row_transforms
from trainables.nn.layers.matrices import product, products
from trainables.nn.layers.winograd import SIDE, convolve_tiles

__all__ = ["ConvPlan", "SameConv", "convolve", "plan_conv"]

KEPT_BYTES = 320 * 2**20  # of a layer's spectra between predictions; SegDecNet at full width takes 199 MiB

_LARGE = 9  # kernel side from which another way than torch's can be faster
_LEAST_SAVING = 2.5  # times that rows must multiply less often than torch: its own products are twice as fast
_WHOLE_BYTES = 16 * 2**20  # of the spectra of all output channels, up to which they are computed at once
_CHUNK_BYTES = 4 * 2**20  # of those that are computed at a time where there are more, for small maps
_SAVED_BYTES = 32 * 2**20  # of spectra that a pass with gradient saves for its way back; else made again
_PIECE_BYTES = 2**20  # of spectra that a core's cache holds beside the rows they are multiplied with
_WIDE = 64  # rows of a map and output channels from which products pay one by one
_MANY, _PAIRS = 32, 2048  # channels, and pairs of them, from which tiles pay: not in a narrow SegDecNet
_CELLS = 1024  # of a map, from which they do
_BAND_BYTES = 3 * 2**20  # of what tiles see at a time, which a core's caches hold
_ROWS_BYTES = 32 * 2**20  # of rows' spectra, each beside its neighbours', of the images computed at a time


@dataclass(frozen=True)
class ConvPlan:
    """Way of a convolution on maps of one size."""

    way: Literal["rows", "tiles", "direct"]
    chunk: int = 0  # output channels whose spectra are held at a time
    piece: int = 0  # of them, those whose spectra are made and used at a time
    images: int = 0  # at a time
    wide: bool = False  # whether maps have rows enough for products one by one
    band: int = 0  # rows of a map whose tiles are computed at a time


@lru_cache(maxsize=1024)
def plan_conv(size: tuple[int, int], kernel: int, inputs: int, outputs: int) -> ConvPlan:
    """The way to convolve maps.

    Args:
        size: Of a map: height and width, cells.
        kernel: Side, cells; odd.
        inputs: Channels.
        outputs: Channels.
    """
    height, width = size
    many = min(inputs, outputs) >= _MANY and inputs * outputs >= _PAIRS
    if kernel == SIDE and many and height * width >= _CELLS:
        bands = math.ceil(2 * 4 * inputs * height * width / _BAND_BYTES)  # tiles see each cell twice
        return ConvPlan("tiles", band=math.ceil(height / bands))
    # Multiplications a pair of channels: of the kernel's transform, and of the rows' products.
    saving = kernel**2 * height * width / (row_products(width, kernel) * kernel * (kernel + height))
    if kernel < _LARGE or saving < _LEAST_SAVING:
        return ConvPlan("direct")
    of_output = _spectra_bytes(1, inputs, kernel, width)
    of_image = _spectra_bytes(height, inputs, kernel, width)
    # Each chunk reads the rows of the images again: it has at least as many spectra as they.
    at_once = min(_WHOLE_BYTES, max(_CHUNK_BYTES, of_image))
    chunk = outputs if outputs * of_output <= _WHOLE_BYTES else max(1, at_once // of_output)
    piece = max(1, max(_PIECE_BYTES, 2 * of_image) // of_output)
    return ConvPlan(
        way="rows",
        chunk=min(outputs, chunk),
        piece=min(outputs, chunk, piece),
        images=max(1, _ROWS_BYTES // of_image),
        wide=min(height, outputs) >= _WIDE,
    )


def _spectra_bytes(count: int, inputs: int, kernel: int, width: int) -> int:
    """Bytes in float32 of the spectra of so many outputs' weights, or of so many covered rows."""
    return 4 * row_products(width, kernel) * count * inputs * kernel


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
        return plan_conv((height, width), self.kernel_size[0], self.in_channels, self.out_channels)

    def forward(self, input: Tensor) -> Tensor:
        if not _is_plain(input, self.weight):
            return super().forward(input)
        plan = self.plan(*input.shape[2:])
        if plan.way == "direct":
            return super().forward(input)
        if plan.way == "tiles":
            return convolve_tiles(input, self.weight, plan.band)
        return convolve(input, self.weight, plan, self._spectra(plan, input.shape[3]))

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_kept": None}  # a copy makes its own

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Change device, precision or layout, as every module; large kernels lie by columns on a CPU."""
        super()._apply(fn, recurse)
        if self.kernel_size[0] >= _LARGE:
            # The values stay as they are; only their order in memory changes, so a state dict never shows it.
            columns_kOCk = _columns(self.weight.data)
            if self.weight.device.type == "cpu":
                self.weight.data = columns_kOCk.contiguous().permute(1, 2, 3, 0)
            elif columns_kOCk.is_contiguous():  # they come from a CPU
                self.weight.data = self.weight.data.contiguous()
        return self

    def _spectra(self, plan: ConvPlan, width: int) -> Sequence[Tensor] | None:
        """Spectra of the weights as they are now; None where they are not kept."""
        kept, weight = self._kept, self.weight
        # Comparing all weights is cheap beside transforming them, and no in-place change can slip through.
        known = kept is not None and (kept.width, kept.chunk) == (width, plan.chunk)
        if kept is not None and known and torch.equal(kept.weight, weight):
            return kept.chunks
        self._kept = None
        trains = torch.is_grad_enabled() and weight.requires_grad
        outputs, inputs, side, _ = weight.shape
        if trains or _spectra_bytes(outputs, inputs, side, width) > KEPT_BYTES:
            return None
        with torch.inference_mode(False), torch.no_grad():  # a training may be the next to use them
            matrices = row_transforms(width, side, weight.dtype)
            chunks = [_kernel_spectra(part, matrices) for part in weight.split(plan.chunk)]
            self._kept = _KeptSpectra(weight.detach().clone(), width, plan.chunk, chunks)
        return self._kept.chunks


class _KeptSpectra(NamedTuple):
    weight: Tensor  # a copy of what they are spectra of: no in-place change can be missed
    width: int  # of the maps
    chunk: int  # output channels of each
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
    """A 'same' convolution on the spectra of rows, with gradients for maps and weights; channels last.

    Args:
        x_BCHW: Maps on a CPU, in float32 or float64.
        weight_OCkk: Weights of an odd side k.
        plan: Of the way ``rows``.
        spectra: Of the weights, chunk by chunk, where they are known.
    """
    parts = [_RowSpectra.apply(part, weight_OCkk, plan, spectra) for part in x_BCHW.split(plan.images)]
    return cast("Tensor", parts[0] if len(parts) == 1 else torch.cat(parts))


class _RowSpectra(torch.autograd.Function):
    """Products of the rows' spectra with those of the kernels' rows, and both derivatives.

    N = B · H rows of maps are seen by O outputs in R products. Beside each row lie those that a kernel
    covers, C k spectra in all, so that each product is one of matrices, N × C k and C k × O.
    """

    @staticmethod
    def forward(
        ctx: Any, x_BCHW: Tensor, weight_OCkk: Tensor, plan: ConvPlan, spectra: Sequence[Tensor] | None
    ) -> Tensor:
        images, _, height, width = x_BCHW.shape
        outputs, inputs, side, _ = weight_OCkk.shape
        matrices = row_transforms(width, side, x_BCHW.dtype)
        rows_RNK = _covered_rows(x_BCHW, side, matrices)
        y_BHWO = x_BCHW.new_empty(images, height, width, outputs)
        # Spectra of the kernels are kept for the way back where they are small; of a wide layer they are
        # made again.
        saves = ctx.needs_input_grad[0] and _spectra_bytes(outputs, inputs, side, width) <= _SAVED_BYTES
        saved = list[Tensor]() if saves and spectra is None else None
        for first, kernel_ROK in _by_piece(weight_OCkk, matrices, plan, spectra, saved):
            y_RNO = products(rows_RNK, kernel_ROK, wide=plan.wide)
            y_WBHO = torch.mm(matrices.back.T, y_RNO.flatten(1)).view(width, images, height, -1)
            y_BHWO[..., first : first + y_WBHO.shape[3]] = y_WBHO.permute(1, 2, 0, 3)
        ctx.save_for_backward(x_BCHW if ctx.needs_input_grad[1] else None, weight_OCkk)
        ctx.plan, ctx.size = plan, x_BCHW.shape
        ctx.spectra = spectra if saved is None else saved
        return y_BHWO.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Any
    ) -> tuple[Tensor | None, ...]:
        x_BCHW, weight_OCkk = cast("tuple[Tensor | None, Tensor]", ctx.saved_tensors)
        plan, size = cast("tuple[ConvPlan, torch.Size]", (ctx.plan, ctx.size))
        outputs, inputs, side, _ = weight_OCkk.shape
        matrices = row_transforms(size[3], side, weight_OCkk.dtype)
        # Rows are made again: beside their neighbours they take k times the room.
        rows_RNK = None if x_BCHW is None else _covered_rows(x_BCHW, side, matrices)
        dw_kOCk = weight_OCkk.new_empty(side, outputs, inputs, side) if ctx.needs_input_grad[1] else None
        dx_RNK: Tensor | None = None

        # Chunk by chunk of the output channels, so that only the spectra of one chunk are held. The way
        # back through a product is a product with the other factor turned.
        grad_WBHO = cast("Tensor", gradients[0]).permute(3, 0, 2, 1)
        for i, start in enumerate(range(0, outputs, plan.chunk)):
            part = slice(start, start + plan.chunk)
            of_part = grad_WBHO[..., part]
            lines = torch.mm(matrices.back, of_part.reshape(size[3], -1))
            grad_RNO = lines.view(len(lines), -1, of_part.shape[-1])
            if ctx.needs_input_grad[0]:
                known = ctx.spectra is not None
                kernel_ROK = ctx.spectra[i] if known else _kernel_spectra(weight_OCkk[part], matrices)
                dx_RNK = products(grad_RNO, kernel_ROK.mT, wide=plan.wide, to_RNO=dx_RNK)
            if rows_RNK is not None and dw_kOCk is not None:
                pieces = grad_RNO.split(plan.piece, 2), dw_kOCk[:, part].split(plan.piece, 1)
                for piece_RNO, dw_piece in zip(*pieces, strict=True):
                    dw_ROK = products(piece_RNO.mT, rows_RNK.mT, wide=plan.wide)
                    product(matrices.kernel.T, dw_ROK.flatten(1).T, dw_piece.view(side, -1))
        dx_BCHW = None if dx_RNK is None else _uncovered_rows(dx_RNK, size, side, matrices)
        return dx_BCHW, None if dw_kOCk is None else dw_kOCk.permute(1, 2, 3, 0), None, None


def _columns(weight_OCkk: Tensor) -> Tensor:
    """Weights with the columns of kernels outermost, k × O × C × k; a view."""
    return weight_OCkk.permute(3, 0, 1, 2)


def _by_piece(
    weight_OCkk: Tensor,
    matrices: RowTransforms,
    plan: ConvPlan,
    known: Sequence[Tensor] | None,
    saved: list[Tensor] | None,
) -> Iterator[tuple[int, Tensor]]:
    """The first of some output channels and the spectra of their kernels, a piece or a known chunk at a time.

    Those of each chunk are appended to ``saved`` if it is given.
    """
    for chunk, start in enumerate(range(0, len(weight_OCkk), plan.chunk)):
        if known is not None:
            yield start, known[chunk]
            continue
        # Where spectra are saved, pieces are written into one room for the chunk.
        chunk_OCkk = weight_OCkk[start : start + plan.chunk]
        room_ROK: Tensor | None = None
        if saved is not None:
            outputs, inputs, side, _ = chunk_OCkk.shape
            room_ROK = chunk_OCkk.new_empty(len(matrices.kernel), outputs, inputs * side)
            saved.append(room_ROK)
        for first in range(0, len(chunk_OCkk), plan.piece):
            part = slice(first, first + plan.piece)
            room = None if room_ROK is None else room_ROK[:, part]
            yield start + first, _kernel_spectra(chunk_OCkk[part], matrices, room)


def _kernel_spectra(weight_OCkk: Tensor, matrices: RowTransforms, room_ROK: Tensor | None = None) -> Tensor:
    """Spectra of the rows of kernels, R × O × C k; in ``room_ROK`` if it is given."""
    outputs, inputs, side, _ = weight_OCkk.shape
    lines = _columns(weight_OCkk).reshape(side, -1)
    room = None if room_ROK is None else room_ROK.view(len(room_ROK), -1)
    spectra = product(matrices.kernel, lines.T, room)
    return spectra.view(len(spectra), outputs, inputs * side) if room_ROK is None else room_ROK


def _covered_rows(x_BCHW: Tensor, side: int, matrices: RowTransforms) -> Tensor:
    """Spectra of rows of maps, each beside those that a kernel covers, R × N × C k."""
    images, channels, height, width = x_BCHW.shape
    # Rows are transformed once; beside each lie its neighbours, as views until the product needs them in
    # place.
    padded_BCHW = F.pad(x_BCHW, (0, 0, side // 2, side // 2))
    lines = torch.mm(matrices.cells, padded_BCHW.permute(3, 0, 1, 2).reshape(width, -1))
    covered_RBCHk = lines.view(len(lines), images, channels, -1).unfold(3, side, 1)
    return covered_RBCHk.transpose(2, 3).reshape(len(lines), images * height, channels * side)


def _uncovered_rows(dx_RNK: Tensor, size: torch.Size, side: int, matrices: RowTransforms) -> Tensor:
    """Gradients of maps: each row's is the sum over the places at which kernels cover it."""
    images, channels, height, width = size
    dx_RBHCk = dx_RNK.view(-1, images, height, channels, side)
    # A row is covered at ``side`` places, by the kernels of the rows around it; what fell on the padding is
    # cut off.
    lines = dx_RNK.new_zeros(len(dx_RNK), images, height + side - 1, channels)
    for place in range(side):
        lines[:, :, place : place + height] += dx_RBHCk[..., place]
    inner = lines[:, :, side // 2 : side // 2 + height].reshape(len(lines), -1)
    return torch.mm(matrices.cells.T, inner).view(width, images, height, channels).permute(1, 3, 2, 0)
