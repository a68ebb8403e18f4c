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
from assay.report.figures.effects import EffectsPlot, Mark, mark_of, support_text, verdict_words
from assay.statistics.families import ComparisonResult
from assay.statistics.wording import p_text
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
    "difference_plot",
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
    lines = {name: short_lines(name) for name in means["cell"]}
    rows = {name: _SEPARATOR.join([name, wide_lines(name), *lines[name]]) for name in lines}
    means, repeats = (table.assign(row=[rows[name] for name in table["cell"]]) for table in (means, repeats))
    label = f"{NARROW} ? slice({_PART}, 2) : {_NAME}"
    y = alt.Y("row:N", sort=list(means["row"]), title=None, axis=_row_axis(labelExpr=label))
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


def difference_plot(
    plot: EffectsPlot, results: Sequence[ComparisonResult], *, theme: Theme, step: int = 44
) -> Chart:
    """Differences with intervals and single repeats; name left of a row, verdict and its support right of it.

    Args:
        plot: Has the axis, which several charts share, and the band of what is too small to matter.
        results: Its rows of one claim.
        theme: Of the page.
        step: Pixels of a row, in which two lines stand; a longer name takes more.
    """
    means, repeats = _differences(results)
    order = list(means["row"])
    left = _row_axis(labelExpr=f"{NARROW} ? slice({_PART}, 4) : {_NAME}")
    # Where there is no room for the support it stands in the tooltip only.
    decision = f"{NARROW} ? {_PART}[2] : [{_PART}[2], {_PART}[3]]"
    right = _row_axis(labelExpr=decision, orient="right", labelAlign="left")
    x_axis = alt.Axis(title=plot.axis.split(", "), grid=True, tickCount=7, titlePadding=8)
    scale = alt.Scale(domain=list(plot.limits), nice=False, zero=False)
    x = alt.X("difference:Q", scale=scale, axis=x_axis)
    marks: list[Mark] = ["shown", "small", "suggested", "negligible", "identical", "open"]
    blue, orange, green = colours(theme)[:3]
    grey = "#9AA3AB" if theme == "dark" else "#6E6E6E"
    colours_of = alt.Scale(domain=marks, range=[blue, green, orange, green, green, grey])
    shapes = ["circle", "circle", "diamond", "triangle", "square", "square"]
    shapes_of = alt.Scale(domain=marks, range=shapes)
    colour = alt.Color("mark:N", scale=colours_of, legend=None)
    shape = alt.Shape("mark:N", scale=shapes_of, legend=None)
    tooltip = [
        alt.Tooltip("comparison:N"),
        alt.Tooltip("within:N"),
        alt.Tooltip("difference:Q", format="+.4~f"),
        alt.Tooltip("low:Q", title="from", format="+.4~f"),
        alt.Tooltip("high:Q", title="to", format="+.4~f"),
        alt.Tooltip("verdict:N"),
        alt.Tooltip("support:N", title="repeats"),
    ]
    # Each layer has an axis of its own: names at the left, verdicts at the right, and no third axis.
    named, bare, decided = (
        alt.Y("row:N", sort=order, title=None, axis=axis_of_rows) for axis_of_rows in (left, None, right)
    )
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=grey, strokeWidth=1.2)
    resolve = plot.resolve or 0.0
    band = alt.Chart(pd.DataFrame({"from": [-resolve], "to": [resolve]})).mark_rect(color=grey, opacity=0.13)
    single = alt.Chart(repeats).mark_tick(thickness=1.6, height=15, opacity=0.45)
    known = alt.Chart(means.dropna(subset=["low", "high"])).mark_rule(
        strokeWidth=2.6, strokeCap="round", clip=True
    )  # an interval may go on beyond ±1, which no difference of shares can be
    points = alt.Chart(means).mark_point(size=110, strokeWidth=2.2, opacity=1)
    fill = alt.condition(
        "indexof(['suggested', 'open'], datum.mark) < 0",
        colour,
        alt.value("#14171a" if theme == "dark" else "white"),
    )
    low = alt.X("low:Q", scale=scale, axis=x_axis)
    of_repeat = ["comparison:N", "within:N", "repeat:N", alt.Tooltip("difference:Q", format="+.4~f")]
    return alt.layer(
        band.encode(x=alt.X("from:Q", scale=scale, axis=x_axis), x2="to:Q"),
        zero.encode(x=alt.X("zero:Q", scale=scale, axis=x_axis)),
        single.encode(y=named, x=x, color=colour, tooltip=of_repeat),
        known.encode(y=bare, x=low, x2="high:Q", color=colour, tooltip=tooltip),
        points.encode(y=decided, x=x, color=colour, shape=shape, fill=fill, tooltip=tooltip),
    ).resolve_axis(y="independent").properties(
        height=alt.Step(_step(step, ((result.comparison, result.within) for result in results)))
    )  # fmt: skip


def _differences(results: Sequence[ComparisonResult]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A line for each comparison, and one for each of its repeats."""
    means: list[dict[str, object]] = []
    repeats: list[dict[str, object]] = []
    for result in results:
        texts = (result.comparison, result.within)
        verdict, support = verdict_words(result), support_text(result)
        if result.p_min is not None:
            support += f", smallest p {p_text(result.p_min)}"
        shared: dict[str, object] = {
            "row": _SEPARATOR.join(
                [", ".join(texts), wide_lines(*texts), verdict, support, *short_lines(*texts)]
            ),
            "comparison": result.comparison,
            "within": result.within,
            "mark": mark_of(result),
        }
        means.append(
            {
                **shared,
                "difference": result.difference,
                "low": result.low,
                "high": result.high,
                "verdict": verdict,
                "support": support,
            }
        )
        repeats += [
            {**shared, "repeat": unit, "difference": value}
            for unit, value in zip(result.units, result.differences, strict=True)
        ]
    columns = ["row", "comparison", "within", "mark", "repeat", "difference"]
    return pd.DataFrame(means), pd.DataFrame(repeats, columns=columns)


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
    """As many as asked for, from the beginning again where there are fewer."""
    return [wanted[i % len(wanted)] for i in range(number)]


def curve_plot(curve: pd.DataFrame, *, unit: str, theme: Theme) -> alt.Chart | alt.FacetChart:
    """Lines over epochs.

    Args:
        curve: ``epoch`` (counted from 1), ``what`` and ``value``.
        unit: Of the values, which the page's heading names; empty: none.
        theme: Of the page.
    """
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
