"""The picture of :class:`LabelCosts`, for a page or a paper: the same bytes for the same records.

Where cells differ in their methods, it is a ladder: a point and a name for each. Names are placed in points
around what is drawn, so nothing may move afterwards. The price is a second pass over the figure, to know how
large each name is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from assay.analysis.labels import LabelCell, LabelCosts
from assay.report.figures.drawing import COLOURS, GREY, MARKERS, PALE, REPEAT, key, render, score_axis
from assay.report.figures.name_placement import Box, place_names, spread
from assay.report.page.model import PictureForm
from assay.report.tables.labels import time_unit
from assay.statistics.intervals import MeanInterval, method_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["draw_front", "draw_label_costs", "draw_ladder", "front_key", "ladder_keys", "score_range"]


_MOST_LINES = len(COLOURS)  # more are drawn pale
_MOST_NAMES = 10  # on a front
_TICKS = (1.0, 2.0, 5.0)


def draw_label_costs(costs: LabelCosts, intervals: Mapping[str, MeanInterval], form: PictureForm) -> bytes:
    """The picture as a file: means with their repeats or intervals, the front as grey steps and rings.

    Args:
        costs: What is drawn.
        intervals: Cell → interval of its mean; drawn where cells differ in their methods.
        form: Of the file.
    """
    draw = _draw_methods if costs.is_ladder else _draw_lines
    return render(lambda figure: draw(figure, costs, intervals), form)


def _draw_methods(figure: Figure, costs: LabelCosts, intervals: Mapping[str, MeanInterval]) -> None:
    axes = _new_axes(figure)
    times, unit = time_unit(costs)
    axes.set_ylim(*score_range(costs, intervals))
    _set_axes(axes, costs, times, unit)
    keys = ladder_keys(costs, intervals)
    figure.legend(handles=keys, loc="outside lower left", frameon=False, fontsize=10, handlelength=2.6)
    draw_ladder(figure, axes, costs, intervals, times)


def _new_axes(figure: Figure) -> Axes:
    axes = figure.add_subplot()
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _draw_lines(figure: Figure, costs: LabelCosts, _: Mapping[str, MeanInterval]) -> None:
    axes = _new_axes(figure)
    times, unit = time_unit(costs)
    crowd = len(costs.lines) > _MOST_LINES
    named: list[Line2D] = []
    for number, line in enumerate(costs.lines):
        colour, marker = (PALE, "o") if crowd else (COLOURS[number], MARKERS[number])
        at = [cell.hours * times for cell in line]
        if not crowd:
            for cell, hours in zip(line, at, strict=True):
                axes.plot([hours] * len(cell.values), cell.values, color=colour, zorder=4, **REPEAT)
        named += axes.plot(
            at,
            [cell.mean for cell in line],
            color=colour,
            marker=marker,
            markersize=5 if crowd else 8,
            markeredgecolor="white",
            linewidth=1.2 if crowd else 2,
            zorder=5,
            label=re.sub("^_", " _", line[0].line) or "mean of the repeats",  # matplotlib hides labels in _
        )
    _set_axes(axes, costs, times, unit)
    explained = _draw_fronts(axes, costs, times)
    if crowd:
        what = f"mean of the repeats, a line for each level of {', '.join(costs.others)}"
        named = [key(PALE, what, marker="o", markeredgecolor="white", linewidth=1.2)]
    elif len(costs.lines) > 1:
        title = ", ".join(costs.others)
        axes.legend(handles=named, title=title, loc="lower right", framealpha=0.85, edgecolor="none")
        named = [key(GREY, "mean of the repeats", marker="o", linewidth=2)]
    if not crowd:
        explained = [key(GREY, f"one repeat ({costs.repeats})", **REPEAT), *explained]
    figure.legend(
        handles=[*named, *explained], loc="outside lower left", frameon=False, fontsize=10, handlelength=2.6
    )


def _draw_fronts(axes: Axes, costs: LabelCosts, times: float) -> list[Line2D]:
    """Draw what is on a front, with the names of a single one that is short."""
    for front in costs.fronts:
        draw_front(axes, [cell.hours * times for cell in front], [cell.mean for cell in front], 14, zorder=3)
        if len(costs.fronts) == 1 and len(front) <= _MOST_NAMES:
            _name_cells(axes, front, times)
    return [front_key()]


def _name_cells(axes: Axes, front: list[LabelCell], times: float) -> None:
    from matplotlib.patheffects import withStroke

    for cell in front:
        text = axes.annotate(
            cell.variant,
            (cell.hours * times, cell.mean),
            xytext=(9, -5),  # below the step that goes on to the right
            textcoords="offset points",
            va="top",
            fontsize=9,
            color=GREY,
            zorder=7,
        )
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def _set_axes(axes: Axes, costs: LabelCosts, times: float, unit: str) -> None:
    hours = [cell.hours * times for cell in costs.cells]
    low, high = min(hours), max(hours)
    if costs.logarithmic:
        axes.set_xscale("log")
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [digit * 10.0**decade for decade in decades for digit in _TICKS]
        left, right = low / 1.25, high * 1.6  # the last name stands to the right of its ring
        axes.set_xlim(left, right)
        shown = [tick for tick in ticks if left <= tick <= right]
        axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
        axes.minorticks_off()
    else:
        axes.set_xlim(max(0.0, low - 0.08 * (high - low)), high + 0.15 * (high - low))
    price = costs.labelling
    per = f"{price.image_label_seconds:g} s per image label, {price.mask_seconds:g} s per mask"
    scale = "; log scale" if costs.logarithmic else ""
    axes.set_xlabel(f"{unit.capitalize()} of labelling ({per}{scale})")
    score_axis(axes, costs.metric)


# The ladder: cells that differ in their methods --------------------------------------------------------


_APART = 13.0  # points between cells that cost the same
_MARKER, _RING, _BAR = 8.0, 15.0, 2.0  # points
_LINE = 2.0  # points, side of the boxes along a line
_GROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}  # below a name
_LEADER = 20.0  # points from which a line leads from a name to its point
_INCH = 72.0  # points


Way = list[tuple[float, float]]  # corners of a line, in points


class _Drawn(NamedTuple):
    cell: LabelCell
    x: float  # in data's units, moved aside where others cost the same
    at: tuple[float, float]  # in points, from the lower left of the figure
    colour: str
    marker: str


def score_range(costs: LabelCosts, intervals: Mapping[str, MeanInterval]) -> tuple[float, float]:
    """Lowest and highest of what is drawn, with air."""
    values = [cell.mean for cell in costs.cells]
    for cell in costs.cells:
        interval = intervals.get(cell.cell.name)
        values += cell.values if interval is None else (interval.low, interval.high)
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.05
    return low - air, high + air


def ladder_keys(costs: LabelCosts, intervals: Mapping[str, MeanInterval]) -> list[Line2D]:
    """Legend of the signs."""
    keys = [key(GREY, f"mean of the repeats ({costs.repeats})", marker="o", linestyle="")]
    shown = [intervals[c.cell.name] for c in costs.cells if c.cell.name in intervals]
    if shown:
        methods = " or ".join(dict.fromkeys(method for method, _ in method_texts(shown)))
        keys.append(
            key(GREY, f"95 % interval of the mean, {methods}", marker="|", markersize=12, linestyle="")
        )
    if len(shown) < len(costs.cells):
        keys.append(key(GREY, "one repeat, where there is no interval", **REPEAT))
    if any(len(line) > 1 for line in costs.lines):
        keys.append(key(GREY, "one method with more labels", linewidth=1.5))
    return [*keys, front_key()]


def front_key() -> Line2D:
    """The entry of a front in a legend."""
    text = "Pareto front: no variant is better for fewer or as many hours"
    return key(GREY, text, marker="o", markersize=12, markerfacecolor="none", linewidth=1)


def draw_ladder(
    figure: Figure, axes: Axes, costs: LabelCosts, intervals: Mapping[str, MeanInterval], times: float
) -> None:
    """Points, intervals, lines, front and names on axes whose limits are set.

    Args:
        figure: Holds the axes and the legend; its layout is fixed here, names are placed by it.
        axes: Hours times ``times`` against scores.
        costs: Cells of several methods.
        intervals: Cell → interval of its mean.
        times: What an hour is in the unit of the axis.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    _make_room(figure, axes, _placed(figure, axes, costs, times))
    drawn = _placed(figure, axes, costs, times)
    by_name = {point.cell.cell.name: point for point in drawn}
    ways: list[Way] = []  # that names should not hide
    for line in costs.lines:
        of_line = [by_name[cell.cell.name] for cell in line]
        axes.plot(
            [point.x for point in of_line], [point.cell.mean for point in of_line], color=of_line[0].colour,
            linewidth=1.5, alpha=0.6, zorder=3,
        )  # fmt: skip
        ways.append([point.at for point in of_line])
    for front in costs.fronts:
        right = float(axes.get_window_extent().x1) * _INCH / figure.dpi
        of_front = [by_name[cell.cell.name] for cell in front]
        draw_front(axes, [p.x for p in of_front], [p.cell.mean for p in of_front], _RING, zorder=5)
        ways.append(_steps(of_front, right))
    for point in drawn:
        interval = intervals.get(point.cell.cell.name)
        if interval is None:
            axes.plot(
                [point.x] * len(point.cell.values), point.cell.values, color=point.colour, zorder=4, **REPEAT
            )
        else:
            ends = interval.low, interval.high
            axes.plot([point.x] * 2, ends, color=point.colour, linewidth=_BAR, alpha=0.55, zorder=4)
        axes.plot(
            [point.x], [point.cell.mean], color=point.colour, marker=point.marker, markersize=_MARKER,
            markeredgecolor="white", zorder=6,
        )  # fmt: skip
    taken = [box for point in drawn for box in _taken(axes, point, intervals, _INCH / figure.dpi)]
    taken += [box for way in ways for box in _along(way)]
    _draw_names(figure, axes, drawn, taken)


