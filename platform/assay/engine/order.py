"""The order of a run's trials: what is handed out at once, and what comes first.

Stages that trials share come first, and beside them trials that wait for none. Then come the trials in the
plan's order; under a time budget seed by seed, so that all cells end with the same seeds; with
``repeats.decide`` in rounds, each of which depends on the records of the one before. :class:`RunBatches` puts
these together for one run. The order of a search is ``search/search_batches.py``'s. No Ray here.

No trial waits for another and nothing is locked. A shared stage that goes wrong is left to the trials that
need it: they fail in the same way, and their records say so.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from math import ceil
from typing import Any

from assay.engine.durations import LimitsByNow, cell_seconds
from assay.engine.options import EngineOptions
from assay.engine.trial_batch import BatchRun, BatchTasks, StageTask, TrialBatch, missing_trials
from assay.storage import Record, Store
from assay.storage.plans import own_records
from assay.storage.stage_store import made_stages
from assay.study import Plan, Trial
from assay.study.names import counted
from assay.study.planning.stage_graph import shared_first, stage_graph

__all__ = [
    "RunBatches",
    "TimeBudget",
    "batches_during_stages",
    "batches_of_rounds",
    "batches_on_demand",
    "budget_batches",
    "stage_batches",
]

# A batch of fifty spreads its start, some seconds, over fifty trials, also quick ones.
_LARGEST_AUTO_BATCH = 50
_SHARES = 2  # of what is left, per slot: nobody knows what a trial takes, and the last batches are small then
_STAGE_BATCHES = 4  # per slot, for the same reason
_ANSWER_SECONDS = 2.0  # within which a driver answers Tune, and so hears Ctrl-C,
_ANSWERS = 100  # of all drivers in a second, at most: Tune takes in a few hundred


@dataclass
class RunBatches:
    """The batches of one run, as they come."""

    plan: Plan
    store: Store
    options: EngineOptions
    run: str
    in_flight: set[str] = field(default_factory=set[str])  # ids of what was handed out and is not over
    missing: list[Trial] = field(default_factory=list[Trial])
    before: Mapping[str, Record] = field(default_factory=dict[str, Record])  # that this run began with
    slots: Callable[[], int] = lambda: 1  # batches that can train at once, as of now
    upcoming: Iterator[BatchTasks | None] = field(
        default_factory=lambda: iter(())
    )  # None: it waits for others
    program: dict[str, str] = field(default_factory=dict)  # what workers' must be; empty: not compared
    written: int = 0
    watched: bool = False  # a pruner hears of each record and epoch

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
    def _batch_run(self) -> BatchRun:
        return BatchRun(
            id=self.run,
            study=self.plan.study.study,
            data_root=str(self.options.data_root.resolve()) if self.options.data_root else None,
            cache=str(self.options.cache.resolve()),
            program=self.program,
            lease=self.store.lease,
        )

    @property
    def folder(self) -> str:
        """Folder of what this run writes for drivers and workers; deleted at the end."""
        return self._batch_run.folder

    @property
    def scratch(self) -> str:
        """Tune's own folder: deleted at the end, a new one for each run, on storage that all nodes see."""
        path, mark, query = self.store.uri.partition("?")  # an object store's options follow its path
        return f"{path.rstrip('/')}/.tune/{self.run}{mark}{query}"

    @property
    def mode(self) -> str:
        """``max`` or ``min``: which values of the objective are better, for a pruner."""
        objectives = self.plan.objectives
        return "min" if objectives and objectives[0].sign < 0 else "max"

    def begin(self) -> bool:
        """Tell whether there is anything to train."""
        return bool(self.missing)

    def fill(self) -> None:
        """Say what is trained, in which order, once ``slots`` are known."""
        if self.plan.study.repeats.decide:
            self.upcoming = batches_of_rounds(self._missing_now, self._round, self.in_flight)
        else:
            self.upcoming = self._round(self.missing)

    def _missing_now(self) -> list[Trial]:
        records = own_records(self.plan, self.store)
        return missing_trials(self.options.plan_by_now(self.plan, records).trials, records)

    def _round(self, missing: list[Trial]) -> Iterator[BatchTasks | None]:
        """The batches of what is missing, shared stages first."""
        return chain(self.stages_first(missing), self._plan_batches(missing))

    def stages_first(self, missing: list[Trial]) -> Iterator[BatchTasks | None]:
        """The stages that missing trials share, and until they are over trials that wait for none of them.

        Those are taken out of ``missing``. Under a budget trials come round by round, so none goes ahead.
        """
        batches = stage_batches(missing, self.store, max(1, self.slots()))
        if not batches:
            return
        tasks = [task for batch in batches for task in batch]
        come = "comes" if len(tasks) == 1 else "come"
        self.options.on_message(f"{counted(len(tasks), 'stage')} that trials share {come} first")
        yield from batches
        study = self.plan.study
        free = missing if study.budget is None else []
        yield from batches_during_stages(free, tasks, self.in_flight, study.resources.pack, self.slots)

    def _plan_batches(self, missing: Sequence[Trial]) -> Iterator[Sequence[Trial] | None]:
        """The batches of a plan as they are asked for, or round by round under a budget."""
        plan, say = self.plan, self.options.on_message
        size, total = plan.study.resources.pack, len(plan.trials)
        if plan.study.budget is None:
            at_once = min(self.slots(), len(missing))
            say(f"{len(missing)} of {total} trials to train, up to {counted(at_once, 'batch')} at a time")
            return batches_on_demand(missing, size, self.slots)

        # Under a budget trials come seed by seed, as long as the next round can end in time.
        hours = plan.study.budget.hours
        say(f"{len(missing)} of {total} trials to train, seed by seed, within {hours:g} h")
        ids = [trial.id for trial in plan.trials]
        return budget_batches(
            missing,
            self._time_budget,
            lambda: cell_seconds(plan.trials, self.store.records(ids)),
            self.in_flight,
            say,
        )

    def make_batch(self, tasks: BatchTasks) -> TrialBatch:
        """The next batch, of trials or of stages."""
        trials = tuple(trial for trial in tasks if isinstance(trial, Trial))
        stages = tuple(task for task in tasks if isinstance(task, StageTask))
        limits = self._limits.limits_of_batch(trial.id for trial in trials)
        self.written += 1
        return TrialBatch(f"{self.written - 1:04d}", self._batch_run, self.plan, trials, stages, limits)

    def write_folder(self, tasks: BatchTasks) -> dict[str, Any]:
        """Write a batch of trials or of stages; returns the config of its driver."""
        batch = self.make_batch(tasks)

        # What all batches of a run share is written once, with the first of them.
        if self.written == 1:
            batch.run.write(self.store)
        batch.write(self.store)
        return {
            "storage": self.store.uri,
            "batch": batch.path,
            "rivals": batch.rivals,
            "name": batch.name,
            "scratch": self.scratch,
            **batch.study.resources.model_dump(include={"workers", "cpus", "gpus"}),
            "watched": self.watched,
            "answer_seconds": max(_ANSWER_SECONDS, self.slots() / _ANSWERS),
        }


