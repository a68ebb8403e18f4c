"""Settings of a process that trains or predicts on a GPU, and its memory; on a CPU all of this does nothing.

docs/gpu.md says why these are the defaults, and which figures are still missing.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from trainables.errors import text_of

if TYPE_CHECKING:
    import torch

__all__ = [
    "CUBLAS_WORKSPACE",
    "is_out_of_memory",
    "memory_fraction",
    "prepare_gpu",
    "set_deterministic",
    "set_exact",
    "usable_share",
]

# Name and value of the variable with which cuBLAS gives the same bits each time.
CUBLAS_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
_CONTEXT_BYTES = 600 * 2**20  # of CUDA and its libraries in each process, which torch does not count
# Of errors that are no torch.OutOfMemoryError: a neighbour left nothing for a context or a handle.
_WORDS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


def prepare_gpu(device: torch.device, share: float) -> None:
    """Set up a process before it trains: exact float32, the same bits each time, its share of the memory.

    Args:
        device: On which it trains; on a CPU nothing is done.
        share: Of the GPU, in (0, 1].
    """
    if device.type != "cuda":
        return
    import torch

    set_exact(device)
    total = torch.cuda.get_device_properties(device).total_memory
    # These two of torch's refuse a device without an index, and take None for the current one.
    torch.cuda.set_per_process_memory_fraction(memory_fraction(share, total), device.index)


def usable_share(device: torch.device) -> float:
    """Share of a GPU's memory that the tensors of this process may fill; 1 on other devices."""
    if device.type != "cuda":
        return 1.0
    import torch

    return torch.cuda.get_per_process_memory_fraction(device.index)


def set_exact(device: torch.device) -> None:
    """Set up a process that computes on a GPU: exact float32, the same bits each time."""
    if device.type != "cuda":
        return
    import torch

    # float32 means float32: 10 bits of mantissa are not asked for.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    set_deterministic(device, True)


def memory_fraction(share: float, total_bytes: int) -> float:
    """Fraction of a GPU's memory for the tensors of a process that has ``share`` of it, in (0, 1].

    What CUDA itself takes comes out of the share, so that neighbours find theirs. At least half is left.
    """
    return 1.0 if share >= 1 else max(share / 2, share - _CONTEXT_BYTES / total_bytes)


def set_deterministic(device: torch.device, on: bool) -> None:
    """Choose kernels that give the same bits each time, where there are such; the others warn.

    cuBLAS reads its part of it when the process first multiplies matrices.
    """
    if device.type != "cuda":
        return
    import torch

    os.environ.setdefault(*CUBLAS_WORKSPACE)
    torch.backends.cudnn.deterministic = on
    torch.use_deterministic_algorithms(on, warn_only=True)
    # For debuggers: a kernel more for each new tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether the memory of a GPU was too small, in the words of torch or of a library below it."""
    torch = sys.modules.get("torch")  # who has not loaded it has met none of its errors
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in text_of(error) for words in _WORDS)
