"""The surroundings of a training: what a method may ask for (``Run``), here without a cluster (``LocalRun``).

A method asks for random numbers, for its part of a batch, for sums over workers, for checkpoints, and for its
stages. A :class:`Stage` is made within a run of its own, so both are declared here.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel

from trainables.data.samples import TrainingData
from trainables.data.seeds import seed_for
from trainables.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "Checkpoint",
    "ImageKind",
    "LocalRun",
    "Run",
    "Stage",
    "StageWork",
    "TrainingCutError",
    "read_checkpoint",
    "refuse_log",
    "refuse_small_batch",
    "shard",
    "write_checkpoint",
]

_SettingsT = TypeVar("_SettingsT", bound=BaseModel)
ImageKind = Literal["normal", "defective"]


class Checkpoint(NamedTuple):
    """State from which a trial can go on: all its tensors, and JSON values beside them."""

    epoch: int  # epochs finished
    tensors: dict[str, Tensor]
    meta: dict[str, Any]


class TrainingCutError(Exception):
    """Raised by ``Run.step`` or ``Run.log``: enough was seen. The loops that methods share end there.

    The weights stay as they are, and what comes after the training goes on: a stage that is timed leaves its
    files, so that the next one can be timed too.
    """


class Run(Protocol):
    """The surroundings of a method while it trains."""

    device: torch.device
    rank: int
    world_size: int
    seed: int
    fold: int | None

    def generator(self, purpose: str, *index: int) -> np.random.Generator:
        """Random numbers for one purpose (and, say, one epoch): equal in all cells of a repeat."""
        ...

    def shard(self, batch: Sequence[int]) -> Sequence[int]:
        """This worker's part of a global batch; empty where the batch has fewer images than workers."""
        ...

    def reduce(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum gradients over workers; a parameter without gradient counts as 0.

        Afterwards the sum is each parameter's ``.grad``, which may be another tensor than before.
        """
        ...

    def step(self, done: int, total: int, epochs: int) -> None:
        """Say that ``done`` of ``total`` optimiser steps are over (all epochs together); called after each.

        For the heartbeat of a long epoch, and to measure what a training costs before it is paid for.
        """
        ...

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        """Note the metrics of a finished epoch (0-based) out of ``epochs``: each once and in order.

        None of them is called ``epoch``. A study fills ``seconds`` and ``time`` itself.
        """
        ...

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Keep the state after ``epoch`` finished epochs, which are logged (rank 0 writes; all call it)."""
        ...

    def resume(self) -> Checkpoint | None:
        """The last checkpoint of this trial, or None at the start."""
        ...

    def stage(self, stage: Stage, data: TrainingData) -> Path:
        """The folder with a stage's files, made now if nobody made it before; all ranks call it.

        Asked for in the order in which the method names its stages. The files are read, never changed.
        """
        ...


@dataclass(frozen=True, eq=False)
class StageWork:
    """Inputs of the making of a stage, and the folder of its files."""

    config: Mapping[str, Any]  # the stage's own settings
    inputs: Mapping[str, Path]  # folders of the stages in `after`, by name; read only
    data: TrainingData
    run: Run  # its random numbers and checkpoints are the stage's own
    folder: Path  # empty; what rank 0 leaves here is kept (safetensors, JSON, Parquet, PNG: never a pickle)

    def settings(self, Config: type[_SettingsT], **more: Any) -> _SettingsT:
        """The stage's own settings; all others have their defaults, whatever the trial's are.

        Args:
            Config: Of the method, or of what the stage makes.
            more: What is no setting of a stage, as the place of a weights file, whose sha256 is one.
        """
        return Config.model_validate({**self.config, **more})


@dataclass(frozen=True)
class Stage:
    """A step of a method."""

    name: str  # `classifier`; unique among the stages of a method
    config: Mapping[str, Any]  # JSON values: all settings that its result depends on
    make: Callable[[StageWork], None]  # every worker calls it
    after: tuple[str, ...] = ()  # earlier stages whose files it reads
    # Those of the predictor's stages that it decides, with steps before it: evaluated once for all trials.
    shows: tuple[str, ...] = ()
    # Name and revision of the method whose step it is, where others use it: in the key instead of theirs.
    owner: Mapping[str, Any] = field(default_factory=dict)
    # It reads training images of this kind alone, no mask and no random number: whatever trials learn from
    # these images, they share it. None: it may read all that the trial may.
    images: ImageKind | None = None


def shard(batch: Sequence[int], rank: int, world_size: int) -> Sequence[int]:
    """Every ``world_size``-th element from ``rank``: shards are disjoint and cover the batch.

    An epoch's last batch may have fewer images than there are workers: then some shards are empty.
    """
    return batch[rank::world_size]


def _cpu() -> torch.device:
    import torch

    return torch.device("cpu")


@dataclass
class LocalRun:
    """A run without a cluster: one process, optionally with a folder for checkpoints.

    Example:
        >>> run = LocalRun(seed=1)
        >>> run.log(0, {"loss": 0.5}, epochs=1)
        >>> run.history
        [{'epoch': 0.0, 'loss': 0.5}]
    """

    device: torch.device = field(default_factory=_cpu)
    seed: int = 0
    fold: int | None = None
    folder: Path | None = None
    rank: int = 0
    world_size: int = 1
    history: list[dict[str, float]] = field(default_factory=list)
    purpose: str = ""  # of all its random numbers: a stage's name
    _stages: dict[str, Path] = field(default_factory=dict)
    _scratch: Path | None = None
    _last: float = field(default=-math.inf, init=False)  # epoch that was logged, or is in a state

    def generator(self, purpose: str, *index: int) -> np.random.Generator:
        return np.random.default_rng(seed_for(self.seed, self.fold, f"{self.purpose}{purpose}", *index))

    def shard(self, batch: Sequence[int]) -> Sequence[int]:
        return shard(batch, self.rank, self.world_size)

    def reduce(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """One process: its gradients are the sum already."""
        assert self.world_size == 1, "LocalRun is one process: it has no other worker to sum gradients with"

    def step(self, done: int, total: int, epochs: int) -> None:
        """Nobody watches."""

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        refuse_log(epoch, metrics, self._last)
        self._last = epoch
        while self.history and self.history[-1]["epoch"] >= epoch:
            self.history.pop()  # trained again, from the state before it
        self.history.append({"epoch": float(epoch), **metrics})

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        # A state kept after an epoch closes it: a row of that epoch that came later would be lost when the
        # run resumes.
        self._last = max(self._last, epoch - 1)
        if self.folder is not None:
            state = Checkpoint(epoch, dict(tensors), dict(meta))
            write_checkpoint(self.folder / "checkpoint.safetensors", state)

    def resume(self) -> Checkpoint | None:
        state = None if self.folder is None else read_checkpoint(self.folder / "checkpoint.safetensors")
        self._last = -math.inf if state is None else state.epoch - 1
        return state

    def stage(self, stage: Stage, data: TrainingData) -> Path:
        """Made anew in each run: a notebook keeps the run for as long as it wants the files."""
        if self._scratch is None:
            self._scratch = Path(mkdtemp(prefix="stages-"))
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        # A stage's random numbers are its own, so whether it is found or made changes nothing that comes
        # after it.
        folder = self._scratch / stage.name
        folder.mkdir()
        inputs = {name: self._stages[name] for name in stage.after}
        run = replace(self, folder=None, history=[], purpose=f"{stage.name}/", _stages={}, _scratch=None)
        stage.make(StageWork(stage.config, inputs, data, run, folder))
        self._stages[stage.name] = folder
        return folder


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Write a checkpoint as one safetensors file, atomically: a killed writer leaves the old one."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and renamed: a reader sees the old checkpoint or the new one, never half of it.
    partial = path.with_suffix(f".{os.getpid()}.partial")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    header = {"epoch": str(state.epoch), "meta": json.dumps(state.meta)}
    save_file(tensors, partial, metadata=header)
    os.replace(partial, path)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Read what :func:`write_checkpoint` wrote; None if there is nothing yet."""
    if not path.exists():
        return None
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    return Checkpoint(int(header["epoch"]), load_file(path), json.loads(header["meta"]))


def refuse_log(epoch: int, metrics: Collection[str], last: float) -> None:
    """Refuse what is no further row of a learning curve.

    Numbers that start at 1 or leave epochs out are a curve as well.

    Args:
        epoch: That is logged.
        metrics: Their names.
        last: The epoch that was logged before, or whose state is kept already; −∞ for none.

    Raises:
        InputError: If the epoch does not come after ``last``, or a metric would take its place.
    """
    if epoch <= last:
        raise InputError(
            "run.log is told each epoch once, in order, and before run.checkpoint keeps the state after it, "
            f"found epoch {epoch} where {last:.0f} was logged or kept. Mend the method's `fit`; in a "
            "notebook, give each training a LocalRun of its own."
        )
    if "epoch" in metrics:
        raise InputError(
            "a metric of run.log has another name than the epoch's, found `epoch`. Rename it in the method's "
            "`fit`."
        )


def refuse_small_batch(batch_size: int, world_size: int) -> None:
    """Refuse a batch size with which some workers would never have an image.

    Raises:
        InputError: If the global batch is smaller than the number of workers.
    """
    if batch_size < world_size:
        raise InputError(
            f"a global batch has at least one image per worker: batch of {batch_size}, {world_size} workers. "
            "Raise the batch size or lower resources.workers."
        )
