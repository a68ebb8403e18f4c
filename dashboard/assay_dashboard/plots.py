"""The pictures of the pages: a table of numbers in, an Altair chart out.

Colours are those of the report (Okabe and Ito), lighter where the page is dark. A picture has names and units
on its axes, and shape or words say what colour says.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import altair as alt
import numpy as np
import pandas as pd

from assay.report.figures.drawing import COLOURS
from assay.study.search.space import format_scalar
from assay.study.search.spec import Choice, Parameter, Scalar
from assay_dashboard.predictions import DecisionCurve

__all__ = [
    "NARROW",
    "Chart",
    "Theme",
    "bar_plot",
    "colours",
    "curve_plot",
    "cycled",
    "history_plot",
    "interval_plot",
    "line_plot",
    "score_plot",
    "short_lines",
    "slice_plot",
    "wide_lines",
]


Theme = Literal["light", "dark"]
Chart = alt.LayerChart | alt.FacetChart  # what `alt.layer` says that it returns
_SEPARATOR = "\u001f"  # between the parts of a row's label: no name holds it

_ROW, _TWO_LINES = 24, 30  # pixels of a row, and of one whose name may take two lines
NARROW = "windowSize()[0] < 640"  # Vega: a window as narrow as that of a telephone
_LEADING, _WIDE_LEADING = 11, 14  # pixels from line to line of a name: there, and elsewhere
# Parts of a row's label: its whole name, which tells it from others, its name in wide lines, further ones.
_PART = f"split(datum.label, '{_SEPARATOR}')"
_NAME = rf"split({_PART}[1], '\n')"
_BINS = 50  # of a histogram
_PADDING = {"left": 5, "right": 16, "top": 5, "bottom": 20}  # half of the last label is beyond the axis
_ON_DARK = {"#0072B2": "#56B4E9", "#56B4E9": "#9AD4F5", "#000000": "#E8E8E8"}


def colours(theme: Theme) -> list[str]:
    """The report's colours, in its order."""
    return [_ON_DARK.get(colour, colour) if theme == "dark" else colour for colour in COLOURS]


def interval_plot(
    means: pd.DataFrame,
    repeats: pd.DataFrame,
    *,
    axis: str,
    group: str | None,
    theme: Theme,
    groups: Sequence[str] | None = None,
) -> Chart:
    """Mean, interval and every repeat, a row for each cell.

    Args:
        means: ``cell``, ``group``, ``mean``, ``low``, ``high`` (may be empty), ``n``; in order.
        repeats: ``cell``, ``group``, ``repeat``, ``value``.
        axis: Name and unit of the values.
        group: Title of the legend of the colours; None: no legend.
        theme: Of the page.
        groups: In the order of their colours; None: in that of the rows.
    """
    # Vega chooses between the short and the wide name by the window's width, so both are in the label.
    lines = {name: short_lines(name) for name in means["cell"]}
    rows = {name: _SEPARATOR.join([name, wide_lines(name), *lines[name]]) for name in lines}
    means, repeats = (table.assign(row=[rows[name] for name in table["cell"]]) for table in (means, repeats))
    label = f"{NARROW} ? slice({_PART}, 2) : {_NAME}"
    y = alt.Y("row:N", sort=list(means["row"]), title=None, axis=_row_axis(labelExpr=label))

    # The axis holds the repeats as well as the intervals.
    scale = _scale(
        [*repeats["value"], *means["mean"], *means["low"], *means["high"]], zero=False, nice=True, padding=8
    )
    x_title = alt.Axis(title=axis, grid=True, tickCount=6, titlePadding=8)
    groups = list(dict.fromkeys(means["group"] if groups is None else groups))
    colour = alt.Color(
        "group:N",
        sort=groups,
        scale=alt.Scale(domain=groups, range=cycled(colours(theme), len(groups))),
        legend=None if group is None else alt.Legend(title=group, orient="top", symbolOpacity=1),
    )

    # Repeats as thin ticks behind interval and mean: the reader sees on how much these rest.
    single = alt.Chart(repeats).mark_tick(thickness=1.5, height=13, opacity=0.4)
    ticks = single.encode(
        y=y,
        x=alt.X("value:Q", scale=scale, axis=x_title),
        color=colour,
        tooltip=[
            alt.Tooltip("cell:N"),
            alt.Tooltip("repeat:N"),
            alt.Tooltip("value:Q", title=axis, format=".4~f"),
        ],
    )
    tooltip = [
        alt.Tooltip("cell:N"),
        alt.Tooltip("mean:Q", format=".4~f"),
        alt.Tooltip("low:Q", title="from", format=".4~f"),
        alt.Tooltip("high:Q", title="to", format=".4~f"),
        alt.Tooltip("n:Q", title="repeats"),
    ]
    base = alt.Chart(means)
    bars = (
        alt.Chart(means.dropna(subset=["low", "high"]))
        .mark_rule(strokeWidth=2.5, strokeCap="round")
        .encode(y=y, x=alt.X("low:Q", axis=x_title), x2="high:Q", color=colour, tooltip=tooltip)
    )
    dots = base.mark_point(filled=True, size=75, opacity=1).encode(
        y=y, x=alt.X("mean:Q", axis=x_title), color=colour, tooltip=tooltip
    )
    step = _step(_TWO_LINES, ((name,) for name in lines))
    return alt.layer(ticks, bars, dots).properties(height=alt.Step(step), padding=_PADDING)