def batches_on_demand(
    trials: Sequence[Trial], size: int | str, slots: Callable[[], int]
) -> Iterator[list[Trial]]:
    """Divide ``trials`` while they are trained.

    Each batch of ``auto`` is half of a slot's share of what is left (at most fifty trials): trials take
    different times, nodes come and go, and the last batches are small. (What was dealt beforehand left the
    last batch of a study of fifteen minutes training for three beside an idle core.)

    Args:
        trials: What is missing, in the plan's order.
        size: Trials per batch, or ``auto``.
        slots: Batches that can train at once, as of now.
    """
    remaining = deque(trials)
    while remaining:
        share = min(_LARGEST_AUTO_BATCH, ceil(len(remaining) / (_SHARES * max(1, slots()))))
        share = share if size == "auto" else int(size)
        yield [remaining.popleft() for _ in range(min(share, len(remaining)))]


def stage_batches(trials: Sequence[Trial], store: Store, slots: int) -> list[list[StageTask]]:
    """The stages that several of ``trials`` need and nobody has made, for ``slots`` that take batches in
    turn.

    What hangs together stays in one batch, in the order in which it is made. Some batches per slot, those
    with most stages first: nobody knows what a stage costs, and most trials wait for some. (Two batches for
    two slots left one core idle for ten minutes: every other classifier of a study had a module more.)
    """
    graph = stage_graph(trials)
    groups = sorted(shared_first(graph, made_stages(store, graph)), key=len, reverse=True)
    batches: list[list[StageTask]] = [[] for _ in range(min(_STAGE_BATCHES * slots, len(groups)))]
    for group in groups:
        tasks = [StageTask(id=node.key, name=node.name, trial=node.trials[0]) for node in group]
        min(batches, key=len).extend(tasks)
    return sorted(batches, key=len, reverse=True)


def batches_during_stages(
    missing: list[Trial],
    tasks: Sequence[StageTask],
    in_flight: AbstractSet[str],
    size: int | str,
    slots: Callable[[], int],
) -> Iterator[list[Trial] | None]:
    """Hand out trials that wait for no stage in flight until ``tasks`` are over, so that no slot idles.

    Args:
        missing: Trials to train; those that are handed out are taken away.
        tasks: Stages that were handed out.
        in_flight: Ids of the stages and trials that are handed out and not over, kept by the caller.
        size: As :func:`batches_on_demand`.
        slots: Batches that can train at once, as of now.

    Yields:
        A batch; None where every trial waits for a stage.
    """
    # Note for each trial which of the stages that were handed out it waits for.
    ids = {task.id for task in tasks}
    waits: dict[str, set[str]] = {trial.id: set() for trial in missing}
    for key, node in stage_graph(missing).items():
        for trial in node.trials if key in ids else ():
            waits[trial.id].add(key)

    # What is left is divided anew for each batch, because stages that end meanwhile set more trials free.
    while not ids.isdisjoint(in_flight):
        ready = [trial for trial in missing if waits[trial.id].isdisjoint(in_flight)]
        batch = next(batches_on_demand(ready, size, slots), [])
        taken = {trial.id for trial in batch}
        missing[:] = [trial for trial in missing if trial.id not in taken]
        yield batch or None


