"""The chart of a search with several objectives: its points, its front, and the front on fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from assay.analysis.search_front import FrontPoint
from assay.storage.search_points import EvaluatedPoint
from assay_dashboard.plots import Chart, Theme, colours

__all__ = ["front_plot", "front_rows"]


def front_rows(points: Sequence[EvaluatedPoint], front: Sequence[FrontPoint]) -> pd.DataFrame:
    """Rows of the chart: points of the search (those that charts draw), the front, and its fresh seeds."""
    on_front = {point.name for point in front}
    others = (row for row in points if row.point.name not in on_front)
    rows = [_placed(row.point.name, "point", row.values) for row in others]
    for point in front:
        rows.append(_placed(point.name, "front", point.evaluated.values))
        values = [value for value in (point.fresh or ())[:2] if value is not None]
        if len(values) == 2:
            row = _placed(point.name, "fresh seeds", [value.mean for value in values])
            for axis, value in zip("yx", values, strict=True):
                if value.low is not None and value.high is not None:
                    row |= {f"{axis}_low": value.low, f"{axis}_high": value.high}
            rows.append(row)
    return pd.DataFrame(rows)


def _placed(point: str, what: str, values: Sequence[float]) -> dict[str, str | float]:
    y, x = values[:2]
    return {"point": point, "what": what, "x": x, "y": y, "x_low": x, "x_high": x, "y_low": y, "y_high": y}


def front_plot(points: pd.DataFrame, *, axes: tuple[str, str], theme: Theme) -> Chart:
    """Two objectives of a search: its points, the front, and the front on fresh seeds with intervals.

    Args:
        points: ``point``, ``what`` (`point`, `front`, `fresh seeds`), ``x``, ``y``, and the interval of each,
            ``x_low`` to ``x_high`` and ``y_low`` to ``y_high``, of no width where there is none.
        axes: Names of the vertical and the horizontal objective.
        theme: Of the page.
    """
    blue, orange = colours(theme)[:2]
    kinds = ["point", "front", "fresh seeds"]
    colour = alt.Color(
        "what:N",
        scale=alt.Scale(domain=kinds, range=["#999999", blue, orange]),
        legend=alt.Legend(title=None, orient="top", symbolOpacity=1),
    )
    y = alt.Y("y:Q", title=axes[0], scale=alt.Scale(zero=False, padding=8))
    x = alt.X("x:Q", title=axes[1], scale=alt.Scale(zero=False, padding=8))
    tooltip = ["point:N", "what:N", alt.Tooltip("y:Q", title=axes[0]), alt.Tooltip("x:Q", title=axes[1])]
    base = alt.Chart(points)
    dots = base.mark_circle(size=70, opacity=0.8).encode(x=x, y=y, color=colour, tooltip=tooltip)
    upright = base.mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("y_low:Q"), y2="y_high:Q", color=colour)
    level = base.mark_rule(strokeWidth=1.5).encode(x=alt.X("x_low:Q"), x2="x_high:Q", y=y, color=colour)
    return alt.layer(upright, level, dots).properties(height=320)
