"""What the pages read: studies of one storage, each followed while it runs; no widgets.

A study is read once and then followed (:class:`~assay.storage.watch.Watch`): only records that are new are
read, and all sessions of a server share what was read. A :class:`StudyView` is one state of a study and never
changes, so what is computed from it is kept with it.

Trade-off: a look at a study is at most ``_FRESH`` seconds old, so that ten viewers cost what one does.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import streamlit as st

from assay.analysis.label_analysis import LabelAnalysis, analyse_labels
from assay.analysis.study_analysis import StudyAnalysis, analyse_study
from assay.analysis.summary import summarise
from assay.analysis.test_set_uncertainty import read_item_intervals
from assay.report.search_tables import evaluated_points
from assay.storage import Progress, Record, Store, UnreadableRecord
from assay.storage.interim_looks import read_interim_looks
from assay.storage.lease import holder
from assay.storage.plans import written_plan
from assay.storage.progress import Running
from assay.storage.search_points import best_points
from assay.storage.stage_store import stage_curve
from assay.storage.time_left import Left
from assay.storage.watch import Snapshot, Watch
from assay.study import Plan
from assay.study.schema import Labelling
from trainables.errors import InputError
from trainables.metrics import METRICS, PROXIES, Metric

__all__ = [
    "Best",
    "Computed",
    "StudyEntry",
    "StudyView",
    "answers",
    "curve",
    "importance",
    "labels",
    "lineage",
    "open_store",
    "predictions",
    "priced",
    "probes",
    "stage_curves",
    "studies",
    "view",
]

_T = TypeVar("_T")
_FRESH = 1.0  # seconds for which a look at a study is not repeated
_STUDIES = 256  # followed at once
_PARTS = 96  # tables of trials that are kept: 8 probe images are about 0.3 MB
_PREDICTIONS = 1000  # more, for test luck needs all of a study: of 1,000 test images about 0.06 MB


class Best(NamedTuple):
    """The cell with the best mean; no claim that it is better than others."""

    metric: Metric
    cell: str
    mean: float
    n: int  # repeats
    on: str  # `test`; of a search whose winners are not trained yet, `validation`


@dataclass(frozen=True)
class StudyEntry:
    """A line of the list of studies."""

    name: str
    question: str
    counts: Mapping[str, int]  # records by status
    total: int
    running: int
    planned: int  # nobody trains them yet
    left: Left | None  # until all is done
    held: bool  # somebody runs the study now
    best: Best | None
    last_record: datetime | None
    problems: int  # records that cannot be read
    changed: float = 0.0  # Unix time of the plan, the last record or the last heartbeat
    trouble: str = ""  # why nothing else is known: never started, unreadable

    @property
    def done(self) -> int:
        """Trials with a record."""
        return sum(self.counts.values())


class Computed:
    """What was computed from one state of a study: once, whoever asks."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def once(self, name: str, make: Callable[[], _T]) -> _T:
        """What ``make`` returned when ``name`` was first asked for; it may ask for other names."""
        with self._lock:
            lock = self._locks[name]
        with lock:  # of the name: who reads predictions keeps nobody from the other numbers
            if name not in self._known:
                self._known[name] = make()
            return self._known[name]


@dataclass(frozen=True, eq=False)
class StudyView:
    """One state of a study; another object as soon as anything of it changes."""

    store: Store
    plan: Plan  # of a search, with all that was drawn
    records: Mapping[str, Record]
    problems: tuple[UnreadableRecord, ...]
    running: tuple[Running, ...]
    left: Left | None  # until all is done
    total: int
    held: bool
    planned_at: float  # Unix time at which the plan was written
    version: int  # rises with each change of plan or records, not with heartbeats
    computed: Computed = field(repr=False)  # shared by views of one version

    @property
    def name(self) -> str:
        """Of the study."""
        return self.plan.study.study

    @property
    def progress(self) -> Mapping[str, Progress]:
        """Trial → heartbeat, of the trials without a record that have one."""
        return {one.trial.id: one.progress for one in self.running if one.progress is not None}

    @property
    def planned(self) -> int:
        """Trials that nobody trains yet."""
        alive = sum(one.silent is None for one in self.running)
        return self.total - len(self.records) - alive


@lru_cache(maxsize=4)
def open_store(uri: str) -> Store:
    """The storage at ``uri``; one object for all sessions."""
    return Store(uri)


