"""Comparisons, main effects and interactions in one plot: what is drawn in which words, and its picture.

A line of zero, intervals around means, verdicts in words. Verdicts differ in marker and in colour, which the
key explains, and stand beside each row.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from assay.analysis.names import sentence_case, study_names
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.study_pair import StudyPair
from assay.report.figures.drawing import COLOURS, GREY, REPEAT, key, render
from assay.report.page.model import Picture, PictureForm
from assay.report.tables.answer import strongest_first
from assay.report.tables.comparisons import ASKED_FIRST, disagreements
from assay.statistics.families import ComparisonResult
from assay.statistics.wording import better_text, count_text, verdict_word
from assay.study import Study
from trainables.evaluation.metrics import METRICS, Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = [
    "MOST_ROWS",
    "EffectsPlot",
    "Mark",
    "comparisons_plot",
    "draw_effects",
    "effects_picture",
    "effects_plot",
    "mark_of",
    "mark_texts",
    "studies_plot",
    "support_text",
    "verdict_words",
]


# What is drawn -----------------------------------------------------------------------------------------


Mark = Literal["shown", "small", "suggested", "negligible", "dispensable", "identical", "open"]
_COMPARISONS = "Comparisons"
MOST_ROWS = 8  # of a picture that is read at a glance; tables have all
_MARGIN = 0.06  # of the axis, beyond the outermost value


def mark_of(result: ComparisonResult) -> Mark:
    """Form and colour of a point: ``small`` is shown, and surely too small to matter."""
    if result.small:
        return "small"
    verdict = result.verdict
    known = ("shown", "suggested", "negligible", "dispensable", "identical")
    return verdict if verdict in known else "open"


def verdict_words(result: ComparisonResult) -> str:
    """``significant``, ``undecided``; with † where interval and exact test disagree."""
    words = verdict_word(result)
    return f"{words} †" if result.disagree else words


def support_text(result: ComparisonResult) -> str:
    """``n = 8, better in 7``."""
    if result.n == 0:
        return "no repeat is complete"
    return f"n = {count_text(result)}, better in {better_text(result).partition(' of ')[0]}"


@dataclass(frozen=True)
class EffectsPlot:
    """Differences of the primary metric, by claim; at least one of them has a value."""

    metric: Metric
    groups: Mapping[str, Sequence[ComparisonResult]]  # heading → the rows below it
    resolve: float | None  # the difference worth knowing
    what: str  # `Comparisons`
    left_out: int = 0  # comparisons that have no row
    words: Callable[[ComparisonResult], str] | None = None  # of a comparison; None: its key

    @property
    def results(self) -> list[ComparisonResult]:
        """All rows."""
        return [result for group in self.groups.values() for result in group]

    @property
    def axis(self) -> str:
        """Its label, with the unit."""
        unit = self.metric.scale
        order = ", second minus first" if self.what == _COMPARISONS else ""
        return f"difference in {self.metric.title} on test data ({unit}){order}"

    @property
    def sides(self) -> tuple[str, str]:
        """Left of zero is the one, right of it the other."""
        return ("worse", "better") if self.metric.better == "higher" else ("better", "worse")

    @property
    def limits(self) -> tuple[float, float]:
        """Ends of the axis: all values and intervals; of a share not beyond where differences can be.

        That is ±1, and ±2 for the differences of differences that interactions are.
        """
        ends = [value for result in self.results for value in result.differences]
        ends += [end for result in self.results for end in (result.low, result.high) if end is not None]
        ends += [0.0] if self.resolve is None else [-self.resolve, self.resolve]
        low, high = min(0.0, *ends), max(0.0, *ends)
        if self.metric.unit == "share":
            most = 2.0 if any(result.family == "interactions" for result in self.results) else 1.0
            low, high = max(low, -most), min(high, most)
        margin = _MARGIN * (high - low or 1.0)
        return low - margin, high + margin

    @property
    def caption(self) -> str:
        """A few sentences below the picture."""
        drawn = len(self.results)
        cut = f" The strongest {drawn} of {drawn + self.left_out}." if self.left_out else ""
        return (
            f"{self.what}: difference in {self.metric.title} with its 95 % interval. A small point is a "
            f"repeat (a seed, a fold or both, as the claim has it).{cut}{self.dagger}"
        )

    @property
    def dagger(self) -> str:
        """A sentence after others on the mark †; empty where no row has it."""
        return "".join(f" {sentence}" for sentence in disagreements(self.results))

    @property
    def alt(self) -> str:
        """The verdicts in words, for who cannot see the picture."""
        groups = (
            f"{heading}: {'; '.join(f'{self.name(result)} is {verdict_words(result)}' for result in group)}"
            for heading, group in self.groups.items()
        )
        return f"{self.what}, {self.metric.title}. {'; '.join(groups)}."

    def name(self, result: ComparisonResult) -> str:
        """What is compared: in the study's words, else by its key."""
        if self.words is not None:
            return self.words(result)
        return " within ".join(filter(None, [result.comparison, result.within]))


