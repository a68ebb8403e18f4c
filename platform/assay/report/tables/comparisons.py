"""Comparisons of a study as sections of a page: first what a reader needs, then the details.

Main effects come first, where the design has them: all trainings speak of each. For each claim one table has
difference, interval, adjusted p and verdict, and one what stands behind them. Two studies side by side have
the same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from assay.analysis.names import sentence_case, study_names
from assay.analysis.results.results import StudyResults
from assay.analysis.scores.score_analysis import ScoreAnalysis
from assay.analysis.study_analysis import study_analysis
from assay.analysis.study_pair import StudyPair
from assay.analysis.summary import metric_summary
from assay.analysis.test_set_uncertainty import ItemIntervals, item_intervals
from assay.report.page.model import NOTHING, Column, Section, TextTable, numbered
from assay.report.tables.cells import ITEM_INTERVAL, item_interval_text, metric_title
from assay.statistics.data_sets import Ranking
from assay.statistics.families import ComparisonResult, first_claims
from assay.statistics.interim_looks import PLANNED_LOOKS, PLANNED_LOOKS_AT_RANKS
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
    over_data_sets_text,
    p_equation,
    p_text,
    signed,
    unit_word,
    verdict_word,
)
from assay.study.names import from_to
from assay.study.orthogonal import read_aliases

__all__ = [
    "ASKED_FIRST",
    "Absent",
    "absent_repeats",
    "alias_notes",
    "analysis_sections",
    "better_in_text",
    "comparison_sections",
    "design_notes",
    "difference_text",
    "disagreements",
    "full_name",
    "holds_for_text",
    "looks_notes",
    "method_text",
    "over_data_sets_notes",
    "p_cell",
    "p_column",
    "pair_sections",
    "verdict_text",
]

_HOLDS_FOR: dict[Claim, str] = {
    "this split": "this train/test split: 95 % intervals over seeds",
    "these folds": "these folds: 95 % intervals over seeds",
    "this data": "this data set: 95 % intervals over its splits and seeds",
    "new data": "new images of this kind: 95 % intervals over its splits and seeds",
    "data sets": "data sets like these: 95 % intervals over data sets, each the mean over its repeats",
}

_TESTS = {"sign-flip": "exact sign-flip test", "wilcoxon": "exact Wilcoxon signed-rank test"}
_ORDER = "Difference: second minus first, all else equal."
_MAIN_EFFECTS = "Mean of a level minus that of its factor's first level, averaged over all other factors."
_INTERACTIONS = "How much one factor's effect grows with the level of another: a difference of differences."


# A claim over data sets is there because somebody asked.
ASKED_FIRST: tuple[Claim, ...] = ("data sets", *(claim for claim in CLAIMS if claim != "data sets"))
Absent = Mapping[str, frozenset[str]]


class _Words(NamedTuple):
    """How a study names what it compares."""

    change: Callable[[ComparisonResult], str]
    data_sets: Mapping[str, str]  # level of a factor that names data → its words
    ranked: Mapping[str, str]  # level of a factor that is compared over data sets → its words


class _Family(NamedTuple):
    """Results of one claim that stand in one table."""

    claim: Claim
    results: Sequence[ComparisonResult]
    absent: Absent  # cell → why repeats of it have no value
    words: _Words | None  # of the study; None: everything has its key for a name

    @property
    def title(self) -> str:
        """Name of the metric of the results."""
        return self.results[0].scored_by.title

    @property
    def within(self) -> bool:
        """True where a column says in which cells results are: words say it, and without factors nothing."""
        return self.words is None and any(result.within for result in self.results)

    def name(self, result: ComparisonResult) -> str:
        """What is compared, for a sentence."""
        return full_name(result) if self.words is None else self.words.change(result)


def comparison_sections(
    results: StudyResults, answered: Sequence[ComparisonResult] = ()
) -> Iterator[Section]:
    """All sections that the study's comparisons need, in reading order, without what is ``answered``."""
    names, factors = study_names(results), results.reported.study.factors
    data_sets: dict[str, str] = {}
    ranked: dict[str, str] = {}
    for asked in results.reported.comparisons:
        if asked.over is not None:
            data_sets |= {level: names.level_column(asked.over, level) for level in factors[asked.over]}
            ranked |= {level: names.level_words(asked.factor, level) for level in factors[asked.factor]}
    yield from analysis_sections(
        study_analysis(results),
        results.primary.title,
        item_intervals(results),
        lambda effects: design_notes(results, effects),
        absent=absent_repeats(results),
        answered=answered,
        words=_Words(names.change, data_sets, ranked),
    )