def _row_axis(**more: Any) -> alt.Axis:
    """Names of rows."""
    limit = alt.ExprRef(f"{NARROW} ? 130 : 320")
    size, leading = (
        alt.ExprRef(f"{NARROW} ? 10 : 12"),
        alt.ExprRef(f"{NARROW} ? {_LEADING} : {_WIDE_LEADING}"),
    )
    return alt.Axis(
        labelOverlap=False, labelLimit=limit, labelPadding=8, ticks=False, domain=False,
        labelFontSize=size, labelLineHeight=leading, **more,
    )  # fmt: skip


def _scale(values: Iterable[float], **usual: Any) -> alt.Scale:
    """The scale of these values; with room at both sides of the only one where all are equal.

    An axis of no length has a single tick, with as many digits as the number has.
    """
    # Shares stay within 0 and 1 even where all are equal.
    ends = {value for value in values if pd.notna(value)}
    if len(ends) != 1:
        return alt.Scale(**usual)
    (value,) = ends
    air, low, high = (0.05, 0.0, 1.0) if 0 < value <= 1 else (1.0, -math.inf, math.inf)
    return alt.Scale(domain=[max(low, value - air), min(high, value + air)], zero=False)


def _step(least: int, names: Iterable[Sequence[str]]) -> int:
    """Pixels of a row in which each of the names, of one text or several, has room in any window."""
    heights: list[int] = []
    for texts in names:
        short, wide = short_lines(*texts), wide_lines(*texts).split("\n")
        heights += [_LEADING * len(short), _WIDE_LEADING * len(wide)]
    return max(least, max(heights, default=0) + _LEADING)


def cycled(wanted: Sequence[str], number: int) -> list[str]:
    """Repeat ``wanted`` from its beginning until there are ``number``."""
    return [wanted[i % len(wanted)] for i in range(number)]


def curve_plot(curve: pd.DataFrame, *, unit: str, theme: Theme) -> alt.Chart | alt.FacetChart:
    """Lines over epochs.

    Args:
        curve: ``epoch`` (counted from 1), ``what`` and ``value``.
        unit: Of the values, which the page's heading names; empty: none.
        theme: Of the page.
    """
    # A single curve needs no legend. Losses start at 0, since their ratio matters; scores fill the height.
    names = list(dict.fromkeys(curve["what"]))
    legend = alt.Legend(title=None, orient="top", symbolOpacity=1) if len(names) > 1 else None
    return (
        alt.Chart(curve)
        .mark_line(point=alt.OverlayMarkDef(size=30, filled=True), strokeWidth=2)
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d", grid=False)),
            y=alt.Y(
                "value:Q",
                title=unit or None,
                scale=_scale(curve["value"], zero=False) if unit else alt.Scale(zero=True),
                axis=alt.Axis(tickCount=5),
            ),
            color=alt.Color(
                "what:N",
                sort=names,
                scale=alt.Scale(domain=names, range=cycled(colours(theme), len(names))),
                legend=legend,
            ),
            tooltip=["what:N", "epoch:Q", alt.Tooltip("value:Q", format=".4~f")],
        )
        .properties(height=260)
    )


