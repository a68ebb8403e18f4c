"""The Train worker: trains the trials of one pack after the other, and records each.

Every rank runs :func:`train_packs`. A trial with a record is skipped; one with a checkpoint goes on from it.
Rank 0 evaluates and writes the record, last of all. What goes wrong in one trial is that trial's record
(diverged, failed), and the pack goes on; what goes wrong with the machine (memory, a killed process) is an
attempt without a record, and is tried again. A storage that is full or away ends the study.
"""

from __future__ import annotations

import logging
import socket
import tempfile
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from assay.engine.packs import Pack, StageTask
from assay.engine.train_run import Stopped, TrainRun, collective
from assay.engine.trial import PackSite, Timer, fit_and_evaluate, make_stage
from assay.engine.versions import differences
from assay.engine.worker_stages import TrialStages
from assay.storage import Attempt, AttemptStart, Record, Store
from assay.storage.files import PATIENCE_SECONDS
from assay.storage.method_store import load_methods
from assay.study import Trial
from trainables.data.atomic import why_unusable
from trainables.errors import Diverged, InputError, StorageError
from trainables.memory import forget_peak_memory

__all__ = ["MAX_ATTEMPTS", "train_packs", "train_trials"]

MAX_ATTEMPTS = 4  # a trial is tried again three times before it is failed
_ERROR_CHARACTERS = 4000
_LOOK_SECONDS = 0.1  # between two looks for the next pack; an object store is asked less often
_STORE_LOOK_SECONDS = 1.0


def train_packs(config: dict[str, Any]) -> None:
    """Train loop of one Ray Train worker.

    ``config``: storage, path of the first pack, the driver's pid, and ``idle_seconds``: how long to wait for
    the next one.
    Workers that were started again after a crash find the packs before the current one over, and follow the
    driver's notes to it.
    """
    import ray
    import ray.train
    import ray.train.torch

    store = Store(config["storage"], PATIENCE_SECONDS)
    context, path = ray.train.get_context(), config["pack"]
    while path is not None:
        pack = Pack.read(store, path)
        load_methods(store, pack.trainables)
        torch.set_num_threads(pack.cpus)  # bit-identical results on a CPU need a fixed number of threads
        site = PackSite(
            pack,
            store.fenced(pack.fence),
            context.get_world_rank(),
            context.get_world_size(),
            ray.get_runtime_context().get_node_id(),
            config["driver_pid"],
            ray.train.torch.get_device(),
        )
        if site.device.type == "cuda":  # float32 means float32: 10 bits of mantissa are not asked for
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        willing = train_trials(site)
        path = _next_pack(site, config["idle_seconds"] if willing else 0)


def _next_pack(site: PackSite, seconds: float) -> str | None:
    """Say that the pack is over, and wait for the next one; None if none comes. All ranks agree."""
    answer: list[str | None] = [None]
    if site.rank == 0:
        site.store.write_bytes(site.pack.over, b"")
        pause = _LOOK_SECONDS if site.store.local_path is not None else _STORE_LOOK_SECONDS
        until = time.monotonic() + seconds
        while answer[0] is None and time.monotonic() < until:
            try:
                answer = [site.store.read_bytes(site.pack.next).decode()]
            except FileNotFoundError:
                time.sleep(pause)
    if site.world_size > 1:
        with collective():
            dist.broadcast_object_list(answer, src=0)
    return answer[0]


def train_trials(site: PackSite) -> bool:
    """Train what has no record of the place's pack, one trial after the other; every rank calls it.

    Returns:
        False where a worker is another program than the study's (``Pack.program``): nothing was trained.
    """
    if _refuses(site):
        return False
    for task in site.pack.stages:
        _make_stage(task, site)
    for trial in site.pack.trials:
        _train_trial(trial, site)
        if site.world_size > 1:
            with collective():  # nobody begins the next trial before this one's record is there
                dist.barrier()
    return True


def _make_stage(task: StageTask, site: PackSite) -> None:
    """Make a stage, and what it reads, if nobody has; afterwards its trial waits again.

    What goes wrong with the method stands in the attempt's log and is left to the trials that need the stage:
    they make it again, fail in the same way, and their records say so.
    """
    try:
        make_stage(task, site)
    except (Stopped, MemoryError, torch.OutOfMemoryError, OSError):
        raise
    except Exception:
        if site.world_size > 1:
            raise  # the other ranks wait in a collective
        logging.getLogger(__name__).warning("stage %s was not made", task.name, exc_info=True)
    if site.rank == 0:  # a heartbeat that stays would count as a trial that is being trained
        site.store.end_progress(task.trial.id)


def _refuses(site: PackSite) -> bool:
    """Tell a worker with another program than the study's, as on a node that joined later; all ranks agree.

    They leave a note instead of an attempt or an error: Train would start them on the same node again.
    """
    if not site.pack.program:
        return False
    unlike = differences(site.pack.program, *site.pack.trainables)
    refusal = f"node {site.node} on {site.host} differs from the head: {'; '.join(unlike)}" if unlike else ""
    refusals = [refusal] * site.world_size
    if site.world_size > 1:
        with collective():
            dist.all_gather_object(refusals, refusal)
    reasons = [text for text in dict.fromkeys(refusals) if text]
    if reasons and site.rank == 0:
        site.store.write_bytes(site.pack.refusal, "; ".join(reasons).encode())
    return bool(reasons)


