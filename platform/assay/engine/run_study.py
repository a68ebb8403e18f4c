"""``run_study``: what is missing from a plan is trained, through Ray Tune and Ray Train.

Records are the only state. Each run looks what is missing, divides it into packs and starts a fresh Tuner
over them; nothing of an earlier run is restored. So running again is always right: after Ctrl-C, after any
kill, after the study was extended. The packs of a search are not known before: they are made as it goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from assay.engine.cluster import cluster, driver_resources
from assay.engine.ending import Ending
from assay.engine.nodes import same_on_all_nodes
from assay.engine.options import EngineOptions, Outcome
from assay.engine.packs import MAX_ATTEMPTS, Content, missing_trials
from assay.engine.ray_connect import briefly, last_line
from assay.engine.run_packs import RunPacks
from assay.engine.stopping import stop_on_request
from assay.engine.tune_manners import no_variables_sent, quiet_tune, signals_of_tune
from assay.storage import Lease, Record, Store
from assay.storage.files import PATIENCE_SECONDS
from assay.storage.method_store import keep_methods
from assay.storage.search_points import known_replicas, with_points
from assay.storage.stop import clear_stop
from assay.study import Plan, Trial
from assay.study.search_rules import pruned_by
from trainables.errors import StorageError

if TYPE_CHECKING:
    from assay.engine.pruning import LocalPruner

__all__ = ["run_study"]

# A killed driver is started again this often for a pack. A trial has MAX_ATTEMPTS of its own.
_DRIVER_RETRIES = 4 * MAX_ATTEMPTS
_RELEASE_SECONDS = 10.0  # for the placement groups on a cluster of others
_PROBLEM_CHARACTERS = 300
_NEWS_SECONDS = 3.0  # that the news of a dead Ray may come later than what Ray says of it


@dataclass(frozen=True)
class _End:
    """End of a Tuner's run."""

    interrupted: bool = False
    lost: str | None = None
    problems: tuple[str, ...] = ()


def run_study(plan: Plan, store: Store, options: EngineOptions) -> Outcome:
    """Train what is missing from ``plan``; returns when nothing remains, or on a signal.

    Args:
        plan: All trials of the study, or the cells in which a search draws them.
        store: Where records lie. A second run of the same study is refused while one is at packs.
        options: Data root, caches, and how to treat failed trials.

    Raises:
        InputError: If the study is running already, the cluster cannot hold a single trial, or one of its
            nodes differs from this one.
        StorageError: If the storage is full, read-only or away; what is finished is kept.
    """
    start = time.monotonic()
    store = store.patient(PATIENCE_SECONDS)
    study = plan.study.study
    with (
        _ending(options) as ending,
        Lease(store, study, say=options.on_message) as lease,
        ending.releasing(lease.__exit__),
    ):
        store = store.fenced(lease.fence)
        keep_methods(store, plan.trainables)
        plan = with_points(plan, store)
        if options.retry_failed:
            _forget_failed(plan, store)
        before = store.records(trial.id for trial in plan.trials) | known_replicas(plan, store)
        end = _train(plan, store, options, before, lease=lease, ending=ending)
        lease.refuse_if_lost()
        plan = with_points(plan, store)
        records = store.records(trial.id for trial in plan.trials)
        plan = options.plan_by_now(plan, records)
        records = {trial.id: records[trial.id] for trial in plan.trials if trial.id in records}
        ending.settle()
    count = [record.status for record in records.values()].count
    remaining = plan.pending_points + len(missing_trials(plan.trials, records))
    in_budget = plan.study.budget is not None and not (end.interrupted or end.lost or end.problems)
    return Outcome(
        finished=count("finished"),
        failed=count("failed"),
        diverged=count("diverged"),
        pruned=count("pruned"),
        missing=0 if in_budget else remaining,
        postponed=remaining if in_budget else 0,
        trained_now=len(records.keys() - before.keys()),
        interrupted=end.interrupted,
        seconds=time.monotonic() - start,
        lost=end.lost,
        problems=end.problems,
    )


def _ending(options: EngineOptions) -> AbstractContextManager[Ending]:
    """The program's own, which it leaves by itself, or one for the run."""
    return Ending() if options.ending is None else nullcontext(options.ending)


def _clear_stops(study: str, missing: Sequence[Trial], store: Store) -> None:
    """Forget requests of earlier runs, those for trials where something lies that is not finished."""
    clear_stop(store, "study", study)
    begun = set(store.trials())
    for trial in missing:
        if trial.id in begun:
            clear_stop(store, "trial", trial.id)


def _forget_failed(plan: Plan, store: Store) -> None:
    for record in store.records(trial.id for trial in plan.trials).values():
        if record.status == "failed":
            store.forget_record(record.id)


