"""Comparisons of a study as sections of a page: first what a reader needs, then the details.

Main effects come first, where the design has them: all trainings speak of each. For each claim one table has
difference, interval, adjusted p and verdict, and one what stands behind them. Two studies side by side have
the same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from assay.analysis.results.results import StudyResults
from assay.analysis.scores.score_analysis import ScoreAnalysis
from assay.analysis.study_analysis import study_analysis
from assay.analysis.study_pair import StudyPair
from assay.analysis.summary import metric_summary
from assay.analysis.test_set_uncertainty import ItemIntervals, item_intervals
from assay.report.page.model import NOTHING, Column, Section, TextTable, numbered
from assay.report.tables.cells import ITEM_INTERVAL, item_interval_text, metric_title
from assay.statistics.families import ComparisonResult, first_claims
from assay.statistics.looks import PLANNED_LOOKS, PLANNED_LOOKS_AT_RANKS
from assay.statistics.more_repeats import MOST_REPEATS
from assay.statistics.scores import CLAIMS, Claim
from assay.statistics.wording import (
    better_text,
    count_text,
    exact_test_text,
    interval_text,
    less_chance_text,
    more_negligible_text,
    more_text,
    negligible_text,
    p_text,
    signed,
)
from assay.study.names import from_to
from assay.study.orthogonal import read_aliases

__all__ = [
    "alias_notes",
    "analysis_sections",
    "claim_question",
    "comparison_sections",
    "disagreements",
    "full_name",
    "pair_sections",
    "verdict_text",
]

_QUESTIONS: dict[Claim, str] = {
    "this split": "on this split: would other seeds say the same?",
    "these folds": "on these folds: would other seeds say the same?",
    "this data": "on this data: would other splits of it and other seeds say the same?",
    "new data": "on new data: would other images of this kind say the same?",
}

_OF_THIS_DATA = "Of this data set, over its splits and seeds; not of other images. "
_TESTS = {"sign-flip": "exact sign-flip test", "wilcoxon": "exact Wilcoxon signed-rank test"}
_ORDER = "Right level minus left, all else equal"
_MAIN_EFFECTS = "Mean of a level's cells minus that of its factor's first level, all other factors averaged."
_INTERACTIONS = "How much one factor's effect grows with the level of another: a difference of differences."


Absent = Mapping[str, frozenset[str]]


class _Family(NamedTuple):
    """Results of one claim that stand in one table."""

    claim: Claim
    results: Sequence[ComparisonResult]
    absent: Absent  # cell → why repeats of it have no value

    @property
    def title(self) -> str:
        """Name of the metric of the results."""
        return self.results[0].scored_by.title

    @property
    def within(self) -> bool:
        """True where results say in which cells they are: without factors there is nothing to be within."""
        return any(result.within for result in self.results)


def comparison_sections(results: StudyResults) -> Iterator[Section]:
    """All sections that the study's comparisons need, in reading order."""
    yield from analysis_sections(
        study_analysis(results),
        results.primary.title,
        item_intervals(results),
        lambda effects: _design_notes(results, effects),
        absent={
            summary.cell.name: frozenset("to come" if lost.to_come else "lost" for lost in summary.lost)
            for summary in metric_summary(results, results.primary.name)
        },
    )


def analysis_sections(
    analysis: ScoreAnalysis,
    primary: str,
    uncertainty: ItemIntervals | None = None,
    design_notes: Callable[[Sequence[ComparisonResult]], Iterable[str]] = lambda _: (),
    *,
    absent: Absent = MappingProxyType({}),
) -> Iterator[Section]:
    """All sections of an analysis, in reading order.

    ``primary``: title of the metric that the question is about. ``design_notes``: main effects → sentences
    below them on what the design cannot tell apart. ``absent``: of cells that lack repeats, whether these
    are ``lost`` or ``to come``.
    """
    for claim in CLAIMS:
        for family in _of_claim(claim, analysis.main_effects, absent):
            intro = f"{_MAIN_EFFECTS} {_method(family.results)}"
            notes = (*_common_notes(family), *design_notes(family.results))
            yield _claimed_section(f"Main effects {_where(claim)}", intro, family, notes, first="effect")
            if not analysis.comparisons and any(result.p is not None for result in family.results):
                yield _detail_section(family, None)
        for family in _of_claim(claim, analysis.interactions, absent):
            title, notes = f"Interactions {_where(claim)}", _said_of_all(family)
            yield _claimed_section(title, _INTERACTIONS, family, notes, first="effect")
        for family in _of_claim(claim, analysis.comparisons, absent):
            yield from _compared(family, _ORDER, uncertainty)
    further = first_claims(analysis.further)
    for claim in CLAIMS:
        for family in _of_claim(claim, further, absent):
            yield _further_section(family, primary)