def absent_repeats(results: StudyResults) -> Absent:
    """Cell → whether repeats without a value by the primary metric are ``lost`` or ``to come``."""
    return {
        summary.cell.name: frozenset("to come" if lost.to_come else "lost" for lost in summary.lost)
        for summary in metric_summary(results, results.primary.name)
    }


def analysis_sections(
    analysis: ScoreAnalysis,
    primary: str,
    uncertainty: ItemIntervals | None = None,
    design_notes: Callable[[Sequence[ComparisonResult]], Iterable[str]] = lambda _: (),
    *,
    absent: Absent = MappingProxyType({}),
    answered: Sequence[ComparisonResult] = (),
    words: _Words | None = None,
) -> Iterator[Section]:
    """All sections of an analysis, in reading order.

    ``primary``: title of the metric that the question is about. ``design_notes``: main effects → sentences
    below them on what the design cannot tell apart. ``absent``: of cells that lack repeats, whether these
    are ``lost`` or ``to come``. ``answered``: results that stand in another table. ``words``: of the
    study; None: everything has its key for a name.
    """
    known = {id(result) for result in answered}
    for claim in ASKED_FIRST:
        for family in _of_claim(claim, analysis.main_effects, absent, words):
            if not known.issuperset(map(id, family.results)):
                intro = method_text(family.results, effects=True)
                notes = (*_common_notes(family), *design_notes(family.results))
                yield _claimed_section(f"Main effects on {claim}", intro, family, notes, first="effect")
            if not analysis.comparisons and any(result.p is not None for result in family.results):
                yield _detail_section(family, None)
        for family in _of_claim(claim, analysis.interactions, absent, words):
            title, notes = f"Interactions on {claim}", _said_of_all(family)
            yield _claimed_section(title, _INTERACTIONS, family, notes, first="effect")
        for family in _of_claim(claim, analysis.over_data_sets, absent, words):
            if not known.issuperset(map(id, family.results)):
                yield _compared(family, _ORDER)
            yield _data_sets_section(family, analysis.rankings)
            if any(result.p is not None for result in family.results):
                yield _detail_section(family, None)
        for family in _of_claim(claim, analysis.comparisons, absent, words):
            if not known.issuperset(map(id, family.results)):
                yield _compared(family, _ORDER)
            if uncertainty is not None or any(result.p is not None for result in family.results):
                yield _detail_section(family, uncertainty)
    further = first_claims(analysis.further)
    for claim in ASKED_FIRST:
        for family in _of_claim(claim, further, absent, words):
            yield _further_section(family, primary)


def pair_sections(pair: StudyPair, answered: Sequence[ComparisonResult], order: str) -> Iterator[Section]:
    """The comparisons of two studies that are not ``answered``, cell by cell for each claim, and details."""
    known = {id(result) for result in answered}
    for claim in CLAIMS:
        for family in _of_claim(claim, pair.comparisons):
            if not known.issuperset(map(id, family.results)):
                yield _compared(family, order)
            if any(result.p is not None for result in family.results):
                yield _detail_section(family, None)


def verdict_text(result: ComparisonResult, notes: list[str]) -> str:
    """The verdict, with the number of its note; ``notes`` collects what is odd, each once."""
    word = verdict_word(result)
    return f"{word} {numbered(result.note, notes)}" if result.note else word


# Sections ---------------------------------------------------------------------------------------------


