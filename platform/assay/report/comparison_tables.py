"""The answers of a study as sections of a page: what a reader needs first, then the details.

For each claim one table with difference, interval, adjusted p and verdict, and one with what stands behind
them; for a full factorial also main effects and interactions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from assay.analysis.statistics import ComparisonResult
from assay.analysis.statistics.more_repeats import MOST_REPEATS
from assay.analysis.statistics.score_table import CLAIMS, Claim
from assay.analysis.statistics.wording import (
    better_text,
    count_text,
    exact_test_text,
    interval_text,
    more_text,
    p_text,
    signed,
)
from assay.analysis.study_analysis import StudyAnalysis
from assay.analysis.test_set_uncertainty import ItemIntervals
from assay.report.ablation_table import decimals_of, luck_text
from assay.report.page.model import NOTHING, Column, Section, TextTable, superscript
from assay.study import Plan
from trainables.metrics import METRICS, Metric

__all__ = ["best_notes", "sections", "study_sections", "verdict_text"]

_CLAIMS: dict[Claim, str] = {
    "this split": "on this split: would other seeds say the same?",
    "these folds": "on these folds: would other seeds say the same?",
    "new data": "on new data: would other images of this kind say the same?",
}

_TESTS = {"sign-flip": "exact sign-flip test", "wilcoxon": "exact Wilcoxon signed-rank test"}
_ORDER = "Right level minus left, all else equal"
_MAIN_EFFECTS = "Mean of a level's cells minus that of its factor's first level, all other factors averaged."
_INTERACTIONS = "How much one factor's effect grows with the level of another: a difference of differences."


def sections(plan: Plan, answers: StudyAnalysis) -> Iterator[Section]:
    """All sections that the study's answers need, in reading order."""
    plan = plan.answer()
    metric = METRICS[plan.study.metrics.primary]
    page = _Page(
        metric=metric,
        repeats=max((one.n_planned for one in answers.comparisons), default=1),
        resolve=plan.study.resolve,
        within=any(one.within for one in answers.comparisons),
        order=_ORDER,
        luck=answers.luck,
    )
    for claim in CLAIMS:
        compared = [one for one in answers.comparisons if one.claim == claim]
        if compared:
            yield from page.compared(claim, compared)
        for title, intro, effects in (
            ("Main effects", _MAIN_EFFECTS, answers.main_effects),
            ("Interactions", _INTERACTIONS, answers.interactions),
        ):
            of_claim = [one for one in effects if one.claim == claim]
            if of_claim:
                yield page.effects(f"{title} {_where(claim)}", intro, of_claim)
    if answers.further:
        claim = answers.further[0].claim
        yield page.further(claim, [one for one in answers.further if one.claim == claim])


def study_sections(
    names: tuple[str, str], resolve: float | None, answers: Sequence[ComparisonResult]
) -> Iterator[Section]:
    """The comparisons of two studies, cell by cell, for each claim."""
    if not answers:
        return
    page = _Page(
        metric=METRICS[answers[0].metric],
        repeats=max(one.n_planned for one in answers),
        resolve=resolve,
        within=True,
        order=f"{names[1]} minus {names[0]}, with all that differs between them",
        luck=None,
    )
    for claim in CLAIMS:
        compared = [one for one in answers if one.claim == claim]
        if compared:
            yield from page.compared(claim, compared)


def best_notes(plan: Plan, answers: StudyAnalysis) -> list[str]:
    """What bold and test luck mean in the ablation table."""
    notes: list[str] = []
    best, title = answers.best, METRICS[plan.study.metrics.primary].title
    if best is not None:
        held = f"{best.repeats} common repeats; claim: {best.claim}"
        notes.append(
            f"Bold: the best {title}, and what cannot be told from it ({held})."
            if best.cells
            else f"Not distinguishable: no {title} is bold ({held})."
        )
    if answers.luck is not None:
        notes.append(
            f"Test luck: 95 % interval of {title} had other test items been photographed (bootstrap over "
            "physical items); it says nothing of training."
        )
        notes += [f"{problem[0].upper()}{problem[1:]}" for problem in answers.luck.problems]
    return notes


