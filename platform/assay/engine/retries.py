"""Retries: how often a trial, a stage or a driver is tried, after which errors, and what is recorded at last.

What goes wrong with the machine (memory, a killed process) is an attempt without a record, and is tried
again. An error of a method is its trial's record. A trial that takes too long, or lacks memory, is tried
once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any

from assay.engine.errors import (
    DiedError,
    GpuMemoryError,
    MethodError,
    OverdueError,
    error_line,
    trace_of,
)
from assay.engine.trial_batch import StageTask
from assay.engine.worker.ranks import from_rank_0
from assay.engine.worker.trial_log import StoredLog
from assay.engine.worker.worker import BatchWorker
from assay.storage import Attempt, AttemptStart, Record
from assay.storage.lease import stop_requested
from assay.storage.redaction import redact
from assay.study import Trial
from trainables.errors import Diverged, InputError, text_of
from trainables.runtime.device import is_out_of_memory

__all__ = [
    "DRIVER_RETRIES",
    "MAX_ATTEMPTS",
    "add_tries",
    "begin_attempt",
    "count_tries",
    "other_world_sizes",
    "record_or_raise",
]

MAX_ATTEMPTS = 4  # a trial is tried again three times before it is failed
DRIVER_RETRIES = 4 * MAX_ATTEMPTS  # a killed driver of Tune's is started again this often for a batch
_ERROR_CHARACTERS = 4000
_REASON_CHARACTERS = 1000


def begin_attempt(trial: Trial, worker: BatchWorker, died: DiedError | None) -> Attempt | None:
    """Note the attempt; None when the trial has a record, was asked to stop, or has had all its attempts.

    ``died``: in the attempt before. Rank 0 looks and tells the others: two looks at a storage may differ.
    """
    begun: Attempt | None = None
    if worker.rank == 0 and not _is_over(trial, worker):
        # An attempt that ended because its node was taken away is nobody's fault. Those of earlier runs do
        # not count either: running again gives a trial all its attempts anew.
        attempts = (attempt for attempt in worker.store.attempts(trial.id) if not attempt.drained)
        before = [attempt for attempt in attempts if attempt.lease == worker.batch.run.lease]
        if len(before) < MAX_ATTEMPTS:
            begun = worker.store.begin_attempt(trial.id, worker.environment())
        else:
            _give_up(trial, worker, before, died)
    return from_rank_0(begun, worker.world_size)


def _is_over(trial: Trial, worker: BatchWorker) -> bool:
    """True where nothing is left to do in this run; the record of another study's pruner goes."""
    record = worker.store.record(trial.id)
    if isinstance(record, Record) and record.status == "pruned" and worker.batch.pruned_by is None:
        worker.store.forget_record(trial.id, "pruned")
        record = None
    return isinstance(record, Record) or stop_requested(worker.store, "trial", trial.id)


def _give_up(
    trial: Trial, worker: BatchWorker, attempts: Sequence[AttemptStart], died: DiedError | None
) -> None:
    tried = "; ".join(f"{attempt.attempt} on {attempt.host}, pid {attempt.pid}" for attempt in attempts)
    words = _last_words(trial, worker, attempts[-1])

    # An attempt that left no word of its own is known by the end of its log.
    last = died or DiedError(f"it was killed, out of memory or its node lost, and its log ended: {words}")
    reason = (
        f"its {'training process' if died else 'worker'} died in {len(attempts)} attempts: {tried}. "
        f"The last time {last}. {last.way_out}, then `assay run --retry failed`."
    )
    now = datetime.now(UTC)
    worker.store.end_trial(
        Record(
            id=trial.id,
            status="failed",
            reason=reason,
            trial=trial.model_dump(mode="json"),
            study=worker.batch.run.study,
            environment=worker.environment(),
            attempts=len(attempts),
            started=now,
            ended=now,
        )
    )