def score_plot(scores: pd.DataFrame, threshold: float, *, theme: Theme) -> Chart:
    """Histogram of image scores, normal and defective, with the threshold of the decision.

    Args:
        scores: ``score`` and ``image`` (``normal``, ``defective``).
        threshold: A score from it on is decided defective.
        theme: Of the page.
    """
    blue, orange = colours(theme)[:2]
    # Binned here and not in Vega: a page with ten thousand scores would carry all of them to the browser.
    bars = _binned(scores)
    most = max(bars["images"].tolist())
    ticks = [n * 10**decade for decade in range(len(str(most))) for n in (1, 2, 5)]
    # Counts so that a few defective images are seen beside many normal ones.
    counts = alt.Y(
        "images:Q",
        stack=None,
        title="images n, drawn as log(1 + n)",
        scale=alt.Scale(type="symlog", domain=[0, most], nice=False),
        axis=alt.Axis(values=[0, *filter(most.__ge__, ticks)], format="d", labelOverlap="greedy"),
    )
    stacked = alt.Chart(bars).mark_bar(opacity=0.75).encode(
        x=alt.X("from:Q", bin="binned", title="image score", scale=alt.Scale(zero=False)),
        x2="to:Q",
        y=counts,
        color=alt.Color(
            "image:N",
            scale=alt.Scale(domain=["normal", "defective"], range=[blue, orange]),
            legend=alt.Legend(title=None, orient="top", symbolOpacity=1),
        ),
        tooltip=["image:N", "images:Q", *(alt.Tooltip(f"{end}:Q", format=".4~f") for end in ("from", "to"))],
    )  # fmt: skip
    place = pd.DataFrame({"threshold": [threshold]})
    rule = alt.Chart(place).mark_rule(strokeDash=[5, 3], strokeWidth=2, color="#888888")
    marked = rule.encode(x="threshold:Q", tooltip=[alt.Tooltip("threshold:Q", format=".4~f")])
    return alt.layer(stacked, marked).properties(height=260, padding=_PADDING)


def _binned(scores: pd.DataFrame) -> pd.DataFrame:
    """Number of ``images`` of each kind with scores ``from`` one ``to`` another, the defective on top."""
    # The defective on top: there are few of them, and normal bars would hide them.
    edges = np.histogram_bin_edges(scores["score"].round(12), _BINS)  # nearer ones have no room for so many
    number = np.searchsorted(edges[1:-1], scores["score"], "right")
    counts = Counter(zip(scores["image"], number.tolist(), strict=True))
    bars = [
        {"image": image, "from": float(edges[n]), "to": float(edges[n + 1]), "images": count}
        for (image, n), count in sorted(counts.items(), reverse=True)
    ]
    return pd.DataFrame(bars)


def line_plot(curve: DecisionCurve, *, theme: Theme) -> Chart:
    """A curve in the unit square with the point at which decisions are made."""
    x, y = curve.x, curve.y
    blue, orange = colours(theme)[:2]
    unit = alt.Scale(domain=[0, 1.005], nice=False)
    of_x, of_y = alt.X("x:Q", title=x, scale=unit), alt.Y("y:Q", title=y, scale=unit)
    tooltip = [alt.Tooltip("x:Q", title=x, format=".3f"), alt.Tooltip("y:Q", title=y, format=".3f")]
    line = alt.Chart(curve.points).mark_line(color=blue, strokeWidth=2, interpolate="linear")
    here = alt.Chart(pd.DataFrame([curve.mark], columns=["x", "y"]))
    point = here.mark_point(color=orange, size=110, filled=True, opacity=1)
    order = alt.Order("index:Q")
    return alt.layer(
        line.encode(x=of_x, y=of_y, order=order), point.encode(x=of_x, y=of_y, tooltip=tooltip)
    ).properties(height=260, padding=_PADDING)


