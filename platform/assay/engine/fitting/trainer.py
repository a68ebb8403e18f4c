"""Two ways to train: in this process, for debuggers and notebooks, and in one of its own."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import threading
import traceback
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray

from assay.engine.fitting.child import ChildJob, Peers
from assay.engine.fitting.faults import MethodError, fault_of
from assay.engine.fitting.fit_server import DiedError, FitServer
from assay.engine.fitting.job import MODEL_FOLDER, FitJob, fit
from assay.engine.fitting.process import OverdueError
from assay.engine.journal import StorageJournal
from assay.engine.packs import Limits
from assay.engine.train_run import Stopped, collective
from trainables.contract import Predictor
from trainables.cuda import prepare_gpu
from trainables.data.cache import ArrowImages
from trainables.errors import StorageError
from trainables.memory import forget_peak_memory, peak_memory_mb
from trainables.method_files import is_file_method, loaded_source
from trainables.scorer import ImageScorer, ModelScorer, Scores

__all__ = ["Stoppable", "TrainApart", "TrainHere", "Trained", "Trainer"]


class Trained(NamedTuple):
    """A model that was trained, while it can be asked."""

    model: ImageScorer | None  # None: stages were made
    weights: str  # sha256 of its weights, hex; empty without a model
    samples: int  # images that this worker was given, over all epochs
    shard_hash: str  # of their positions, batch by batch
    peak_memory_mb: float
    confined_by: str  # what kept test images from it
    notes: tuple[str, ...] = ()  # for the record


class Trainer(Protocol):
    """A way to train."""

    def train(
        self, job: FitJob, images: ArrowImages, journal: StorageJournal
    ) -> AbstractContextManager[Trained]:
        """Train; the model can be asked within the block. What the method raises comes through."""
        ...


class TrainHere:
    """Trains in this process: a breakpoint in a method is reached, and an end of the process is its end."""

    @contextmanager
    def train(self, job: FitJob, images: ArrowImages, journal: StorageJournal) -> Generator[Trained]:
        prepare_gpu(job.device, job.gpu_share)
        forget_peak_memory(job.device)
        with _methods_errors(job.trainable):
            fitted = fit(job, journal)
        predictor = fitted.predictor
        model = None if predictor is None else _ScorerHere(predictor, job)
        peak = peak_memory_mb(job.device)
        yield Trained(model, _weights(job), fitted.samples, fitted.shard_hash, peak, "nothing: one process")


class _ScorerHere(ModelScorer):
    """A model of this process, whose errors are told as those of its training are."""

    def __init__(self, predictor: Predictor, job: FitJob) -> None:
        super().__init__(predictor, job.device)
        self._trainable = job.trainable

    def score(self, images: Sequence[NDArray[np.uint8]], known: Collection[str] | None = None) -> Scores:
        with _methods_errors(self._trainable):
            return super().score(images, known)

    def erasure_drops(self, images: Sequence[NDArray[np.uint8]]) -> list[float]:
        with _methods_errors(self._trainable):
            return super().erasure_drops(images)


@contextmanager
def _methods_errors(trainable: str) -> Generator[None]:
    """Raise what would end this process, or pass for the machine's fault, as its own process tells it."""
    try:
        yield
    except (SystemExit, MemoryError, OSError) as error:
        fault = fault_of(error, trainable)
        if fault.kind == "system" or isinstance(error, StorageError) or _is_journals(error):
            raise
        raise fault from error


def _is_journals(error: BaseException) -> bool:
    """Tell an error of what keeps a training from one of the training, which calls it."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") == StorageJournal.__module__ for frame, _ in frames)


class TrainApart:
    """Trains in a process of its own, which opens neither storage nor data, and ends it when overdue."""

    def __init__(self, server: FitServer, limits: Limits, barred: tuple[Path, ...], backend: str) -> None:
        """``barred``: folders that training may not open. ``backend``: of the exchange between workers."""
        self._server, self._limits, self._barred, self._backend = server, limits, barred, backend

    @contextmanager
    def train(self, job: FitJob, images: ArrowImages, journal: StorageJournal) -> Generator[Trained]:
        order = ChildJob(
            replace(job, data=job.data.with_images({})),
            images.path,
            images.shape,
            loaded_source(job.trainable) if is_file_method(job.trainable) else None,
            self._barred,
            _kept(self._barred),
            self._peers(job),
        )
        process = self._server.start()
        with process.ending():
            try:
                last = process.fit(order, journal, self._limits).values
                model = None if job.stages is not None else process.model()
                notes = tuple(f"the method tried to open {path}" for path in process.attempts)
                yield Trained(
                    model,
                    _weights(job),
                    int(last["samples"]),
                    str(last["shard_hash"]),
                    float(last["peak_memory_mb"]),
                    process.confined_by,
                    notes,
                )
            except (MethodError, DiedError, OverdueError):
                _note_output(process.output.text(), process.output.size, journal)
                raise
            _note_output(process.output.text(), process.output.size, journal)

    def _peers(self, job: FitJob) -> Peers | None:
        """Meeting place of the training processes of all workers: the store of the workers' own group."""
        if job.world_size == 1:
            return None
        name: list[str] = [secrets.token_hex(8)]
        with collective():
            dist.broadcast_object_list(name, src=0)
        return Peers(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), name[0], self._backend)


class Stoppable:
    """A trainer whose processes end when a run is stopped: that is no death of theirs."""

    def __init__(self, trainer: Trainer, stop: threading.Event) -> None:
        self._trainer, self._stop = trainer, stop

    @contextmanager
    def train(self, job: FitJob, images: ArrowImages, journal: StorageJournal) -> Generator[Trained]:
        try:
            with self._trainer.train(job, images, journal) as trained:
                yield trained
        except DiedError:
            if self._stop.is_set():
                raise Stopped from None
            raise


def _kept(barred: Iterable[Path]) -> tuple[Path, ...]:
    """Paths that training may open wherever they lie: weights that a study names by their hash, and code."""
    weights = os.environ.get("ASSAY_WEIGHTS")
    code = [Path(entry) for entry in (sys.prefix, sys.base_prefix, *sys.path) if entry]
    roots = [path.resolve() for path in barred]
    inside = [path for path in code if any(path.resolve().is_relative_to(root) for root in roots)]
    return (*inside, *([Path(weights)] if weights else []))


def _weights(job: FitJob) -> str:
    if job.stages is not None:
        return ""
    return hashlib.sha256((job.scratch / MODEL_FOLDER / "model.safetensors").read_bytes()).hexdigest()


def _note_output(text: str, size: int, journal: StorageJournal) -> None:
    if text:
        journal.note(f"the method printed {size:,} bytes:\n{text}")
