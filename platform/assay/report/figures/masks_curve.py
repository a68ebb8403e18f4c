"""The picture of a :class:`MasksCurve`, for a page or a paper: the same bytes for the same records.

The axis is the square root of the number of masks: 0, 5 and 10 stay apart beside 3000, and 0 has a place,
which a logarithm has not.
"""

from __future__ import annotations

import math
import re
import statistics
import textwrap
from typing import TYPE_CHECKING, Any

from assay.analysis.labels import MasksCurve, MasksLine, MasksPoint
from assay.report.figures.drawing import COLOURS, GREY, MARKERS, PALE, REPEAT, key, render, score_axis
from assay.report.page.model import PictureForm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["draw_masks_curve"]

_MOST_LINES = 7  # more are drawn pale, under their mean
_REFERENCE: dict[str, Any] = {
    "marker": "D",
    "markersize": 9,
    "markerfacecolor": "white",
    "linestyle": (0, (4, 3)),
}
_SIDEWAYS = 0.04  # of the axis: how far the repeats of a point are spread
_LABEL_WIDTH = 0.045  # of the axis: labels nearer than that would touch


def draw_masks_curve(curve: MasksCurve, form: PictureForm) -> bytes:
    """The picture as a file: repeats as small points, means as lines, what is published dashed."""
    return render(lambda figure: _draw_on(figure, curve), form)


def _draw_on(figure: Figure, curve: MasksCurve) -> None:
    axes = figure.add_subplot()
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    crowd = len(curve.lines) > _MOST_LINES
    lines = _mean_line(curve) if crowd else curve.lines
    explained = _draw_crowd(axes, curve) if crowd else [_draw_repeats(axes, curve)]
    named: list[Line2D] = []
    for line, colour, marker in zip(lines, COLOURS, MARKERS, strict=False):
        points = [point for point in line.points if point.values]
        at, means = [math.sqrt(point.masks) for point in points], [point.mean for point in points]
        named += axes.plot(
            at,
            means,
            color=colour,
            marker=marker,
            markersize=8,
            markeredgecolor="white",
            linewidth=2,
            zorder=5,
            label=re.sub("^_", " _", line.name) or "mean of the repeats",  # matplotlib hides labels in _
        )
    explained += _draw_published(axes, curve, lines)
    if len(lines) > 1:
        axes.legend(
            handles=named, title=", ".join(curve.others), loc="lower right", framealpha=0.85, edgecolor="none"
        )
        named = [key(GREY, "mean of the repeats", marker="o", linewidth=2)]
    _set_axes(axes, curve, lines or curve.lines)
    figure.legend(
        handles=[*named, *explained], loc="outside lower left", frameon=False, fontsize=10, handlelength=2.6
    )


def _draw_repeats(axes: Axes, curve: MasksCurve) -> Line2D:
    """Every training as a small point; those of one cell lie side by side."""
    width = _SIDEWAYS * _widest(curve)
    for line, colour in zip(curve.lines, COLOURS, strict=False):
        for point in line.points:
            several = len(point.values)
            at = [math.sqrt(point.masks) + width * ((i + 0.5) / several - 0.5) for i in range(several)]
            axes.plot(at, point.values, color=colour, zorder=6, **REPEAT)
    text = f"one repeat ({curve.repeats}), spread sideways"
    return key(GREY, text, **REPEAT)


def _draw_crowd(axes: Axes, curve: MasksCurve) -> list[Line2D]:
    """Every line pale, so that the mean stands out."""
    for line in curve.lines:
        points = [point for point in line.points if point.values]
        axes.plot([math.sqrt(p.masks) for p in points], [p.mean for p in points], color=PALE, linewidth=1.2)
    return [key(PALE, f"each {', '.join(curve.others)}: mean of the repeats", linewidth=1.2)]


def _mean_line(curve: MasksCurve) -> tuple[MasksLine, ...]:
    """The mean over all lines at each number of masks where all of them have a value; () if there is none."""
    lines = [
        {(p.all_masks, 0 if p.all_masks else p.masks): p for p in line.points if p.values}
        for line in curve.lines
    ]
    points: list[MasksPoint] = []
    for number in lines[0]:
        here = [line[number] for line in lines if number in line]
        if len(here) == len(lines):
            published = {point.published for point in here}
            points.append(
                MasksPoint(
                    masks=statistics.fmean(point.masks for point in here),
                    counted=tuple(sorted({count for point in here for count in point.counted})),
                    all_masks=here[0].all_masks,
                    values=(statistics.fmean(point.mean for point in here),),
                    published=published.pop() if len(published) == 1 else None,
                )
            )
    return (MasksLine(f"mean of the {len(lines)} lines", tuple(points)),) if points else ()


def _draw_published(axes: Axes, curve: MasksCurve, lines: tuple[MasksLine, ...]) -> list[Line2D]:
    """Open diamonds, dashed; in the line's colour where lines differ in what is published."""
    marks = [
        [(math.sqrt(p.masks), p.published) for p in line.points if p.published is not None] for line in lines
    ]
    if curve.source is None or not any(marks):
        return []
    common = all(of_line == marks[0] for of_line in marks)
    for of_line, colour in zip(marks[:1] if common else marks, COLOURS, strict=False):
        if of_line:
            axes.plot(*zip(*of_line, strict=True), color=GREY if common else colour, zorder=3, **_REFERENCE)
    text = f"published, not reproduced here: {curve.source}"
    return [key(GREY, textwrap.fill(text, 98), **_REFERENCE)]


def _set_axes(axes: Axes, curve: MasksCurve, lines: tuple[MasksLine, ...]) -> None:
    ends = {round(point.masks) for line in lines for point in line.points if point.all_masks}
    ticks: dict[float, str] = {}
    for point in sorted((p for line in lines for p in line.points), key=lambda p: p.masks):
        text = "–".join(map(str, dict.fromkeys((point.counted[0], point.counted[-1]))))
        ticks[math.sqrt(point.masks)] = f"{text}\n(all)" if point.all_masks and len(ends) == 1 else text
    width = _widest(curve)
    kept: list[float] = []
    for place in ticks:
        if len(kept) > 1 and place - kept[-1] < _LABEL_WIDTH * width:
            kept.pop()
        kept.append(place)
    axes.set_xticks(kept, [ticks[place] for place in kept])
    axes.set_xlim(-0.03 * width, 1.03 * width)
    each = "; last point of a line: all" if len(ends) > 1 else ""
    axes.set_xlabel(f"Training images with a mask (square-root scale{each})")
    score_axis(axes, curve.metric)


def _widest(curve: MasksCurve) -> float:
    return max(1.0, *(math.sqrt(point.masks) for line in curve.lines for point in line.points))
