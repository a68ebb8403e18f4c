"""The packs of one run: what they hold, in which order, and how each is written for its driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from typing import Any

from assay.engine.budget import TimeBudget, budget_packs, cell_seconds
from assay.engine.limits import LimitsByNow
from assay.engine.options import EngineOptions
from assay.engine.packs import (
    Content,
    Pack,
    StageTask,
    missing_trials,
    packs_as_asked,
    packs_beside_stages,
    packs_of_rounds,
    stage_packs,
)
from assay.storage import Record, Store
from assay.storage.plans import own_records
from assay.study import Plan, Trial
from assay.study.names import counted
from assay.study.search_rules import pruned_by

__all__ = ["RunPacks"]

_IDLE_SECONDS = 60.0  # that workers wait for their next pack: meanwhile their cores are nobody else's
_HEARTBEAT_SECONDS = 2.0  # within which a driver answers Tune, and so hears Ctrl-C,
_HEARTBEATS = 100  # of all drivers in a second, at most: Tune takes in a few hundred


@dataclass
class RunPacks:
    """The packs of one run, as they come."""

    plan: Plan
    store: Store
    options: EngineOptions
    run: str
    in_flight: set[str]  # ids of what was handed out and is not over
    missing: list[Trial] = field(default_factory=list[Trial])
    search: Iterator[Content | None] | None = None  # its packs, where the study is one
    before: Mapping[str, Record] = field(default_factory=dict[str, Record])  # that this run began with
    slots: Callable[[], int] = lambda: 1  # packs that can train at once, as of now
    contents: Iterator[Content | None] = field(default_factory=lambda: iter(()))  # None: it waits for others
    program: dict[str, str] = field(default_factory=dict)  # what workers' must be; empty: not compared
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    written: int = 0
    keeps_drivers: bool = True  # for the next pack, and their workers with them

    @cached_property
    def _limits(self) -> LimitsByNow:
        return LimitsByNow(self.plan.study.resources, self.store, self.before.values())

    @cached_property
    def _time_budget(self) -> TimeBudget:
        """The time of all rounds and their stages: it begins with the first one."""
        budget = self.plan.study.budget
        assert budget is not None, "the study has one"
        return TimeBudget(budget.hours * 3600, self.slots, self.plan.study.resources.pack)

    @property
    def left_out(self) -> frozenset[str]:
        """Ids of the trials for which the study's time budget has no room."""
        return frozenset(self._time_budget.left_out) if self.plan.study.budget is not None else frozenset()

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
        """``max`` or ``min``: which values are better, for a pruner."""
        search = self.plan.study.search
        return "max" if search is None or search.objective.sign == 1 else "min"

    def fill(self) -> None:
        """Say what is trained, in which order, once ``slots`` are known: what is missing, or a search."""
        if self.search is not None:
            self.contents = self.search
            self._tell_of_search()
        elif self.plan.study.repeats.decide:
            self.contents = packs_of_rounds(self._missing_now, self._round, self.in_flight)
        else:
            self.contents = self._round(self.missing)

    def _tell_of_search(self) -> None:
        plan, search = self.plan, self.plan.study.search
        assert search is not None, "there is a search"
        at_once = min(self.slots(), search.batch * len(plan.searched))
        done = len(plan.trials) - len(self.missing)
        places = f"up to {counted(at_once, 'pack')} at a time"
        self.options.on_message(f"{done} of {plan.size} trials of the search are trained, {places}")

    def _missing_now(self) -> list[Trial]:
        records = own_records(self.plan, self.store)
        return missing_trials(self.options.plan_by_now(self.plan, records).trials, records)

    def _round(self, missing: list[Trial]) -> Iterator[Content | None]:
        """The packs of what is missing, shared stages first."""
        return chain(self.stages_first(missing), self._of_plan(missing))

    def stages_first(self, missing: list[Trial]) -> Iterator[Content | None]:
        """The stages that missing trials share, and until they are over trials that wait for none of them.

        Those are taken out of ``missing``. Under a budget trials come round by round, so none goes ahead.
        """
        packs = stage_packs(missing, self.store, max(1, self.slots()))
        if not packs:
            return
        tasks = [task for pack in packs for task in pack]
        come = "comes" if len(tasks) == 1 else "come"
        self.options.on_message(f"{counted(len(tasks), 'stage')} that trials share {come} first")
        yield from packs
        study = self.plan.study
        free = missing if study.budget is None else []
        yield from packs_beside_stages(free, tasks, self.in_flight, study.resources.pack, self.slots)

    def _of_plan(self, missing: Sequence[Trial]) -> Iterator[Sequence[Trial] | None]:
        """The packs of a plan as they are asked for, or round by round under a budget."""
        plan, say = self.plan, self.options.on_message
        size, total = plan.study.resources.pack, len(plan.trials)
        if plan.study.budget is None:
            at_once = min(self.slots(), len(missing))
            say(f"{len(missing)} of {total} trials to train, up to {counted(at_once, 'pack')} at a time")
            return packs_as_asked(missing, size, self.slots)
        hours = plan.study.budget.hours
        say(f"{len(missing)} of {total} trials to train, seed by seed, within {hours:g} h")
        ids = [trial.id for trial in plan.trials]
        return budget_packs(
            missing,
            self._time_budget,
            lambda: cell_seconds(plan.trials, self.store.records(ids)),
            self.in_flight,
            say,
        )

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
            # A winner on fresh seeds is trained to its end, whatever the seeds before it were worth.
            resource="none" if fresh else pruned_by(study) or "none",
            data_root=str(self.options.data_root.resolve()) if self.options.data_root else None,
            cache=str(self.options.cache.resolve()),
            limits=self._limits.of_pack(trial.id for trial in trials),
            program=self.program,
            trainables=self.plan.trainables,
            lease=self.store.lease,
        )

    def write_folder(self, content: Content) -> dict[str, Any]:
        """Write a pack of trials or of stages; returns the config of its driver."""
        pack = self.pack_of(content)
        pack.write(self.store)
        return {
            "storage": self.store.uri,
            "pack": pack.path,
            "contest": pack.contest,
            "scratch": self.scratch,
            "idle_seconds": _IDLE_SECONDS if self.keeps_drivers else 0.0,
            "watched": not self.keeps_drivers,
            "heartbeat_seconds": max(_HEARTBEAT_SECONDS, self.slots() / _HEARTBEATS),
        }
