"""The order of a run's trials: what is handed out at once, and what comes first.

Stages that trials share come first, and beside them trials that wait for none. Then come the trials in the
plan's order; under a time budget seed by seed, so that all cells end with the same seeds; with
``repeats.decide`` in rounds, each of which depends on the records of the one before. :class:`RunPacks` puts
these together for one run. The order of a search is ``search/search_packs.py``'s. No Ray here.

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
from assay.engine.packs import Content, Pack, PackRun, StageTask, missing_trials
from assay.storage import Record, Store
from assay.storage.plans import own_records
from assay.storage.stage_store import made_stages
from assay.study import Plan, Trial
from assay.study.names import counted
from assay.study.planning.stage_graph import shared_first, stage_graph

__all__ = [
    "RunPacks",
    "TimeBudget",
    "budget_packs",
    "packs_as_asked",
    "packs_beside_stages",
    "packs_of_rounds",
    "stage_packs",
]

# A pack of fifty spreads its start, some seconds, over fifty trials, also quick ones.
_LARGEST_AUTO_PACK = 50
_SHARES = 2  # of what is left, per slot: nobody knows what a trial takes, and the last packs are small then
_STAGE_PACKS = 4  # per slot, for the same reason
_HEARTBEAT_SECONDS = 2.0  # within which a driver answers Tune, and so hears Ctrl-C,
_HEARTBEATS = 100  # of all drivers in a second, at most: Tune takes in a few hundred


@dataclass
class RunPacks:
    """The packs of one run, as they come."""

    plan: Plan
    store: Store
    options: EngineOptions
    run: str
    in_flight: set[str] = field(default_factory=set[str])  # ids of what was handed out and is not over
    missing: list[Trial] = field(default_factory=list[Trial])
    before: Mapping[str, Record] = field(default_factory=dict[str, Record])  # that this run began with
    slots: Callable[[], int] = lambda: 1  # packs that can train at once, as of now
    contents: Iterator[Content | None] = field(default_factory=lambda: iter(()))  # None: it waits for others
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
    def _pack_run(self) -> PackRun:
        return PackRun(
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
        return self._pack_run.folder

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
            self.contents = packs_of_rounds(self._missing_now, self._round, self.in_flight)
        else:
            self.contents = self._round(self.missing)

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
        trials = tuple(trial for trial in content if isinstance(trial, Trial))
        stages = tuple(task for task in content if isinstance(task, StageTask))
        limits = self._limits.of_pack(trial.id for trial in trials)
        self.written += 1
        return Pack(f"{self.written - 1:04d}", self._pack_run, self.plan, trials, stages, limits)

    def write_folder(self, content: Content) -> dict[str, Any]:
        """Write a pack of trials or of stages; returns the config of its driver."""
        pack = self.pack_of(content)
        if self.written == 1:
            pack.run.write(self.store)
        pack.write(self.store)
        return {
            "storage": self.store.uri,
            "pack": pack.path,
            "contest": pack.contest,
            "name": pack.name,
            "scratch": self.scratch,
            **pack.study.resources.model_dump(include={"workers", "cpus", "gpus"}),
            "watched": self.watched,
            "heartbeat_seconds": max(_HEARTBEAT_SECONDS, self.slots() / _HEARTBEATS),
        }


def packs_as_asked(
    trials: Sequence[Trial], size: int | str, slots: Callable[[], int]
) -> Iterator[list[Trial]]:
    """Divide ``trials`` while they are trained.

    Each pack of ``auto`` is half of a slot's share of what is left (at most fifty trials): trials take
    different times, nodes come and go, and the last packs are small. (What was dealt beforehand left the last
    pack of a study of fifteen minutes training for three beside an idle core.)

    Args:
        trials: What is missing, in the plan's order.
        size: Trials per pack, or ``auto``.
        slots: Packs that can train at once, as of now.
    """
    remaining = deque(trials)
    while remaining:
        share = min(_LARGEST_AUTO_PACK, ceil(len(remaining) / (_SHARES * max(1, slots()))))
        share = share if size == "auto" else int(size)
        yield [remaining.popleft() for _ in range(min(share, len(remaining)))]


def stage_packs(trials: Sequence[Trial], store: Store, slots: int) -> list[list[StageTask]]:
    """The stages that several of ``trials`` need and nobody has made, for ``slots`` that take packs in turn.

    What hangs together stays in one pack, in the order in which it is made. Some packs per slot, those with
    most stages first: nobody knows what a stage costs, and most trials wait for some. (Two packs for two
    slots left one core idle for ten minutes: every other classifier of a study had a module more.)
    """
    graph = stage_graph(trials)
    groups = sorted(shared_first(graph, made_stages(store, graph)), key=len, reverse=True)
    packs: list[list[StageTask]] = [[] for _ in range(min(_STAGE_PACKS * slots, len(groups)))]
    for group in groups:
        tasks = [StageTask(id=node.key, name=node.name, trial=node.trials[0]) for node in group]
        min(packs, key=len).extend(tasks)
    return sorted(packs, key=len, reverse=True)


def packs_beside_stages(
    missing: list[Trial],
    tasks: Sequence[StageTask],
    in_flight: AbstractSet[str],
    size: int | str,
    slots: Callable[[], int],
) -> Iterator[list[Trial] | None]:
    """Until ``tasks`` are over: packs of trials that wait for none that is in flight, so that no slot idles.

    Args:
        missing: Trials to train; those that are handed out are taken away.
        tasks: Stages that were handed out.
        in_flight: Ids of the stages and trials that are handed out and not over, kept by the caller.
        size: As :func:`packs_as_asked`.
        slots: Packs that can train at once, as of now.

    Yields:
        A pack; None where every trial waits for a stage.
    """
    ids = {task.id for task in tasks}
    waits: dict[str, set[str]] = {trial.id: set() for trial in missing}
    for key, node in stage_graph(missing).items():
        for trial in node.trials if key in ids else ():
            waits[trial.id].add(key)
    while not ids.isdisjoint(in_flight):
        ready = [trial for trial in missing if waits[trial.id].isdisjoint(in_flight)]
        pack = next(packs_as_asked(ready, size, slots), [])
        taken = {trial.id for trial in pack}
        missing[:] = [trial for trial in missing if trial.id not in taken]
        yield pack or None


def packs_of_rounds(
    round_now: Callable[[], list[Trial]],
    packs_of: Callable[[list[Trial]], Iterator[Content | None]],
    in_flight: AbstractSet[str],
) -> Iterator[Content | None]:
    """Divide one round of trials after the other; what the next one holds depends on records of this one.

    Args:
        round_now: What is missing by now, going by the records; nothing new while a round is incomplete.
        packs_of: The packs of a round. It may leave trials out, where a budget ends: no round comes then.
        in_flight: Ids that are handed out and not over, kept by the caller.

    Yields:
        A pack; None where the next round waits for what is training.
    """
    handed: set[str] = set()
    looked_at: frozenset[str] | None = None
    while True:
        flying = frozenset(in_flight)  # before the records are read: what ends meanwhile is seen next time
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
        due = {trial.id for trial in trials}
        for pack in packs_of(trials):
            handed |= due.intersection(trial.id for trial in pack or ())
            yield pack
        if not due <= handed:
            return


@dataclass
class TimeBudget:
    """Time that a run may take, counted from here on, and the packs that train at once meanwhile."""

    seconds: float
    slots: Callable[[], int]  # as of now: nodes come and go
    pack: int | str  # `resources.pack`
    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)
    left_out: set[str] = field(default_factory=set[str])  # trials of rounds for which there was no room

    def __post_init__(self) -> None:
        self.begun = self.clock()


def budget_packs(
    missing: Sequence[Trial],
    budget: TimeBudget,
    seconds_of: Callable[[], Mapping[str, float]],
    in_flight: Collection[str],
    say: Callable[[str], None],
) -> Iterator[list[Trial] | None]:
    """The packs of one round after the other, as long as the next round can end in time.

    Args:
        missing: What has no record, in the plan's order.
        budget: Of the run.
        seconds_of: What a trial of each cell takes, as far as it is known by now.
        in_flight: Ids of the trials that are handed out and not over; kept by the caller.
        say: Called with what is left out, and why; ``budget.left_out`` then has its ids.

    Yields:
        The trials of a pack; None where it is not known yet whether the next round fits.
    """
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
            # A round before this one has its records, though its last packs may still count as in flight.
            training = [cell_of[trial_id] for trial_id in in_flight if trial_id in cell_of]
            remaining = training + [trial.cell for trial in trials]
            span = _mean_or_known(known, remaining) / max(1, budget.slots())
            end = budget.clock() - budget.begun + span
            if end > budget.seconds:
                seeds = ", ".join(str(later) for later, _ in rounds[number:])
                say(
                    f"the budget of {_time(budget.seconds)} leaves no room for seed {seeds}: all cells on "
                    f"one take about {_time(span)}, and {_time(end)} would be over by then. Run again for "
                    "another budget."
                )
                budget.left_out.update(trial.id for _, later in rounds[number:] for trial in later)
                return
        yield from packs_as_asked(trials, budget.pack, budget.slots)


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
