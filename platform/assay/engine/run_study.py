"""``run_study``: what is missing from a plan is trained, through Ray Tune and Ray Train.

Records are the only state. Each run looks what is missing, divides it into packs and starts a fresh Tuner
over them; nothing of an earlier run is restored. So running again is always right: after Ctrl-C, after any
kill, after the study was extended. The packs of a search are not known before: they are made as it goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from assay.engine.budget import TimeBudget, budget_packs, cell_seconds
from assay.engine.cluster import cluster, driver_resources
from assay.engine.ending import Ending
from assay.engine.limits import LimitsByNow
from assay.engine.nodes import same_on_all_nodes
from assay.engine.options import EngineOptions, Outcome
from assay.engine.packs import (
    MAX_ATTEMPTS,
    Content,
    Pack,
    StageTask,
    missing_trials,
    packs_as_asked,
    packs_beside_stages,
    packs_of_rounds,
    stage_packs,
)
from assay.engine.ray_connect import briefly
from assay.engine.stopping import stop_on_request
from assay.engine.tune_manners import in_a_line, no_variables_sent, quiet_tune, signals_of_tune
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

__all__ = ["EngineOptions", "Outcome", "run_study"]

# A killed driver is started again this often for a pack. A trial has MAX_ATTEMPTS of its own.
_DRIVER_RETRIES = 4 * MAX_ATTEMPTS
_IDLE_SECONDS = 60.0  # that workers wait for their next pack: meanwhile their cores are nobody else's
_RELEASE_SECONDS = 10.0  # for the placement groups on a cluster of others
_NEWS_SECONDS = 3.0  # that the news of a dead Ray may come later than what Ray says of it
_HEARTBEAT_SECONDS = 2.0  # within which a driver answers Tune, and so hears Ctrl-C,
_HEARTBEATS = 100  # of all drivers in a second, at most: Tune takes in a few hundred


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
        store: Where records lie. A second run of the same study is refused while one is at work.
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
    new_work = partial(_Work, plan, store, options, run, in_flight, before=before)
    if options.local:
        from assay.engine.local import local_slots, train_locally

        places = local_slots(plan.study, options.cpus, options.processes)
        work = new_work(slots=lambda: max(1, places))
        work.hand_out(missing, search)
        with stop_on_request(store, plan.study.study, lease), ending.work():
            interrupted, problems = train_locally(
                work.packs, work.pack_of, store, in_flight, places, pruner=_local_pruner(work)
            )
        return _End(interrupted=interrupted, problems=problems)
    options.on_message("starting Ray")
    with cluster(options.cpus, ending, options.on_message) as ray_cluster:
        ray_cluster.refuse_if_too_small(plan.study.resources)
        slots = ray_cluster.follow(plan.study.resources)
        work = new_work(slots=slots)
        try:
            if not ray_cluster.local:
                options.on_message("comparing the nodes")
                work.program = same_on_all_nodes(plan.trainables, store, work.folder, options.data_root)
            work.hand_out(missing, search)
            with stop_on_request(store, plan.study.study, lease):
                return _tune(work, ending, ray_cluster.has_settings)
        finally:
            if not (ray_cluster.ends_with_us or ending.lost) and plan.study.resources.workers > 1:
                from assay.engine.train import remove_placement_groups, run_prefix

                briefly(lambda: remove_placement_groups(run_prefix(run)), _RELEASE_SECONDS)
            with suppress(StorageError):  # `assay clean` lists what stays
                store.delete_tree(work.folder)


def _local_pruner(work: _Work) -> LocalPruner | None:
    if pruned_by(work.plan.study) is None:
        return None
    from assay.engine.pruning import LocalPruner, pruner

    rule = pruner(work.plan)
    assert rule is not None, "the study has a pruner"
    return LocalPruner(rule, work.mode, work.store)


def _round_packs(work: _Work, missing: list[Trial], seconds: float = 0.0) -> Iterator[Content | None]:
    """The packs of what is missing, shared stages first; ``seconds`` of a budget are spent."""
    return chain(_stages_first(work, missing), _plan_packs(work, missing, seconds))


def _plan_packs(work: _Work, missing: Sequence[Trial], seconds: float) -> Iterator[Sequence[Trial] | None]:
    """The packs of a plan as they are asked for, or round by round under a budget."""
    plan, say = work.plan, work.options.on_message
    size, total = plan.study.resources.pack, len(plan.trials)
    if plan.study.budget is None:
        at_once = min(work.slots(), len(missing))
        say(f"{len(missing)} of {total} trials to train, up to {at_once} packs at a time")
        return packs_as_asked(missing, size, work.slots)
    hours = plan.study.budget.hours
    say(f"{len(missing)} of {total} trials to train, seed by seed, within {hours:g} h")
    ids = [trial.id for trial in plan.trials]
    return budget_packs(
        missing,
        TimeBudget(hours * 3600 - seconds, work.slots, size),
        lambda: cell_seconds(plan.trials, work.store.records(ids)),
        work.in_flight,
        say,
    )


def _stages_first(work: _Work, missing: list[Trial]) -> Iterator[Content | None]:
    """The stages that missing trials share, and until they are over trials that wait for none of them.

    Those are taken out of ``missing``. Under a budget trials come round by round, so none goes ahead.
    """
    packs = stage_packs(missing, work.store, max(1, work.slots()))
    if not packs:
        return
    tasks = [task for pack in packs for task in pack]
    work.options.on_message(f"{len(tasks)} stages that trials share come first")
    yield from packs
    free = missing if work.plan.study.budget is None else []
    yield from packs_beside_stages(free, tasks, work.in_flight, work.plan.study.resources.pack, work.slots)


def _format_search(plan: Plan, missing: Sequence[Trial], slots: int) -> str:
    assert plan.study.search is not None
    at_once = min(slots, plan.study.search.batch * len(plan.searched))
    done = len(plan.trials) - len(missing)
    return f"{done} of {plan.size} trials of the search are trained, up to {at_once} packs at a time"


@dataclass
class _Work:
    """One run's work: the packs as they come, and how each is written for its driver."""

    plan: Plan
    store: Store
    options: EngineOptions
    run: str
    in_flight: set[str]
    slots: Callable[[], int]  # packs that can train at once, as of now
    packs: Iterator[Content | None] = field(default_factory=lambda: iter(()))
    program: dict[str, str] = field(default_factory=dict)  # what workers' must be; empty: not compared
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    written: int = 0
    keeps_drivers: bool = True  # for the next pack, and their workers with them
    before: Mapping[str, Record] = field(default_factory=dict[str, Record])  # that this run began with

    @cached_property
    def _limits(self) -> LimitsByNow:
        return LimitsByNow(self.plan.study.resources, self.store, self.before.values())

    @property
    def folder(self) -> str:
        """Folder of what this run writes for drivers and workers; deleted at the end."""
        return f"{self.store.study(self.plan.study.study)}/packs/{self.run}"

    @property
    def scratch(self) -> str:
        """Tune's own folder: deleted at the end, a new one for each run, on storage that all nodes see."""
        path, mark, query = self.store.uri.partition("?")  # an object store's options follow its path
        return f"{path.rstrip('/')}/.tune/{self.run}{mark}{query}"

    @property
    def mode(self) -> str:
        search = self.plan.study.search
        return "max" if search is None or search.objective.sign == 1 else "min"

    def hand_out(self, missing: list[Trial], search: Iterator[Content | None] | None) -> None:
        """Say what is trained, in which order: what is missing of a plan, or a search."""
        if search is not None:
            self.packs = search
            self.options.on_message(_format_search(self.plan, missing, self.slots()))
        elif self.plan.study.repeats.decide:
            began = time.monotonic()
            self.packs = packs_of_rounds(
                self._missing_now,
                lambda trials: _round_packs(self, trials, time.monotonic() - began),
                self.in_flight,
            )
        else:
            self.packs = _round_packs(self, missing)

    def _missing_now(self) -> list[Trial]:
        records = self.store.records(trial.id for trial in self.plan.trials)
        return missing_trials(self.options.plan_by_now(self.plan, records).trials, records)

    def pack_of(self, content: Content) -> Pack:
        """The next pack, of trials or of stages."""
        study = self.plan.study
        trials = [trial for trial in content if isinstance(trial, Trial)]
        stages = [task for task in content if isinstance(task, StageTask)]
        fresh = bool(trials and study.replicate is not None and trials[0].seed in study.replicate.seeds)
        self.written += 1
        return Pack(
            id=f"{self.written - 1:04d}",
            study=study.study,
            run=self.run,
            started=self.started,
            trials=tuple(trials),
            stages=tuple(stages),
            **study.resources.model_dump(include={"workers", "min_workers", "cpus", "gpus"}),
            keep_models=study.keep.models != "none",
            probes=study.keep.probes,
            primary=study.metrics.primary,
            objective=study.metrics.primary if study.search is None else study.search.objective.metric,
            times_models=study.search is not None and study.search.times_models,
            exports_models=study.search is not None and study.search.exports_models,
            # A winner on fresh seeds is trained to its end, whatever the seeds before it were worth.
            resource="none" if fresh else "epochs" if pruned_by(study) == "epochs" else "repeats",
            data_root=str(self.options.data_root.resolve()) if self.options.data_root else None,
            cache=str(self.options.cache.resolve()),
            limits=self._limits.of_pack(trial.id for trial in trials),
            program=self.program,
            trainables=self.plan.trainables,
            fence=self.store.fence.note if self.store.fence is not None else None,
        )

    def write_folder(self, content: Content) -> dict[str, Any]:
        """Write a pack of trials or of stages; returns the config of its driver."""
        pack = self.pack_of(content)
        pack.write(self.store)
        return {
            "storage": self.store.uri,
            "pack": pack.path,
            "scratch": self.scratch,
            "idle_seconds": _IDLE_SECONDS if self.keeps_drivers else 0.0,
            "watched": not self.keeps_drivers,
            "heartbeat_seconds": max(_HEARTBEAT_SECONDS, self.slots() / _HEARTBEATS),
        }


