"""The plan of a search, which grows with the points that are drawn.

It begins with the cells that are searched, and their repeats (:class:`SearchedCell`). What is trained in them
is not known before: each :class:`Point` becomes a cell of its own (:meth:`SearchPlan.with_points`), with one
trial per repeat, and each winner another one on fresh seeds (:meth:`SearchPlan.with_winners`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, Self

from assay.study.planning.cells import Cell, Trial
from assay.study.planning.plan import Plan
from assay.study.search.points import (
    Point,
    PointCell,
    SearchedCell,
    budget,
    planned_trials,
    point_row,
    trials_of,
)
from assay.study.search.search_rules import pruned_by
from assay.study.search.spec import Objective, Search

__all__ = ["SearchPlan"]


class SearchPlan(Plan, frozen=True, extra="forbid"):
    """The plan of a search: what is searched, and all that was drawn so far."""

    cells: tuple[Cell | PointCell, ...]  # those of the study file; once it has grown, the points
    searched: tuple[SearchedCell, ...]
    points: tuple[Point, ...] = ()  # that were drawn so far,
    point_trials: tuple[tuple[str, ...], ...] = ()  # and of each the ids of its trials
    pending_points: int  # trials of points that are not drawn yet

    @property
    def search(self) -> Search:
        """The rules of the search."""
        search = self.study.search
        assert search is not None, "the planner makes it of a study with a search"
        return search

    @property
    def budget(self) -> int:
        """Points in each searched cell: as many as asked, or all of the grid."""
        return budget(self.search, self.study.space)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The values by which it chooses between points, the first one first."""
        return self.search.objectives

    @property
    def pruned_by(self) -> Literal["repeats", "epochs"] | None:
        """What the pruner counts, or None where the search has none."""
        return pruned_by(self.study, self.search)

    @property
    def designed(self) -> tuple[Cell, ...]:
        """The cells that are searched, one for each search."""
        return tuple(searched.cell for searched in self.searched)

    @property
    def size(self) -> int:
        """Trials in all, those of points that are not drawn yet among them."""
        return len(self.trials) + self.pending_points

    @property
    def by_name(self) -> Mapping[str, SearchedCell]:
        """Map the name of each searched cell to it."""
        return {searched.cell.name: searched for searched in self.searched}

    @property
    def drawn(self) -> Mapping[str, int]:
        """Map each searched cell to the number of points that were drawn in it."""
        count = Counter(point.cell for point in self.points)
        return {name: count[name] for name in self.by_name}

    @property
    def replicates(self) -> tuple[PointCell, ...]:
        """The points that are trained again on fresh seeds: these alone enter tables."""
        return tuple(cell for cell in self.cells if isinstance(cell, PointCell) and cell.replicated)

    def first_repeats(self) -> Iterator[tuple[Cell, int, int | None]]:
        """Each searched cell with seed and fold of its first repeat."""
        return ((each.cell, each.repeats[0].seed, each.repeats[0].fold) for each in self.searched)

    def pending(self) -> Iterator[tuple[Trial, int]]:
        """The first trial of each searched cell: a point costs what its cell costs, before it is drawn."""
        for index, searched in enumerate(self.searched if self.pending_points else ()):
            share, rest = divmod(self.pending_points, len(self.searched))
            yield next(trials_of(searched, searched.cell, searched.repeats)), share + (index < rest)

    def with_cells(self, change: Callable[[Cell], Cell]) -> Self:
        """The plan with every cell as ``change`` returns it."""
        searched = tuple(each.model_copy(update={"cell": change(each.cell)}) for each in self.searched)
        return super().with_cells(change).model_copy(update={"searched": searched})

    def points_of(self, searched: SearchedCell) -> list[tuple[Point, tuple[str, ...]]]:
        """The points drawn in a searched cell, each with the ids of the trials that evaluate it."""
        drawn = zip(self.points, self.point_trials, strict=True)
        return [(point, ids) for point, ids in drawn if point.cell == searched.cell.name]

    def with_points(self, points: Sequence[Point]) -> Self:
        """The plan with all points that were drawn: a cell for each, and its trials.

        A point that equals an earlier one of its cell is trained with it. One that was refused has neither.
        """
        bare = self.model_copy(update={"cells": (), "trials": (), "points": tuple(points)})
        grown, ids = bare._with_rows(points, fresh=False)
        return grown.model_copy(update={"point_trials": ids})

    def with_winners(self, replicated: Sequence[Point], *, complete: bool) -> Self:
        """The plan with points and, a cell for each, what is trained on fresh seeds.

        Args:
            replicated: Points that are trained again, in the order of the table.
            complete: Nothing more will be drawn.
        """
        grown, _ = self._with_rows(replicated, fresh=True)
        return grown.model_copy(update={"pending_points": 0}) if complete else grown

    def _with_rows(self, points: Sequence[Point], *, fresh: bool) -> tuple[Self, tuple[tuple[str, ...], ...]]:
        """The plan with further rows, and the ids of the trials of each."""
        by_name = self.by_name
        cells: dict[tuple[str, ...], Cell] = {}  # by the cell in which a point was drawn, and its trials
        trials = {trial.id: trial for trial in self.trials}
        of_points: list[tuple[str, ...]] = []
        for point in points:
            row = point_row(by_name[point.cell], point, fresh=fresh) if point.cell in by_name else None
            of_points.append(() if row is None else tuple(trial.id for trial in row.trials))
            if row is None:
                continue

            # Points with the same settings are the same trials, and one row.
            key = (point.cell, *of_points[-1])
            if key in cells:
                continue
            cells[key] = row.cell
            for trial in row.trials:  # several searches may start from the same point
                trials.setdefault(trial.id, trial)
        planned = planned_trials(self.study, self.search, self.searched, self.points)
        grown = self.model_copy(
            update={
                "cells": (*self.cells, *cells.values()),
                "trials": tuple(trials.values()),
                "pending_points": max(0, planned - len(trials)),
            }
        )
        return grown, tuple(of_points)
