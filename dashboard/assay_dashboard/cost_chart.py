"""The chart of what labels cost and buy: scores against hours, a line for each method or setting."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from assay.report.figures.drawing import MARKERS
from assay_dashboard.plots import NARROW, Chart, Theme, colours, cycled

__all__ = ["cost_plot"]

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
        cells: ``cell``, ``line``, ``hours`` (in ``unit``), ``place`` (its position on that axis), ``narrow``
            (the same in a narrow window), ``mean``, ``low`` and ``high`` (of its repeats), ``front`` (true
            for a cell on it), ``masks``, ``labels``, ``name`` (beside its point; empty: none).
        axis: Name and unit of the scores.
        unit: ``hours`` or ``minutes``.
        lines: Title of the legend of the lines; None: no legend.
        logarithmic: Draw the time on a log scale.
        theme: Of the page.
    """
    names = list(dict.fromkeys(cells["line"]))
    palette, shapes = colours(theme), [_SHAPES[marker] for marker in MARKERS]
    legend = None
    if lines is not None:
        room = 30 + 8 * max(map(len, names))  # pixels of a name with its marker
        columns = alt.ExprRef(f"max(1, floor(width / {room}))")
        legend = alt.Legend(title=lines, orient="top", symbolOpacity=1, columns=columns)
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
        alt.Tooltip("cell:N"),
        alt.Tooltip("mean:Q", format=".4~f"),
        alt.Tooltip("hours:Q", title=unit, format=".1f"),
        alt.Tooltip("labels:Q", title="image labels", format=".1f"),
        alt.Tooltip("masks:Q", format=".1f"),
    ]
    y = alt.Y("mean:Q", title=axis, scale=y_scale)
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