@dataclass(frozen=True)
class _Page:
    metric: Metric  # the primary one
    repeats: int  # of a comparison, as planned
    resolve: float | None
    within: bool  # whether a comparison says in which cells it is
    order: str  # which side is subtracted from which, in words
    luck: ItemIntervals | None

    def compared(self, claim: Claim, answers: Sequence[ComparisonResult]) -> Iterator[Section]:
        """What is claimed, and what stands behind it."""
        yield self.comparisons(claim, answers)
        if self.luck is not None or any(one.p is not None for one in answers):
            yield self.details(claim, answers)

    def comparisons(self, claim: Claim, answers: Sequence[ComparisonResult]) -> Section:
        """What is claimed, in one table."""
        columns = (
            *self._names(),
            Column(f"difference in {self.metric.title}", "right"),
            Column("better in", "right"),
            Column("p (Holm)", "right"),
            Column("verdict", "left"),
        )
        notes: dict[str, int] = {}
        rows = tuple((*self._named(one), *self._claimed(one, notes)) for one in answers)
        return Section(
            f"Comparisons {_CLAIMS[claim]}",
            f"{self.order}. {_method(answers)}",
            TextTable(columns, rows, tuple(notes), links=_links(answers)),
            tuple(self._common_notes(answers)),
        )

    def details(self, claim: Claim, answers: Sequence[ComparisonResult]) -> Section:
        """What stands behind the verdicts."""
        luck = self.luck
        columns = [*self._names(), Column("n", "right")]
        exact = any(one.p_min is not None for one in answers)
        columns.append(Column("p", "right"))
        columns += [Column("smallest p", "right")] if exact else []
        columns.append(Column("g", "right"))
        if luck is not None:
            columns.append(Column("test luck", "right"))
        columns.append(Column("more repeats", "right"))
        notes: list[str] = []
        rows: list[tuple[str, ...]] = []
        for one in answers:
            g = NOTHING if one.g is None else signed(one.g, 2)
            row = [
                *self._named(one),
                count_text(one),
                _p(one.p),
                *([_p(one.p_min)] if exact else []),
                g,
            ]
            if luck is not None and one.cell_a is not None and one.cell_b is not None:
                found = luck.difference(one.cell_a, one.cell_b)
                row.append(luck_text(found, self._decimals(one), _full_name(one), notes))
            rows.append((*row, more_text(one, self._decimals(one)) or NOTHING))
        return Section(
            f"Details {_where(claim)}",
            "",
            TextTable(tuple(columns), tuple(rows), tuple(notes), links=_links(answers)),
            tuple(self._detail_notes(answers)),
        )

    def effects(self, title: str, intro: str, answers: Sequence[ComparisonResult]) -> Section:
        """Main effects or interactions: contrasts over all cells."""
        columns = (
            Column("effect", "left"),
            Column(f"difference in {self.metric.title}", "right"),
            Column("better in", "right"),
            Column("p (Holm)", "right"),
            Column("verdict", "left"),
        )
        notes: dict[str, int] = {}
        rows = tuple((one.comparison, *self._claimed(one, notes)) for one in answers)
        return Section(title, intro, TextTable(columns, rows, tuple(notes)), tuple(_disagreements(answers)))

    def further(self, claim: Claim, answers: Sequence[ComparisonResult]) -> Section:
        """The comparisons by all further metrics, for one claim."""
        columns = (
            Column("metric", "left"),
            *self._names(),
            Column("difference", "right"),
            Column("p (Holm)", "right"),
            Column("verdict", "left"),
        )
        notes: dict[str, int] = {}
        rows: list[tuple[str, ...]] = []
        for one in answers:
            difference, _, p, verdict = self._claimed(one, notes)
            rows.append((_title(METRICS[one.metric]), *self._named(one), difference, p, verdict))
        return Section(
            f"Further metrics {_where(claim)}",
            f"Exploratory: the question was asked of {self.metric.title}. A metric is a family of its own: "
            "the more of them are read, the more will look shown by chance.",
            TextTable(columns, tuple(rows), tuple(notes), links=_links(answers, 1)),
            tuple(_disagreements(answers)),
        )

    def _decimals(self, one: ComparisonResult) -> int:
        return decimals_of(METRICS[one.metric], self.repeats)

    def _names(self) -> list[Column]:
        """Columns that name a comparison; of a study without factors there is nothing to be within."""
        within = [Column("within", "left")] if self.within else []
        return [Column("comparison", "left"), *within]

    def _named(self, one: ComparisonResult) -> list[str]:
        return [one.comparison, one.within] if self.within else [one.comparison]

    def _claimed(self, one: ComparisonResult, notes: dict[str, int]) -> tuple[str, str, str, str]:
        """Difference with interval, better in, p, verdict; ``notes`` collects what is odd, each once."""
        return self._difference(one), self._better(one), _p(one.p_holm), verdict_text(one, notes)

    def _difference(self, one: ComparisonResult) -> str:
        if one.difference is None:
            return NOTHING
        decimals = self._decimals(one)
        text = signed(one.difference, decimals)
        if one.n == 2:
            return f"{text} ({', '.join(signed(value, decimals) for value in one.differences)})"
        if one.low is None or one.high is None:
            return text
        mark = "†" if one.disagree else ""
        return f"{text} {interval_text(one.low, one.high, decimals)}{mark}"

    def _better(self, one: ComparisonResult) -> str:
        lost = one.n_planned - one.n
        return better_text(one) + (f" ({lost} lost)" if lost else "")

    def _common_notes(self, answers: Sequence[ComparisonResult]) -> Iterator[str]:
        yield from _disagreements(answers)
        yield from _grouped(answers, exact_test_text)
        looks = max(one.looks for one in answers)
        if looks > 1:
            yield f"Answered at {looks} numbers of seeds at which its test could speak: p is times {looks}."

    def _detail_notes(self, answers: Sequence[ComparisonResult]) -> Iterator[str]:
        yield "g: difference in sd of the differences, corrected for few repeats (Hedges)."
        if any(one.p_min is not None for one in answers):
            yield "Smallest p: what the exact test can reach with so many repeats that differ."
        asked = [one.more for one in answers if one.more is not None]
        if asked:
            delta = self.resolve
            what = "the difference that was found" if delta is None else f"a difference of {delta:g}"
            yield (
                f"More repeats: how many until {what} is shown with 80 % chance (range: what {answers[0].n} "
                f"repeats know of the spread). > {MOST_REPEATS}: not within {MOST_REPEATS} in all (interval "
                "there)."
            )
        if answers[0].claim == "new data" and not asked and any(one.verdict == "open" for one in answers):
            yield "More seeds do not settle what the folds leave open: they are as many as they are."