def draw_front(axes: Axes, at: list[float], scores: list[float], ring: float, *, zorder: float) -> None:
    """Draw the best that the hours buy, as steps to the right edge, and a ring (points) around each cell."""
    steps, heights = [*at, axes.get_xlim()[1]], [*scores, scores[-1]]
    axes.plot(steps, heights, color=GREY, drawstyle="steps-post", linewidth=1, zorder=2, alpha=0.7)
    axes.plot(at, scores, "o", color=GREY, markersize=ring, markerfacecolor="none", zorder=zorder)


def _steps(front: Sequence[_Drawn], right: float) -> Way:
    """Corners of the steps along a front, up to the right edge of the axes (in points)."""
    corners = [(other.at[0], point.at[1]) for point, other in pairwise(front)]
    return [
        place
        for point, corner in zip(front, [*corners, (right, front[-1].at[1])], strict=True)
        for place in (point.at, corner)
    ]


def _placed(figure: Figure, axes: Axes, costs: LabelCosts, times: float) -> list[_Drawn]:
    """Each cell with its place and looks; cells of about the same cost stand beside each other."""
    looks = {
        cell.cell.name: (COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)])
        for number, line in enumerate(costs.lines)
        for cell in line
    }
    cells = sorted(costs.cells, key=lambda cell: (cell.hours, cell.mean))
    points = [axes.transData.transform((cell.hours * times, cell.mean)) for cell in cells]
    scale = _INCH / figure.dpi
    moved = spread([float(point[0]) * scale for point in points], _APART)
    drawn: list[_Drawn] = []
    for cell, point, x in zip(cells, points, moved, strict=True):
        data = axes.transData.inverted().transform((x / scale, point[1]))
        drawn.append(_Drawn(cell, float(data[0]), (x, float(point[1]) * scale), *looks[cell.cell.name]))
    return drawn


