"""State of a study, read from its records, lease and heartbeats: nobody has to report to the display.

:meth:`Watch.take_snapshot` costs one listing of the trials (and of the stages, while some are to be made), a
read of the lease, one small read for each trial that moves and a few known records, so it is cheap for ten
thousand trials and on an object store; :attr:`Watch.pause` grows with what a snapshot costs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from assay.forecast.forecast import Forecast, Left, NeededStages, read_forecast, time_left
from assay.storage.lease import holder
from assay.storage.progress import Running
from assay.storage.record import DamagedRecord, Record
from assay.storage.search_points import with_points
from assay.storage.stage_store import StageRecord, made_stages, stage_keys
from assay.storage.store import READERS, Store, collector_paused
from assay.study import Plan, SearchPlan, Trial

if TYPE_CHECKING:
    from assay.study.planning.stage_graph import Need
    from trainables.evaluation.metrics import Metric

__all__ = ["Snapshot", "Watch", "score", "score_names", "score_title"]

_SILENT_AFTER = 120.0  # seconds without a heartbeat, when an epoch is shorter than that


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment."""

    total: int
    counts: Mapping[str, int]  # records by status
    running: tuple[Running, ...]
    ended: tuple[Record, ...]  # since the snapshot before this one
    left: Left | None  # until all is done; None: nothing to reckon from yet
    stages: tuple[int, int] = (0, 0)  # made, in all: of trials that had no record at the first snapshot
    undrawn: int = 0  # of the total: trials of points that a search has not drawn yet
    held: bool = False  # somebody runs the study; without, nothing of it runs

    @property
    def done(self) -> int:
        """Trials with a record."""
        return sum(self.counts.values())

    @property
    def planned(self) -> int:
        """Trials that nobody trains yet."""
        return self.total - self.done - len(self.running)


