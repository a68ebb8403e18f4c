"""The training process: opens its images, gives up the rest, trains, and then scores images it is given.

It is told everything and asks for everything over one connection. It has no storage, no manifest and no path
to either: the worker at the other end keeps its log and checkpoints, and holds the test images and all masks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.distributed_c10d import PrefixStore

from assay.engine.errors import MethodError, fault_of
from assay.engine.process.confinement import confine, name_attempts
from assay.engine.process.fit import ChildJob, FitJob, Peers, fit
from assay.engine.worker.trial_log import SentLog, send
from trainables.data.cache import ArrowImages
from trainables.data.samples import TrainingData
from trainables.evaluation.model_scorer import ModelScorer
from trainables.plugins.method_files import load_source
from trainables.runtime.device import forget_peak_memory, keep_freed_memory, peak_memory_mb, prepare_gpu

__all__ = ["run_child"]


def run_child(connection: Connection, trained: Callable[[], None]) -> None:
    """Do what the first message says, until the connection ends; calls ``trained`` when it has trained."""
    order: ChildJob = connection.recv()
    prepared = False
    try:
        job = _prepare(order, connection)
        prepared = True
        if order.source is not None:
            load_source(job.trainable, order.source)
        fitted = fit(job, SentLog(connection, job.scratch))

        # The server is told if training has loaded torch's compiler. It then loads it, too, and later
        # children have it from the start.
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

    # The images are opened, and the other workers met, while that is still allowed: afterwards neither data
    # nor storage can be opened here.
    job = replace(job, data=_open_images(order))
    tempfile.tempdir = str(job.scratch)
    if order.peers is not None:
        _meet(order.peers, job)

    # The kernel bars it, also from native code. The hook names what Python code tries to open, so that the
    # log can say so; it comes second, because confining opens hundreds of paths that it would look at.
    kept = [job.scratch, *order.kept]
    send(connection, "confined", by=confine(order.barred, kept))
    name_attempts(order.barred, kept, lambda path: send(connection, "attempt", path=path))
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
    send(
        connection,
        "ready",
        shows_stages=model.shows_stages,
        measures_erasure=model.measures_erasure,
        images_at_once=model.images_at_once,
    )

    # Only now test images come, over the connection: the model is trained and its weights are written.
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
