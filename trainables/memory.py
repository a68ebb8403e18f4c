"""The peak memory of this process: of its GPU, or what the kernel says of its main memory."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["forget_peak_memory", "peak_memory_mb"]

_CLEAR_REFS, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def forget_peak_memory(device: torch.device) -> None:
    """Begin to measure anew: trainings that share a process each have a peak of their own."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        _CLEAR_REFS.write_text("5")  # resets the kernel's high-water mark of this process


def peak_memory_mb(device: torch.device) -> float:
    """Since the last :func:`forget_peak_memory`, in MiB; on a CPU all of the process, its libraries too."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    mark = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(mark.split()[1]) / 1024
