"""Studies of one storage, as pages read them: each is followed while it runs. No widgets.

A study is read once and then followed (:class:`~assay.analysis.results.followed.FollowedStudy`): only records
that are new are read, and all sessions of a server share what was read. A :class:`StudyView` is one state of
a study and never changes. Its ``results`` are those that a report reads: what is computed from them is kept
while plan and records stay. What depends on other studies of the storage follows these.

Trade-off: a view of a study is up to ``_FRESH`` seconds old, or ``_REST`` times as long as reading it took:
ten viewers cost what one does, and a page of ten thousand trials does not read them twice.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache, partial
from typing import NamedTuple

import pyarrow as pa
import streamlit as st

from assay.analysis.names import variant_name
from assay.analysis.results.followed import FollowedStudy
from assay.analysis.results.results import StudyResults
from assay.analysis.study_pair import StudyPair, pair_studies
from assay.analysis.summary import Repeat, best_mean, metric_summary
from assay.api.opened_storage import parameter_importance
from assay.forecast.forecast import Left
from assay.report.headline import Answer, study_answer
from assay.report.masks.sheets import records_with_maps
from assay.report.page.model import Page
from assay.report.pages import pair_page
from assay.storage import Record, Store
from assay.storage.files.local_disk import RefusedFileError
from assay.storage.progress import Running
from assay.storage.search_points import best_points
from assay.storage.stage_store import stage_curve
from trainables.errors import InputError
from trainables.evaluation.metrics import LABEL_FREE_METRICS, METRICS, Metric

__all__ = [
    "BestCell",
    "StudyEntry",
    "StudyView",
    "beside",
    "entry",
    "newest",
    "open_store",
    "read_part",
    "stage_curves",
    "studies",
    "view",
]

_FRESH, _REST = 1.0, 3.0  # seconds, and times of its reading, for which a study is not read again
_PAIRS = 4  # of states of two studies; each holds all that was computed from both
_PARTS = 96  # tables of trials that are kept: 8 probe images are about 0.3 MB
_PREDICTIONS = 1000  # more, as item intervals need all of a study: of 1,000 test images about 0.06 MB


class BestCell(NamedTuple):
    """The cell with the best mean. This does not claim that it is better than others.

    It is chosen with the worst value for what diverged, and the mean is that of the others, as in the table.
    """

    metric: Metric
    variant: str  # in words
    mean: float
    n: int  # repeats that have a value
    planned: int
    on: str  # `test`; of a search whose winners are not trained yet, `validation`


@dataclass(frozen=True)
class StudyEntry:
    """A line of the list of studies."""

    name: str
    question: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)  # records by status
    total: int = 0
    running: int = 0
    planned: int = 0  # not started
    left: Left | None = None  # until all is done
    held: bool = False  # a driver runs the study now
    best: BestCell | None = None
    data_sets: int = 1  # where there are several, each has a best of its own
    last_record: datetime | None = None
    problems: int = 0  # records that are damaged
    changed: float = 0.0  # Unix time of the plan, the last record or the last heartbeat
    trouble: str = ""  # why nothing else is known: never started, unreadable

    @property
    def done(self) -> int:
        """Trials with a record."""
        return sum(self.counts.values())


@dataclass(frozen=True, eq=False)
class StudyView:
    """One state of a study; another object as soon as anything of it changes."""

    store: Store
    results: StudyResults  # the same object while plan and records stay, and what other studies left
    running: tuple[Running, ...]
    left: Left | None  # until all is done
    total: int
    held: bool
    planned_at: float  # Unix time at which the plan was written
    version: int  # rises with each change of `results`, not with heartbeats

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.results.name

    def answer(self) -> Answer | None:
        """The answer of the first page; None where the study compares nothing or has no result yet."""
        results = self.results.without_predictions()
        return results.once("answer", lambda: study_answer(results))

    @property
    def kept_maps(self) -> Mapping[Repeat, Mapping[str, Record]]:
        """Records of trials with probe images, by repeat and cell; the repeat of the most cells first."""
        results, read = self.results, partial(read_part, self.store)
        return results.once("maps", lambda: records_with_maps(results, results.plan.trials, read))

    @property
    def planned(self) -> int:
        """Trials that are not started."""
        alive = sum(trial.silent is None for trial in self.running)
        return self.total - len(self.results.records) - alive


@lru_cache(maxsize=4)
def open_store(uri: str) -> Store:
    """The storage at ``uri``; one object for all sessions."""
    return Store.open(uri)


# Studies ----------------------------------------------------------------------------------------------


def studies(store: Store) -> list[StudyEntry]:
    """All studies of a storage, the one that changed last first."""
    names = store.studies()
    begun = frozenset(store.trials()) if names else frozenset[str]()
    entries = [entry(store, name, begun) for name in names]
    return sorted(entries, key=lambda entry: (-entry.changed, entry.name))


def view(store: Store, name: str) -> StudyView:
    """The state of a study, at most a second old.

    Raises:
        InputError: If it was never started, or its plan cannot be read.
        StorageError: If the storage is away.
    """
    return _followed(store.uri, name).view()


def newest(store: Store) -> str | None:
    """The study that changed last; None where none can be read."""
    return next((entry.name for entry in studies(store) if not entry.trouble), None)


def entry(store: Store, name: str, begun: frozenset[str] | None = None) -> StudyEntry:
    """A study as a line of the list. ``begun``: trials that have a folder; None: the storage is asked."""
    try:
        now = _followed(store.uri, name).view(begun)
    except (InputError, RefusedFileError) as error:
        return StudyEntry(name, trouble=str(error))

    # The last change is that of the plan, a record or a heartbeat, whichever is latest.
    records = now.results.records.values()
    ended = [record.ended for record in records if record.ended is not None]
    beats = [trial.progress.time for trial in now.running if trial.progress is not None]
    return StudyEntry(
        name=name,
        question=now.results.plan.study.question,
        counts=Counter(record.status for record in records),
        total=now.total,
        running=sum(trial.silent is None for trial in now.running),
        planned=now.planned,
        left=now.left,
        held=now.held,
        best=now.results.once("best", lambda: _best(now.results)),
        data_sets=_data_sets(now.results),
        last_record=max(ended, default=None),
        problems=len(now.results.problems),
        changed=max([now.planned_at, *beats, *(moment.timestamp() for moment in ended)]),
    )


def _data_sets(results: StudyResults) -> int:
    """On how many data sets the cells stand, those of a search without winners among them."""
    return len(set(results.data_of.values()))


def _best(results: StudyResults) -> BestCell | None:
    if _data_sets(results) > 1:
        return None
    metric = results.primary
    # A search without trained winners has validation values alone, and says so.
    best = best_mean(metric_summary(results, metric.name), metric)
    if best is not None and best.mean is not None:
        return BestCell(
            metric, variant_name(results, best.cell.name), best.mean, best.n, best.planned, "test"
        )
    return _best_point(results)


def _best_point(results: StudyResults) -> BestCell | None:
    if results.plan.has_front:  # no point is best
        return None
    points = [point for of_cell in results.evaluated_points.values() for point in of_cell]
    best = best_points(results.plan, points, 1)
    if not best or best[0].value is None:
        return None
    metric = {**METRICS, **LABEL_FREE_METRICS}[results.plan.objectives[0].metric]
    n = len(best[0].repeats)
    return BestCell(metric, best[0].point.name, best[0].value, n, n, "validation")


class _Followed:
    """A study that is read again and again, by many threads."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._lock = threading.Lock()
        # Predictions that were read before come from memory.
        self._study = FollowedStudy(store, name, partial(read_part, store), parameter_importance)
        self._fresh_until = 0.0
        self._view: StudyView | None = None

    def view(self, begun: frozenset[str] | None = None) -> StudyView:
        with self._lock:
            # One reader reads, the others wait for it and get the same view.
            began = time.monotonic()
            if self._view is None or began > self._fresh_until:
                self._view = self._now(begun)
                ended = time.monotonic()
                self._fresh_until = ended + max(_FRESH, _REST * (ended - began))
            return self._view

    def _now(self, begun: frozenset[str] | None) -> StudyView:
        # The version counts changes of the results; heartbeats come with every look and are none.
        state, before = self._study.state(begun), self._view
        changed = before is not None and before.results is not state.results
        return StudyView(
            store=self._store,
            results=state.results,
            running=state.snapshot.running,
            left=state.snapshot.left,
            total=state.snapshot.total,
            held=state.snapshot.held,
            planned_at=state.planned_at,
            version=0 if before is None else before.version + changed,
        )