def history_plot(points: pd.DataFrame, *, axis: str, theme: Theme) -> Chart:
    """Values of a search in the order in which they were drawn, and the best so far as a line of steps.

    Args:
        points: ``point``, ``index``, ``value``, ``best``, ``from``.
        axis: Name of the values.
        theme: Of the page.
    """
    blue, orange = colours(theme)[:2]
    base = alt.Chart(points)
    x = alt.X(
        "index:Q", title="point, in the order drawn", axis=alt.Axis(tickMinStep=1, format="d", grid=False)
    )
    y = alt.Scale(zero=False, padding=8)
    tooltip = ["point:N", "from:N", alt.Tooltip("value:Q", title=axis, format=".4~f")]

    # Dots for what was drawn, steps for what was known by then: a line through the dots would suggest a
    # trend.
    dots = base.mark_circle(size=55, opacity=0.75, color=blue).encode(
        x=x, y=alt.Y("value:Q", title=axis, scale=y), tooltip=tooltip
    )
    steps = base.mark_line(interpolate="step-after", color=orange, strokeWidth=2).encode(
        x=x,
        y=alt.Y("best:Q", title=axis, scale=y),
        tooltip=[alt.Tooltip("best:Q", title="best so far", format=".4~f")],
    )
    return alt.layer(dots, steps).properties(height=240)


def slice_plot(
    rows: Sequence[Mapping[str, object]], *, title: str, rule: Parameter, axis: str, theme: Theme
) -> alt.Chart | alt.FacetChart:
    """One parameter against the objective.

    Args:
        rows: ``point``, ``x``, ``value``.
        title: Of the parameter.
        rule: What it may be.
        axis: Name of the objective.
        theme: Of the page.
    """
    # Choices stand side by side in their order; numbers on the scale that the search drew them from.
    if isinstance(rule, Choice):
        table = pd.DataFrame([{**row, "x": format_scalar(cast("Scalar", row["x"]))} for row in rows])
        x = alt.X(
            "x:N",
            title=title,
            sort=[format_scalar(choice) for choice in rule.choice],
            axis=alt.Axis(labelAngle=0),
        )
    else:
        table = pd.DataFrame(rows)
        scale = alt.Scale(type="log" if rule.log else "linear", domain=list(rule.bounds), nice=False)
        x = alt.X(
            "x:Q", title=f"{title} (log)" if rule.log else title, scale=scale, axis=alt.Axis(tickCount=5)
        )
    return (
        alt.Chart(table)
        .mark_circle(size=45, opacity=0.7, color=colours(theme)[0])
        .encode(
            x=x,
            y=alt.Y("value:Q", title=axis, scale=alt.Scale(zero=False, padding=6)),
            tooltip=["point:N", alt.Tooltip("x:N", title=title), alt.Tooltip("value:Q", format=".4~f")],
        )
        .properties(height=190)
    )


def bar_plot(shares: pd.DataFrame, *, theme: Theme) -> alt.Chart | alt.FacetChart:
    """Shares of parameters: ``parameter``, ``share`` (0–1), largest first."""
    return (
        alt.Chart(shares)
        .mark_bar(color=colours(theme)[0])
        .encode(
            x=alt.X(
                "share:Q",
                title="share of the variance (0–1)",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(tickCount=5),
            ),
            y=alt.Y("parameter:N", sort=list(shares["parameter"]), title=None, axis=_row_axis()),
            tooltip=["parameter:N", alt.Tooltip("share:Q", format=".3f")],
        )
        .properties(height=alt.Step(_ROW))
    )


# Names beside the rows of a picture, in as many lines as a row has room for ----------------------------


# A name stands in several lines: cut off, names that differ at their end are the same.
_LINE, _MOST_LINES = 27, 5  # in a window as narrow as that of a telephone: letters of a line, and lines
_WIDE_LINE, _MOST_WIDE_LINES = 48, 4  # elsewhere; they take no more room than the short ones


def short_lines(*texts: str) -> list[str]:
    """A row's name for a narrow window."""
    return _lines(texts, _LINE, _MOST_LINES)


def wide_lines(*texts: str) -> str:
    """A row's name for any other window, as one text."""
    return "\n".join(_lines(texts, _WIDE_LINE, _MOST_WIDE_LINES))


def _lines(texts: Sequence[str], letters: int, most: int) -> list[str]:
    """Texts in lines, each beginning one; of very long ones the beginning and the end."""
    lines = [line for text in texts for line in textwrap.wrap(text, letters, break_on_hyphens=False)]
    return lines if len(lines) <= most else [*lines[:2], "…", *lines[3 - most :]]
