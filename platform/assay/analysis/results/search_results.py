"""A search as trained: the results of any study, the points that were drawn, and what mattered in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from assay.analysis.results.results import ReadPart, StudyResults
from assay.storage.record import DamagedRecord, Record
from assay.storage.search_points import EvaluatedPoint, evaluate_points
from assay.storage.store import Store
from assay.study import Plan, SearchPlan

__all__ = ["ImportanceOf", "SearchResults", "results_of_records"]

# Share of the objective's variance by parameter, from the points of one searched cell.
ImportanceOf = Callable[[SearchPlan, Sequence[EvaluatedPoint]], Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class SearchResults(StudyResults):
    """One state of a search."""

    plan: SearchPlan  # with the points drawn so far
    importance_of: ImportanceOf | None = None  # None: nothing is said of the parameters

    @property
    def evaluated_points(self) -> Mapping[str, list[EvaluatedPoint]]:
        """Map each searched cell to its points and their values, in the order in which they were drawn."""
        return self.once(
            "points",
            lambda: {
                searched.cell.name: evaluate_points(
                    self.plan.search.objectives, self.plan.points_of(searched), self.records
                )
                for searched in self.plan.searched
            },
        )

    @property
    def importance(self) -> Mapping[str, Mapping[str, float]]:
        """Map each searched cell and parameter to its share of the objective's variance."""
        share = self.importance_of
        if share is None:
            return {}
        return self.once(
            "importance",
            lambda: {cell: share(self.plan, points) for cell, points in self.evaluated_points.items()},
        )


def results_of_records(
    plan: Plan,
    trained: Mapping[str, Record],
    problems: tuple[DamagedRecord, ...] = (),
    store: Store | None = None,
    read_part: ReadPart | None = None,
    *,
    importance_of: ImportanceOf | None = None,
) -> StudyResults:
    """The results of a plan with its records by trial id: of a search :class:`SearchResults`."""
    if isinstance(plan, SearchPlan):
        return SearchResults(plan, trained, problems, store, read_part, importance_of=importance_of)
    return StudyResults(plan, trained, problems, store, read_part)
