"""Points of a search as its page shows them: ranked, on axes with brushes, in a list, few enough to draw.

Made once for each state of a study: a brush then costs a mask over what is there. Altair draws ten thousand
points a chart in seconds, so charts get the best and an even sample of the others (:func:`few`), and the page
says so; axes and list hold all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.report.front_tables import objective_text
from assay.report.parallel import Axis, Brushes, best_first, objective_name, point_axes
from assay.storage.search_points import EvaluatedPoint
from assay.study import SearchPlan
from assay.study.search import Objective
from assay.study.space import format_scalar
from trainables.evaluation.metrics import METRICS, PROXIES

__all__ = [
    "MOST_DRAWN",
    "SearchPoints",
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
    return objective_name(plan) if objective.is_cost else {**METRICS, **PROXIES}[objective.metric].title


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
