"""Charts of single pages: what labels cost, the front of a search, and dot plots in the cells of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import altair as alt
import pandas as pd

from assay.analysis.results.results import StudyResults
from assay.analysis.search_front import FrontPoint
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import metric_summary
from assay.report.figures.drawing import MARKERS
from assay.storage.search_points import EvaluatedPoint
from assay_dashboard.plots import NARROW, Chart, Theme, colours, cycled

__all__ = ["MOST_CELLS", "Dots", "cost_plot", "dot_plots", "front_plot", "front_rows"]


# What labels buy ---------------------------------------------------------------------------------------


# The report's markers as Vega has them; a path fills a square from -1 to 1.
_SHAPES = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "v": "triangle-down",
    "P": "cross",
    "X": "M-1,-.5L-.5,-1L0,-.5L.5,-1L1,-.5L.5,0L1,.5L.5,1L0,.5L-.5,1L-1,.5L-.5,0Z",
    "p": "M0,-1L.95,-.31L.59,.81L-.59,.81L-.95,-.31Z",
    "D": "M0,-1L1,0L0,1L-1,0Z",
}


def cost_plot(
    cells: pd.DataFrame, *, axis: str, unit: str, lines: str | None, logarithmic: bool, theme: Theme
) -> Chart:
    """Scores against the time of labelling; rings mark the front, whose cells none beats for less.

    Colours and markers are the report's: there is one more of these, so no two lines look alike.

    Args:
        cells: ``variant``, ``line``, ``hours`` (in ``unit``), ``place`` (its position on that axis),
            ``narrow`` (the same in a narrow window), ``mean``, ``low`` and ``high`` (of its repeats),
            ``front`` (true for a cell on it), ``masks``, ``labels``, ``name`` (beside its
            point; empty: none).
        axis: Name and unit of the scores.
        unit: ``hours`` or ``minutes``.
        lines: Title of the legend of the lines; None: no legend.
        logarithmic: Draw the time on a log scale.
        theme: Of the page.
    """
    # Colour and marker say the same thing, so the lines can be told apart without seeing colours.
    names = list(dict.fromkeys(cells["line"]))
    palette, shapes = colours(theme), [_SHAPES[marker] for marker in MARKERS]
    legend = None
    if lines is not None:
        room = 30 + 8 * max(map(len, names))  # pixels of a name with its marker
        columns = alt.ExprRef(f"max(1, floor(width / {room}))")
        legend = alt.Legend(title=lines, orient="top", symbolOpacity=1, labelLimit=room, columns=columns)
    colour = alt.Color(
        "line:N",
        sort=names,
        scale=alt.Scale(domain=names, range=cycled(palette, len(names))),
        legend=legend,
    )
    shape = alt.Shape(
        "line:N",
        sort=names,
        scale=alt.Scale(domain=names, range=cycled(shapes, len(names))),
        legend=legend,
    )

    # Air around the points, and as many numbers as the width has room for.
    kind: dict[str, Any] = {"type": "log"} if logarithmic else {"zero": False}
    x = alt.X(
        "at:Q",
        title=f"{unit} of labelling the training part{' (log scale)' if logarithmic else ''}",
        scale=alt.Scale(**kind, padding=24, nice=False),
        axis=alt.Axis(tickCount=alt.ExprRef("max(3, floor(width / 90))"), format="~r"),
    )
    y_scale = alt.Scale(
        domain=_room(float(min(cells["low"])), float(max(cells["high"]))), nice=False, zero=False
    )
    tooltip = [
        alt.Tooltip("variant:N"),
        alt.Tooltip("mean:Q", format=".4~f"),
        alt.Tooltip("hours:Q", title=unit, format=".1f"),
        alt.Tooltip("labels:Q", title="image labels", format=".1f"),
        alt.Tooltip("masks:Q", format=".1f"),
    ]
    y = alt.Y("mean:Q", title=axis, scale=y_scale)

    # Lines, spreads, rings and points over each other; the place of a point depends on the width of the
    # window.
    base = alt.Chart(cells).transform_calculate(at=f"{NARROW} ? datum.narrow : datum.place")
    ways = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour)
    spread = base.mark_rule(opacity=0.45, strokeWidth=1.5).encode(
        x=x, y=alt.Y("low:Q", title=axis, scale=y_scale), y2="high:Q", color=colour
    )
    points = base.mark_point(size=100, opacity=1, filled=True)
    dots = points.encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)
    rings = base.transform_filter("datum.front").mark_point(
        size=260, strokeWidth=2, filled=False, color="#8a8f98", opacity=1
    )
    # Below the point: a front rises to the right, through what stands above it.
    texts = base.mark_text(align="left", dx=13, dy=15, fontSize=12, limit=260)
    layers = ways, spread, rings.encode(x=x, y=y), dots, texts.encode(x=x, y=y, text="name:N")
    return alt.layer(*layers).properties(height=400)


def _room(low: float, high: float) -> list[float]:
    """Limits of an axis of scores with some air, which shares of 1 do not need."""
    air = 0.06 * (high - low) or 0.05
    return [max(0.0, low - air), min(1.0, high + air) if high <= 1 else high + air]


# The front of a search ---------------------------------------------------------------------------------


def front_rows(points: Sequence[EvaluatedPoint], front: Sequence[FrontPoint]) -> pd.DataFrame:
    """Rows of the chart: points of the search (those that charts draw), the front, and its fresh seeds."""
    # The front is drawn twice: as the search saw it, and on fresh seeds, where its points are not flattered.
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

    # Intervals lie below the dots. Points of the search have none, and their rules no length.
    upright = base.mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("y_low:Q"), y2="y_high:Q", color=colour)
    level = base.mark_rule(strokeWidth=1.5).encode(x=alt.X("x_low:Q"), x2="x_high:Q", y=y, color=colour)
    return alt.layer(upright, level, dots).properties(height=320)


# Dots in a cell of a table: every repeat as a tick, mean and interval over them ------------------------


MOST_CELLS = 200  # of a table with pictures
# Of a picture, pixels. The table draws it 29 high, so a lower one would be wider than its column and cut.
_WIDTH, _HEIGHT, _MARGIN = 150, 28, 7
_COLOUR = "#3C89BF"  # a contrast of 3 and more to the page, light and dark


class Dots(NamedTuple):
    """A picture for each cell, all with the same axis."""

    title: str  # with the ends of the axis
    pictures: Mapping[str, str | None]  # cell → address of an image; None where nothing was measured


def dot_plots(results: StudyResults) -> Dots:
    """Repeats, mean and 95 % interval of the primary metric, on an axis that holds them all."""
    metric = results.primary
    intervals = study_analysis(results).intervals(metric.name)
    # All pictures share one axis, so its ends are known only after every cell was looked at.
    drawn: dict[str, list[float]] = {}
    summaries = metric_summary(results, metric.name)
    for summary in summaries:
        if summary.mean is not None:
            interval = intervals.get(summary.cell.name)
            ends = (summary.mean, summary.mean) if interval is None else (interval.low, interval.high)
            drawn[summary.cell.name] = [summary.mean, *ends, *summary.values.values()]
    if not drawn:
        return Dots("repeats", {})
    low, high = min(map(min, drawn.values())), max(map(max, drawn.values()))
    long, decimals = _WIDTH - 2 * _MARGIN, metric.decimals
    pictures: dict[str, str | None] = dict.fromkeys(summary.cell.name for summary in summaries)

    # All numbers are equal: one place in the middle stands for all of them.
    if low == high:
        alike = _address(*[_MARGIN + long / 2] * 4)
        return Dots(f"repeats, all {low:.{decimals}f}", {**pictures, **dict.fromkeys(drawn, alike)})
    for cell, places in drawn.items():
        pictures[cell] = _address(*(_MARGIN + long * (place - low) / (high - low) for place in places))
    return Dots(f"axis {low:.{decimals}f} – {high:.{decimals}f}", pictures)


def _address(mean: float, left: float, right: float, *repeats: float) -> str:
    """A picture as an address of its data; all places are pixels from the left."""
    middle = _HEIGHT / 2
    ticks = "".join(f"M{x:.1f} {middle - 7}v14" for x in repeats)
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">'
        f'<g stroke="{_COLOUR}"><path d="{ticks}" stroke-width="1.5" opacity=".5"/>'
        f'<path d="M{left:.1f} {middle}H{right:.1f}" stroke-width="2"/></g>'
        f'<circle cx="{mean:.1f}" cy="{middle}" r="4.5" fill="{_COLOUR}"/></svg>'
    )
    return f"data:image/svg+xml,{quote(drawn)}"
