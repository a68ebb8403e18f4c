"""Workers of one training as threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from typing import TypeVar

import torch
from torch import Tensor

from trainables.contract import LocalRun

__all__ = ["in_threads"]

_ResultT = TypeVar("_ResultT")


@dataclass
class _ThreadRun(LocalRun):
    """One of the workers. The sum of all gradients replaces ``.grad``, as a run may do."""

    of_ranks: list[list[Tensor]] = field(default_factory=list)
    meet: Barrier = field(default_factory=lambda: Barrier(1))

    def reduce(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        trained = [p for p in parameters if p.requires_grad]
        self.of_ranks[self.rank] = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        self.meet.wait()
        sums = [torch.stack(parts).sum(dim=0) for parts in zip(*self.of_ranks, strict=True)]
        self.meet.wait()
        for parameter, total in zip(trained, sums, strict=True):
            parameter.grad = total


def in_threads(workers: int, train: Callable[[LocalRun], _ResultT]) -> list[_ResultT]:
    """What each of the workers ends with, by rank."""
    of_ranks, meet = [list[Tensor]() for _ in range(workers)], Barrier(workers, timeout=120)
    runs = [
        _ThreadRun(rank=rank, world_size=workers, of_ranks=of_ranks, meet=meet) for rank in range(workers)
    ]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(train, runs))
