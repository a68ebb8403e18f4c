"""Trains the trials of one batch after the other, and records each.

Every rank runs :func:`train_trials`. A trial with a record is skipped; one with a checkpoint goes on from it.
Rank 0 evaluates and writes the record, last of all. What goes wrong in one trial is that trial's record
(diverged, failed), and the batch goes on; what goes wrong with the machine (memory, a killed process) is an
attempt without a record, and is tried again: alone on its GPU, where the memory of a share was too small. A
storage that is full or away ends the study.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from assay.engine.cluster.capacity import DrainNotice
from assay.engine.errors import (
    DiedError,
    DrainedError,
    GpuMemoryError,
    NoOtherStartError,
    OverdueError,
    Stopped,
    error_line,
    trace_of,
)
from assay.engine.process.fork_server import ForkServer
from assay.engine.process.process import TrainApart
from assay.engine.retries import (
    MAX_ATTEMPTS,
    add_tries,
    begin_attempt,
    count_tries,
    other_world_sizes,
    record_or_raise,
)
from assay.engine.trial_batch import BatchReader, StageTask, TrialBatch
from assay.engine.versions import differences
from assay.engine.worker.ranks import gather_from_ranks, wait_for_all
from assay.engine.worker.stages import TrialStages
from assay.engine.worker.trial import Timer, fit_and_evaluate, make_stage
from assay.engine.worker.trial_log import StoredLog
from assay.engine.worker.worker import BatchWorker, gpu_turn
from assay.storage import Attempt, Record, Store
from assay.storage.files.files import PATIENCE_SECONDS
from assay.storage.method_store import load_methods
from assay.study import Trial
from trainables.data.files.atomic import FULL, why_unusable
from trainables.errors import StorageError, StorageFull
from trainables.runtime.device import is_out_of_memory

__all__ = ["train_trial_batch", "train_trials", "trainer_of"]

_AFTER_DEATH_SECONDS = 1.0  # Ray ends a worker's children first: then there is no other attempt to begin


def train_trial_batch(config: dict[str, Any]) -> None:
    """Train loop of one Ray Train worker.

    ``config``: storage, path of the batch, and the driver's pid.

    Raises:
        NoOtherStartError: If the storage is in the way, or this worker cannot begin the batch.
    """
    import ray
    import ray.train
    import ray.train.torch

    from assay.engine.on_ray.process_group import meet

    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    try:
        with ForkServer() as server:  # loads torch while workers meet
            meet(rank, world_size)
            nodes = gather_from_ranks(ray.get_runtime_context().get_node_id(), world_size)
            store = Store(config["storage"], PATIENCE_SECONDS)
            batch = _open_batch(store, config["batch"])

            # By this note the driver knows that its workers have room, and are not still waiting for it.
            if rank == 0:
                store.write_bytes(batch.begun, b"")
            worker = BatchWorker(
                batch,
                store.for_run(batch.run.lease),
                rank,
                world_size,
                nodes[rank],
                config["driver_pid"],
                str(ray.train.torch.get_device()),
                trainer_of(batch, store, server, threading.Event()),  # Train ends its workers whole
                draining=DrainNotice(nodes),
            )
            train_trials(worker)
    except StorageError as error:
        raise NoOtherStartError.saying(str(error), storage=True) from error


def _open_batch(store: Store, path: str) -> TrialBatch:
    """The batch at ``path``, with its methods loaded.

    Raises:
        NoOtherStartError: If this worker cannot do that.
    """
    try:
        batch = BatchReader(store).read(path)
        load_methods(store, batch.plan.trainables)
    except StorageError:
        raise
    except Exception as error:
        raise NoOtherStartError.saying(error_line(error), storage=False) from error
    return batch


def trainer_of(batch: TrialBatch, store: Store, server: ForkServer, stop: threading.Event) -> TrainApart:
    """The trainer of a batch's methods: in processes that open neither storage, data nor cache.

    ``stop`` is set when ``server`` is stopped.
    """
    run, need = batch.run, batch.study.resources
    folders = [store.local_path, Path(run.cache), Path(run.data_root) if run.data_root else None]
    backend = "nccl" if need.gpus >= 1 or (need.gpus and need.workers == 1) else "gloo"
    return TrainApart(server, batch.limits, tuple(f for f in folders if f is not None), backend, stop)


def train_trials(worker: BatchWorker) -> None:
    """Train what has no record of the worker's batch, one trial after the other; every rank calls it.

    A worker that is another program than the study's (``BatchRun.program``) trains nothing.
    """
    if _refuses(worker):
        return
    for task in worker.batch.stages:
        if not worker.stop.is_set():
            _make_stage(task, worker)
    for trial in worker.batch.trials:
        # This is asked before each trial: a batch that falls behind is stopped between two repeats.
        if worker.stop.is_set() or worker.falls_behind():
            break
        _train_trial(trial, worker)
        wait_for_all(worker.world_size)  # nobody begins the next trial before this one's record is there


def _make_stage(task: StageTask, worker: BatchWorker) -> None:
    """Make a stage, and what it reads, if nobody has; afterwards its trial waits again.

    What goes wrong with the method stands in the attempt's log and is left to the trials that need the stage:
    they make it again, fail in the same way, and their records say so. So is a stage whose training died or
    lacked memory as often as a trial's may.
    """
    try:
        with _gpu(worker, task.trial) as its_turn:
            if its_turn and count_tries(task, worker) < MAX_ATTEMPTS:
                make_stage(task, worker)
    except Stopped:
        pass  # asked of the trial that the task names: others that share the stage make it themselves
    except OSError:
        raise
    except Exception as error:
        again = isinstance(error, MemoryError | DiedError) or is_out_of_memory(error)
        tries = add_tries(task, worker, 1 if again else MAX_ATTEMPTS)
        if worker.world_size > 1 or tries < MAX_ATTEMPTS:
            raise  # the other ranks wait in a collective, or the machine may be at fault
        logging.getLogger(__name__).warning("stage %s was not made", task.name, exc_info=True)
    if worker.rank == 0:  # a heartbeat that stays would count as a trial that is being trained
        worker.store.end_progress(task.trial.id)


def _refuses(worker: BatchWorker) -> bool:
    """Tell a worker with another program than the study's, as on a node that joined later; all ranks agree.

    They leave a note instead of an attempt or an error: Train would start them on the same node again.
    """
    if not worker.batch.run.program:
        return False
    unlike = differences(worker.batch.run.program, *worker.batch.plan.trainables)
    refusal = (
        f"node {worker.node} on {worker.host} differs from the head: {'; '.join(unlike)}" if unlike else ""
    )

    # One worker on another node is enough: all of them leave the batch, or the others would wait for that
    # one.
    reasons = [text for text in dict.fromkeys(gather_from_ranks(refusal, worker.world_size)) if text]
    if reasons and worker.rank == 0:
        worker.store.write_bytes(worker.batch.refusal, "; ".join(reasons).encode())
    return bool(reasons)


def _train_trial(trial: Trial, worker: BatchWorker) -> None:
    """One attempt at one trial that has no record yet; ends with one, or with what is the machine's fault."""
    note = f"{worker.batch.path}.{trial.id}.{{}}".format  # for the workers that Train starts anew
    noted = (OverdueError, GpuMemoryError, MemoryError) if worker.world_size > 1 else ()
    # What happened in attempts before, is tried again, and recorded the next time.
    seen: set[type[Exception]] = {kind for kind in noted if worker.store.exists(note(kind.__name__))}
    died: DiedError | None = None  # in the attempt before
    while True:
        with _gpu(worker, trial) as its_turn:
            if not its_turn or (attempt := begin_attempt(trial, worker, died)) is None:
                return
            try:
                _attempt(trial, worker, attempt, seen)
            except (OverdueError, DiedError, MemoryError) as error:
                if worker.world_size > 1:
                    worker.store.write_bytes(note(type(error).__name__), b"")
                    raise  # the other workers wait in a collective: Train starts all of them anew
                seen.add(type(error))
                died = error if isinstance(error, DiedError) else None
                if isinstance(error, GpuMemoryError):
                    worker = replace(worker, alone=True)
            else:
                return
        time.sleep(_AFTER_DEATH_SECONDS)


