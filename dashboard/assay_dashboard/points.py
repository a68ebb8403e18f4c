"""Points of a search as its page shows them: ranked, on axes, as rows of a list, and few enough to draw.

Made once for each state of a study: a brush then costs a mask over what is there. Altair draws ten thousand
points a chart in seconds, so charts get the best and an even sample of the others (:func:`few`), and the page
says so; axes and list hold all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from assay.storage.search_points import EvaluatedPoint
from assay.study import Plan
from assay.study.space import format_scalar
from assay_dashboard.parallel import Axis, objective_axis, parameter_axis

__all__ = ["MOST_DRAWN", "SearchPoints", "few", "objective_name", "search_points", "thinning"]

MOST_DRAWN = 500  # points in a chart, of which a page has up to thirteen


@dataclass(frozen=True, eq=False)
class SearchPoints:
    """The points of one searched cell."""

    axes: tuple[Axis, ...]  # of all points, best first
    table: pd.DataFrame  # the same points in the same order
    judged: int  # that have a value
    drawn: tuple[EvaluatedPoint, ...]  # of those, for charts
    history: pd.DataFrame  # `point`, `index`, `value`, `best` (until then), `from`, for a chart


def objective_name(plan: Plan) -> str:
    """``validation.image_ap``."""
    assert plan.study.search is not None
    return f"validation.{plan.study.search.objective.metric}"


def search_points(plan: Plan, judged: Sequence[EvaluatedPoint]) -> SearchPoints:
    """What is known of the points of one cell, which come in the order in which they were drawn."""
    search, space = plan.study.search, plan.study.space
    assert search is not None
    sign = search.objective.sign
    ranked = sorted(judged, key=lambda one: (one.value is None, -sign * (one.value or 0.0), one.point.index))
    axes = [
        parameter_axis(path, rule, [one.point.values.get(path) for one in ranked])
        for path, rule in space.items()
    ]
    valued = [one for one in ranked if one.value is not None]
    drawn = few(valued)
    return SearchPoints(
        axes=(*axes, objective_axis(objective_name(plan), [one.value for one in ranked], sign)),
        table=_table(ranked, list(space)),
        judged=len(valued),
        drawn=tuple(drawn),
        history=_history(judged, drawn, sign),
    )


def few(ranked: Sequence[EvaluatedPoint], most: int = MOST_DRAWN) -> list[EvaluatedPoint]:
    """All where they are at most ``most``; else the best half of so many, and every n-th of the others."""
    if len(ranked) <= most:
        return list(ranked)
    return [*ranked[: most // 2], *ranked[most // 2 :: _step(len(ranked), most)]]


def thinning(count: int, most: int = MOST_DRAWN) -> str:
    """What :func:`few` leaves out, in words; empty where that is nothing."""
    if count <= most:
        return ""
    return f"Charts hold the best {most // 2} of {count} points, and 1 in {_step(count, most)} of the others."


def _step(count: int, most: int) -> int:
    return math.ceil((count - most // 2) / (most - most // 2))


def _history(judged: Sequence[EvaluatedPoint], drawn: Sequence[EvaluatedPoint], sign: int) -> pd.DataFrame:
    """The points that are drawn; with all that were the best so far, so that their line is exact."""
    wanted = {one.point.name for one in drawn}
    valued = [one for one in judged if one.value is not None]
    rows: list[tuple[str, int, float, float, str]] = []
    best: float | None = None
    for one in valued:
        assert one.value is not None
        better = best is None or sign * one.value > sign * best
        best = one.value if better or best is None else best
        if better or one.point.name in wanted or one is valued[-1]:
            rows.append((one.point.name, one.point.index, one.value, best, one.point.source))
    return pd.DataFrame(rows, columns=["point", "index", "value", "best", "from"])


def _table(ranked: Sequence[EvaluatedPoint], paths: Sequence[str]) -> pd.DataFrame:
    rows = [
        (
            one.point.name,
            one.status,
            one.value,
            one.point.source,
            *(_value(one, path) for path in paths),
            one.reason,
        )
        for one in ranked
    ]
    return pd.DataFrame(rows, columns=["point", "state", "objective", "from", *paths, "why"])


def _value(one: EvaluatedPoint, path: str) -> object:
    """A number stays a number, so that the column sorts; what was not drawn is empty."""
    value = one.point.values.get(path)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    return format_scalar(value)
