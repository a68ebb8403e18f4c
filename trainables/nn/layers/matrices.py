"""Products of matrices, by the library that multiplies faster on this processor.

torch multiplies with MKL, which on processors of other makers than Intel stays with the registers of AVX2.
oneDNN, which comes with torch for its convolutions, uses those of AVX-512 there, and takes half to three
quarters of the time (docs/benchmarks.md). It is reached by the operator that torch's compiler calls for
linear layers; where torch has none, MKL multiplies.

Trade-off: products over many numbers are added up in another order, so last bits differ from MKL's, as they
do between processors. Processor and shape alone choose the library: one machine gives the same bits.
"""

# R matrices with N or O rows and K columns

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["onednn_linear", "product", "products"]

_CPU_INFO = Path("/proc/cpuinfo")


def product(left_NK: Tensor, right_OK: Tensor, out_NO: Tensor | None = None) -> Tensor:
    """``left @ right.T`` of matrices on a CPU, in ``out_NO`` if it is given; not to be differentiated."""
    linear = onednn_linear()
    if linear is None or left_NK.dtype != torch.float32:
        return torch.mm(left_NK, right_OK.T, out=out_NO)
    made_NO = linear(left_NK, right_OK)
    return made_NO if out_NO is None else out_NO.copy_(made_NO)


def products(left_RNK: Tensor, right_ROK: Tensor, *, wide: bool, to_RNO: Tensor | None = None) -> Tensor:
    """``left[r] @ right[r].T`` for each r; not to be differentiated.

    Args:
        left_RNK: R matrices on a CPU.
        right_ROK: As many.
        wide: Whether oneDNN may multiply. A call for each r pays from about 64 rows and columns on.
        to_RNO: What the products are added to, in place.
    """
    linear = onednn_linear()
    if not wide or linear is None or left_RNK.dtype != torch.float32:
        if to_RNO is None:
            return torch.bmm(left_RNK, right_ROK.mT)
        return to_RNO.baddbmm_(left_RNK, right_ROK.mT)
    pairs = zip(left_RNK.unbind(), right_ROK.unbind(), strict=True)
    if to_RNO is None:
        return torch.stack([linear(left_NK, right_OK) for left_NK, right_OK in pairs])
    for to_NO, (left_NK, right_OK) in zip(to_RNO.unbind(), pairs, strict=True):
        to_NO.add_(linear(left_NK, right_OK))
    return to_RNO


@cache
def onednn_linear() -> Callable[[Tensor, Tensor], Tensor] | None:
    """``left @ right.T`` by oneDNN where its registers are wider than MKL's."""
    # On Intel's processors MKL uses the wide registers itself, so nothing is gained there.
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    if operator is None or not wide or not _CPU_INFO.exists() or "GenuineIntel" in _CPU_INFO.read_text():
        return None

    def linear(left_NK: Tensor, right_OK: Tensor) -> Tensor:
        return operator(_packed(left_NK), _packed(right_OK), None, "none", [], "")

    return linear


def _packed(matrix: Tensor) -> Tensor:
    """The matrix without gaps, row by row or column by column: oneDNN takes a thousand times as long else."""
    if matrix.is_contiguous() or matrix.T.is_contiguous():
        return matrix
    return matrix.contiguous() if matrix.stride(1) == 1 else matrix.T.contiguous().T