class Watch:
    """Looks at the trials of one study again and again.

    Args:
        store: Where the results lie.
        plan: All trials; of a search, looked at anew each time for points that were drawn since.
        since: Unix time; heartbeats from before are not shown. Those from before the lease of whoever runs
            the study now belong to an earlier, killed run, and never are.
        stages_of: :func:`~assay.study.planning.stage_graph.stages_of`, which loads methods (and torch).
            Without it the time left of a study whose trials share stages is a least one, without the stages.
        needed: :func:`~assay.analysis.results.reading.needed_plan`: of a study that decides, the trials that
            are needed by now. Without it all that may ever be trained counts.
    """

    def __init__(
        self,
        store: Store,
        plan: Plan,
        since: float = 0.0,
        stages_of: Callable[[Trial], Sequence[Need]] | None = None,
        needed: Callable[[Plan, Mapping[str, Record]], Plan] | None = None,
    ) -> None:
        self._whole, self._needed_of = plan, needed if plan.study.repeats.decide else None
        self._store, self._plan = store, plan
        self._trials = {trial.id: trial for trial in plan.trials}
        self._since = since
        self._records: dict[str, Record] = {}
        self._turn = 0  # the place from which the next snapshot reads known records again
        self._problems: tuple[DamagedRecord, ...] = ()
        self._drawn: object = ()  # of a search: the state of the file of its points when it was grown,
        self._grown_with: Mapping[str, Record] = {}  # and the records that were known
        self._beats: dict[str, tuple[float, float]] = {}  # time of the last, and when it was seen (monotonic)
        self._needed = NeededStages(stages_of)
        self._stages: dict[str, StageRecord] = {}  # that are made, by key
        self._forecast: Forecast | None = None  # as it was when a run was first seen
        self._forecast_read = False
        self._first = True
        # Of the first snapshot: when it was, and the trials that had left anything and were not in the plan.
        self._first_time, self._begun_outside = time.time(), frozenset[str]()
        self._cost = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next snapshot is worth its price."""
        return max(0.5, 10 * self._cost)

    @property
    def plan(self) -> Plan:
        """All trials; of a search, with the points that were drawn until the last snapshot.

        Of a study that decides, those that were needed at the last snapshot.
        """
        return self._plan

    @property
    def records(self) -> Mapping[str, Record]:
        """All records seen so far, by trial id."""
        return self._records

    @property
    def problems(self) -> tuple[DamagedRecord, ...]:
        """Records that were damaged at the last snapshot."""
        return self._problems

    def take_snapshot(self, begun: AbstractSet[str] | None = None) -> Snapshot:
        """The state now; ``begun``: the trials that left anything, where the caller has listed them.

        Raises:
            StorageError: If the storage is away, or its folder gone.
        """
        start = time.monotonic()
        # Asked before the records are read: of a run that ends in between, all records are then seen.
        run = holder(self._store, self._whole.study.study)
        with collector_paused():
            known = self._grow() if isinstance(self._plan, SearchPlan) else {}
            if begun is None:
                begun = set(self._store.trials())
            first, ended = self._first, self._new_records(begun, known)
            if self._needed_of is not None and (first or ended):
                self._narrow(self._needed_of)
        running: tuple[Running, ...] = ()

        # Heartbeats are read only while somebody holds the study, and only those of the run that does: the
        # last beat of a killed run looks like a living one.
        if run is not None:
            started = begun & (self._trials.keys() - self._records.keys())
            of_run = partial(self._running, since=max(self._since, run.started))
            maybe = self._store.each(of_run, [self._trials[i] for i in self._trials if i in started])
            running = tuple(trial for trial in maybe if trial is not None)
        counts = Counter(record.status for record in self._records.values())
        stages = self._count_stages()
        self._store.refuse_if_gone()  # it would look like one without results
        self._cost = time.monotonic() - start
        total = self._plan.size
        left = self._left(running)
        undrawn = total - len(self._trials)
        return Snapshot(total, counts, running, ended, left, stages, undrawn, run is not None)

    def _narrow(self, needed_of: Callable[[Plan, Mapping[str, Record]], Plan]) -> None:
        """Leave out the trials that no undecided comparison needs by now."""
        self._plan = needed_of(self._whole, self._records)
        self._trials = {trial.id: trial for trial in self._plan.trials}
        self._records = {id_: record for id_, record in self._records.items() if id_ in self._trials}

    def _grow(self) -> Mapping[str, Record]:
        """The points that a search drew since; where nothing changed, the same plan object.

        Returns:
            The records that are known, with those that were read to know what it drew.
        """
        # Two things make a search grow: points that were drawn, and records, by which its winners are
        # chosen. While neither changed, the same plan object stays, and readers keep what they computed
        # from it.
        folder = self._store.study(self._plan.study.study)
        drawn = self._store.stamp(f"{folder}/search.jsonl")
        if drawn == self._drawn and self._records == self._grown_with:
            return self._records
        known = dict(self._records)
        plan = with_points(self._plan, self._store, known)
        if plan != self._plan:
            self._plan = plan
            self._trials = {trial.id: trial for trial in plan.trials}
        self._drawn, self._grown_with = drawn, known
        return known

    def _new_records(self, begun: AbstractSet[str], known: Mapping[str, Record]) -> tuple[Record, ...]:
        # A failed trial may be trained again (`--retry failed`), so its record is read again.
        settled = {id_ for id_, record in self._records.items() if record.status != "failed"}
        again = self._again(list(settled))
        candidates = begun & ((self._trials.keys() - settled) | again)
        # Records that were read to know what a search drew are not read a second time.
        fresh = {id_: known[id_] for id_ in candidates - self._records.keys() if id_ in known}
        missing = (t for id_, t in self._trials.items() if id_ in candidates and id_ not in fresh)
        read, self._problems = self._store.records_of_trials(missing)
        records = fresh | read
        new = tuple(record for id_, record in records.items() if id_ not in again and self._is_news(record))

        # A record is gone if it was to be read and was not there, or its trial's whole folder is away.
        gone = self._records.keys() & ((candidates - records.keys()) | (settled - begun))
        for id_ in gone:
            del self._records[id_]
        # What is the same stays the same object: thousands are then compared at no cost.
        self._records.update({id_: r for id_, r in records.items() if self._records.get(id_) != r})

        # At the first snapshot nothing is news: what lay there before would scroll by as if it had just
        # ended.
        if self._first:
            self._first, self._first_time = False, time.time()
            self._begun_outside = frozenset(begun - self._trials.keys())
            return ()
        return new

    def _again(self, settled: Sequence[str]) -> AbstractSet[str]:
        """The next few records to read again, in turn: one may have been taken away or damaged since."""
        # Reading all records each time would cost a request for each of thousands.
        turn = settled[self._turn : self._turn + READERS]
        self._turn = self._turn + READERS if self._turn + READERS < len(settled) else 0
        return set(turn)

    def _is_news(self, record: Record) -> bool:
        """Tell if a record came since: a search that goes on takes up winners that an earlier run trained."""
        outside = record.id in self._begun_outside and record.id not in self._records
        if outside and record.ended is not None:
            return record.ended.timestamp() > self._first_time
        return self._records.get(record.id) != record

    def _running(self, trial: Trial, since: float) -> Running | None:
        # Before its first heartbeat a trial has nothing but an attempt, which counts as running if it began
        # lately.
        progress = self._store.progress(trial.id)
        if progress is None:
            attempts = self._store.attempts(trial.id)
            began = attempts[-1].started.timestamp() if attempts else 0.0
            recent = began >= max(since, time.time() - _SILENT_AFTER)
            return Running(trial, None) if recent else None
        if progress.time < since:
            return None
        now = time.monotonic()
        seen = self._beats.get(trial.id)
        if seen is None or seen[0] != progress.time:
            self._beats[trial.id] = seen = progress.time, now
        # Of a machine whose clock is ahead every heartbeat looks fresh: it is as old as no other came since.
        age = max(time.time() - progress.time, now - seen[1])
        patience = max(_SILENT_AFTER, 3 * (progress.seconds_per_epoch or 0.0))
        return Running(trial, progress, age if age > patience else None)

    def _left(self, running: tuple[Running, ...]) -> Left | None:
        # Silent trials may be dead, and would promise an end that does not come.
        alive = [trial for trial in running if trial.silent is None]
        if not alive:
            return None
        if not self._forecast_read:
            self._forecast, self._forecast_read = read_forecast(self._store, self._whole.study), True
        return time_left(
            self._trials.values(),
            self._records,
            alive,
            pending_points=self._plan.size - len(self._trials),
            needed=self._needed,
            made=self._stages,
            forecast=self._forecast,
        )

    def _count_stages(self) -> tuple[int, int]:
        """Read the records of stages that were made since: (stages that are made, stages)."""
        pending = (trial for id_, trial in self._trials.items() if id_ not in self._records)
        # Stages that trials share are made once, so keys are counted and not trials.
        missing = {key for trial in pending for key in self._needed.of(trial).values()} - self._stages.keys()
        if missing:
            made = made_stages(self._store, missing & set(stage_keys(self._store)))
            self._stages |= made
            missing -= made.keys()
        if not self._needed.known:
            return 0, 0
        stages = len(self._needed.keys)
        return stages - len(missing), stages


def score_names(primary: str) -> tuple[str, ...]:
    """Metrics of a heartbeat that are worth a glance, the best first: the primary one, else the loss."""
    return primary, f"validation.{primary}", "loss"


def score_title(name: str, primary: Metric) -> str:
    """A metric of a heartbeat in words: ``validation AP`` for ``validation.image_ap``."""
    return name.replace(primary.name, primary.title).replace(".", " ")


def score(metrics: Mapping[str, float | None], primary: Metric) -> str:
    """The one number of a heartbeat worth a glance: the primary metric if it has it, else the loss."""
    for name in score_names(primary.name):
        value = metrics.get(name)
        if value is not None:
            return f"{score_title(name, primary)} {value:.3f}"
    return ""
