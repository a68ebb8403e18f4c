"""A study that is read again and again while it runs: the dashboard's pages and Python's ``assay.open`` do.

Each look reads the records that are new and no others, and what was computed from a state of the study stays
while plan and records do. What is said of all studies of the storage is worked out again when one of them
registers a question or writes its summary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import NamedTuple, TypeVar

from assay.analysis.computed import Computed
from assay.analysis.reading import needed_plan
from assay.analysis.results import ReadPart, StudyResults
from assay.analysis.search_results import ImportanceOf, results_of_records
from assay.storage.plans import written_plan
from assay.storage.store import Store
from assay.storage.watch import Snapshot, Watch

__all__ = ["FollowedStudy", "Look"]

_FRESH = 10.0  # seconds for which the other studies of the storage are not looked at again
_T = TypeVar("_T")


class Look(NamedTuple):
    """A study at one moment."""

    snapshot: Snapshot
    results: StudyResults  # the same object while plan and records stay, and what other studies left
    planned_at: float  # Unix time at which the plan was written


class FollowedStudy:
    """Looks at one study; one caller at a time.

    Args:
        store: Where it lies.
        name: Of the study.
        read_part: Reads a file of a record; None: ``store`` does.
        importance_of: As :class:`~assay.analysis.search_results.SearchResults` has it.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        read_part: ReadPart | None = None,
        importance_of: ImportanceOf | None = None,
    ) -> None:
        self._store, self._name = store, name
        self._read_part, self._importance_of = read_part or store.read_part, importance_of
        self._stamp: tuple[int, int] | None = None
        self._watch: Watch | None = None
        self._results: StudyResults | None = None

    def look(self, begun: AbstractSet[str] | None = None) -> Look:
        """The state now; ``begun``: the trials that left anything, where the caller has listed them.

        Raises:
            InputError: If the study was never started, or its plan cannot be read.
            StorageError: If the storage is away.
        """
        stamp = self._store.stamp(f"{self._store.study(self._name)}/plan.parquet")
        if self._watch is None or stamp != self._stamp:
            plan = written_plan(self._store, self._name)
            self._watch, self._stamp = Watch(self._store, plan, needed=needed_plan), stamp
        snapshot = self._watch.look(begun)
        return Look(snapshot, self._results_of(self._watch), stamp[0] / 1e9 if stamp is not None else 0.0)

    def _results_of(self, watch: Watch) -> StudyResults:
        known = self._results
        if (
            known is None
            or known.plan is not watch.plan
            or known.records != watch.records
            or known.problems != watch.problems
        ):
            known = results_of_records(
                watch.plan,
                dict(watch.records),
                watch.problems,
                self._store,
                self._read_part,
                importance_of=self._importance_of,
            )
            known = self._results = replace(known, of_storage=_OfStorage(self._store))
        elif isinstance(known.of_storage, _OfStorage) and known.of_storage.is_stale():
            known = self._results = replace(known, of_storage=_OfStorage(self._store))
        return known


class _OfStorage(Computed):
    """Values about all studies of a storage, with what these had left when one was first asked for."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._stamps: dict[str, tuple[int, int]] | None = None
        self._until = 0.0

    def once(self, name: Hashable, make: Callable[[], _T]) -> _T:
        if self._stamps is None:
            self._stamps, self._until = self._store.stamps_of_studies(), time.monotonic() + _FRESH
        return super().once(name, make)

    def is_stale(self) -> bool:
        """Tell whether a study has left something since. Where nothing was asked for yet, nobody looks."""
        if self._stamps is None or time.monotonic() < self._until:
            return False
        self._until = time.monotonic() + _FRESH
        return self._store.stamps_of_studies() != self._stamps
