"""Batches of an epoch: all images in a new order, or half defective, half normal.

Of the latter, normal images are undersampled and rotated. An epoch shows every defective image once and as
many normal ones. Normal images are taken from a shuffled round through all of them, which goes on in the next
epoch, so all are seen equally often.

Source: Božič et al. 2021, arXiv:2104.06064, section 4.3 (undersampling); the rotation is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["BalancedSampler", "Generators", "Sampler", "ShuffledSampler"]

Generators = Callable[..., np.random.Generator]  # ``Run.generator``: a purpose and numbers


class Sampler(Protocol):
    """Draws the batches of one epoch after another. Its state is small and plain, for checkpoints."""

    @property
    def batch_size(self) -> int:
        """Images of a whole batch."""
        ...

    @property
    def steps(self) -> int:
        """Batches of an epoch, the same in all."""
        ...

    def epoch(self, number: int, generator: Generators) -> Sequence[Sequence[int]]:
        """The batches of epoch ``number`` (from 0), as positions in the training set.

        Called for one epoch after the other. All random numbers come from ``generator`` (``Run.generator``).
        """
        ...

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, as JSON values."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`."""
        ...


@dataclass
class BalancedSampler:
    """Draws batches, half of them defective.

    A training set without normal images gives batches of defective ones only.
    """

    labels: NDArray[np.bool_]  # of the training set; at least one True
    batch_size: int  # at least 2, divided equally
    rounds: int = 0  # rounds through the normal images that were begun
    waiting: list[int] = field(default_factory=list)  # rest of the current round

    @property
    def steps(self) -> int:
        return -(-int(self.labels.sum()) // self._half)

    @property
    def _half(self) -> int:
        return self.batch_size // 2 if not self.labels.all() else self.batch_size

    def epoch(self, number: int, generator: Generators) -> list[Sequence[int]]:
        """The batches of epoch ``number``: defective images first."""
        # The last batch may be smaller, but is half defective like the others.
        order = generator("order", number)
        positives = order.permutation(np.flatnonzero(self.labels)).tolist()
        batches: list[Sequence[int]] = []
        for start in range(0, len(positives), self._half):
            defective = positives[start : start + self._half]
            batches.append([*defective, *self._negatives(len(defective), generator)])
        return batches

    def _negatives(self, count: int, generator: Generators) -> list[int]:
        if self.labels.all():
            return []
        while len(self.waiting) < count:
            # A round has random numbers by its own number and not by the epoch's, so it goes on across
            # epochs and checkpoints.
            turn = generator("negatives", self.rounds).permutation(np.flatnonzero(~self.labels))
            self.waiting += turn.tolist()
            self.rounds += 1
        drawn, self.waiting = self.waiting[:count], self.waiting[count:]
        return drawn

    def state(self) -> dict[str, Any]:
        return {"rounds": self.rounds, "waiting": self.waiting}

    def restore(self, state: dict[str, Any]) -> None:
        self.rounds, self.waiting = int(state["rounds"]), [int(i) for i in state["waiting"]]


@dataclass(frozen=True)
class ShuffledSampler:
    """Draws batches that show every image once in an epoch.

    Their sizes differ by one image at most: no small last batch moves the weights as much as a whole one.
    """

    count: int  # of images
    batch_size: int

    @property
    def steps(self) -> int:
        return -(-self.count // self.batch_size)

    def epoch(self, number: int, generator: Generators) -> list[Sequence[int]]:
        """The batches of epoch ``number``, in an order of its own."""
        order = generator("order", number).permutation(self.count)
        return [batch.tolist() for batch in np.array_split(order, self.steps)]

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Each epoch's order is its own: there is nothing to go on from."""