def _make_room(figure: Figure, axes: Axes, drawn: Sequence[_Drawn]) -> None:
    """Begin the axis further left where a point that stands aside would be cut."""
    needed = (min(point.at[0] for point in drawn) - _APART) * figure.dpi / _INCH
    if needed < axes.get_window_extent().x0:
        axes.set_xlim(left=float(axes.transData.inverted().transform((needed, 0.0))[0]))


def _along(way: Way) -> Iterator[Box]:
    """Small boxes along a line."""
    for (x, y), (to_x, to_y) in pairwise(way):
        steps = max(1, round(math.hypot(to_x - x, to_y - y) / _LINE))
        for step in range(steps):
            at_x, at_y = x + (to_x - x) * step / steps, y + (to_y - y) * step / steps
            yield Box(at_x - _LINE / 2, at_y - _LINE / 2, at_x + _LINE / 2, at_y + _LINE / 2)


def _draw_names(figure: Figure, axes: Axes, drawn: Sequence[_Drawn], taken: Sequence[Box]) -> None:
    scale = _INCH / figure.dpi
    texts = [
        axes.annotate(
            point.cell.variant, point.at, xycoords="figure points", ha="center", va="center", fontsize=9,
            color=point.colour, zorder=7, bbox=_GROUND,
        )
        for point in drawn
    ]  # fmt: skip
    frame = axes.get_window_extent()
    extents = [text.get_window_extent() for text in texts]
    sizes = [(extent.width * scale, extent.height * scale) for extent in extents]
    within = Box(*(float(side) * scale for side in (frame.x0, frame.y0, frame.x1, frame.y1)))
    places = place_names([point.at for point in drawn], sizes, taken, within)
    for point, text, place, (width, height) in zip(drawn, texts, places, sizes, strict=True):
        text.set_position((place.x, place.y))
        if place.distance >= _LEADER:
            # From the point to the nearest edge of the name.
            end = (
                min(max(point.at[0], place.x - width / 2), place.x + width / 2),
                min(max(point.at[1], place.y - height / 2), place.y + height / 2),
            )
            style = {"arrowstyle": "-", "color": point.colour, "alpha": 0.5, "linewidth": 0.8, "shrinkA": 0}
            axes.annotate(
                "", point.at, xytext=end, xycoords="figure points", textcoords="figure points",
                arrowprops={**style, "shrinkB": 5}, zorder=3,
            )  # fmt: skip


def _taken(axes: Axes, point: _Drawn, intervals: Mapping[str, MeanInterval], scale: float) -> list[Box]:
    """Marker and bar of a cell."""
    x, y = point.at
    half = (_RING if point.cell.on_front else _MARKER) / 2
    interval = intervals.get(point.cell.cell.name)
    ends = (
        (min(point.cell.values), max(point.cell.values))
        if interval is None
        else (interval.low, interval.high)
    )
    low, high = (float(axes.transData.transform((point.x, end))[1]) * scale for end in ends)
    return [Box(x - half, y - half, x + half, y + half), Box(x - _BAR, low, x + _BAR, high)]