def _tune(work: _Work, ending: Ending, has_settings: bool) -> _End:
    """Run the packs through a fresh Tuner."""
    from ray import tune

    from assay.engine.driver import COMPLETE, PackDriver
    from assay.engine.pruning import RecordingScheduler, pruner
    from assay.engine.searcher import PackSearcher

    stops = pruner(work.plan)
    recorder = None if stops is None else RecordingScheduler(stops, work.store)
    # A driver that is kept for the next pack is not cleaned up, and a stopped pack would train on.
    work.keeps_drivers = stops is None
    searcher = PackSearcher(work.packs, work.write_folder, work.in_flight, work.mode, work.slots)
    tuner = tune.Tuner(
        tune.with_resources(PackDriver, driver_resources(work.plan.study.resources)),
        tune_config=tune.TuneConfig(
            metric="value",
            mode=work.mode,
            num_samples=-1,
            search_alg=searcher,
            scheduler=recorder,
            reuse_actors=work.keeps_drivers,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=work.run,
            storage_path=work.scratch,
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
        _refuse_unusable(work.store, searcher.storage_trouble)
        raise
    finally:
        with suppress(StorageError):
            work.store.delete_tree(f".tune/{work.run}")
    if ending.lost is not None:
        return _End(interrupted=ending.interrupted, lost=ending.lost)
    if searcher.storage_trouble or grid.errors:
        _refuse_unusable(work.store, searcher.storage_trouble)
    ended = sum(bool((result.metrics or {}).get(COMPLETE)) for result in grid)
    stopped = recorder.stopped if recorder is not None else 0
    return _End(
        # Tune swallows Ctrl-C and returns: packs that neither ended nor broke were interrupted, and so were
        # those that were not handed out.
        interrupted=not searcher.over or ended + stopped + len(grid.errors) < work.written,
        problems=tuple(dict.fromkeys(in_a_line(error) for error in grid.errors)),
    )


def _refuse_unusable(store: Store, trouble: str | None) -> None:
    """Say what is wrong with the storage: Tune keeps files there, and says it less plainly, if at all.

    Raises:
        StorageError: If something was, or is.
    """
    if trouble is not None:
        raise StorageError(trouble)
    store.probe()