def pair_sections(pair: StudyPair) -> Iterator[Section]:
    """The comparisons of two studies, cell by cell, for each claim."""
    order = f"{pair.right.name} minus {pair.left.name}, with all that differs between them"
    for claim in CLAIMS:
        for family in _of_claim(claim, pair.comparisons):
            yield from _compared(family, order, None)


def verdict_text(result: ComparisonResult, notes: list[str]) -> str:
    """The verdict, with the number of its note; ``notes`` collects what is odd, each once."""
    return f"{result.verdict} {numbered(result.note, notes)}" if result.note else result.verdict


# Sections ---------------------------------------------------------------------------------------------


def _of_claim(
    claim: Claim, results: Sequence[ComparisonResult], absent: Absent = MappingProxyType({})
) -> Iterator[_Family]:
    """The results of one claim as a family; nothing where there are none."""
    of_claim = [result for result in results if result.claim == claim]
    if of_claim:
        yield _Family(claim, of_claim, absent)


def _compared(family: _Family, order: str, uncertainty: ItemIntervals | None) -> Iterator[Section]:
    """A section of what is claimed, and one of what stands behind it."""
    title, intro = f"Comparisons {claim_question([family.claim])}", f"{order}. {_method(family.results)}"
    yield _claimed_section(title, intro, family, _common_notes(family))
    if uncertainty is not None or any(result.p is not None for result in family.results):
        yield _detail_section(family, uncertainty)


def _claimed_section(
    title: str, intro: str, family: _Family, notes_below: Iterable[str], *, first: str = "comparison"
) -> Section:
    """Everything that is claimed, in one table; ``first``: heading of the names."""
    columns = (
        *_name_columns(family, first),
        Column(f"difference in {family.title}", "right"),
        Column("better in", "right"),
        Column("p (family)", "right"),
        Column("verdict", "left"),
    )
    notes: list[str] = []
    rows = tuple((*_names(family, result), *_claimed(family, result, notes)) for result in family.results)
    links = _links(family.results)
    return Section(title, intro, TextTable(columns, rows, tuple(notes), links=links), tuple(notes_below))


def _detail_section(family: _Family, uncertainty: ItemIntervals | None) -> Section:
    """The numbers behind the verdicts."""
    exact = any(result.p_min is not None for result in family.results)
    until = any(more_negligible_text(result) for result in family.results)
    columns = (
        *_name_columns(family),
        Column("n", "right"),
        Column("p", "right"),
        *([Column("smallest p", "right")] if exact else []),
        Column("g", "right"),
        *([Column(ITEM_INTERVAL, "right")] if uncertainty is not None else []),
        Column("more repeats", "right"),
        *([Column("until negligible", "right")] if until else []),
    )
    notes: list[str] = []
    rows: list[tuple[str, ...]] = []
    for result in family.results:
        row = [
            *_names(family, result),
            count_text(result),
            _p(result.p),
            *([_p(result.p_min)] if exact else []),
            NOTHING if result.g is None else signed(result.g, 2),
        ]
        if uncertainty is not None and result.cell_a is not None and result.cell_b is not None:
            interval = uncertainty.difference(result.cell_a, result.cell_b)
            row.append(item_interval_text(interval, result.decimals, full_name(result), notes))
        row.append(more_text(result) or NOTHING)
        rows.append((*row, *([more_negligible_text(result) or NOTHING] if until else [])))
    table = TextTable(columns, tuple(rows), tuple(notes), links=_links(family.results))
    notes_below = tuple(_detail_notes(family.results))
    return Section(f"Details {_where(family.claim)}", "", table, notes_below, detail=True)


