"""The picture of :class:`LabelCosts`, for a page or a paper: the same bytes for the same records."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from assay.analysis.labels import LabelCell, LabelCosts
from assay.report.figures.drawing import COLOURS, GREY, MARKERS, PALE, REPEAT, key, render, score_axis
from assay.report.figures.ladder import draw_front, draw_ladder, front_key, ladder_keys, score_range
from assay.report.label_tables import time_unit
from assay.report.page.model import PictureForm
from assay.statistics.intervals import MeanInterval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["draw_label_costs"]

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
            cell.cell.name,
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
