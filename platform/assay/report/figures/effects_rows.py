"""Comparisons, main effects and interactions as rows of one plot: what is drawn, and in which words.

:mod:`assay.report.figures.effects` draws it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from assay.analysis.results import StudyResults
from assay.analysis.statistics import ComparisonResult
from assay.analysis.statistics.score_table import CLAIMS
from assay.analysis.statistics.wording import better_text, count_text, p_text
from assay.analysis.study_pair import StudyPair
from assay.study import Study
from trainables.metrics import METRICS, Metric

__all__ = [
    "MOST_ROWS",
    "EffectRow",
    "EffectsPlot",
    "Mark",
    "comparisons_plot",
    "effects_plot",
    "studies_plot",
]

Mark = Literal["shown", "small", "suggested", "negligible", "identical", "open"]
_COMPARISONS = "Comparisons"
MOST_ROWS = 40  # a taller picture fits no page
_MARGIN = 0.06  # of the axis, beyond the outermost value


@dataclass(frozen=True)
class EffectRow:
    """One difference with what its repeats say, or a heading of those that follow."""

    name: str
    within: str = ""
    result: ComparisonResult | None = None  # None: a heading

    @property
    def mark(self) -> Mark:
        """Form and colour of the point: ``small`` is shown, and surely too small to matter."""
        assert self.result is not None
        if self.result.small:
            return "small"
        verdict = self.result.verdict
        return verdict if verdict in ("shown", "suggested", "negligible", "identical") else "open"

    @property
    def verdict(self) -> str:
        """``shown``; ``shown, small`` within ``resolve``; with † where interval and exact test disagree."""
        assert self.result is not None
        words = "shown, small" if self.mark == "small" else self.result.verdict
        return f"{words} †" if self.result.disagree else words

    @property
    def support(self) -> str:
        """``n = 8, better in 7``."""
        assert self.result is not None
        if self.result.n == 0:
            return "no repeat is complete"
        return f"n = {count_text(self.result)}, better in {better_text(self.result).partition(' of ')[0]}"

    @property
    def smallest_p(self) -> str:
        """``.0078``: the least that the exact test can reach with these repeats; empty: it does not apply."""
        assert self.result is not None
        return "" if self.result.p_min is None else p_text(self.result.p_min)


@dataclass(frozen=True)
class EffectsPlot:
    """Differences of the primary metric, by claim; at least one of them has a value."""

    metric: Metric
    rows: tuple[EffectRow, ...]
    resolve: float | None  # the difference worth knowing
    what: str  # `Comparisons`
    left_out: int  # comparisons that have no row

    @property
    def axis(self) -> str:
        """Its label, with the unit."""
        unit = self.metric.scale
        order = ", right level minus left" if self.what == _COMPARISONS else ""
        return f"difference in {self.metric.title} on test data ({unit}){order}"

    @property
    def limits(self) -> tuple[float, float]:
        """Ends of the axis: all values and intervals; of a share not beyond ±1, where no difference is."""
        drawn = [row.result for row in self.rows if row.result is not None]
        ends = [value for result in drawn for value in result.differences]
        ends += [value for result in drawn for value in (result.low, result.high) if value is not None]
        ends += [0.0] if self.resolve is None else [-self.resolve, self.resolve]
        low, high = min(0.0, *ends), max(0.0, *ends)
        if self.metric.unit == "share":
            low, high = max(low, -1.0), min(high, 1.0)
        margin = _MARGIN * (high - low or 1.0)
        return low - margin, high + margin

    @property
    def caption(self) -> str:
        """A few sentences below the picture."""
        drawn = sum(row.result is not None for row in self.rows)
        cut = f" The first {drawn} of {drawn + self.left_out}." if self.left_out else ""
        return (
            f"{self.what}: difference in {self.metric.title} with its 95 % interval. A small point is a "
            f"repeat (a seed, a fold or both, as the claim has it).{cut}"
        )

    @property
    def alt(self) -> str:
        """The verdicts in words, for who cannot see the picture."""
        verdicts = "".join(
            f" {row.name}:"
            if row.result is None
            else f" {' within '.join(filter(None, [row.name, row.within]))} is {row.verdict};"
            for row in self.rows
        )
        return f"{self.what}, {self.metric.title}.{verdicts.removesuffix(';')}."


def comparisons_plot(results: StudyResults, most: int = MOST_ROWS) -> EffectsPlot | None:
    """The first ``most`` comparisons of the study; None where no repeat decides one."""
    return _plot(results.plan.study, _COMPARISONS, {"": results.analysis.comparisons}, most)


def effects_plot(results: StudyResults, most: int = MOST_ROWS) -> EffectsPlot | None:
    """The first ``most`` main effects and interactions; None of a design that has none."""
    analysis = results.analysis
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
    rows: list[EffectRow] = []
    drawn = left_out = 0
    for claim in CLAIMS:
        for name, group in groups.items():
            of_claim = [result for result in group if result.claim == claim]
            kept = of_claim[: most - drawn]
            if kept:
                rows.append(EffectRow(f"{name} on {claim}".strip().capitalize()))
                rows += [EffectRow(result.comparison, result.within, result) for result in kept]
            drawn, left_out = drawn + len(kept), left_out + len(of_claim) - len(kept)
    return EffectsPlot(METRICS[study.metrics.primary], tuple(rows), study.resolve, what, left_out)
