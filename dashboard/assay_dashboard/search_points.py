"""Points of a search as its page shows them: ranked, on axes with brushes, in a list, few enough to draw.

Made once for each state of a study: a brush then costs a mask over what is there. Altair draws ten thousand
points a chart in seconds, so charts get the best and an even sample of the others (:func:`few`), and the page
says so; axes and list hold all. No widgets.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.analysis.predictions import measured_records
from assay.analysis.results.search_results import SearchResults
from assay.analysis.search_front import fresh_value
from assay.analysis.study_analysis import study_analysis
from assay.report.interactive.parallel import Axis, Brushes, best_first, objective_name, point_axes
from assay.report.tables.search import objective_text
from assay.statistics.contrast_test import TOO_FEW
from assay.statistics.families import ComparisonResult
from assay.statistics.paired import t_half_width
from assay.statistics.scores import CLAIMS
from assay.storage.search_points import EvaluatedPoint, best_points, objective_value
from assay.study import Cell, SearchPlan
from assay.study.search.space import format_scalar
from assay.study.search.spec import Objective
from trainables.evaluation.metrics import LABEL_FREE_METRICS, METRICS

__all__ = [
    "MOST_DRAWN",
    "SearchPoints",
    "against_start",
    "best_point_rows",
    "brush_texts",
    "brushes_of",
    "few",
    "inside",
    "objective_format",
    "objective_title",
    "search_points",
    "thinning",
]


MOST_DRAWN = 500  # points in a chart, of which a page has up to thirteen
_BEST = MOST_DRAWN // 2  # of them the best; the others are a sample
_POSITIONS = re.compile(r"([01](?:\.\d{1,4})?):([01](?:\.\d{1,4})?)", re.ASCII)  # of a brush in a URL


@dataclass(frozen=True, eq=False)
class SearchPoints:
    """The points of one searched cell. Tables are made when asked for: the axes do not wait for them."""

    plan: SearchPlan
    points: Sequence[EvaluatedPoint]  # in the order in which they were drawn
    ranked: Sequence[EvaluatedPoint]  # best first
    axes: tuple[Axis, ...]  # of the ranked points

    @cached_property
    def valued(self) -> int:
        """Points that have a value."""
        return sum(row.value is not None for row in self.ranked)

    @cached_property
    def drawn(self) -> list[EvaluatedPoint]:
        """Those of them that charts draw, best first."""
        return few([row for row in self.ranked if row.value is not None])

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each ranked point; of several objectives ``objective 2`` and so on beside the first.

        Numbers stay numbers, so that a column sorts, with the digits of the report; what was not drawn is
        empty.
        """
        # True and False become words, or they would sort and show as numbers.
        goals = enumerate(self.plan.search.objectives)
        points = [row.point for row in self.ranked]
        drawn = [
            {path: format_scalar(v) if isinstance(v, bool) else v for path, v in values.items()}
            for values in [point.values for point in points]
        ]
        return pd.DataFrame(
            {
                "point": [point.name for point in points],
                "state": [row.status for row in self.ranked],
                **{
                    f"objective {place + 1}" if place else "objective": [
                        float(objective_text(goal, row.values[place])) if row.values else None
                        for row in self.ranked
                    ]
                    for place, goal in goals
                },
                "from": [point.source for point in points],
                **{path: [values.get(path) for values in drawn] for path in self.plan.study.space},
                "why": [row.reason for row in self.ranked],
            }
        )

    @cached_property
    def history(self) -> pd.DataFrame:
        """``point``, ``index``, ``value``, ``best`` (until then), ``from``, for a chart.

        Of the points that are drawn, and of all that were the best so far, so that their line is exact.
        """
        # Every point that was the best when it came is kept, so the line of the best is exact although most
        # points are left out.
        sign = self.plan.search.objective.sign
        wanted = {row.point.name for row in self.drawn}
        valued = [row for row in self.points if row.value is not None]
        rows: list[tuple[str, int, float, float, str]] = []
        best: float | None = None
        for row in valued:
            assert row.value is not None
            better = best is None or sign * row.value > sign * best
            best = row.value if better or best is None else best
            if better or row.point.name in wanted or row is valued[-1]:
                rows.append((row.point.name, row.point.index, row.value, best, row.point.source))
        return pd.DataFrame(rows, columns=["point", "index", "value", "best", "from"])


def objective_title(plan: SearchPlan) -> str:
    """``AP``, of a cost its name."""
    objective = plan.search.objective
    return (
        objective_name(plan)
        if objective.is_cost
        else {**METRICS, **LABEL_FREE_METRICS}[objective.metric].title
    )


def objective_format(objective: Objective) -> str:
    """Format of the values of an objective in a grid, which have the digits of the report."""
    return "%g" if objective.is_cost else "%.4f"


def search_points(plan: SearchPlan, points: Sequence[EvaluatedPoint]) -> SearchPoints:
    """The points of one cell for the page. They come in the order in which they were drawn."""
    ranked = best_first(plan, points)
    return SearchPoints(plan, points, ranked, point_axes(plan, ranked))


def few(ranked: Sequence[EvaluatedPoint]) -> list[EvaluatedPoint]:
    """All where they are at most 500; else the best half of so many, and every n-th of the others."""
    if len(ranked) <= MOST_DRAWN:
        return list(ranked)
    return [*ranked[:_BEST], *ranked[_BEST :: _step(len(ranked))]]