# Studies ----------------------------------------------------------------------------------------------


def studies(store: Store) -> list[StudyEntry]:
    """All studies of a storage, the one that changed last first."""
    names = store.studies()
    begun = frozenset(store.trials()) if names else frozenset[str]()
    entries = [_entry(store, name, begun) for name in names]
    return sorted(entries, key=lambda one: (-one.changed, one.name))


def view(store: Store, name: str) -> StudyView:
    """The state of a study, at most a second old.

    Raises:
        InputError: If it was never started, or its plan cannot be read.
        StorageError: If the storage is away.
    """
    return _followed(store.uri, name).look()


def _entry(store: Store, name: str, begun: frozenset[str]) -> StudyEntry:
    try:
        now = _followed(store.uri, name).look(begun)
    except InputError as error:
        return StudyEntry(name, "", {}, 0, 0, 0, None, False, None, None, 0, trouble=str(error))
    counts: dict[str, int] = {}
    for record in now.records.values():
        counts[record.status] = counts.get(record.status, 0) + 1
    ended = [record.ended for record in now.records.values() if record.ended is not None]
    beats = [progress.time for progress in now.progress.values()]
    return StudyEntry(
        name=name,
        question=now.plan.study.question,
        counts=counts,
        total=now.total,
        running=sum(one.silent is None for one in now.running),
        planned=now.planned,
        left=now.left,
        held=now.held,
        best=now.computed.once("best", lambda: _best(now)),
        last_record=max(ended, default=None),
        problems=len(now.problems),
        changed=max([now.planned_at, *beats, *(one.timestamp() for one in ended)]),
    )


def _best(now: StudyView) -> Best | None:
    plan = now.plan.answer()
    metric = METRICS[plan.study.metrics.primary]
    sign = 1 if metric.better == "higher" else -1
    found = [
        (sign * one.mean, one)
        for one in summarise(plan, now.records, metric.name, now.problems)
        if one.mean is not None
    ]
    if found:
        mean, one = max(found, key=lambda pair: pair[0])
        return Best(metric, one.cell.name, sign * mean, one.n, "test")
    return _best_point(now)


def _best_point(now: StudyView) -> Best | None:
    search = now.plan.study.search
    if search is None:
        return None
    judged = [one for of_cell in evaluated_points(now.plan, now.records).values() for one in of_cell]
    best = best_points(now.plan, judged)
    if not best or best[0].value is None:
        return None
    metric = {**METRICS, **PROXIES}[search.objective.metric]
    return Best(metric, best[0].point.name, best[0].value, len(best[0].repeats), "validation")