@cache  # without a bound: a list of more studies than it holds would read all of them at each look
def _followed(uri: str, name: str) -> _Followed:
    return _Followed(open_store(uri), name)


@lru_cache(maxsize=_PAIRS)
def beside(left: StudyResults, right: StudyResults) -> tuple[StudyPair, Page]:
    """Two studies compared, and the page of that.

    Raises:
        InputError: If they cannot be compared.
    """
    pair = pair_studies(left, right)
    return pair, pair_page(pair)


# Files of a trial ----------------------------------------------------------------------------------------


def read_part(store: Store, record: Record, name: str) -> pa.Table | None:
    """A table of a trial, such as ``maps.parquet``; None where it has none.

    Raises:
        DamagedFileError: If the file is not as the record says.
        FileNotFoundError: If it is gone.
    """
    read = _read_prediction if name == "predictions.parquet" else _read_part
    return read(store, record, (store.uri, record.id, record.attempt, name))


def stage_curves(store: Store, record: Record) -> dict[str, pa.Table]:
    """Stage → a row per epoch, of those stages of a trial that logged some, in their order.

    Raises as :func:`read_part`.
    """
    tables = {use.name: _read_stage_curve(store, (store.uri, use.key)) for use in record.stages}
    return {name: table for name, table in tables.items() if table is not None}


@st.cache_resource(max_entries=_PARTS, show_spinner=False)
def _read_part(_store: Store, _record: Record, key: tuple[str, str, str, str]) -> pa.Table | None:
    return _store.read_part(_record, key[-1])


@st.cache_resource(max_entries=_PREDICTIONS, show_spinner=False)
def _read_prediction(_store: Store, _record: Record, key: tuple[str, str, str, str]) -> pa.Table | None:
    return _store.read_part(_record, key[-1])


@st.cache_resource(max_entries=_PARTS, show_spinner=False)
def _read_stage_curve(_store: Store, key: tuple[str, str]) -> pa.Table | None:
    return stage_curve(_store, key[-1])