def _gpu(worker: BatchWorker, trial: Trial) -> AbstractContextManager[bool]:
    """This worker's turn on a GPU that trials share; several workers of a trial do not take turns."""
    if worker.world_size > 1 or not 0 < worker.gpus < 1:
        return nullcontext(True)
    return gpu_turn(worker.alone, worker.stop, partial(_renew_heartbeat, trial, worker))


def _renew_heartbeat(trial: Trial, worker: BatchWorker) -> None:
    """Say that a trial which this process has begun still lives; one that it has not begun stays silent."""
    beat = worker.store.progress(trial.id)
    if beat is not None and (beat.host, beat.pid) == (worker.host, os.getpid()):
        worker.store.write_progress(beat.model_copy(update={"time": time.time()}))


def _attempt(trial: Trial, worker: BatchWorker, attempt: Attempt, seen: AbstractSet[type[Exception]]) -> None:
    """Train and record a trial.

    Args:
        trial: Not recorded yet.
        worker: This worker.
        attempt: Noted already.
        seen: What went wrong in attempts before: of these an error is recorded instead of raised.

    Raises:
        OverdueError: If it took too long, and may be tried again.
        GpuMemoryError: If the memory of the GPU was too small, and it may be tried again.
        DiedError: If its process was killed.
        MemoryError: If the memory was too small, and it may be tried again.
        DrainedError: If a node is to be taken away; the attempt does not count.
    """
    started = datetime.now(UTC)
    timer = Timer()
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        stages = TrialStages(trial, worker, Path(folder))
        trial_log = StoredLog(
            trial,
            worker.store,
            attempt,
            rank=worker.rank,
            world_size=worker.world_size,
            stages=stages,
            draining=worker.draining,
        )
        ending: dict[str, Any]
        failure: BaseException | None = None
        try:
            ending = fit_and_evaluate(
                trial, worker, attempt, trial_log=trial_log, stages=stages, timer=timer, scratch=Path(folder)
            )
        except Stopped:
            return
        except StorageError:
            raise  # there may be no place for a note either; the study ends with this sentence
        except OSError as error:
            # The machine's fault leaves a line in the log and no record: the trial is tried again.
            if isinstance(error, DrainedError):
                worker.store.excuse_attempt(trial.id, attempt)
            _refuse_full_scratch(error)
            trial_log.note(trace_of(error).rstrip())
            raise
        except Exception as error:  # noqa: BLE001 - recorded with its traceback, never swallowed
            stages.fail(trace_of(error))
            ending, failure = record_or_raise(error, trial_log, worker, seen), error
            trial_log.note(f"{ending['status']}: {ending['reason']}\n{trace_of(error)}".rstrip())
    recorded = failure is not None and isinstance(worker.store.record(trial.id), Record)
    if not recorded and (worker.rank == 0 or failure is not None):  # the first rank to fail tells the reason
        times = {"started": started, "timings": timer.seconds, "stages": tuple(stages.uses)}
        _record(trial, worker, attempt, {**ending, **times})
    if failure is not None and worker.world_size > 1:
        raise failure  # the other ranks wait in a collective: Train starts all anew, and skips this trial


def _refuse_full_scratch(error: OSError) -> None:
    """Refuse a full temporary folder, where a worker writes all that is neither storage nor cache."""
    folder = Path(tempfile.gettempdir())
    if error.errno in FULL:
        why = why_unusable(error, folder)
        raise StorageFull(
            f"the temporary folder {folder} of {socket.gethostname()} {why}. Free some space there (TMPDIR "
            "names another), then run again: what is finished is kept."
        ) from error


def _record(trial: Trial, worker: BatchWorker, attempt: Attempt, ending: dict[str, Any]) -> None:
    """Write the record: from here on the trial exists, and its checkpoint is not needed any more."""
    environment = ending.pop("environment", None) or worker.environment()
    record = Record.model_validate(
        {
            "id": trial.id,
            "trial": trial.model_dump(mode="json"),
            "study": worker.batch.run.study,
            "environment": environment.model_copy(
                update={"earlier_world_sizes": other_world_sizes(trial, worker, attempt)}
            ),
            "attempt": attempt.name,
            "attempts": attempt.number,
            "ended": datetime.now(UTC),
            **ending,
        }
    )
    worker.store.end_trial(record)
