"""Settings of a process that trains on a GPU; on a CPU all of this does nothing.

docs/gpu.md says why these are the defaults, and which figures are still missing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["set_deterministic"]

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def set_deterministic(device: torch.device, on: bool) -> None:
    """Choose kernels that give the same bits each time, where there are such; the others warn.

    cuBLAS reads its part of it when the process first multiplies matrices.
    """
    if device.type != "cuda":
        return
    import torch

    os.environ.setdefault(_WORKSPACE, ":4096:8")
    torch.backends.cudnn.deterministic = on
    torch.use_deterministic_algorithms(on, warn_only=True)
    # For debuggers: a kernel more for each new tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