def _links(answers: Sequence[ComparisonResult], column: int = 0) -> dict[tuple[int, int], tuple[str, ...]]:
    """The name of a comparison leads to its two cells."""
    return {
        (row, column): (one.cell_b, one.cell_a)
        for row, one in enumerate(answers)
        if one.cell_a is not None and one.cell_b is not None
    }


def verdict_text(one: ComparisonResult, notes: dict[str, int]) -> str:
    """The verdict, with the number of its note; ``notes`` collects what is odd, each once."""
    number = superscript(notes.setdefault(one.note, len(notes) + 1)) if one.note else ""
    return f"{one.verdict} {number}".rstrip()


def _title(metric: Metric) -> str:
    return f"{metric.title} {'↑' if metric.better == 'higher' else '↓'}"


def _disagreements(answers: Sequence[ComparisonResult]) -> Iterator[str]:
    """What the mark † means, where it stands."""
    if any(one.disagree for one in answers):
        yield "† Interval and exact test disagree; the verdict follows the test."


def _where(claim: Claim) -> str:
    return _CLAIMS[claim].partition(":")[0]


def _method(answers: Sequence[ComparisonResult]) -> str:
    m = answers[0].m
    over = f"Holm over {m} comparisons" if m > 1 else "one comparison, so Holm changes nothing"
    if answers[0].claim == "new data":
        return f"Interval (95 %) and p: Nadeau–Bengio's t, {over}."
    test = next((one.test for one in answers if one.test), "sign-flip")
    return f"Interval: 95 %, paired t. p: {_TESTS[test]}, {over}."


def _p(p: float | None) -> str:
    return NOTHING if p is None else p_text(p)


def _full_name(one: ComparisonResult) -> str:
    return f"{one.comparison}, {one.within}" if one.within else one.comparison


def _grouped(answers: Sequence[ComparisonResult], say: Callable[[ComparisonResult], str]) -> Iterator[str]:
    """Each sentence once; with the comparisons that it is about, where it is not about all."""
    about: dict[str, list[str]] = {}
    for one in answers:
        if text := say(one):
            about.setdefault(text, []).append(_full_name(one))
    for text, names in about.items():
        yield text if len(names) == len(answers) else f"{'; '.join(names)}: {text}"
