"""A study that is read again and again while it runs: by the display of a run and all who listen to it, by
`assay status`, by the dashboard's pages and by Python's ``assay.open``.

Each snapshot reads the records that are new and no others, and what was computed from a state of the study
stays while plan and records do. What is said of all studies of the storage is worked out again when one of
them registers a question or writes its summary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from assay.analysis.results.computed import Computed, computed
from assay.analysis.results.reading import decisions_so_far, needed_plan
from assay.analysis.results.results import ReadPart, StudyResults
from assay.analysis.results.search_results import ImportanceOf, results_of_records
from assay.analysis.results.watch import Snapshot, Watch
from assay.storage.plans import written_plan
from assay.storage.store import Store
from assay.study import Plan, Trial

if TYPE_CHECKING:
    from assay.analysis.decisions import StudyDecisions
    from assay.study.planning.stage_graph import Need

__all__ = ["FollowedStudy", "StudyState"]

_FRESH = 10.0  # seconds for which the other studies of the storage are not looked at again
_T = TypeVar("_T")


class StudyState(NamedTuple):
    """A study at one moment, for all who tell of it."""

    snapshot: Snapshot
    results: StudyResults  # the same object while plan and records stay, and what other studies left
    planned_at: float = 0.0  # Unix time at which the plan was written; 0: it was given

    @property
    def decisions(self) -> StudyDecisions | None:
        """Decisions of a study with ``repeats.decide``; the same object while its records stay."""
        return _decisions(self.results)


@computed
def _decisions(results: StudyResults) -> StudyDecisions | None:
    return decisions_so_far(results.plan, results.records)


class FollowedStudy:
    """A study that is looked at again and again, by one caller at a time.

    Args:
        store: Where it lies.
        name: Of the study.
        read_part: Reads a file of a record; None: ``store`` does.
        importance_of: As :class:`~assay.analysis.results.search_results.SearchResults` has it.
        plan: Of a run that has just made it; None: as it was written, and read again when it is written anew.
        since: As :class:`~assay.analysis.results.watch.Watch` has it.
        stages_of: As :class:`~assay.analysis.results.watch.Watch` has it.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        read_part: ReadPart | None = None,
        importance_of: ImportanceOf | None = None,
        *,
        plan: Plan | None = None,
        since: float = 0.0,
        stages_of: Callable[[Trial], Sequence[Need]] | None = None,
    ) -> None:
        self._store, self._name = store, name
        self._read_part, self._importance_of = read_part or store.read_part, importance_of
        self._since, self._stages_of = since, stages_of
        self._given, self._stamp = plan is not None, (0, 0)
        self._watch = None if plan is None else self._watched(plan)
        self._results: StudyResults | None = None

    @property
    def pause(self) -> float:
        """Seconds until the next snapshot is worth its price."""
        return 0.0 if self._watch is None else self._watch.pause

    def state(self, begun: AbstractSet[str] | None = None) -> StudyState:
        """The state now; ``begun``: the trials that left anything, where the caller has listed them.

        Raises:
            InputError: If the study was never started, or its plan cannot be read.
            StorageError: If the storage is away.
        """
        # A plan that is written anew, as after an edit of the study, needs another watch: the old one knows
        # the old trials. A plan that a run has given stays, for the run itself would not train another one.
        stamp = self._stamp
        if not self._given:
            stamp = self._store.stamp(f"{self._store.study(self._name)}/plan.parquet") or (0, 0)
        if self._watch is None or stamp != self._stamp:
            self._watch, self._stamp = self._watched(written_plan(self._store, self._name)), stamp
        snapshot = self._watch.take_snapshot(begun)
        return StudyState(snapshot, self._results_of(self._watch), stamp[0] / 1e9)

    def _watched(self, plan: Plan) -> Watch:
        return Watch(self._store, plan, self._since, self._stages_of, needed_plan)

    def _results_of(self, watch: Watch) -> StudyResults:
        # As long as nothing changed the same object is handed out, and with it all that was computed from it.
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
        # The stamps are taken before the value is made: a study that writes in between makes it stale, and
        # it is made again once too often instead of once too rarely.
        if self._stamps is None:
            self._stamps, self._until = self._store.stamps_of_studies(), time.monotonic() + _FRESH
        return super().once(name, make)

    def is_stale(self) -> bool:
        """Tell whether a study has left something since. Where nothing was asked for yet, nobody looks."""
        if self._stamps is None or time.monotonic() < self._until:
            return False
        self._until = time.monotonic() + _FRESH
        return self._store.stamps_of_studies() != self._stamps