def _train_trial(trial: Trial, site: PackSite) -> None:
    """One attempt at one trial that has no record yet; ends with one, or with what is the machine's fault."""
    started = datetime.now(UTC)
    attempt = _begin(trial, site)
    if attempt is None:
        return
    forget_peak_memory(site.device)
    timer = Timer()
    stages = TrialStages(trial, site.stage_site)
    run = TrainRun(
        trial,
        site.pack.study,
        site.store,
        attempt,
        device=site.device,
        rank=site.rank,
        world_size=site.world_size,
        stages=stages,
    )
    ending: dict[str, Any]
    failure: BaseException | None = None
    try:
        ending = fit_and_evaluate(trial, site, run, attempt, stages=stages, timer=timer)
    except Stopped:
        return
    except (Diverged, FloatingPointError) as error:
        ending, failure = {"status": "diverged", "reason": str(error)}, error
    except (MemoryError, torch.OutOfMemoryError):
        run.note(f"out of memory:\n{traceback.format_exc()}")
        raise
    except StorageError:
        raise  # there may be no place for a note either; the study ends with this sentence
    except OSError as error:
        _refuse_full_scratch(error)
        run.note(f"{type(error).__name__}: {error}")
        raise
    except Exception as error:  # noqa: BLE001 - recorded with its traceback, never swallowed
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        ending = {"status": "failed", "reason": reason, "error": traceback.format_exc()[-_ERROR_CHARACTERS:]}
        failure = error
    if failure is not None:
        run.note(f"{ending['status']}: {ending['reason']}\n{traceback.format_exc()}".rstrip())
    recorded = failure is not None and isinstance(site.store.record(trial.id), Record)
    if not recorded and (site.rank == 0 or failure is not None):  # the first rank to fail tells the reason
        times = {"started": started, "timings": timer.seconds, "stages": tuple(stages.uses)}
        _record(trial, site, attempt, {**ending, **times})
    if failure is not None and site.world_size > 1:
        raise failure  # the other ranks wait in a collective: Train starts all anew, and skips this trial


def _refuse_full_scratch(error: OSError) -> None:
    """Storage and cache speak for themselves; what else a worker writes lies in the temporary folder."""
    folder = Path(tempfile.gettempdir())
    why = why_unusable(error, folder)
    if why is not None and why.startswith("is full"):
        raise StorageError(
            f"the temporary folder {folder} of {socket.gethostname()} {why}. Free some space there (TMPDIR "
            "names another), then run again: what is finished is kept."
        ) from error


def _begin(trial: Trial, site: PackSite) -> Attempt | None:
    """Note the attempt; None when the trial has a record, or has had all its attempts.

    Rank 0 looks and tells the others: two looks at a storage may differ.
    """
    answer: list[Attempt | None] = [None]
    if site.rank == 0 and not isinstance(site.store.record(trial.id), Record):
        since, fence = site.pack.started, site.pack.fence
        before = [
            attempt
            for attempt in site.store.attempts(trial.id)
            if attempt.started >= since or (fence is not None and attempt.lease == fence.token)
        ]
        if len(before) < MAX_ATTEMPTS:
            answer = [site.store.begin_attempt(trial.id, site.environment())]
        else:
            _give_up(trial, site, before)
    if site.world_size > 1:
        with collective():
            dist.broadcast_object_list(answer, src=0)
    return answer[0]


def _give_up(trial: Trial, site: PackSite, attempts: Sequence[AttemptStart]) -> None:
    tried = "; ".join(f"{attempt.attempt} on {attempt.host}, pid {attempt.pid}" for attempt in attempts)
    words = _last_words(trial, site, attempts[-1])
    reason = (
        f"its worker died in {len(attempts)} attempts (killed, out of memory or node lost): {tried}. "
        f"The last line of its log: {words}. Mend the cause (more memory, a smaller batch), then "
        "`assay run --retry failed`."
    )
    now = datetime.now(UTC)
    site.store.end_trial(
        Record(
            id=trial.id,
            status="failed",
            reason=reason,
            trial=trial.model_dump(mode="json"),
            study=site.pack.study,
            environment=site.environment(),
            attempts=len(attempts),
            started=now,
            ended=now,
        )
    )


def _last_words(trial: Trial, site: PackSite, attempt: AttemptStart) -> str:
    try:
        log = site.store.read_bytes(f"{site.store.trial(trial.id)}/{attempt.attempt}/log.txt")
    except FileNotFoundError:
        return "none"
    return (log.decode(errors="replace").splitlines() or ["none"])[-1]


def _record(
    trial: Trial,
    site: PackSite,
    attempt: Attempt,
    ending: dict[str, Any],
) -> None:
    """Write the record: from here on the trial exists, and its checkpoint is not needed any more."""
    record = Record.model_validate(
        {
            "id": trial.id,
            "trial": trial.model_dump(mode="json"),
            "study": site.pack.study,
            "environment": site.environment(),
            "attempt": attempt.name,
            "attempts": attempt.number,
            "ended": datetime.now(UTC),
            **ending,
        }
    )
    site.store.end_trial(record)
