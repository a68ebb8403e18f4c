"""The machine that a process trains or predicts on: settings of a GPU, and the memory of the process.

docs/gpu.md says why these settings of a GPU are the defaults, and which figures are still missing. On a CPU
they do nothing.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.errors import text_of

if TYPE_CHECKING:
    import torch

__all__ = [
    "CUBLAS_WORKSPACE",
    "MMAP_THRESHOLD",
    "TRIM_THRESHOLD",
    "forget_peak_memory",
    "is_out_of_memory",
    "keep_freed_memory",
    "kills_for_memory",
    "memory_fraction",
    "peak_memory_mb",
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

# Bytes from which malloc is asked to map pages for one block, which it gives back at once. The largest of a
# published size take 92 MiB. Older glibc takes no more than the second.
MMAP_THRESHOLD, _OLD_MMAP_THRESHOLD = 128 * 2**20, 32 * 2**20
TRIM_THRESHOLD = 2**31 - 1  # bytes of free memory that malloc keeps; mallopt takes an int

_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_KERNEL_COUNTS = Path("/proc/vmstat")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_C = ctypes.CDLL(None)


# A GPU --------------------------------------------------------------------------------------------


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


# Memory of the process ----------------------------------------------------------------------------


def keep_freed_memory() -> bool:
    """Keep what tensors leave for the next tensors, instead of giving it back to the kernel at once.

    A training step frees and asks for the same megabytes again and again. Each page that went back is
    faulted in and zeroed anew, more than 10,000 a step of a small U-Net (docs/benchmarks.md). It holds for
    tensors up to 128 MiB on a CPU (32 with an older glibc), in threads that begin later too: they share one
    arena, as those of their own give whole heaps back. A worker trains in a thread that Ray began before; it
    is started with the same settings in its environment. A large tensor may take a few steps until it gets
    pages again: an aligned block needs a little more than one of its size left. No result changes.

    Returns:
        True if there is a C library that can be set so (glibc). Others do as they do.
    """
    tell = getattr(_C, "mallopt", None)
    if tell is None:
        return False
    maps = tell(_M_MMAP_THRESHOLD, MMAP_THRESHOLD) or tell(_M_MMAP_THRESHOLD, _OLD_MMAP_THRESHOLD)
    return bool(maps and tell(_M_TRIM_THRESHOLD, TRIM_THRESHOLD) and tell(_M_ARENA_MAX, 1))


def forget_peak_memory(device: torch.device) -> None:
    """Begin to measure anew: trainings that share a process each have a peak of their own."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return
    give_back = getattr(_C, "malloc_trim", None)
    if give_back is not None:  # what was kept of the training before is no need of this one
        give_back(0)
    _CLEAR_REFS.write_text("5")  # resets the kernel's high-water mark of this process


def peak_memory_mb(device: torch.device) -> float:
    """Peak since the last :func:`forget_peak_memory`, in MiB; on a CPU of the process with its libraries."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    mark = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(mark.split()[1]) / 1024


def kills_for_memory() -> int:
    """Processes that the kernel ended for want of memory since it started, those in containers too."""
    lines = (line.split() for line in _KERNEL_COUNTS.read_text().splitlines())
    return next((int(count) for name, count in lines if name == "oom_kill"), 0)
