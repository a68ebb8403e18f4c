"""Ways to train: in a process of its own, and what is common to it and to one in this process."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import threading
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from assay.engine.fitting.died import DiedError
from assay.engine.fitting.faults import MethodError
from assay.engine.fitting.fit_server import FitServer
from assay.engine.fitting.job import MODEL_FOLDER, ChildJob, FitJob, Peers
from assay.engine.fitting.process import OverdueError
from assay.engine.journal import StorageJournal
from assay.engine.limits import Limits
from assay.engine.ranks import from_rank_0
from assay.engine.train_run import Stopped
from trainables.data.cache import ArrowImages
from trainables.evaluation.scorer import ImageScorer
from trainables.method_files import is_file_method, loaded_source

__all__ = ["TrainApart", "Trained", "Trainer", "weights_of"]


class Trained(NamedTuple):
    """A model that was trained, while it can be asked."""

    model: ImageScorer | None  # None: stages were made
    weights: str  # sha256 of its weights, hex; empty without a model
    samples: int  # images that this worker was given, over all epochs
    shard_hash: str  # of their positions, batch by batch
    peak_memory_mb: float
    confined_by: str  # what kept test images from it
    threads: int  # of torch within one operation, where the model trained
    instructions: str  # instruction set of the CPU that torch used there: `AVX512`
    notes: tuple[str, ...] = ()  # for the record


class Trainer(Protocol):
    """A way to train."""

    def train(
        self, job: FitJob, images: ArrowImages, journal: StorageJournal
    ) -> AbstractContextManager[Trained]:
        """Train; the model can be asked within the block. What the method raises comes through."""
        ...


@dataclass(frozen=True)
class TrainApart:
    """Trains in a process of its own, which opens neither storage nor data, and ends it when overdue."""

    server: FitServer  # starts them
    limits: Limits
    barred: tuple[Path, ...]  # folders that training may not open
    backend: str  # of the exchange between workers
    stop: threading.Event  # set when the run ends its processes: that is no death of theirs

    @contextmanager
    def train(self, job: FitJob, images: ArrowImages, journal: StorageJournal) -> Generator[Trained]:
        try:
            with self._trained(job, images, journal) as trained:
                yield trained
        except DiedError:
            if self.stop.is_set():
                raise Stopped from None
            raise

    @contextmanager
    def _trained(self, job: FitJob, images: ArrowImages, journal: StorageJournal) -> Generator[Trained]:
        order = ChildJob(
            replace(job, data=job.data.with_images({})),
            images.path,
            images.shape,
            loaded_source(job.trainable) if is_file_method(job.trainable) else None,
            self.barred,
            _kept(self.barred),
            self._peers(job),
        )
        process = self.server.start()
        with process.ending():
            try:
                last = process.fit(order, journal, self.limits).values
                model = None if job.stages is not None else process.model()
                notes = tuple(f"the method tried to open {path}" for path in process.attempts)
                yield Trained(
                    model,
                    weights_of(job),
                    int(last["samples"]),
                    str(last["shard_hash"]),
                    float(last["peak_memory_mb"]),
                    process.confined_by,
                    int(last["threads"]),
                    str(last["instructions"]),
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
        name = from_rank_0(secrets.token_hex(8), job.world_size)
        return Peers(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), name, self.backend)


def _kept(barred: Iterable[Path]) -> tuple[Path, ...]:
    """Paths that training may open wherever they lie: weights that a study names by their hash, and code."""
    weights = os.environ.get("ASSAY_WEIGHTS")
    code = [Path(entry) for entry in (sys.prefix, sys.base_prefix, *sys.path) if entry]
    roots = [path.resolve() for path in barred]
    inside = [path for path in code if any(path.resolve().is_relative_to(root) for root in roots)]
    return (*inside, *([Path(weights)] if weights else []))


def weights_of(job: FitJob) -> str:
    """The sha256 of the weights that a training has left, hex; empty where it made stages."""
    if job.stages is not None:
        return ""
    return hashlib.sha256((job.scratch / MODEL_FOLDER / "model.safetensors").read_bytes()).hexdigest()


def _note_output(text: str, size: int, journal: StorageJournal) -> None:
    if text:
        journal.note(f"the method printed {size:,} bytes:\n{text}")
