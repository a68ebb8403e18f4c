"""The picture of a front: all points of a search, those that none beats, and what they are worth afterwards.

A thin line leads from the values that chose a point to its means on fresh seeds: what the choice gained by
chance is seen. Bars are 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.analysis.results.results import StudyResults
from assay.analysis.results.search_results import SearchResults
from assay.analysis.search_front import FreshValue, FrontPoint, search_front
from assay.report.figures.drawing import COLOURS, GREY, PALE, key, render
from assay.report.page.model import PictureForm
from assay.study.search.spec import Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FrontPlot", "draw_front", "front_plots"]


@dataclass(frozen=True)
class FrontPlot:
    """The first two objectives of one searched cell."""

    goals: tuple[Objective, Objective]  # vertical, horizontal
    points: tuple[tuple[float, ...], ...]  # all that are finished
    front: tuple[FrontPoint, ...]  # by the vertical objective, best first
    caption: str


def front_plots(results: StudyResults) -> list[FrontPlot]:
    """One for each searched cell that has finished points; none of a search with one objective."""
    if not isinstance(results, SearchResults) or not results.plan.search.has_front:
        return []
    first, second, *others = results.plan.search.objectives
    further = f" The search had {others[0].title} as a third objective." if others else ""
    plots: list[FrontPlot] = []
    for cell, points in results.evaluated_points.items():
        front = search_front(results, cell)
        if front:
            caption = (
                f"Points of the search in {cell}: {first.title} and {second.title}. Rings are the Pareto "
                "front: no point beats them in all objectives. Diamonds are the same points on fresh seeds, "
                f"metrics on test images, with 95 % intervals of each mean by itself.{further}"
            )
            finished = tuple(point.values for point in points if point.values)
            plots.append(FrontPlot((first, second), finished, tuple(front), caption))
    return plots


def draw_front(plot: FrontPlot, form: PictureForm) -> bytes:
    """The picture as a file."""
    return render(lambda figure: _draw_on(figure, plot), form)


def _draw_on(figure: Figure, plot: FrontPlot) -> None:
    axes = figure.add_subplot()
    chosen, fresh = COLOURS[0], COLOURS[1]
    axes.plot([v[1] for v in plot.points], [v[0] for v in plot.points], "o", color=PALE, markersize=5)
    at = sorted((point.evaluated.values[1], point.evaluated.values[0]) for point in plot.front)
    axes.plot(*zip(*at, strict=True), "o", color=chosen, markersize=9, markerfacecolor="none", linestyle=":")
    for point in plot.front:
        values = point.fresh or ()
        if len(values) > 1 and values[0] is not None and values[1] is not None:
            _draw_fresh(axes, point.evaluated.values, (values[0], values[1]), fresh)
    vertical, horizontal = plot.goals
    axes.set_ylabel(vertical.title)
    axes.set_xlabel(horizontal.title)
    handles = [
        key(PALE, "point of the search", marker="o", linestyle=""),
        key(
            chosen, "on the Pareto front, as it was chosen", marker="o", markerfacecolor="none", linestyle=":"
        ),
        key(fresh, "the same on fresh seeds, 95 % intervals", marker="D", linestyle=""),
    ]
    figure.legend(handles=handles, loc="outside lower left", frameon=False, fontsize=9.5, ncols=3)


def _draw_fresh(
    axes: Axes, chosen: Sequence[float], fresh: tuple[FreshValue, FreshValue], colour: str
) -> None:
    y, x = fresh
    axes.plot([chosen[1], x.mean], [chosen[0], y.mean], color=GREY, linewidth=0.7)
    axes.plot([x.mean], [y.mean], "D", color=colour, markersize=6)
    if y.low is not None and y.high is not None:
        axes.plot([x.mean, x.mean], [y.low, y.high], color=colour, linewidth=1.6)
    if x.low is not None and x.high is not None:
        axes.plot([x.low, x.high], [y.mean, y.mean], color=colour, linewidth=1.6)
