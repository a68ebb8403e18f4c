"""Comparisons, main effects and interactions in one plot: what is drawn, and in which words.

:mod:`assay.report.figures.effects` draws it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from assay.analysis.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.study_pair import StudyPair
from assay.report.comparison_tables import disagreements
from assay.statistics.families import ComparisonResult
from assay.statistics.scores import CLAIMS
from assay.statistics.wording import better_text, count_text
from assay.study import Study
from trainables.evaluation.metrics import METRICS, Metric

__all__ = [
    "MOST_ROWS",
    "EffectsPlot",
    "Mark",
    "comparisons_plot",
    "effects_plot",
    "mark_of",
    "mark_texts",
    "studies_plot",
    "support_text",
    "verdict_words",
]

Mark = Literal["shown", "small", "suggested", "negligible", "identical", "open"]
_COMPARISONS = "Comparisons"
MOST_ROWS = 40  # a taller picture fits no page
_MARGIN = 0.06  # of the axis, beyond the outermost value


def mark_of(result: ComparisonResult) -> Mark:
    """Form and colour of a point: ``small`` is shown, and surely too small to matter."""
    if result.small:
        return "small"
    verdict = result.verdict
    return verdict if verdict in ("shown", "suggested", "negligible", "identical") else "open"


def verdict_words(result: ComparisonResult) -> str:
    """``shown``; ``shown, small`` within ``resolve``; with † where interval and exact test disagree."""
    words = "shown, small" if result.small else result.verdict
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

    @property
    def results(self) -> list[ComparisonResult]:
        """All rows."""
        return [result for group in self.groups.values() for result in group]

    @property
    def axis(self) -> str:
        """Its label, with the unit."""
        unit = self.metric.scale
        order = ", right level minus left" if self.what == _COMPARISONS else ""
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
        cut = f" The first {drawn} of {drawn + self.left_out}." if self.left_out else ""
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
        groups = (f"{heading}: {'; '.join(map(_told, group))}" for heading, group in self.groups.items())
        return f"{self.what}, {self.metric.title}. {'; '.join(groups)}."


def _told(result: ComparisonResult) -> str:
    return f"{' within '.join(filter(None, [result.comparison, result.within]))} is {verdict_words(result)}"


def mark_texts(plot: EffectsPlot) -> dict[Mark, str]:
    """The marks that the plot has, in words."""
    band = "" if plot.resolve is None else f"{plot.resolve:g}"
    texts: dict[Mark, str] = {
        "shown": "shown: there is a difference",
        "small": f"shown, small: there is one, below {band}",
        "suggested": "suggested: too few repeats for the exact test",
        "negligible": f"negligible: at most {band} either way",
        "identical": "identical: no repeat differs",
        "open": "open: not known",
    }
    marks = set(map(mark_of, plot.results))
    return {mark: text for mark, text in texts.items() if mark in marks}


def comparisons_plot(results: StudyResults, most: int = MOST_ROWS) -> EffectsPlot | None:
    """The first ``most`` comparisons of the study; None where no repeat decides one."""
    return _plot(results.plan.study, _COMPARISONS, {"": study_analysis(results).comparisons}, most)


def effects_plot(results: StudyResults, most: int = MOST_ROWS) -> EffectsPlot | None:
    """The first ``most`` main effects and interactions; None of a design that has none."""
    analysis = study_analysis(results)
    groups = {"main effects": analysis.main_effects, "interactions": analysis.interactions}
    what = "Main effects and interactions" if analysis.interactions else "Main effects"
    return _plot(results.plan.study, what, groups, most)


def studies_plot(pair: StudyPair) -> EffectsPlot | None:
    """Comparisons of two studies, cell by cell; None where no repeat decides one."""
    return _plot(pair.left.plan.study, "Two studies", {"": pair.comparisons}, MOST_ROWS)


def _plot(
    study: Study, what: str, groups: Mapping[str, Sequence[ComparisonResult]], most: int
) -> EffectsPlot | None:
    if not any(result.difference is not None for group in groups.values() for result in group):
        return None
    drawn: dict[str, list[ComparisonResult]] = {}
    room = most
    for claim in CLAIMS:
        for name, group in groups.items():
            kept = [result for result in group if result.claim == claim][:room]
            room -= len(kept)
            if kept:
                drawn[f"{name} on {claim}".strip().capitalize()] = kept
    left_out = sum(map(len, groups.values())) - (most - room)
    return EffectsPlot(METRICS[study.metrics.primary], drawn, study.resolve, what, left_out)
