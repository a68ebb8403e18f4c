"""The answer as the first section of a report: a row for each comparison, the strongest first.

Two claims about one comparison make one row, of the narrowest; a note says how the others stand, so that
nobody takes one split for new data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import NamedTuple

from assay.analysis.names import sentence_case
from assay.analysis.scores.score_analysis import ScoreAnalysis
from assay.report.page.model import Column, Section, TextTable, numbered
from assay.report.tables.comparisons import (
    ASKED_FIRST,
    Absent,
    better_in_text,
    difference_text,
    disagreements,
    looks_notes,
    over_data_sets_notes,
    p_cell,
    p_column,
)
from assay.statistics.families import ComparisonResult, first_claims
from assay.statistics.wording import (
    BADGES,
    UNDECIDED,
    badge,
    exact_test_text,
    loss_text,
    settle_text,
    verdict_word,
)
from trainables.data.inspect.findings import summarise

__all__ = ["answer_section", "first_results", "strongest_first"]

Name = Callable[[ComparisonResult], str]

_NOTED = 3  # comparisons of a note


def strongest_first(results: Sequence[ComparisonResult]) -> list[ComparisonResult]:
    """Verdicts before what is undecided, the largest difference first, without a value last."""
    return sorted(
        results,
        key=lambda result: (
            result.difference is None,
            BADGES.index(badge(result)),
            -abs(result.difference or 0.0),
        ),
    )


class FirstResults(NamedTuple):
    """What a report answers first."""

    effects: bool  # main effects are among them
    stated: tuple[ComparisonResult, ...]  # by all claims
    chosen: tuple[ComparisonResult, ...]  # each by its narrowest claim; empty where nothing has a value


def first_results(analysis: ScoreAnalysis) -> FirstResults:
    """What was asked: the comparisons, each in all its places; main effects where nothing is compared.

    Where nobody asked (a table of scores without a question), main effects, but for a factor whose effect
    depends on another one or has several verdicts: its comparisons.
    """
    effects, stated = _stated(analysis)
    known = {result.claim for result in stated if result.difference is not None}
    if not known:
        return FirstResults(effects, stated, ())
    first = next(claim for claim in ASKED_FIRST if claim in known)
    chosen = first_claims(sorted(stated, key=lambda result: result.claim != first))
    return FirstResults(effects, stated, chosen)


def _stated(analysis: ScoreAnalysis) -> tuple[bool, tuple[ComparisonResult, ...]]:
    """Whether main effects are among what is answered, and all of that."""
    # A comparison that claims over data sets is answered by that claim: those on each of them are its parts.
    if over := analysis.over_data_sets:
        parts = {result.comparison for result in over}
        others = [result for result in analysis.comparisons if result.comparison not in parts]
        return False, (*over, *others)
    if analysis.asked and analysis.comparisons:
        return False, analysis.comparisons
    # A cell without a finished trial leaves no main effect, but comparisons of the other cells.
    if not any(result.difference is not None for result in analysis.main_effects):
        return False, analysis.comparisons
    if not analysis.comparisons:
        return True, analysis.main_effects

    # An average of parts that differ is an answer to nothing.
    apart = {
        part.partition(":")[0]
        for result in analysis.interactions
        if result.verdict == "shown" and not result.small
        for part in result.comparison.split(" × ")
    }
    badges: dict[tuple[str, str], set[str]] = {}
    for result in analysis.comparisons:
        badges.setdefault((result.comparison, result.claim), set()).add(badge(result))
    apart |= {name.partition(":")[0] for (name, _), found in badges.items() if len(found) > 1}
    averaged = [
        result for result in analysis.main_effects if result.comparison.partition(":")[0] not in apart
    ]
    parts = [result for result in analysis.comparisons if result.comparison.partition(":")[0] in apart]
    return bool(averaged), (*averaged, *parts)


def answer_section(
    stated: Sequence[ComparisonResult],
    chosen: Sequence[ComparisonResult],
    name: Name,
    intro: str,
    *,
    absent: Absent = MappingProxyType({}),
    further: Iterable[str] = (),
) -> Section | None:
    """The rows; None where nothing is compared or nothing has a value.

    Args:
        stated: Results by all claims.
        chosen: Those of the rows.
        name: Of a comparison, in words.
        intro: What the difference is, and how it was tested.
        absent: Of cells that lack repeats, whether these are ``lost`` or ``to come``.
        further: Notes on what the design cannot tell apart.
    """
    if not chosen:
        return None
    columns = (
        Column("verdict", "left"),
        Column("change", "left"),
        Column(f"difference in {chosen[0].scored_by.title}", "right"),
        Column("better in", "right"),
        p_column(chosen),
    )
    notes: list[str] = []
    rows: list[tuple[str, ...]] = []
    links: dict[tuple[int, int], tuple[str, ...]] = {}
    for row, result in enumerate(strongest_first(chosen)):
        odd = list(filter(None, [result.note]))
        if result.verdict == "dispensable":
            odd.append(f"p of a loss of {result.resolve:g} or more")
        rows.append(
            (
                f"{badge(result)} {numbered('; '.join(odd), notes)}" if odd else badge(result),
                name(result),
                difference_text(result),
                better_in_text(result, absent),
                p_cell(result.verdict_p),
            )
        )
        if result.cell_a is not None:
            links[row, 1] = (result.cell_a,)
    return Section(
        "Answer",
        intro,
        TextTable(columns, tuple(rows), tuple(notes), links=links),
        (
            *over_data_sets_notes(chosen, name),
            *_notes(stated, chosen, name),
            *looks_notes(chosen),
            *disagreements(chosen),
            *further,
        ),
    )


def _notes(
    stated: Sequence[ComparisonResult], chosen: Sequence[ComparisonResult], name: Name
) -> Iterator[str]:
    # What would decide the undecided one that is nearest to a verdict.
    open_ones = [r for r in chosen if r.verdict != "interim" and badge(r) in UNDECIDED]
    if open_ones:
        nearest = min(open_ones, key=lambda r: (r.difference is None, 1.0 if r.p is None else r.p))
        yield from filter(None, (exact_test_text(nearest), settle_text(nearest)))

    # What dropping a change costs at worst, where no gain is seen and none is excluded.
    unseen = [
        result
        for result in strongest_first(chosen)
        if result.gain <= 0 and loss_text(result) and (result.loses_at_most or 0.0) >= 0
    ]
    for result in unseen[:_NOTED]:
        loss = loss_text(result)
        yield f"{sentence_case(name(result))}: {loss[:1].lower()}{loss[1:]}"

    # How the same comparisons stand by the other claims.
    others: dict[tuple[str, str], list[str]] = {}
    keys = {(r.comparison, r.within): r for r in chosen}
    for result in stated:
        mine = keys.get((result.comparison, result.within))
        if mine is not None and mine.claim != result.claim:
            others.setdefault((result.claim, verdict_word(result)), []).append(name(mine))
    for claim in dict.fromkeys(claim for claim, _ in others):
        words = [
            f"{word} ({summarise(names, _NOTED, '; ')})" if len(names) < len(chosen) else f"all {word}"
            for (of, word), names in others.items()
            if of == claim
        ]
        yield f"On {claim}: {', '.join(words)}."