def thinning(count: int) -> str:
    """A sentence on what :func:`few` leaves out; empty where that is nothing."""
    if count <= MOST_DRAWN:
        return ""
    return f"Charts hold the best {_BEST} of {count} points, and 1 in {_step(count)} of the others."


def _step(count: int) -> int:
    return math.ceil((count - _BEST) / (MOST_DRAWN - _BEST))


# Brushes ----------------------------------------------------------------------------------------------


def brush_texts(brushes: Mapping[str, Sequence[float]]) -> list[str]:
    """``config.lr:0.25:0.75`` for a brush, as it stands in a URL."""
    return [f"{name}:{low:g}:{high:g}" for name, (low, high) in brushes.items()]


def brushes_of(texts: Iterable[str], axes: Sequence[Axis]) -> Brushes:
    """The brushes that texts of a URL name. A text that names no axis, or no part of one, does not count."""
    names = {axis.name for axis in axes}
    brushes: dict[str, tuple[float, float]] = {}
    for text in texts:
        name, _, positions = text.partition(":")
        match = _POSITIONS.fullmatch(positions)
        if name in names and match is not None:
            low, high = float(match[1]), float(match[2])
            if low <= high <= 1:
                brushes[name] = low, high
    return brushes


def inside(axes: Sequence[Axis], brushes: Mapping[str, Sequence[float]]) -> NDArray[np.bool_]:
    """A mask of the points that lie within all brushes. Brushes of unknown axes do not count."""
    chosen = np.ones(len(axes[0].positions), np.bool_)
    for axis in axes:
        brush = brushes.get(axis.name)
        if brush is not None:
            chosen &= (axis.positions >= np.float32(brush[0])) & (axis.positions <= np.float32(brush[1]))
    return chosen


# The winner: is it better than the start, and how far from the next best? ------------------------------


_WINNERS = 5  # points of a search that are drawn with their repeats
_SEARCHED, _FRESH = "in the search", "on fresh seeds"


def against_start(results: SearchResults, cell: str) -> list[ComparisonResult]:
    """The best point of a searched cell against each start that was trained again, by the narrowest claim."""
    # Only comparisons of rows that were trained again count: the values of the search chose its winner.
    rows = {row.name for row in _retrained(results, cell)}
    names = {c.name for c in results.reported.comparisons if c.factor == "search" and c.pairs[0][1] in rows}
    of_start = [r for r in study_analysis(results).comparisons if r.comparison in names and r.cell_a in rows]
    claim = next((claim for claim in CLAIMS if any(r.claim == claim for r in of_start)), None)
    return [result for result in of_start if result.claim == claim]


def best_point_rows(results: SearchResults, cell: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means and repeats of the best points of a searched cell, and of what was trained on fresh seeds.

    They are rows of a plot. Intervals of 95 % are by Student's t from three repeats on. The values of the
    search chose its points, and flatter them. Those on fresh seeds did not.
    """
    objective = results.plan.search.objective
    means: list[tuple[object, ...]] = []
    repeats: list[tuple[object, ...]] = []
    for point in best_points(results.plan, results.evaluated_points[cell], _WINNERS)[:_WINNERS]:
        # Two groups of rows: as the search saw them, and on fresh seeds.
        half = _half_width(point.repeats)
        ends = (
            (None, None) if half is None or point.value is None else (point.value - half, point.value + half)
        )
        means.append((point.point.name, _SEARCHED, point.value, *ends, len(point.repeats)))
        repeats += [(point.point.name, _SEARCHED, f"repeat {i}", v) for i, v in enumerate(point.repeats, 1)]
    for row in _retrained(results, cell) if _is_measured(objective) else ():
        fresh = fresh_value(results, row, objective)
        if fresh is None:
            continue
        values = _fresh_repeats(results, row)
        means.append((row.name, _FRESH, fresh.mean, fresh.low, fresh.high, len(values)))
        repeats += [(row.name, _FRESH, name, value) for name, value in values.items()]
    return (
        pd.DataFrame(means, columns=["cell", "group", "mean", "low", "high", "n"]),
        pd.DataFrame(repeats, columns=["cell", "group", "repeat", "value"]),
    )


def _fresh_repeats(results: SearchResults, row: Cell) -> dict[str, float]:
    """Seed → the objective on test images, or the cost, of a row that was trained again."""
    goal, values = results.plan.search.objective, dict[str, float]()
    for trial in results.reported.trials:
        record = measured_records(results).get(trial.id)
        if trial.cell != row.name or record is None or record.result is None:
            continue
        value = objective_value(goal, record) if goal.is_cost else record.result.metrics.get(goal.metric)
        if value is not None:
            values[f"seed {trial.seed}"] = value
    return values


def _retrained(results: SearchResults, cell: str) -> list[Cell]:
    """The reported rows of a searched cell; of several searches of a cell, those that they share."""
    names = (cell, results.plan.by_name[cell].design_cell)
    return [row for row in results.reported.cells if row.planned_as in names]


def _is_measured(objective: Objective) -> bool:
    """True where the objective is also known apart from validation images."""
    return objective.is_cost or objective.metric in METRICS


def _half_width(values: Sequence[float]) -> float | None:
    if len(values) <= TOO_FEW:
        return None
    return t_half_width(statistics.stdev(values), 1 / len(values), len(values) - 1)
