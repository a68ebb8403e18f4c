"""The memory of this process: its peak, and what the C library does with memory that was freed."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = [
    "MMAP_THRESHOLD",
    "TRIM_THRESHOLD",
    "forget_peak_memory",
    "keep_freed_memory",
    "kills_for_memory",
    "peak_memory_mb",
]

# Bytes from which malloc is asked to map pages for one block, which it gives back at once. The largest of a
# published size take 92 MiB. Older glibc takes no more than the second.
MMAP_THRESHOLD, _OLD_MMAP_THRESHOLD = 128 * 2**20, 32 * 2**20
TRIM_THRESHOLD = 2**31 - 1  # bytes of free memory that malloc keeps; mallopt takes an int

_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_KERNEL_COUNTS = Path("/proc/vmstat")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_C = ctypes.CDLL(None)


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
    """Since the last :func:`forget_peak_memory`, in MiB; on a CPU all of the process, its libraries too."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    mark = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(mark.split()[1]) / 1024


def kills_for_memory() -> int:
    """Processes that the kernel ended for want of memory since it started, those in containers too."""
    lines = (line.split() for line in _KERNEL_COUNTS.read_text().splitlines())
    return next((int(count) for name, count in lines if name == "oom_kill"), 0)
