"""One training as a value, the lines that carry it out, and what a method is given meanwhile.

The same in a process of its own (``child.py``) and in this one (``train_here.py``). A :class:`TrainRun` draws
random numbers, divides batches over workers and sums their gradients. What there is to keep (log, heartbeat,
checkpoints, stages) goes to a :class:`~assay.engine.worker.trial_log.TrialLog`. Ray is not needed here: rank
and world size are those of ``torch.distributed``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from assay.engine.worker.ranks import collective
from trainables.contract import Checkpoint, Predictor, seed_for, shard
from trainables.data.samples import TrainingData
from trainables.errors import InputError
from trainables.plugins.catalogue import find_trainable
from trainables.plugins.method_files import MethodSource
from trainables.run import refuse_log
from trainables.stages import Stage, StageWork

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from assay.engine.worker.trial_log import TrialLog

__all__ = ["MODEL_FOLDER", "ChildJob", "FitJob", "Fitted", "Peers", "TrainRun", "fit"]

MODEL_FOLDER = "model"  # below the scratch folder


@dataclass(frozen=True, eq=False)
class FitJob:
    """A model to train, or stages to make, and the worker that does it."""

    trainable: str
    config: Mapping[str, Any]
    data: TrainingData
    seed: int
    fold: int | None
    device: str  # `cpu`, `cuda:0`
    gpu_share: float  # of its GPU, in (0, 1]; 1 on a CPU
    threads: int  # of torch; a result depends on it
    rank: int
    world_size: int
    scratch: Path  # folder of this training; the model is written to MODEL_FOLDER below it
    stages: frozenset[str] | None = None  # make these and no model


@dataclass(frozen=True)
class Peers:
    """Meeting place of the training processes of one trial, where it has several workers."""

    host: str
    port: int
    prefix: str
    backend: str  # of torch.distributed


@dataclass(frozen=True, eq=False)
class ChildJob:
    """The work of a training process. The images of ``job.data`` are in the file ``images``."""

    job: FitJob
    images: Path
    shape: tuple[int, int, int]  # height, width, channels
    source: MethodSource | None  # the method's code, where it is a file of a user's
    barred: tuple[Path, ...]  # folders that it gives up
    kept: tuple[Path, ...]  # what it keeps of them
    peers: Peers | None


class Fitted(NamedTuple):
    """A training that came to its end."""

    predictor: Predictor | None  # None: stages were made
    samples: int  # that this worker was given, over all epochs
    shard_hash: str  # of their positions, batch by batch


def fit(job: FitJob, trial_log: TrialLog) -> Fitted:
    """Train a model and write its files, or make stages. Whatever the method raises comes through."""
    import torch  # where it is carried out: who only describes it needs none

    device = torch.device(job.device)
    torch.manual_seed(seed_for(job.seed, job.fold, "torch") % 2**63)  # for libraries without a generator
    trainable = find_trainable(job.trainable)
    config = trainable.Config.model_validate(job.config)
    run = TrainRun(
        trial_log,
        seed=job.seed,
        fold=job.fold,
        device=device,
        rank=job.rank,
        world_size=job.world_size,
    )

    # A batch of stages makes those that others wait for, and trains no model.
    if job.stages is not None:
        for stage in trainable.stages(config):
            if stage.name in job.stages:
                run.stage(stage, job.data)
        return Fitted(None, run.samples, run.shard_hash)
    predictor = _predictor(trainable.fit(config, job.data, run), "a method's `fit`")
    predictor = _predictor(predictor.to(device), "a predictor's `to`")
    _save(predictor, job.scratch / MODEL_FOLDER)
    return Fitted(predictor, run.samples, run.shard_hash)


def _predictor(answer: Any, hook: str) -> Predictor:
    """The answer of a hook of the method, if it is a predictor.

    Raises:
        InputError: If it is not.
    """
    if lacking := [name for name in ("predict", "save", "to") if not callable(getattr(answer, name, None))]:
        kind = "None" if answer is None else f"a {type(answer).__name__} without {', '.join(lacking)}"
        raise InputError(f"{hook} returns a predictor, found {kind}. Mend it, so that it returns one.")
    return answer


def _save(predictor: Predictor, folder: Path) -> None:
    """Let the model write its files.

    Raises:
        InputError: If they are not what a record and an export read afterwards.
    """
    folder.mkdir()
    predictor.save(folder)
    names = [path.name + "/" * path.is_dir() for path in sorted(folder.iterdir())]
    if "model.safetensors" not in names or any(name.endswith("/") for name in names):
        raise InputError(
            "a predictor's `save` writes its weights as model.safetensors into the folder that it is given, "
            f"and makes no folders there, found {', '.join(names) or 'no file'}. Mend the method's `save`."
        )


class TrainRun:
    """One training, of a trial or of a stage, on one worker: a :class:`trainables.contract.Run`."""

    def __init__(
        self,
        trial_log: TrialLog,
        *,
        seed: int,
        fold: int | None,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        purpose: str = "",
    ) -> None:
        """``purpose``: start of the purposes of all its random numbers, a stage's name."""
        self.trial_log = trial_log
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
        """Sum the gradients of all workers in one all-reduce, as a flat vector.

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
        self.trial_log.step(done, total, epochs)

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        refuse_log(epoch, metrics, self._last)
        self._last = epoch
        self.trial_log.log(epoch, metrics, epochs)

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        self._last = max(self._last, epoch - 1)
        self.trial_log.checkpoint(epoch, tensors, meta)

    def resume(self) -> Checkpoint | None:
        state = self.trial_log.resume()
        self._last = -math.inf if state is None else state.epoch - 1
        return state

    def stage(self, stage: Stage, data: TrainingData) -> Path:
        if (known := self.trial_log.find_stage(stage)) is not None:
            return known
        space = self.trial_log.begin_stage(stage)
        run = TrainRun(
            space.trial_log,
            seed=self.seed,
            fold=self.fold,
            device=self.device,
            rank=self.rank,
            world_size=self.world_size,
            purpose=f"{stage.name}/",
        )

        # A stage is shared by trials of different settings. Its random numbers are its own, so that it comes
        # out the same whichever of them makes it.
        with self._own_random_numbers(stage):
            stage.make(StageWork(stage.config, space.inputs, data, run, space.folder))
        return self.trial_log.end_stage(stage)

    @contextmanager
    def _own_random_numbers(self, stage: Stage) -> Generator[None]:
        """Seed libraries without a generator for a stage: making it uses up no number of what comes after."""
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