def mark_texts(plot: EffectsPlot) -> dict[Mark, str]:
    """The marks that the plot has, in words."""
    band = "" if plot.resolve is None else f"{plot.resolve:g}"
    texts: dict[Mark, str] = {
        "shown": "significant: there is a difference",
        "small": f"significant, small: there is one, below {band}",
        "suggested": "suggested: too few repeats for the exact test",
        "negligible": f"negligible: at most {band} either way",
        "dispensable": f"can go: dropping it loses less than {band}",
        "identical": "identical: no repeat differs",
        "open": "undecided: not known",
    }
    marks = set(map(mark_of, plot.results))
    return {mark: text for mark, text in texts.items() if mark in marks}


def comparisons_plot(results: StudyResults, most: int = MOST_ROWS) -> EffectsPlot | None:
    """The strongest ``most`` comparisons of the study; None where no repeat decides one."""
    analysis = study_analysis(results)
    groups = {"over data sets": analysis.over_data_sets, "": analysis.comparisons}
    return _plot(results.plan.study, _COMPARISONS, groups, most, study_names(results).change)


def effects_plot(results: StudyResults, most: int = MOST_ROWS) -> EffectsPlot | None:
    """The strongest ``most`` main effects and interactions; None of a design that has none."""
    analysis = study_analysis(results)
    groups = {"main effects": analysis.main_effects, "interactions": analysis.interactions}
    what = "Main effects and interactions" if analysis.interactions else "Main effects"
    return _plot(results.plan.study, what, groups, most, study_names(results).change)


def studies_plot(pair: StudyPair, most: int = MOST_ROWS) -> EffectsPlot | None:
    """Comparisons of two studies, cell by cell; None where no repeat decides one."""
    return _plot(pair.left.plan.study, "Two studies", {"": pair.comparisons}, most)


def _plot(
    study: Study,
    what: str,
    groups: Mapping[str, Sequence[ComparisonResult]],
    most: int,
    words: Callable[[ComparisonResult], str] | None = None,
) -> EffectsPlot | None:
    if not any(result.difference is not None for group in groups.values() for result in group):
        return None
    drawn: dict[str, list[ComparisonResult]] = {}
    room = most
    for claim in ASKED_FIRST:
        for name, group in groups.items():
            kept = strongest_first([result for result in group if result.claim == claim])[:room]
            room -= len(kept)
            if kept:
                heading = "over data sets" if claim == "data sets" else f"{name} on {claim}"
                drawn[heading.strip().capitalize()] = kept
    left_out = sum(map(len, groups.values())) - (most - room)
    return EffectsPlot(METRICS[study.metrics.primary], drawn, study.resolve, what, left_out, words)


# The picture -------------------------------------------------------------------------------------------


