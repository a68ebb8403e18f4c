"""The picture of an :class:`EffectsPlot`: a line of zero, intervals around means, verdicts in words.

Verdicts differ in marker and in colour, which the key explains, and stand beside each row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from assay.report.figures.drawing import COLOURS, GREY, REPEAT, key, render
from assay.report.figures.effects_rows import (
    EffectsPlot,
    Mark,
    mark_of,
    mark_texts,
    support_text,
    verdict_words,
)
from assay.report.page.model import Picture, PictureForm
from assay.statistics.families import ComparisonResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["draw_effects", "effects_picture"]

_WIDTH, _ROW, _KEY, _REST = 8.0, 0.46, 0.2, 1.35  # inches; a line of the key; the rest: axis and headings
_KEY_COLUMNS = 2
_FAINT, _BAND = "#6E6E6E", "#EFEFEF"
# The colour says whether it matters, the form what is known.
_MARKS: dict[Mark, dict[str, Any]] = {
    "shown": {"color": COLOURS[0], "marker": "o", "markerfacecolor": COLOURS[0]},
    "small": {"color": COLOURS[2], "marker": "o", "markerfacecolor": COLOURS[2]},
    "suggested": {"color": COLOURS[1], "marker": "D", "markerfacecolor": "white"},
    "negligible": {"color": COLOURS[2], "marker": "^", "markerfacecolor": COLOURS[2]},
    "identical": {"color": COLOURS[2], "marker": "s", "markerfacecolor": COLOURS[2]},
    "open": {"color": _FAINT, "marker": "s", "markerfacecolor": "white"},
}
_SPREAD = 0.55  # of a row: how far the repeats of a difference are apart


def effects_picture(stem: str, plot: EffectsPlot) -> Picture:
    """The picture as a part of a page; ``stem``: of its files."""
    return Picture(stem, plot.caption, plot.alt, partial(draw_effects, plot))


def draw_effects(plot: EffectsPlot, form: PictureForm) -> bytes:
    """The picture as a file."""
    height = _REST + _ROW * _lines(plot) + _KEY * math.ceil(len(list(_key(plot))) / _KEY_COLUMNS)
    return render(lambda figure: _draw_on(figure, plot), form, (_WIDTH, height))


def _lines(plot: EffectsPlot) -> int:
    """Headings and rows."""
    return len(plot.groups) + len(plot.results)


def _draw_on(figure: Figure, plot: EffectsPlot) -> None:
    axes = figure.add_subplot()
    low, high = plot.limits
    axes.set_xlim(low, high)
    axes.set_ylim(_lines(plot) - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    if plot.resolve is not None:
        axes.axvspan(-plot.resolve, plot.resolve, color=_BAND, zorder=0.5, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=1.2, zorder=2)
    y = 0
    for heading, group in plot.groups.items():
        _write(axes, -0.02, y + 0.1, heading, ha="right", weight="bold", fontsize=10.5)
        for below, result in enumerate(group, start=1):
            _draw_row(axes, y + below, result)
        y += 1 + len(group)
    _set_labels(axes, plot)
    figure.legend(
        handles=list(_key(plot)),
        loc="outside lower left",
        frameon=False,
        fontsize=9.5,
        ncols=_KEY_COLUMNS,
        handlelength=2.2,
    )


def _draw_row(axes: Axes, y: int, result: ComparisonResult) -> None:
    name_y = y - 0.13 if result.within else y
    _write(axes, -0.02, name_y, result.comparison, ha="right", fontsize=10.5)
    _write(axes, -0.02, y + 0.22, result.within, ha="right", fontsize=8.5, color=_FAINT)
    certain = "bold" if mark_of(result) == "shown" else "normal"
    mark = _MARKS[mark_of(result)]
    words = verdict_words(result)
    _write(axes, 1.02, y - 0.13, words, ha="left", fontsize=10.5, weight=certain, color=mark["color"])
    _write(axes, 1.02, y + 0.22, support_text(result), ha="left", fontsize=8.5, color=_FAINT)
    several = len(result.differences)
    at = [y + _SPREAD * ((i + 0.5) / several - 0.5) for i in range(several)]
    axes.plot(result.differences, at, color=mark["color"], zorder=4.5, **REPEAT)
    if result.low is not None and result.high is not None:
        _draw_interval(axes, y, result.low, result.high, mark["color"])
    if result.difference is not None:
        axes.plot([result.difference], [y], markersize=8, markeredgewidth=1.8, zorder=5, **mark)


def _draw_interval(axes: Axes, y: int, low: float, high: float, colour: str) -> None:
    """A bar; where it goes on beyond the axis an arrow head says so."""
    left, right = axes.get_xlim()
    axes.plot([max(low, left), min(high, right)], [y, y], color=colour, linewidth=2, zorder=4)
    for end, inside, head in ((low, low >= left, "<"), (high, high <= right, ">")):
        place = min(max(end, left), right)
        marker = "|" if inside else head
        axes.plot([place], [y], color=colour, marker=marker, markersize=9, markeredgewidth=2, clip_on=False)


def _set_labels(axes: Axes, plot: EffectsPlot) -> None:
    axes.set_xlabel(plot.axis)
    axes.locator_params(axis="x", nbins=6)
    low, high = axes.get_xlim()
    zero = -low / (high - low)
    left, right = plot.sides
    for place, text, side in ((-1, f"← {left}", "right"), (1, f"{right} →", "left")):
        axes.text(
            zero + 0.015 * place,
            1.0,
            text,
            transform=axes.transAxes,
            ha=side,
            va="bottom",
            fontsize=9,
            color=_FAINT,
        )


def _key(plot: EffectsPlot) -> Iterator[Line2D]:
    bar = {"linewidth": 2, "marker": "|", "markersize": 9, "markeredgewidth": 2}
    if any(result.low is not None for result in plot.results):
        yield key(_FAINT, "95 % interval around the mean", **bar)
    yield key(_FAINT, "one repeat, at a height of its own", **REPEAT)
    if plot.resolve is not None:
        text = f"less than {plot.resolve:g}: too small to matter (resolve)"
        yield key(_BAND, text, linewidth=9)
    for mark, text in mark_texts(plot).items():
        yield key(label=text, linestyle="", markersize=8, markeredgewidth=1.8, **_MARKS[mark])
    if plot.dagger:
        yield key(_FAINT, "† interval and exact test disagree", linestyle="")


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text at a share of the axis' width, beside row ``y``."""
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), va="center", **style)
