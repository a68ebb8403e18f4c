"""``TrainRun``: what a trainable is given while it trains for a study.

It draws random numbers, divides batches over workers and sums their gradients. What there is to keep (log,
heartbeat, checkpoints, stages) goes to a :class:`Journal`: on the storage where the method trains in the
worker's own process, over a pipe where it trains in a process of its own (``fitting/child.py``). Ray is not
needed here: rank and world size are those of ``torch.distributed``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from assay.engine.ranks import collective
from trainables.contract import Checkpoint, seed_for, shard
from trainables.data.samples import TrainingData
from trainables.run import refuse_log
from trainables.stages import Stage, StageWork

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "DrainedError",
    "Journal",
    "StageSpace",
    "Stopped",
    "TrainRun",
]


class DrainedError(ConnectionError):
    """The node is to be taken away, and the trial's state is kept: it goes on elsewhere."""


class Stopped(Exception):  # noqa: N818 - not an error: the user asked for it
    """The user asked this trial to stop; it leaves no record and goes on from its checkpoint next time."""


class StageSpace(NamedTuple):
    """A stage that is being made."""

    folder: Path  # empty, for its files
    inputs: Mapping[str, Path]  # folders of the stages that it reads, by name
    journal: Journal  # the stage's own


class Journal(Protocol):
    """Keeper of what a training leaves behind. Its methods mean what those of ``Run`` mean."""

    def note(self, line: str) -> None:
        """Add a line to the attempt's log."""
        ...

    def step(self, done: int, total: int, epochs: int) -> None: ...

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        """Note an epoch.

        Raises:
            Stopped: If the user asked the trial to stop.
        """
        ...

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None: ...

    def resume(self) -> Checkpoint | None: ...

    def find_stage(self, stage: Stage) -> Path | None:
        """The folder of a stage that was made before.

        Raises:
            ValueError: If the method asks for a stage that it did not name, or before one that it reads.
        """
        ...

    def begin_stage(self, stage: Stage) -> StageSpace:
        """Room for a stage that nobody has made."""
        ...

    def end_stage(self, stage: Stage) -> Path:
        """Keep the files of the stage that was begun; returns the folder with them."""
        ...


class TrainRun:
    """One training, of a trial or of a stage, on one worker: a :class:`trainables.contract.Run`."""

    def __init__(
        self,
        journal: Journal,
        *,
        seed: int,
        fold: int | None,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        purpose: str = "",
    ) -> None:
        """``purpose``: start of the purposes of all its random numbers, a stage's name."""
        self.journal = journal
        self.seed, self.fold = seed, fold
        self.device, self.rank, self.world_size = device, rank, world_size
        self.samples = 0
        self._last = -math.inf  # epoch that was logged, or is in a state
        self._purpose = purpose
        self._shards = hashlib.sha256()

    @property
    def shard_hash(self) -> str:
        """Hash of the positions that this worker was given, batch by batch."""
        return self._shards.hexdigest()

    def generator(self, purpose: str, *index: int) -> np.random.Generator:
        return np.random.default_rng(seed_for(self.seed, self.fold, f"{self._purpose}{purpose}", *index))

    def shard(self, batch: Sequence[int]) -> Sequence[int]:
        part = shard(batch, self.rank, self.world_size)
        self._shards.update(json.dumps(list(map(int, part))).encode())
        self.samples += len(part)
        return part

    def reduce(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """One all-reduce over all gradients as a flat vector.

        Ranks may disagree on which parameters took part (a weak positive on one, a negative on the
        other): a missing gradient is sent as zeros, so every rank sends the same shape.
        """
        if self.world_size == 1:
            return
        import torch
        import torch.distributed as dist

        trained = [p for p in parameters if p.requires_grad]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [_as_lies(p.grad, p) for p in trained if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with collective():
            dist.all_reduce(flat, op=dist.ReduceOp.SUM)
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def step(self, done: int, total: int, epochs: int) -> None:
        self.journal.step(done, total, epochs)

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        refuse_log(epoch, metrics, self._last)
        self._last = epoch
        self.journal.log(epoch, metrics, epochs)

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        self._last = max(self._last, epoch - 1)
        self.journal.checkpoint(epoch, tensors, meta)

    def resume(self) -> Checkpoint | None:
        state = self.journal.resume()
        self._last = -math.inf if state is None else state.epoch - 1
        return state

    def stage(self, stage: Stage, data: TrainingData) -> Path:
        if (known := self.journal.find_stage(stage)) is not None:
            return known
        space = self.journal.begin_stage(stage)
        run = TrainRun(
            space.journal,
            seed=self.seed,
            fold=self.fold,
            device=self.device,
            rank=self.rank,
            world_size=self.world_size,
            purpose=f"{stage.name}/",
        )
        with self._own_random_numbers(stage):
            stage.make(StageWork(stage.config, space.inputs, data, run, space.folder))
        return self.journal.end_stage(stage)

    @contextmanager
    def _own_random_numbers(self, stage: Stage) -> Generator[None]:
        """For libraries without a generator: a stage that is made draws no number of what comes after it."""
        import torch

        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed_for(self.seed, self.fold, f"{stage.name}/torch") % 2**63)
            yield


def _as_lies(gradient: Tensor, weight: Tensor) -> Tensor:
    """A view of ``gradient`` in the order in which ``weight`` lies in memory, in all workers alike.

    A large kernel lies by columns. Flattened by rows it made a step of a full SegDecNet a fifth longer.
    """
    return gradient.permute(sorted(range(weight.dim()), key=weight.stride, reverse=True))