def _last_words(trial: Trial, worker: BatchWorker, attempt: AttemptStart) -> str:
    try:
        log = worker.store.read_bytes(f"{worker.store.trial(trial.id)}/{attempt.attempt}/log.txt")
    except FileNotFoundError:
        return "none"
    return (log.decode(errors="replace").strip().splitlines() or ["none"])[-1]


def other_world_sizes(trial: Trial, worker: BatchWorker, attempt: Attempt) -> tuple[int, ...]:
    """Workers of the attempts before this one, where not all had as many: sums were rounded otherwise."""
    if attempt.number == 1:
        return ()
    before = [start for start in worker.store.attempts(trial.id) if start.attempt != attempt.name]
    sizes = tuple(start.workers for start in before if start.workers)
    return sizes if set(sizes) - {worker.world_size} else ()


def record_or_raise(
    error: Exception, trial_log: StoredLog, worker: BatchWorker, seen: AbstractSet[type[Exception]]
) -> dict[str, Any]:
    """The end of a trial whose method is at fault.

    Raises:
        Exception: ``error`` itself, noted, where the machine is at fault or it is tried again.
    """
    reason = text_of(error) if isinstance(error, (InputError, MethodError)) else error_line(error)
    kind = error.kind if isinstance(error, MethodError) else "failed"

    # What may be tried again is raised: a process that died always, a timeout or a lack of memory when it is
    # the first of its kind. All else becomes the record.
    match error:
        case Diverged() | FloatingPointError():
            return {"status": "diverged", "reason": text_of(error)}
        case OverdueError() if OverdueError in seen:
            reason = f"timed out twice: {error}"
        case OverdueError() | DiedError():
            trial_log.note(str(error))
            raise error
        case _ if kind == "gpu memory" or is_out_of_memory(error):
            reason = f"{_short_of_gpu_memory(worker)} ({reason})"
            if GpuMemoryError not in seen:
                trial_log.note(f"{trace_of(error)}\n{reason}")
                raise GpuMemoryError(reason) from error
        case _ if kind == "memory" or isinstance(error, MemoryError):
            reason = f"out of memory, {reason}"
            if MemoryError not in seen:
                trial_log.note(f"{trace_of(error)}\n{reason}")
                raise MemoryError(reason) from error
        case _:
            pass
    trace = redact(trace_of(error))[-_ERROR_CHARACTERS:]  # before it is cut: half a URI hides its password
    reason = redact(reason)
    shown = reason if len(reason) <= _REASON_CHARACTERS else f"{reason[:_REASON_CHARACTERS]} …"
    if kind == "diverged":
        return {"status": "diverged", "reason": shown}
    return {"status": "failed", "reason": shown, "error": trace}


def _short_of_gpu_memory(worker: BatchWorker) -> str:
    share = worker.gpus
    if not 0 < share < 1:
        return "out of memory on the GPU; lower the batch or image size"
    if worker.alone:
        return (
            f"out of memory alone on the GPU, not only on a share of {share:g}; lower the batch or image size"
        )
    return f"out of memory on a share of {share:g} of the GPU; raise resources.gpus"


def count_tries(task: StageTask, worker: BatchWorker) -> int:
    """Count the tries of a stage in this run that an error of its training ended; all ranks agree."""
    return from_rank_0(_noted_tries(task, worker) if worker.rank == 0 else 0, worker.world_size)


def add_tries(task: StageTask, worker: BatchWorker, tries: int) -> int:
    """Note such tries, on the rank that saw the error; returns how many there are by now."""
    total = _noted_tries(task, worker) + tries
    worker.store.write_bytes(_tries_path(task, worker), str(total).encode())
    return total


def _noted_tries(task: StageTask, worker: BatchWorker) -> int:
    try:
        return int(worker.store.read_bytes(_tries_path(task, worker)))
    except FileNotFoundError:
        return 0


def _tries_path(task: StageTask, worker: BatchWorker) -> str:
    return f"{worker.batch.path}.{task.id}.tries"
