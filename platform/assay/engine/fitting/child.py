"""The training process: opens its images, gives up the rest, trains, and then scores images it is given.

It is told everything and asks for everything over one connection. It has no storage, no manifest and no path
to either: the worker at the other end keeps its log and checkpoints, and holds the test images and all masks.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.distributed_c10d import PrefixStore

from assay.engine.fitting.confinement import confine, name_attempts
from assay.engine.fitting.faults import MethodError, fault_of
from assay.engine.fitting.job import ChildJob, FitJob, Peers, fit
from assay.engine.fitting.wire import send
from assay.engine.train_run import StageSpace, Stopped
from trainables.contract import Checkpoint
from trainables.data.cache import ArrowImages
from trainables.data.samples import TrainingData
from trainables.device import forget_peak_memory, keep_freed_memory, peak_memory_mb, prepare_gpu
from trainables.evaluation.model_scorer import ModelScorer
from trainables.method_files import load_source
from trainables.stages import Stage

__all__ = ["run_child"]

_STEP_SECONDS = 1.0  # between two signs of life within an epoch


def run_child(connection: Connection, trained: Callable[[], None]) -> None:
    """Do what the first message says, until the connection ends; calls ``trained`` when it has trained."""
    order: ChildJob = connection.recv()
    prepared = False
    try:
        job = _prepare(order, connection)
        prepared = True
        if order.source is not None:
            load_source(job.trainable, order.source)
        fitted = fit(job, _WireJournal(connection, job.scratch))
        trained()
        device = torch.device(job.device)
        peak = peak_memory_mb(device)
        send(
            connection,
            "fitted",
            samples=fitted.samples,
            shard_hash=fitted.shard_hash,
            peak_memory_mb=peak,
            threads=torch.get_num_threads(),
            instructions=torch.backends.cpu.get_cpu_capability(),
        )
        if fitted.predictor is not None:
            _score(connection, ModelScorer(fitted.predictor, device))
    except BaseException as error:  # noqa: BLE001 - told with its traceback, never swallowed
        _tell(connection, error, fault_of(error, order.job.trainable, prepared=prepared))


def _prepare(order: ChildJob, connection: Connection) -> FitJob:
    """Open what the job needs, give up the rest; returns the job with its images."""
    job = order.job
    device = torch.device(job.device)
    torch.set_num_threads(job.threads)
    keep_freed_memory()
    prepare_gpu(device, job.gpu_share)
    job = replace(job, data=_open_images(order))
    tempfile.tempdir = str(job.scratch)
    if order.peers is not None:
        _meet(order.peers, job)
    kept = [job.scratch, *order.kept]
    name_attempts(order.barred, kept, lambda path: send(connection, "attempt", path=path))
    send(connection, "confined", by=confine(order.barred, kept))
    forget_peak_memory(device)
    return job


def _open_images(order: ChildJob) -> TrainingData:
    """The images of training and validation; the pages of all others leave this process."""
    data = order.job.data
    ids = [*data.train.ids, *(data.validation.ids if data.validation is not None else ())]
    return data.with_images(ArrowImages(order.images, order.shape).only(ids))


def _meet(peers: Peers, job: FitJob) -> None:
    store = TCPStore(peers.host, peers.port, is_master=False)
    dist.init_process_group(
        peers.backend,
        store=PrefixStore(peers.prefix, store),
        rank=job.rank,
        world_size=job.world_size,
    )


def _score(connection: Connection, model: ModelScorer) -> None:
    """Answer to images until nobody asks any more."""
    send(connection, "ready", shows_stages=model.shows_stages, measures_erasure=model.measures_erasure)
    while True:
        try:
            request: tuple[Any, ...] = connection.recv()
        except EOFError:
            return
        match request:
            case ("score", images, known):
                answer = model.score(images, known)
                tensors = {
                    "scores": torch.from_numpy(answer.scores),
                    "heatmaps": torch.from_numpy(answer.heatmaps),
                    **{f"stage.{name}": torch.from_numpy(values) for name, values in answer.stages.items()},
                }
                send(connection, "scored", tensors, seconds=answer.seconds, stages=list(answer.stages))
            case ("erasure_drops", images):
                send(connection, "dropped", drops=model.erasure_drops(images))
            case ("reference",):
                send(connection, "timed", seconds=model.reference_seconds())
            case _:
                raise AssertionError(f"a worker asks for scores, drops or times, found {request[0]}")


class _WireJournal:
    """A :class:`~assay.engine.train_run.Journal` at the other end of the connection."""

    def __init__(self, connection: Connection, scratch: Path) -> None:
        self._connection, self._scratch = connection, scratch
        self._space: StageSpace | None = None
        self._stepped = 0.0

    def note(self, line: str) -> None:
        send(self._connection, "note", line=line)

    def step(self, done: int, total: int, epochs: int) -> None:
        now = time.monotonic()
        if now - self._stepped >= _STEP_SECONDS:
            self._stepped = now
            send(self._connection, "step", done=done, total=total, epochs=epochs)

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        numbers = {name: float(value) for name, value in metrics.items()}
        if self._ask("log", epoch=epoch, metrics=numbers, epochs=epochs):
            raise Stopped

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        if not self._ask("wants_checkpoint"):
            return
        send(self._connection, "checkpoint", tensors, epoch=epoch, meta=dict(meta))
        self._connection.recv()

    def resume(self) -> Checkpoint | None:
        state = self._ask("resume")
        if state is None:
            return None
        epoch, tensors, meta = state
        return Checkpoint(epoch, safetensors.torch.load(tensors), meta)

    def find_stage(self, stage: Stage) -> Path | None:
        return self._ask("find_stage", name=stage.name)

    def begin_stage(self, stage: Stage) -> StageSpace:
        folder, inputs = self._ask("begin_stage", name=stage.name)
        self._space = StageSpace(folder, inputs, _WireJournal(self._connection, self._scratch))
        return self._space

    def end_stage(self, stage: Stage) -> Path:
        assert self._space is not None, "a stage is begun before it is ended"
        self._ask("end_stage", name=stage.name)
        return self._space.folder

    def _ask(self, kind: str, **values: Any) -> Any:
        send(self._connection, kind, **values)
        answer = self._connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _tell(connection: Connection, error: BaseException, fault: MethodError) -> None:
    send(
        connection,
        "error",
        error=fault.kind,
        reason=fault.reason,
        trace=fault.trace,
        errno=error.errno if isinstance(error, OSError) else None,
        path=str(error.filename) if isinstance(error, OSError) and error.filename else None,
    )
