"""The Train worker: trains the trials of a pack one after the other, and records each.

Every rank runs :func:`train_pack`. A trial with a record is skipped; one with a checkpoint goes on from it.
Rank 0 evaluates and writes the record, last of all. What goes wrong in one trial is that trial's record
(diverged, failed), and the pack goes on; what goes wrong with the machine (memory, disk, a killed process)
is an attempt without a record, and is tried again.
"""

from __future__ import annotations

import errno
import traceback
from datetime import UTC, datetime
from typing import Any

import torch
import torch.distributed as dist

from assay.engine.packs import Pack
from assay.engine.run import Stopped, TrainRun
from assay.engine.trial import Place, Timer, fit_and_evaluate
from assay.results import Attempt, Record, Store
from assay.study import Trial
from trainables.errors import Diverged, InputError

__all__ = ["MAX_ATTEMPTS", "StorageFullError", "train_pack"]

MAX_ATTEMPTS = 4  # a trial is tried again three times before it is failed
_ERROR_CHARACTERS = 4000


class StorageFullError(OSError):
    """The storage has no room left: the study stops, and says so."""


def train_pack(config: dict[str, Any]) -> None:
    """Train loop of one Ray Train worker. ``config``: storage, path of the pack, the driver's pid."""
    import ray
    import ray.train
    import ray.train.torch

    store = Store(config["storage"])
    pack = Pack.read(store, config["pack"])
    torch.set_num_threads(pack.cpus)  # bit-identical results on a CPU need a fixed number of threads
    context = ray.train.get_context()
    place = Place(
        pack,
        store,
        context.get_world_rank(),
        context.get_world_size(),
        ray.get_runtime_context().get_node_id(),
        config["driver_pid"],
        ray.train.torch.get_device(),
    )
    for trial in pack.trials:
        if store.record(trial.id) is None:
            _train_trial(trial, place)
        if place.world_size > 1:
            dist.barrier()


def _train_trial(trial: Trial, place: Place) -> None:
    """One attempt at one trial; ends with a record, or with an exception that is the machine's fault."""
    started = datetime.now(UTC)
    attempt = _begin(trial, place)
    if attempt is None:
        return
    timer = Timer()
    run = TrainRun(
        trial,
        place.pack.study,
        place.store,
        attempt,
        device=place.device,
        rank=place.rank,
        world_size=place.world_size,
    )
    ending: dict[str, Any]
    failure: BaseException | None = None
    try:
        ending = fit_and_evaluate(trial, place, run, attempt, timer)
    except Stopped:
        return
    except (Diverged, FloatingPointError) as error:
        ending, failure = {"status": "diverged", "reason": str(error)}, error
    except (MemoryError, torch.OutOfMemoryError):
        run.note(f"out of memory:\n{traceback.format_exc()}")
        raise
    except OSError as error:
        run_log = f"{type(error).__name__}: {error}"
        if error.errno == errno.ENOSPC:
            raise StorageFullError(error.errno, f"no room left while writing trial {trial.id}") from error
        run.note(run_log)
        raise
    except Exception as error:  # noqa: BLE001 - recorded with its traceback, never swallowed
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        ending = {"status": "failed", "reason": reason, "error": traceback.format_exc()[-_ERROR_CHARACTERS:]}
        failure = error
    if failure is not None:
        run.note(f"{ending['status']}: {ending['reason']}\n{traceback.format_exc()}".rstrip())
    if place.rank == 0 or failure is not None:
        _record(trial, place, attempt, {**ending, "started": started, "timings": timer.seconds})
    if failure is not None and place.world_size > 1:
        raise failure  # the other ranks wait in a collective: Train starts all anew, and skips this trial


def _begin(trial: Trial, place: Place) -> Attempt | None:
    """Note the attempt (rank 0, told to the others); None when the trial has had all its attempts."""
    answer: list[Attempt | None] = [None]
    if place.rank == 0:
        since = place.pack.started
        before = [a for a in place.store.attempts(trial.id) if a.started >= since]
        if len(before) < MAX_ATTEMPTS:
            answer = [place.store.begin_attempt(trial.id, place.environment())]
        else:
            _give_up(trial, place, [f"{a.attempt} on {a.host}, pid {a.pid}" for a in before])
    if place.world_size > 1:
        dist.broadcast_object_list(answer, src=0)
    return answer[0]


def _give_up(trial: Trial, place: Place, attempts: list[str]) -> None:
    reason = (
        f"its worker died in {len(attempts)} attempts (killed, out of memory or node lost): "
        f"{'; '.join(attempts)}. Give it more memory or a smaller batch, then `assay run --retry failed`."
    )
    now = datetime.now(UTC)
    place.store.write_record(
        Record(
            id=trial.id,
            status="failed",
            reason=reason,
            trial=trial.model_dump(mode="json"),
            study=place.pack.study,
            environment=place.environment(),
            attempts=len(attempts),
            started=now,
            ended=now,
        )
    )


def _record(
    trial: Trial,
    place: Place,
    attempt: Attempt,
    ending: dict[str, Any],
) -> None:
    """Write the record: from here on the trial exists, and its checkpoint is not needed any more."""
    store = place.store
    record = Record.model_validate(
        {
            "id": trial.id,
            "trial": trial.model_dump(mode="json"),
            "study": place.pack.study,
            "environment": place.environment(),
            "attempt": attempt.name,
            "attempts": attempt.number,
            "ended": datetime.now(UTC),
            **ending,
        }
    )
    store.write_record(record)
    for leftover in ("checkpoint.safetensors", "progress.json"):
        store.delete_tree(f"{store.trial(trial.id)}/{leftover}")