def _train(
    plan: Plan,
    store: Store,
    options: EngineOptions,
    before: Mapping[str, Record],
    *,
    lease: Lease,
    ending: Ending,
) -> _End:
    """Train what is not among the records of ``before``."""
    missing = missing_trials(options.plan_by_now(plan, before).trials, before)
    _clear_stops(plan.study.study, missing, store)
    in_flight: set[str] = set()
    search: Iterator[Content | None] | None = None
    if plan.study.search is not None:
        from assay.engine.search_packs import search_packs

        options.on_message("looking at the points so far")
        search = search_packs(plan, store, in_flight)
        first = next(search, None)
        if first is None:
            return _End()
        search = chain([first], search)
    elif not missing:
        return _End()
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
    packs_with = partial(RunPacks, plan, store, options, run, in_flight, before=before)
    if options.local:
        from assay.engine.local import local_slots, train_locally

        places = local_slots(plan.study, options.cpus, options.processes)
        packs = packs_with(slots=lambda: max(1, places))
        packs.fill(missing, search)
        with stop_on_request(store, plan.study.study, lease), ending.work():
            interrupted, problems = train_locally(packs, places, _local_pruner(packs))
        return _End(interrupted=interrupted, problems=problems)
    options.on_message("starting Ray")
    with cluster(options.cpus, ending, options.on_message) as ray_cluster:
        ray_cluster.refuse_if_too_small(plan.study.resources)
        packs = packs_with(slots=ray_cluster.follow(plan.study.resources))
        try:
            if not ray_cluster.local:
                options.on_message("comparing the nodes")
                packs.program = same_on_all_nodes(plan.trainables, store, packs.folder, options.data_root)
            packs.fill(missing, search)
            with stop_on_request(store, plan.study.study, lease):
                return _tune(packs, ending, ray_cluster.has_settings)
        finally:
            if not (ray_cluster.ends_with_us or ending.lost) and plan.study.resources.workers > 1:
                from assay.engine.train import remove_placement_groups, run_prefix

                briefly(lambda: remove_placement_groups(run_prefix(run)), _RELEASE_SECONDS)
            with suppress(StorageError):  # `assay clean` lists what stays
                store.delete_tree(packs.folder)


def _local_pruner(packs: RunPacks) -> LocalPruner | None:
    if pruned_by(packs.plan.study) is None:
        return None
    from assay.engine.pruning import LocalPruner, pruner

    rule = pruner(packs.plan)
    assert rule is not None, "the study has a pruner"
    return LocalPruner(rule, packs.mode, packs.store)


def _tune(packs: RunPacks, ending: Ending, has_settings: bool) -> _End:
    """Run the packs through a fresh Tuner."""
    from ray import tune

    from assay.engine.driver import COMPLETE, PackDriver
    from assay.engine.pruning import RecordingScheduler, pruner
    from assay.engine.searcher import PackSearcher

    stops = pruner(packs.plan)
    recorder = None if stops is None else RecordingScheduler(stops, packs.store)
    # A driver that is kept for the next pack is not cleaned up, and a stopped pack would train on.
    packs.keeps_drivers = stops is None
    searcher = PackSearcher(packs)
    tuner = tune.Tuner(
        tune.with_resources(PackDriver, driver_resources(packs.plan.study.resources)),
        tune_config=tune.TuneConfig(
            metric="value",
            mode=packs.mode,
            num_samples=-1,
            search_alg=searcher,
            scheduler=recorder,
            reuse_actors=packs.keeps_drivers,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=packs.run,
            storage_path=packs.scratch,
            verbose=0,
            # Records are the only state. Tune would keep an empty checkpoint of each driver, and break on it
            # when the storage is full.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=_DRIVER_RETRIES),
        ),
    )
    try:
        with quiet_tune(), signals_of_tune(), no_variables_sent(has_settings), ending.work():
            grid = tuner.fit()
    except KeyboardInterrupt:
        return _End(interrupted=ending.lost is None or ending.interrupted, lost=ending.lost)
    except Exception as error:
        if ending.came_within(_NEWS_SECONDS):  # what Tune says then is a consequence
            return _End(interrupted=ending.interrupted, lost=ending.lost)
        if not isinstance(error, OSError | EOFError | tune.TuneError):
            raise
        _refuse_unusable(packs.store, searcher.storage_trouble)
        raise
    finally:
        with suppress(StorageError):
            packs.store.delete_tree(f".tune/{packs.run}")
    if ending.lost is not None:
        return _End(interrupted=ending.interrupted, lost=ending.lost)
    if searcher.storage_trouble or grid.errors:
        _refuse_unusable(packs.store, searcher.storage_trouble)
    ended = sum(bool((result.metrics or {}).get(COMPLETE)) for result in grid)
    stopped = recorder.stopped if recorder is not None else 0
    return _End(
        # Tune swallows Ctrl-C and returns: packs that neither ended nor broke were interrupted, and so were
        # those that were not handed out.
        interrupted=not searcher.over or ended + stopped + len(grid.errors) < packs.written,
        problems=tuple(dict.fromkeys(last_line(error)[:_PROBLEM_CHARACTERS] for error in grid.errors)),
    )


def _refuse_unusable(store: Store, trouble: str | None) -> None:
    """Say what is wrong with the storage: Tune keeps files there, and says it less plainly, if at all.

    Raises:
        StorageError: If something was, or is.
    """
    if trouble is not None:
        raise StorageError(trouble)
    store.probe()