def _further_section(family: _Family, primary: str) -> Section:
    """The comparisons by all further metrics, for one claim; ``primary``: the metric of the question."""
    columns = (
        Column("metric", "left"),
        *_name_columns(family),
        Column("difference", "right"),
        Column("p (family)", "right"),
        Column("verdict", "left"),
    )
    notes: list[str] = []
    rows: list[tuple[str, ...]] = []
    for result in family.results:
        difference, _, p, verdict = _claimed(family, result, notes)
        rows.append((metric_title(result.scored_by), *_names(family, result), difference, p, verdict))
    return Section(
        f"Further metrics {_where(family.claim)}",
        f"Exploratory: the question was asked of {primary}. A metric is a family of its own: "
        "the more of them are read, the more will look shown by chance.",
        TextTable(columns, tuple(rows), tuple(notes), links=_links(family.results, 1)),
        tuple(disagreements(family.results)),
        detail=True,
    )


# Cells of the tables ----------------------------------------------------------------------------------


def _name_columns(family: _Family, first: str = "comparison") -> list[Column]:
    """Columns that name a result."""
    within = [Column("within", "left")] if family.within else []
    return [Column(first, "left"), *within]


def _names(family: _Family, result: ComparisonResult) -> list[str]:
    return [result.comparison, result.within] if family.within else [result.comparison]


def _claimed(family: _Family, result: ComparisonResult, notes: list[str]) -> tuple[str, str, str, str]:
    """Difference with interval, better in, p, verdict; ``notes`` collects what is odd, each once."""
    return (
        _difference(result),
        _better(result, family.absent),
        _p(result.p_adjusted),
        verdict_text(result, notes),
    )


def _difference(result: ComparisonResult) -> str:
    if result.difference is None:
        return NOTHING
    decimals = result.decimals
    text = signed(result.difference, decimals)
    if result.n == 2:
        return f"{text} ({', '.join(signed(value, decimals) for value in result.differences)})"
    if result.low is None or result.high is None:
        return text
    mark = "†" if result.disagree else ""
    return f"{text} {interval_text(result.low, result.high, decimals)}{mark}"


def _better(result: ComparisonResult, absent: Absent) -> str:
    """``5 of 6 (2 to come)``; a contrast of more than two cells needs all of them."""
    cells = (result.cell_a, result.cell_b) if result.cell_a is not None else absent
    ways = {way for cell in cells for way in absent.get(cell or "", ())} or {"lost"}
    count = result.n_planned - result.n
    return better_text(result) + (f" ({count} {' or '.join(sorted(ways))})" if count else "")


def _links(results: Sequence[ComparisonResult], column: int = 0) -> dict[tuple[int, int], tuple[str, ...]]:
    """The name of a comparison leads to its two cells."""
    return {
        (row, column): (result.cell_b, result.cell_a)
        for row, result in enumerate(results)
        if result.cell_a is not None and result.cell_b is not None
    }


def _p(p: float | None) -> str:
    return NOTHING if p is None else p_text(p)


def full_name(result: ComparisonResult) -> str:
    """``stop: off → on, supervision=full``."""
    return f"{result.comparison}, {result.within}" if result.within else result.comparison


# Notes ------------------------------------------------------------------------------------------------


def claim_question(claims: Sequence[Claim]) -> str:
    """``on this split: would other seeds say the same?``; of several ``on these folds or on this data``."""
    return _QUESTIONS[claims[0]] if len(claims) == 1 else " or ".join(map(_where, claims))


def _where(claim: Claim) -> str:
    return _QUESTIONS[claim].partition(":")[0]