def batches_of_rounds(
    round_now: Callable[[], list[Trial]],
    batches_of: Callable[[list[Trial]], Iterator[BatchTasks | None]],
    in_flight: AbstractSet[str],
) -> Iterator[BatchTasks | None]:
    """Divide one round of trials after the other; what the next one holds depends on records of this one.

    Args:
        round_now: What is missing by now, going by the records; nothing new while a round is incomplete.
        batches_of: The batches of a round. It may leave trials out, where a budget ends: no round comes then.
        in_flight: Ids that are handed out and not over, kept by the caller.

    Yields:
        A batch; None where the next round waits for what is training.
    """
    handed: set[str] = set()
    looked_at: frozenset[str] | None = None
    while True:
        flying = frozenset(in_flight)  # before the records are read: what ends meanwhile is seen next time

        # Nothing has ended since the last look, so the records, all of which would be read, say the same.
        if flying and flying == looked_at:
            yield None
            continue
        looked_at = flying
        trials = [trial for trial in round_now() if trial.id not in handed]
        if not trials:
            if not flying:
                return
            yield None
            continue

        # What was handed out is remembered. A batch that broke leaves no record, and its trials would come
        # again without end.
        due = {trial.id for trial in trials}
        for batch in batches_of(trials):
            handed |= due.intersection(trial.id for trial in batch or ())
            yield batch

        # A budget has left some of the round out: the next one would draw its conclusions from half of it.
        if not due <= handed:
            return


@dataclass
class TimeBudget:
    """Time that a run may take, counted from here on, and the batches that train at once meanwhile."""

    seconds: float
    slots: Callable[[], int]  # as of now: nodes come and go
    size: int | str  # of a batch: `resources.pack`
    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)
    left_out: set[str] = field(default_factory=set[str])  # trials of rounds for which there was no room

    def __post_init__(self) -> None:
        self.begun = self.clock()


def budget_batches(
    missing: Sequence[Trial],
    budget: TimeBudget,
    seconds_of: Callable[[], Mapping[str, float]],
    in_flight: Collection[str],
    say: Callable[[str], None],
) -> Iterator[list[Trial] | None]:
    """The batches of one round after the other, as long as the next round can end in time.

    Args:
        missing: What has no record, in the plan's order.
        budget: Of the run.
        seconds_of: What a trial of each cell takes, as far as it is known by now.
        in_flight: Ids of the trials that are handed out and not over; kept by the caller.
        say: Called with what is left out, and why; ``budget.left_out`` then has its ids.

    Yields:
        The trials of a batch; None where it is not known yet whether the next round fits.
    """
    # While a cell has no record nobody knows what it takes. The first round then trains in any case, and its
    # records say it for the others.
    cells = {trial.cell for trial in missing}
    rounds = _rounds(missing)
    cell_of = {trial.id: trial.cell for trial in missing}
    first = not cells <= seconds_of().keys()
    for number, (_, trials) in enumerate(rounds):
        if not (first and number == 0):
            known = seconds_of()
            while not cells <= known.keys() and (flying := frozenset(in_flight)):
                yield None
                if flying != in_flight:  # asked ten times a second, and a look reads every record
                    known = seconds_of()
            # A round before this one has its records, though its last batches may still count as in flight.
            training = [cell_of[trial_id] for trial_id in in_flight if trial_id in cell_of]
            remaining = training + [trial.cell for trial in trials]
            span = _mean_or_known(known, remaining) / max(1, budget.slots())
            end = budget.clock() - budget.begun + span

            # A round that cannot end in time is not begun: all cells end with the same seeds, and can be
            # compared.
            if end > budget.seconds:
                seeds = ", ".join(str(later) for later, _ in rounds[number:])
                say(
                    f"the budget of {_time(budget.seconds)} leaves no room for seed {seeds}: all cells on "
                    f"one take about {_time(span)}, and {_time(end)} would be over by then. Run again for "
                    "another budget."
                )
                budget.left_out.update(trial.id for _, later in rounds[number:] for trial in later)
                return
        yield from batches_on_demand(trials, budget.size, budget.slots)


def _time(seconds: float) -> str:
    if seconds >= 1e6:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds / 60:.2g} min"


def _rounds(missing: Sequence[Trial]) -> list[tuple[int, list[Trial]]]:
    by_seed: dict[int, list[Trial]] = {}
    for trial in missing:
        by_seed.setdefault(trial.seed, []).append(trial)
    return list(by_seed.items())


def _mean_or_known(known: Mapping[str, float], cells: Sequence[str]) -> float:
    """Seconds of trials of ``cells``; a cell without a finished trial counts as the mean of the others."""
    mean = statistics.fmean(known.values()) if known else 0.0
    return sum(known.get(cell, mean) for cell in cells)
