"""A training that dies after a checkpoint, and tensors compared with those of one that did not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainables.contract import LocalRun

__all__ = ["KilledRun", "equal"]


class KilledRun(LocalRun):
    """Dies after its second checkpoint."""

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        super().checkpoint(epoch, tensors, meta)
        if epoch == 2:
            raise KeyboardInterrupt


def equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """True where both hold the same tensors, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
