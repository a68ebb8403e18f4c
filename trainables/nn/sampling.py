"""Batches that are half defective, half normal: normal images are undersampled and rotated.

An epoch shows every defective image once and as many normal ones. Normal images are taken from a shuffled
round through all of them, which goes on in the next epoch, so all are seen equally often.

Source: Božič et al. 2021, arXiv:2104.06064, section 4.3 (undersampling); the rotation is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BalancedSampler"]

_Generator = Callable[[int], np.random.Generator]


@dataclass
class BalancedSampler:
    """Draws the batches of one epoch after another; its state is small and plain, for checkpoints.

    A training set without normal images gives batches of defective ones only.
    """

    labels: NDArray[np.bool_]  # of the training set; at least one True
    batch_size: int  # at least 2, divided equally
    rounds: int = 0  # rounds through the normal images that were begun
    waiting: list[int] = field(default_factory=list)  # rest of the current round

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-int(self.labels.sum()) // self._half)

    @property
    def _half(self) -> int:
        return self.batch_size // 2 if not self.labels.all() else self.batch_size

    def epoch(self, order: np.random.Generator, round_of: _Generator) -> list[Sequence[int]]:
        """The batches of the next epoch, as positions in the training set: defective ones first.

        Args:
            order: Random numbers for the order of the defective images.
            round_of: Random numbers for the given round through the normal images.
        """
        positives = order.permutation(np.flatnonzero(self.labels)).tolist()
        batches: list[Sequence[int]] = []
        for start in range(0, len(positives), self._half):
            part = positives[start : start + self._half]
            batches.append([*part, *self._negatives(len(part), round_of)])
        return batches

    def _negatives(self, count: int, round_of: _Generator) -> list[int]:
        if self.labels.all():
            return []
        while len(self.waiting) < count:
            round_ = round_of(self.rounds).permutation(np.flatnonzero(~self.labels))
            self.waiting += round_.tolist()
            self.rounds += 1
        drawn, self.waiting = self.waiting[:count], self.waiting[count:]
        return drawn

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values."""
        return {"rounds": self.rounds, "waiting": self.waiting}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.rounds, self.waiting = int(state["rounds"]), [int(i) for i in state["waiting"]]