def _method(results: Sequence[ComparisonResult]) -> str:
    m = results[0].m
    tests = {result.test for result in results}
    if tests & {PLANNED_LOOKS, PLANNED_LOOKS_AT_RANKS}:
        largest = f" and the largest of {m} comparisons" if m > 1 else ""
        ranks = ", of signed ranks," if PLANNED_LOOKS_AT_RANKS in tests else ""
        return (
            "Interval: 95 %, paired t, at the look that settled it. p: share of sign flips of whole repeats"
            f"{ranks} that are as clear by then, over the planned looks{largest}."
        )
    new = results[0].claim == "new data"
    correction = "Holm" if new else "max-T"
    over = f"{correction} over {m} comparisons" if m > 1 else "of one comparison, so nothing is corrected"
    if new:
        return f"Interval (95 %) and p: Nadeau–Bengio's t, {over}."
    test = next((result.test for result in results if result.test), "sign-flip")
    scope = _OF_THIS_DATA if results[0].claim == "this data" else ""
    return f"{scope}Interval: 95 %, paired t. p: {_TESTS[test]}, {over}."


def _common_notes(family: _Family) -> Iterator[str]:
    results = family.results
    yield from _said_of_all(family)
    yield from _grouped(results, exact_test_text)
    looks = max(result.looks for result in results)
    if looks > 1:
        paid = (
            f"p is times {looks}"
            if results[0].claim == "new data"
            else "they share one error of 5 %, of which a later one has what those before it left"
        )
        waits = any(result.verdict == "interim" for result in results)
        answered = "By then answered" if waits else "Answered"
        yield f"{answered} at {looks} numbers of seeds at which its test could speak: {paid}."


def _design_notes(results: StudyResults, effects: Sequence[ComparisonResult]) -> Iterator[str]:
    """Effects that the design cannot tell apart, and the design to go on with."""
    yield from alias_notes(results)
    design = results.plan.study.design
    if design is not None:
        largest = max(effects, key=lambda result: abs(result.difference or 0.0))
        follow_up = design.form.follow_up(
            results.plan.study, design.block, largest.comparison.partition(":")[0]
        )
        yield from filter(None, [follow_up])


def alias_notes(results: StudyResults) -> Iterator[str]:
    """Effects that the design mixes up with others."""
    aliases = read_aliases([cell.levels for cell in results.reported.cells])
    if aliases is not None:
        yield from aliases.sentences()


def _said_of_all(family: _Family) -> Iterator[str]:
    """Sentences on what can go, and the meaning of marks."""
    yield from filter(None, map(negligible_text, family.results))
    yield from disagreements(family.results)


def _detail_notes(results: Sequence[ComparisonResult]) -> Iterator[str]:
    resolve = results[0].resolve
    yield "g: difference in sd of the differences, corrected for few repeats (Hedges)."
    if any(result.p_min is not None for result in results):
        yield "Smallest p: what the exact test can reach with so many repeats that differ."
    known = [result.n for result in results if result.more is not None]
    if known:
        what = "the difference that was found" if resolve is None else f"a difference of {resolve:g}"
        yield (
            f"More repeats: how many until {what} is shown with 80 % chance (range: what {from_to(known)} "
            f"repeats know of the spread). > {MOST_REPEATS}: not within {MOST_REPEATS} in all (interval "
            "there)."
        )
    if any(more_negligible_text(result) for result in results):
        yield (
            f"Until negligible: how many more until it is called so (within ± {resolve:g}) with 80 % chance, "
            "if nothing differs."
        )
    yield from filter(None, [less_chance_text(results)])
    of_folds = (result for result in results if result.units and result.units[0].startswith("fold"))
    if any(result.verdict == "open" and not result.n_diverged for result in of_folds):
        yield "More seeds do not settle what the folds leave open: they are as many as they are."


def disagreements(results: Sequence[ComparisonResult]) -> Iterator[str]:
    """The meaning of the mark †, where it stands."""
    if any(result.disagree for result in results):
        yield "† Interval and exact test disagree; the verdict follows the test."


def _grouped(
    results: Sequence[ComparisonResult], text_of: Callable[[ComparisonResult], str]
) -> Iterator[str]:
    """Each sentence once; with the comparisons that it is about, where it is not about all."""
    about: dict[str, list[str]] = {}
    for result in results:
        if text := text_of(result):
            about.setdefault(text, []).append(full_name(result))
    for text, names in about.items():
        yield text if len(names) == len(results) else f"{'; '.join(names)}: {text}"