class _Followed:
    """A study, looked at again and again; used by many threads."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._watch: Watch | None = None
        self._looked = 0.0
        self._view: StudyView | None = None

    def look(self, begun: frozenset[str] | None = None) -> StudyView:
        with self._lock:
            if self._view is None or time.monotonic() - self._looked > _FRESH:
                self._view = self._now(begun)
                self._looked = time.monotonic()
            return self._view

    def _now(self, begun: frozenset[str] | None) -> StudyView:
        # Asked before the look: of a run that ends in between, all records are seen.
        held = holder(self._store, self._name) is not None
        stamp = self._store.stamp(f"{self._store.study(self._name)}/plan.parquet")
        if self._watch is None or stamp != self._stamp:
            self._watch, self._stamp = Watch(self._store, written_plan(self._store, self._name)), stamp
        snapshot = self._watch.look(begun)
        planned_at = stamp[0] / 1e9 if stamp is not None else 0.0
        return _state(self._watch, snapshot, self._view, store=self._store, held=held, planned_at=planned_at)


def _state(
    watch: Watch,
    snapshot: Snapshot,
    before: StudyView | None,
    *,
    store: Store,
    held: bool,
    planned_at: float,
) -> StudyView:
    """The view of a look; what was computed from the one before stays where plan and records did."""
    same = (
        before is not None
        and before.plan is watch.plan
        and before.records == watch.records
        and before.problems == watch.problems
    )
    return StudyView(
        store=store,
        plan=watch.plan,
        records=before.records if before is not None and same else dict(watch.records),
        problems=watch.problems,
        running=snapshot.running,
        left=snapshot.left,
        total=snapshot.total,
        held=held,
        planned_at=planned_at,
        version=0 if before is None else before.version + (not same),
        computed=before.computed if before is not None and same else Computed(),
    )


@lru_cache(maxsize=_STUDIES)
def _followed(uri: str, name: str) -> _Followed:
    return _Followed(open_store(uri), name)


# What is computed of a study -----------------------------------------------------------------------------


def answers(view: StudyView, *, luck: bool = False) -> StudyAnalysis:
    """What the study says, as its report does.

    Args:
        view: The study.
        luck: Also intervals over test items: reads a file of each trial that was not read before.

    Raises:
        InputError: If ``looks.json`` cannot be read.
    """

    def make() -> StudyAnalysis:
        looks = read_interim_looks(view.store, view.name)
        found = (
            read_item_intervals(view.plan, view.records, partial(_prediction, view.store)) if luck else None
        )
        return analyse_study(view.plan, view.records, view.problems, luck=found, looks=looks)

    return view.computed.once(f"answers {luck}", make)


def labels(view: StudyView, labelling: Labelling | None = None) -> LabelAnalysis | None:
    """What labels buy; None where there is nothing to say of that.

    Args:
        view: The study.
        labelling: What labels take, in place of what the study names.
    """

    def make() -> LabelAnalysis | None:
        looks = read_interim_looks(view.store, view.name)
        return analyse_labels(priced(view.plan, labelling), view.records, view.problems, looks=looks)

    if labelling not in (None, view.plan.study.labelling):
        return make()  # not kept: a slider has thousands of values
    return view.computed.once("labels", make)


def priced(plan: Plan, labelling: Labelling | None) -> Plan:
    """The same plan at other costs of labels: nothing is trained for it."""
    if labelling is None:
        return plan
    return plan.model_copy(update={"study": plan.study.model_copy(update={"labelling": labelling})})


def importance(view: StudyView) -> Mapping[str, Mapping[str, float]]:
    """Of a search: cell → parameter → share of the objective's variance."""

    def make() -> dict[str, dict[str, float]]:
        from assay.engine.proposals import importance as shares  # Optuna: seconds, for those who ask

        judged = evaluated_points(view.plan, view.records)
        return {cell: shares(view.plan, of_cell) for cell, of_cell in judged.items()}

    return view.computed.once("importance", make)


# Files of a trial ----------------------------------------------------------------------------------------


def probes(store: Store, record: Record) -> pa.Table | None:
    """The probe images with their heatmaps (``trainables/heatmaps.py``); None where none were kept.

    These five raise ``DamagedFileError`` or ``FileNotFoundError`` when a file is not as its record says.
    """
    return _part(store, record, "maps.parquet")


def lineage(store: Store, record: Record) -> pa.Table | None:
    """The stages of the probe images (``trainables/stage_maps.py``); None where the method shows none."""
    return _part(store, record, "lineage.parquet")


def curve(store: Store, record: Record) -> pa.Table | None:
    """A row per epoch."""
    return _part(store, record, "curve.parquet")


def stage_curves(store: Store, record: Record) -> dict[str, pa.Table]:
    """Stage → a row per epoch, of those stages of a trial that logged some, in their order."""
    found = {use.name: _read_stage_curve(store, (store.uri, use.key)) for use in record.stages}
    return {name: table for name, table in found.items() if table is not None}


def predictions(store: Store, record: Record) -> pa.Table | None:
    """A row per test image."""
    return _prediction(store, record, "predictions.parquet")


def _prediction(store: Store, record: Record, name: str) -> pa.Table | None:
    return _read_prediction(store, record, (store.uri, record.id, record.attempt, name))


def _part(store: Store, record: Record, name: str) -> pa.Table | None:
    return _read_part(store, record, (store.uri, record.id, record.attempt, name))


@st.cache_resource(max_entries=_PARTS, show_spinner=False)
def _read_part(_store: Store, _record: Record, key: tuple[str, str, str, str]) -> pa.Table | None:
    return _store.read_part(_record, key[-1])


@st.cache_resource(max_entries=_PREDICTIONS, show_spinner=False)
def _read_prediction(_store: Store, _record: Record, key: tuple[str, str, str, str]) -> pa.Table | None:
    return _store.read_part(_record, key[-1])


@st.cache_resource(max_entries=_PARTS, show_spinner=False)
def _read_stage_curve(_store: Store, key: tuple[str, str]) -> pa.Table | None:
    return stage_curve(_store, key[-1])