def _of_claim(
    claim: Claim,
    results: Sequence[ComparisonResult],
    absent: Absent = MappingProxyType({}),
    words: _Words | None = None,
) -> Iterator[_Family]:
    """The results of one claim as a family; nothing where there are none."""
    of_claim = [result for result in results if result.claim == claim]
    if of_claim:
        yield _Family(claim, of_claim, absent, words)


def _compared(family: _Family, order: str) -> Section:
    """The comparisons of one claim."""
    where = "over" if family.claim == "data sets" else "on"
    title, intro = f"Comparisons {where} {family.claim}", method_text(family.results, order=order)
    return _claimed_section(title, intro, family, _common_notes(family))


def _claimed_section(
    title: str, intro: str, family: _Family, notes_below: Iterable[str], *, first: str = "comparison"
) -> Section:
    """Everything that is claimed, in one table; ``first``: heading of the names."""
    columns = (
        *_name_columns(family, first),
        Column(f"difference in {family.title}", "right"),
        Column("better in", "right"),
        p_column(family.results),
        Column("verdict", "left"),
    )
    notes: list[str] = []
    rows = tuple((*_names(family, result), *_claimed(family, result, notes)) for result in family.results)
    links = _links(family)
    return Section(title, intro, TextTable(columns, rows, tuple(notes), links=links), tuple(notes_below))


def _detail_section(family: _Family, uncertainty: ItemIntervals | None) -> Section:
    """The numbers behind the verdicts."""
    forbidden = any(result.without_chance for result in family.results)
    until = any(more_negligible_text(result) for result in family.results)
    columns = (
        *_name_columns(family),
        Column("n", "right"),
        Column("p", "right"),
        *([Column("smallest p", "right")] if forbidden else []),
        Column("g", "right"),
        *([Column(ITEM_INTERVAL, "right")] if uncertainty is not None else []),
        Column(f"more {unit_word(family.results[0])}s", "right"),
        *([Column("until negligible", "right")] if until else []),
    )
    notes: list[str] = []
    rows: list[tuple[str, ...]] = []
    for result in family.results:
        row = [
            *_names(family, result),
            count_text(result),
            p_cell(result.p),
            *([p_cell(result.p_min) if result.without_chance else NOTHING] if forbidden else []),
            NOTHING if result.g is None else signed(result.g, 2),
        ]
        if uncertainty is not None and result.cell_a is not None and result.cell_b is not None:
            interval = uncertainty.difference(result.cell_a, result.cell_b)
            row.append(item_interval_text(interval, result.decimals, family.name(result), notes))
        row.append(more_text(result) or NOTHING)
        rows.append((*row, *([more_negligible_text(result) or NOTHING] if until else [])))
    table = TextTable(columns, tuple(rows), tuple(notes), links=_links(family))
    notes_below = tuple(_detail_notes(family.results))
    where = "over" if family.claim == "data sets" else "on"
    return Section(f"Details {where} {family.claim}", "", table, notes_below)


def _data_sets_section(family: _Family, rankings: Sequence[Ranking]) -> Section:
    """The effect on each data set, a column for each comparison; mean ranks below."""
    sets = dict.fromkeys(name for result in family.results for name in result.units)
    words = {} if family.words is None else family.words.data_sets
    of_results = [dict(zip(each.units, each.differences, strict=True)) for each in family.results]
    rows = [
        (
            words.get(name, name),
            *(signed(of[name], family.results[0].decimals) if name in of else NOTHING for of in of_results),
        )
        for name in sets
    ]
    columns = (
        Column("data set", "left"),
        *(Column(family.name(result), "right") for result in family.results),
    )
    intro = f"Mean difference in {family.title} on each data set: the units of the claim over them."
    ranked = {} if family.words is None else family.words.ranked
    notes = tuple(_ranking_text(ranking, ranked) for ranking in rankings)
    return Section("Each data set", intro, TextTable(columns, tuple(rows)), notes)


