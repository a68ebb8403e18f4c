"""Comparisons, main effects and interactions as rows of one plot: what is drawn, and in which words.

:mod:`assay.report.figures.effects` draws it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.analysis.statistics import ComparisonResult
from assay.analysis.statistics.score_table import CLAIMS
from assay.analysis.statistics.wording import better_text, count_text, p_text
from assay.analysis.study_analysis import StudyAnalysis
from assay.study import Plan
from trainables.metrics import METRICS, Metric

__all__ = ["MOST_ROWS", "EffectRow", "EffectsPlot", "comparisons_plot", "effects_plot", "studies_plot"]

_COMPARISONS = "Comparisons"
MOST_ROWS = 40  # a taller picture fits no page
_MARGIN = 0.06  # of the axis, beyond the outermost value


@dataclass(frozen=True)
class EffectRow:
    """One difference with what its repeats say, or a heading of those that follow."""

    name: str
    within: str = ""
    answer: ComparisonResult | None = None  # None: a heading

    @property
    def verdict(self) -> str:
        """``shown``; with † where interval and exact test disagree."""
        assert self.answer is not None
        return f"{self.answer.verdict} †" if self.answer.disagree else self.answer.verdict

    @property
    def support(self) -> str:
        """``n = 8, better in 7``."""
        assert self.answer is not None
        if self.answer.n == 0:
            return "no repeat is complete"
        return f"n = {count_text(self.answer)}, better in {better_text(self.answer).partition(' of ')[0]}"

    @property
    def smallest_p(self) -> str:
        """``.0078``: the least that the exact test can reach with these repeats; empty: it does not apply."""
        assert self.answer is not None
        return "" if self.answer.p_min is None else p_text(self.answer.p_min)


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
        """Of the axis: all values and intervals; of a share not beyond ±1, which no difference can be."""
        answers = [row.answer for row in self.rows if row.answer is not None]
        ends = [value for one in answers for value in one.differences]
        ends += [value for one in answers for value in (one.low, one.high) if value is not None]
        ends += [0.0] if self.resolve is None else [-self.resolve, self.resolve]
        low, high = min(0.0, *ends), max(0.0, *ends)
        if self.metric.unit == "share":
            low, high = max(low, -1.0), min(high, 1.0)
        margin = _MARGIN * (high - low or 1.0)
        return low - margin, high + margin

    @property
    def caption(self) -> str:
        """What the picture shows, in a few sentences."""
        drawn = sum(row.answer is not None for row in self.rows)
        cut = f" The first {drawn} of {drawn + self.left_out}." if self.left_out else ""
        return (
            f"{self.what}: difference in {self.metric.title} with its 95 % interval. A small point is a "
            f"repeat (a seed, a fold or both, as the claim has it).{cut}"
        )

    @property
    def alt(self) -> str:
        """The verdicts in words, for who cannot see the picture."""
        said = "".join(
            f" {row.name}:"
            if row.answer is None
            else f" {' within '.join(filter(None, [row.name, row.within]))} is {row.verdict};"
            for row in self.rows
        )
        return f"{self.what}, {self.metric.title}.{said.removesuffix(';')}."


def comparisons_plot(plan: Plan, answers: StudyAnalysis, most: int = MOST_ROWS) -> EffectsPlot | None:
    """The first ``most`` comparisons of the study; None where no repeat answers one."""
    return _plot(plan, _COMPARISONS, {"": answers.comparisons}, most)


def studies_plot(plan: Plan, answers: Sequence[ComparisonResult]) -> EffectsPlot | None:
    """Comparisons of another study with ``plan``'s, cell by cell; None where no repeat answers one."""
    return _plot(plan, "Two studies", {"": answers}, MOST_ROWS)


def effects_plot(plan: Plan, answers: StudyAnalysis, most: int = MOST_ROWS) -> EffectsPlot | None:
    """The first ``most`` main effects and interactions of a full factorial; None for any other design."""
    groups = {"main effects": answers.main_effects, "interactions": answers.interactions}
    return _plot(plan, "Main effects and interactions", groups, most)


def _plot(
    plan: Plan, what: str, groups: Mapping[str, Sequence[ComparisonResult]], most: int
) -> EffectsPlot | None:
    if not any(one.difference is not None for answers in groups.values() for one in answers):
        return None
    rows: list[EffectRow] = []
    drawn = left_out = 0
    for claim in CLAIMS:
        for name, answers in groups.items():
            found = [one for one in answers if one.claim == claim]
            kept = found[: most - drawn]
            if kept:
                rows.append(EffectRow(f"{name} on {claim}".strip().capitalize()))
                rows += [EffectRow(one.comparison, one.within, one) for one in kept]
            drawn, left_out = drawn + len(kept), left_out + len(found) - len(kept)
    metric = METRICS[plan.study.metrics.primary]
    return EffectsPlot(metric, tuple(rows), plan.study.resolve, what, left_out)