_WIDTH, _ROW, _KEY, _REST = 8.0, 0.46, 0.2, 1.35  # inches; a line of the key; the rest: axis and headings
_KEY_COLUMNS = 2
_FAINT, _BAND = "#6E6E6E", "#EFEFEF"
# The colour says whether it matters, the form what is known.
_MARKS: dict[Mark, dict[str, Any]] = {
    "shown": {"color": COLOURS[0], "marker": "o", "markerfacecolor": COLOURS[0]},
    "small": {"color": COLOURS[2], "marker": "o", "markerfacecolor": COLOURS[2]},
    "suggested": {"color": COLOURS[1], "marker": "D", "markerfacecolor": "white"},
    "negligible": {"color": COLOURS[2], "marker": "^", "markerfacecolor": COLOURS[2]},
    "dispensable": {"color": COLOURS[2], "marker": "v", "markerfacecolor": COLOURS[2]},
    "identical": {"color": COLOURS[2], "marker": "s", "markerfacecolor": COLOURS[2]},
    "open": {"color": _FAINT, "marker": "s", "markerfacecolor": "white"},
}
_NAME_WIDTH, _NAME_LINE = 36, 0.36  # signs of a line of a name, and its height in rows
_SPREAD = 0.55  # of a row: how far the repeats of a difference are apart


def effects_picture(stem: str, plot: EffectsPlot) -> Picture:
    """The picture as a part of a page; ``stem``: of its files."""
    return Picture(stem, plot.caption, plot.alt, partial(draw_effects, plot))


def draw_effects(plot: EffectsPlot, form: PictureForm) -> bytes:
    """The picture as a file."""
    height = _REST + _ROW * _end(plot) + _KEY * math.ceil(len(list(_key(plot))) / _KEY_COLUMNS)
    return render(lambda figure: _draw_on(figure, plot), form, (_WIDTH, height))


def _name_lines(plot: EffectsPlot, result: ComparisonResult) -> list[str]:
    """The name in lines that have room beside the axis."""
    return textwrap.wrap(sentence_case(plot.name(result)), _NAME_WIDTH)


def _room(plot: EffectsPlot, result: ComparisonResult) -> float:
    """Height of a row, 1 unless its name needs more."""
    return max(1.0, 0.1 + _NAME_LINE * len(_name_lines(plot, result)))


def _end(plot: EffectsPlot) -> float:
    """Height of all headings and rows."""
    return len(plot.groups) + sum(_room(plot, result) for result in plot.results)


def _draw_on(figure: Figure, plot: EffectsPlot) -> None:
    axes = figure.add_subplot()
    low, high = plot.limits
    axes.set_xlim(low, high)
    axes.set_ylim(_end(plot) - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    if plot.resolve is not None:
        axes.axvspan(-plot.resolve, plot.resolve, color=_BAND, zorder=0.5, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=1.2, zorder=2)
    top = -0.5
    for heading, group in plot.groups.items():
        _write(axes, -0.02, top + 0.6, heading, ha="right", weight="bold", fontsize=10.5)
        top += 1
        for result in group:
            room = _room(plot, result)
            _draw_row(axes, top + room / 2, result, plot)
            top += room
    _set_labels(axes, plot)
    figure.legend(
        handles=list(_key(plot)),
        loc="outside lower left",
        frameon=False,
        fontsize=9.5,
        ncols=_KEY_COLUMNS,
        handlelength=2.2,
    )


def _draw_row(axes: Axes, y: float, result: ComparisonResult, plot: EffectsPlot) -> None:
    lines = _name_lines(plot, result)
    _write(axes, -0.02, y, "\n".join(lines), ha="right", fontsize=10.5 if len(lines) == 1 else 9)
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


def _draw_interval(axes: Axes, y: float, low: float, high: float, colour: str) -> None:
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
    over = " (over data sets: one data set)" if any(r.claim == "data sets" for r in plot.results) else ""
    yield key(_FAINT, f"one repeat{over}, at a height of its own", **REPEAT)
    if plot.resolve is not None:
        text = f"less than {plot.resolve:g}, the smallest effect of interest"
        yield key(_BAND, text, linewidth=9)
    for mark, text in mark_texts(plot).items():
        yield key(label=text, linestyle="", markersize=8, markeredgewidth=1.8, **_MARKS[mark])
    if plot.dagger:
        yield key(_FAINT, "† interval and exact test disagree", linestyle="")


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text at a share of the axis' width, beside row ``y``."""
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), va="center", **style)