def _ranking_text(ranking: Ranking, words: Mapping[str, str]) -> str:
    """``Mean ranks over 7 data sets: all masks 1.2, five masks 2.1, …; two differ where …``"""
    ranks = ", ".join(f"{words.get(name, name)} {rank:.2f}" for name, rank in ranking.ranks.items())
    return (
        f"Mean ranks over {ranking.data_sets} data sets (1 is best): {ranks}. Friedman: χ² = "
        f"{ranking.statistic:.2f}, {p_equation(ranking.p)}; two differ where their ranks are "
        f"{ranking.critical:.2f} apart or more (Nemenyi, 5 %)."
    )


def _further_section(family: _Family, primary: str) -> Section:
    """The comparisons by all further metrics, for one claim; ``primary``: the metric of the question."""
    columns = (
        Column("metric", "left"),
        *_name_columns(family),
        Column("difference", "right"),
        p_column(family.results),
        Column("verdict", "left"),
    )
    notes: list[str] = []
    rows: list[tuple[str, ...]] = []
    for result in family.results:
        difference, _, p, verdict = _claimed(family, result, notes)
        rows.append((metric_title(result.scored_by), *_names(family, result), difference, p, verdict))
    return Section(
        f"Further metrics {'over' if family.claim == 'data sets' else 'on'} {family.claim}",
        f"Exploratory: the question was asked of {primary}. A metric is a family of its own: "
        "the more of them are read, the more will look shown by chance.",
        TextTable(columns, tuple(rows), tuple(notes), links=_links(family, 1)),
        tuple(disagreements(family.results)),
    )


# Cells of the tables ----------------------------------------------------------------------------------


def _name_columns(family: _Family, first: str = "comparison") -> list[Column]:
    """Columns that name a result."""
    within = [Column("within", "left")] if family.within else []
    return [Column(first if family.words is None or first != "comparison" else "change", "left"), *within]


def p_column(results: Sequence[ComparisonResult]) -> Column:
    """The heading of p, which is adjusted where the family has several comparisons."""
    return Column("adjusted p" if results[0].m > 1 else "p", "right")


def _names(family: _Family, result: ComparisonResult) -> list[str]:
    if family.words is not None:
        return [family.words.change(result)]
    return [result.comparison, result.within] if family.within else [result.comparison]


def _claimed(family: _Family, result: ComparisonResult, notes: list[str]) -> tuple[str, str, str, str]:
    """Difference with interval, better in, p, verdict; ``notes`` collects what is odd, each once."""
    return (
        difference_text(result),
        better_in_text(result, family.absent),
        p_cell(result.verdict_p),
        verdict_text(result, notes),
    )


def difference_text(result: ComparisonResult) -> str:
    """``+0.300 [0.103, 0.496]``; of two repeats both in its place, a dash where no repeat is complete."""
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


def better_in_text(result: ComparisonResult, absent: Absent) -> str:
    """``5 of 6 (2 to come)``; a contrast of more than two cells needs all of them."""
    cells = (result.cell_a, result.cell_b) if result.cell_a is not None else absent
    ways = {way for cell in cells for way in absent.get(cell or "", ())} or {"lost"}
    count = result.n_planned - result.n
    return better_text(result) + (f" ({count} {' or '.join(sorted(ways))})" if count else "")


def _links(family: _Family, column: int = 0) -> dict[tuple[int, int], tuple[str, ...]]:
    """The name of a comparison leads to its two cells; in words, to the one after the change."""
    return {
        (row, column): (result.cell_b, result.cell_a) if family.words is None else (result.cell_a,)
        for row, result in enumerate(family.results)
        if result.cell_a is not None and result.cell_b is not None
    }


def p_cell(p: float | None) -> str:
    """``.031``; a dash where nothing is tested."""
    return NOTHING if p is None else p_text(p)


def full_name(result: ComparisonResult) -> str:
    """``stop: off → on, supervision=full``."""
    return f"{result.comparison}, {result.within}" if result.within else result.comparison


# Notes ------------------------------------------------------------------------------------------------


def holds_for_text(claims: Sequence[Claim]) -> str:
    """``Holds for this train/test split: 95 % intervals over seeds.``; of several claims each in turn."""
    return f"Holds for {'; or for '.join(_HOLDS_FOR[claim] for claim in claims)}."


