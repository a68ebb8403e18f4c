"""A study is held by one run, which trains what is missing, on Ray (``on_ray/``) or without (``local.py``).

Records are the only state. Each run looks what is missing and divides it into batches; nothing of an earlier
run is restored. So running again is always right: after Ctrl-C, after any kill, after the study was extended.
The batches of a search are not known before: they are made as it goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from assay.engine.interrupts import Ending, stop_on_request
from assay.engine.options import End, EngineOptions, Outcome
from assay.engine.order import RunBatches
from assay.engine.trial_batch import missing_trials
from assay.storage import Lease, Record, Store
from assay.storage.files.files import PATIENCE_SECONDS
from assay.storage.lease import clear_stop
from assay.storage.method_store import keep_methods
from assay.storage.plans import own_records
from assay.storage.search_points import known_replicas, with_points
from assay.study import Plan, SearchPlan, Trial
from assay.study.file.schema import Budget

__all__ = ["HeldStudy", "hold_study", "train_missing"]


class HeldStudy(NamedTuple):
    """A study that this run holds: no other one writes it meanwhile."""

    store: Store  # patient with a storage that is away
    lease: Lease
    ending: Ending


@contextmanager
def hold_study(
    store: Store, study: str, options: EngineOptions, say: Callable[[str], None] | None = None
) -> Generator[HeldStudy]:
    """Hold a study for the length of a ``with`` block: first of all, before anything of it is written.

    Args:
        store: Where it lies.
        study: Its name.
        options: Whose ``ending`` ends the run on a signal; without one a run has its own.
        say: Is called with what a user should know of an earlier holder or of the storage.

    Raises:
        InputError: If another run of the study is alive.
        StorageError: If the storage is full, read-only or away.
    """
    store.swaps.prove()  # a storage that is away is refused at once; later it is waited for
    store = store.patient(PATIENCE_SECONDS)

    # Signals are watched from before the lease is taken. Should the process have to be ended, the lease is
    # released first.
    with (
        _ending(options) as ending,
        Lease(store, study, say=say or options.on_message) as lease,
        ending.releasing(lease.__exit__),
    ):
        store = store.for_run(lease.token)
        clear_stop(store, "study", study)  # one that was meant for an earlier run
        yield HeldStudy(store, lease, ending)


def train_missing(
    plan: Plan, held: HeldStudy, options: EngineOptions, begun: Callable[[], None] = lambda: None
) -> Outcome:
    """Train what is missing from ``plan``; returns when nothing remains, or on a signal.

    Args:
        plan: All trials of the study, or the cells in which a search draws them.
        held: The study.
        options: Data root, caches, and how to treat failed trials.
        begun: Is called before anything trains; an interrupt of it is one of the run.

    Raises:
        InputError: If the cluster cannot hold a single trial, or one of its nodes differs from this one.
        StorageError: If the storage is full, read-only or away; what is finished is kept.
    """
    start = time.monotonic()
    store, lease, ending = held
    plan = _within_hours(plan, options.hours)
    before: Mapping[str, Record] | None = None
    try:
        # `assay stop` is heard from here on: Ray may take minutes to start, and a search to plan.
        with stop_on_request(store, plan.study.study, lease):
            begun()
            keep_methods(store, plan.trainables)
            plan = with_points(plan, store)
            if options.retry_failed:
                _forget_failed(plan, store)
            before = own_records(plan, store) | known_replicas(plan, store)
            end = _train(plan, store, options, before, ending=ending)
            if plan.study.conditions and not (end.interrupted or end.lost):
                from assay.engine.conditions import evaluate_stored  # loads torch

                with ending.work():
                    evaluate_stored(plan, store, options)
    except KeyboardInterrupt:
        end = End(interrupted=True)

    # If another run has taken the study over, what lies there now is not what this one did.
    lease.refuse_if_lost()

    # Everything is read anew: a search has drawn points meanwhile, and what counts is what lies on the
    # storage.
    plan = with_points(plan, store)
    records = own_records(plan, store)
    plan = options.plan_by_now(plan, records)
    records = {trial.id: records[trial.id] for trial in plan.trials if trial.id in records}
    ending.settle()

    count = [record.status for record in records.values()].count

    # Trials that a budget left out are an ordinary end. Where the run broke off, they are missing like all
    # others.
    remaining = missing_trials(plan.trials, records)
    postponed = [trial for trial in remaining if trial.id in end.left_out]
    if end.interrupted or end.lost or end.problems:
        postponed = []
    return Outcome(
        finished=count("finished"),
        failed=count("failed"),
        diverged=count("diverged"),
        pruned=count("pruned"),
        missing=plan.size - len(plan.trials) + len(remaining) - len(postponed),
        postponed=len(postponed),
        trained_now=0 if before is None else len(records.keys() - before.keys()),
        interrupted=end.interrupted,
        seconds=time.monotonic() - start,
        lost=end.lost,
        problems=end.problems,
    )


def _within_hours(plan: Plan, hours: float | None) -> Plan:
    """The plan under the budget of its run; what is stored keeps the study's own."""
    if hours is None:
        return plan
    study = plan.study
    least = min(hours, study.budget.hours) if study.budget else hours
    return plan.model_copy(update={"study": study.model_copy(update={"budget": Budget(hours=least)})})


def _ending(options: EngineOptions) -> AbstractContextManager[Ending]:
    """Return the program's own ending, which the program leaves by itself, or make one for the run."""
    return Ending() if options.ending is None else nullcontext(options.ending)


def _clear_stops(missing: Sequence[Trial], store: Store) -> None:
    """Forget requests to earlier runs for trials where something lies that is not finished."""
    begun = set(store.trials())
    for trial in missing:
        if trial.id in begun:
            clear_stop(store, "trial", trial.id)


def _forget_failed(plan: Plan, store: Store) -> None:
    for record in store.records(trial.id for trial in plan.trials).values():
        if record.status == "failed":
            store.forget_record(record.id, "failed")


def _train(
    plan: Plan,
    store: Store,
    options: EngineOptions,
    before: Mapping[str, Record],
    *,
    ending: Ending,
) -> End:
    """Train what is not among the records of ``before``."""
    missing = missing_trials(options.plan_by_now(plan, before).trials, before)
    _clear_stops(missing, store)
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
    if isinstance(plan, SearchPlan):
        from assay.engine.search.search_batches import SearchBatches  # loads Optuna

        batches = SearchBatches(plan, store, options, run, missing=missing, before=before)
    else:
        batches = RunBatches(plan, store, options, run, missing=missing, before=before)

    # Without anything to train Ray is not started.
    if not batches.begin():
        return End()
    if options.local:
        from assay.engine.local import train_locally

        end = train_locally(batches, ending)
    else:
        from assay.engine.on_ray.tune_run import train_on_ray

        end = train_on_ray(batches, ending)
    return replace(end, left_out=batches.left_out)
