"""Batches of trials of a search, made while it goes on: for some points at a time, then for the winners on
fresh seeds.

``search_batches`` is a generator, so that the order of events reads from top to bottom: draw points, write
them down, hand their trials out, wait for their records, draw the next. Points and records on storage are the
only state; a search that goes on passes over what is there already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from assay.engine.order import RunBatches, stage_batches
from assay.engine.search.proposals import Observation, Values, propose
from assay.engine.trial_batch import BatchTasks, StageTask, missing_trials
from assay.storage import Record, Store
from assay.storage.plans import is_foreign
from assay.storage.search_points import (
    EvaluatedPoint,
    evaluate_points,
    read_points,
    winners,
    write_points,
)
from assay.study import Point, SearchedCell, SearchPlan, Trial
from assay.study.names import counted
from assay.study.search.points import make_point, point_row
from assay.study.search.search_rules import start_values
from trainables.plugins.catalogue import find_trainable

__all__ = ["SearchBatches", "search_batches"]


def search_batches(plan: SearchPlan, store: Store, in_flight: set[str]) -> Iterator[BatchTasks | None]:
    """The trials of a search, batch by batch; None where the next ones wait for what is training.

    Ends when all is trained, or when nothing more can come in this run (a batch ended without records).

    Args:
        plan: Of the search.
        store: Where points are written, and records are found.
        in_flight: Ids of the trials that are handed out and not over; kept by the caller.

    Raises:
        InputError: If the points there are were drawn by other rules, or a start point is not in the space.
    """
    log = _Log(store, plan)
    turns = deque(_CellSearch(plan, searched, log, in_flight).batches() for searched in plan.searched)
    waiting = 0  # cells in a row that have nothing to hand out yet

    # Cells take turns. One that has nothing yet is passed over; None is handed on only if all of them wait.
    while turns:
        try:
            given = next(turns[0])
        except StopIteration:
            turns.popleft()
            continue
        turns.rotate(-1)  # an equal share of the slots for each cell
        waiting = waiting + 1 if given is None else 0
        if given is not None or waiting >= len(turns):
            waiting = 0
            yield given


@dataclass
class SearchBatches(RunBatches):
    """The batches of one run of a search."""

    plan: SearchPlan  # pyright: ignore[reportIncompatibleVariableOverride] - no run is given another one

    def begin(self) -> bool:
        """Draw the first points, before Ray is started for them; False if there is nothing to train."""
        self.options.on_message("looking at the points so far")
        batches = search_batches(self.plan, self.store, self.in_flight)
        first = next(batches, None)
        self.upcoming = chain([first], batches)
        return first is not None

    def fill(self) -> None:
        """Say how much is trained, and how much trains at once."""
        plan = self.plan
        at_once = min(self.slots(), plan.search.batch * len(plan.searched))
        done = len(plan.trials) - len(self.missing)
        at_most = f"up to {counted(at_once, 'batch')} at a time"
        self.options.on_message(f"{done} of {plan.size} trials of the search are trained, {at_most}")


class _Log:
    """The points on storage and the records that were seen, shared by the searches of all cells."""

    def __init__(self, store: Store, plan: SearchPlan) -> None:
        self.store, self.plan = store, plan
        self.records: dict[str, Record] = {}
        self._points = read_points(store, plan)

    def points(self, cell: str) -> list[Point]:
        return [point for point in self._points if point.cell == cell]

    def add(self, points: Sequence[Point]) -> None:
        self._points += points
        write_points(self.store, self.plan, self._points)

    def read(self, ids: Sequence[str]) -> None:
        """Read records that are not known yet."""
        read = self.store.records(id_ for id_ in ids if id_ not in self.records)
        self.records |= {id_: record for id_, record in read.items() if not is_foreign(record, self.plan)}


class _CellSearch:
    """The search in one cell: some points at a time, then the winners on fresh seeds."""

    def __init__(self, plan: SearchPlan, searched: SearchedCell, log: _Log, in_flight: set[str]) -> None:
        self.plan, self.searched, self.log, self.in_flight = plan, searched, log, in_flight
        self.search = plan.search
        # More may be drawn than the study asks for by now: all count, so all train.
        self.size = max(plan.budget, len(self._known_points()))
        self.starts = list(_starts(plan, searched))

    def batches(self) -> Iterator[BatchTasks | None]:
        # One batch of points after the other, since the next ones are drawn from the results of these. The
        # winners come at last.
        for start in range(0, self.size, self.search.batch):
            stop = min(start + self.search.batch, self.size)
            self._draw_missing(start, stop)
            done = yield from self._train(self._known_points()[start:stop], fresh=False)
            if not done:
                return
        chosen = winners(self.plan, self._evaluated(self._known_points())) or []
        yield from self._train(chosen, fresh=True)

    def _evaluated(self, points: Sequence[Point]) -> list[EvaluatedPoint]:
        drawn = self.plan.with_points(points).points_of(self.searched)
        return evaluate_points(self.search.objectives, drawn, self.log.records)

    def _known_points(self) -> list[Point]:
        return self.log.points(self.searched.cell.name)

    def _draw_missing(self, start: int, stop: int) -> None:
        """Draw the points that are not there yet, and write them down before any of them trains."""
        requested = self._known_points()

        # Only points of earlier batches are told with their results; those of this batch count as running
        # even if they have ended. So a batch that was interrupted is completed with the points it would have
        # had.
        observations = [Observation.of(point) for point in self._evaluated(requested[:start])]
        observations += [Observation(point.values, "running") for point in requested[start:stop]]
        new: list[Point] = []
        for index in range(len(requested), stop):
            source, values = self._drawn(observations, index)
            point = make_point(
                self.plan.study,
                find_trainable(self.searched.cell.trainable),
                self.searched,
                self.plan.device,
                index=index,
                source=source,
                values=values,
            )
            observations.append(Observation(values, "running"))
            new.append(point)
        if new:
            self.log.add(new)

    def _drawn(self, observations: Sequence[Observation], index: int) -> tuple[str, Values]:
        if index < len(self.starts):
            return self.starts[index]
        space, key = self.plan.study.space, self.searched.key
        return self.search.sampler, propose(self.search, space, key, observations, index)

    def _train(self, points: Sequence[Point], *, fresh: bool) -> Generator[BatchTasks | None, None, bool]:
        """Hand out what has no record, then wait for it; False when some of it will get none."""
        rows = [point_row(self.searched, point, fresh=fresh) for point in points]
        by_id: dict[str, Trial] = {}
        for trial in (trial for row in rows if row is not None for trial in row.trials):
            by_id.setdefault(trial.id, trial)  # of equal points the first names it, as in the plan
        trials, ids = list(by_id.values()), list(by_id)
        self.log.read(ids)
        yield from self._stages_first(trials)
        for batch in self._divided(trials):
            missing = [t for t in missing_trials(batch, self.log.records) if t.id not in self.in_flight]
            if missing:
                yield missing

        # What comes next depends on these results.
        while not self.in_flight.isdisjoint(ids):
            yield None
        self.log.read(ids)
        return all(id_ in self.log.records for id_ in ids)

    def _stages_first(self, trials: Sequence[Trial]) -> Iterator[list[StageTask] | None]:
        """The stages that trials of several points share, one batch for each group of them, each handed out
        once.

        What another cell or search has handed out, since it shares it, is waited for: afterwards it is made,
        or its training failed and it is this one's turn.
        """
        missing, given = missing_trials(trials, self.log.records), set[str]()
        while batches := [
            batch
            for batch in stage_batches(missing, self.log.store, len(trials))
            if given.isdisjoint(task.id for task in batch)
        ]:
            for batch in batches:
                if self.in_flight.isdisjoint(task.id for task in batch):
                    given.update(task.id for task in batch)
                    yield batch
            while not self.in_flight.isdisjoint(task.id for batch in batches for task in batch):
                yield None

    def _divided(self, trials: Sequence[Trial]) -> list[list[Trial]]:
        """Make a batch per point, or batches of the size that the study asks for, which never mix points."""
        size = self.plan.study.resources.pack
        batches: list[list[Trial]] = []
        for trial in trials:
            full = not batches or batches[-1][0].cell != trial.cell or len(batches[-1]) == size
            batches.append([trial]) if full else batches[-1].append(trial)
        return batches


def _starts(plan: SearchPlan, searched: SearchedCell) -> Iterator[tuple[str, Values]]:
    """The start points of a cell: where each comes from, and its values."""
    for start in plan.study.start:
        if start == "preset":
            yield "preset", start_values(plan.study, searched.cell, {})
        else:
            yield "given", start_values(plan.study, searched.cell, start)