def method_text(results: Sequence[ComparisonResult], *, effects: bool = False, order: str = _ORDER) -> str:
    """What the difference is, what it holds for, and how interval and p were made."""
    return f"{_MAIN_EFFECTS if effects else order} {_method(results)}"


def _method(results: Sequence[ComparisonResult]) -> str:
    m, holds = results[0].m, holds_for_text(list(dict.fromkeys(result.claim for result in results)))
    tests = {result.test for result in results}
    if tests & {PLANNED_LOOKS, PLANNED_LOOKS_AT_RANKS}:
        largest = f" and the largest of {m} comparisons" if m > 1 else ""
        ranks = ", of signed ranks," if PLANNED_LOOKS_AT_RANKS in tests else ""
        return (
            f"{holds} Paired t, at the look that settled it. p: share of sign flips of whole repeats"
            f"{ranks} that are as clear by then, over the planned looks{largest}."
        )
    new = results[0].claim == "new data"
    correction = "Holm" if new else "max-T"
    over = f", adjusted for {m} comparisons ({correction})" if m > 1 else ""
    if len({result.m for result in results}) > 1:
        over = f", adjusted for the comparisons of each kind ({correction})"
    if new:
        return f"{holds} Interval and p: Nadeau–Bengio's t{over}."
    test = next((result.test for result in results if result.test), "sign-flip")
    return f"{holds} Paired t. p: {_TESTS[test]}{over}."


def _common_notes(family: _Family) -> Iterator[str]:
    results = family.results
    yield from _said_of_all(family)
    yield from _grouped(family, exact_test_text)
    yield from looks_notes(results)


def looks_notes(results: Sequence[ComparisonResult]) -> Iterator[str]:
    """A sentence on earlier looks, and what they cost; none where there was one look."""
    looks = max(result.looks for result in results)
    if looks > 1:
        paid = (
            f"p is times {looks}"
            if results[0].claim in ("new data", "data sets")
            else "a sequential test, 5 % in all, of which a later look has what those before it left"
        )
        waits = any(result.verdict == "interim" for result in results)
        answered = "By then answered" if waits else "Answered"
        yield f"{answered} at {looks} numbers of seeds at which its test could speak: {paid}."


def design_notes(results: StudyResults, effects: Sequence[ComparisonResult]) -> Iterator[str]:
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
    resolve, unit = results[0].resolve, unit_word(results[0])
    yield "g: difference in sd of the differences, corrected for few repeats (Hedges)."
    if any(result.without_chance for result in results):
        yield f"Smallest p: what the exact test can reach with so few {unit}s that differ: nothing is shown."
    known = [result.n for result in results if result.more is not None]
    if known:
        what = "the difference that was found" if resolve is None else f"a difference of {resolve:g}"
        yield (
            f"More {unit}s: how many until {what} is shown with 80 % chance (range: what {from_to(known)} "
            f"{unit}s know of the spread). > {MOST_REPEATS}: not within {MOST_REPEATS} in all (interval "
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


def over_data_sets_notes(
    results: Sequence[ComparisonResult], name: Callable[[ComparisonResult], str]
) -> Iterator[str]:
    """A sentence on each claim over data sets: mean, interval, and what the next data set may show."""
    for result in results:
        if text := over_data_sets_text(result):
            yield f"{sentence_case(name(result))}: {text[:1].lower()}{text[1:]}"


def disagreements(results: Sequence[ComparisonResult]) -> Iterator[str]:
    """The meaning of the mark †, where it stands."""
    if any(result.disagree for result in results):
        yield "† Interval and exact test disagree; the verdict follows the test."


def _grouped(family: _Family, text_of: Callable[[ComparisonResult], str]) -> Iterator[str]:
    """Each sentence once; with the comparisons that it is about, where it is not about all."""
    about: dict[str, list[str]] = {}
    for result in family.results:
        if text := text_of(result):
            about.setdefault(text, []).append(family.name(result))
    for text, names in about.items():
        yield text if len(names) == len(family.results) else f"{'; '.join(names)}: {text}"
