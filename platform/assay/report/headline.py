"""The answer of a study at one glance: what pays, costs, is too small to matter, can go, ties or is open.

The sentences are those of :mod:`assay.statistics.wording`, about the results that the report lists
first: main effects where any has a value, else the comparisons, each by the narrowest of its claims. What is
shown or negligible also says how it stands by the other claims, so that nobody takes one split for new data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.report.tables.comparisons import alias_notes, disagreements, full_name
from assay.statistics.families import ComparisonResult, first_claims
from assay.statistics.scores import CLAIMS, Claim
from assay.statistics.wording import (
    claimed_text,
    exact_test_text,
    is_switch,
    negligible_text,
    settle_text,
)
from trainables.data.inspect.findings import summarise

__all__ = ["Answer", "AnswerGroup", "study_answer"]

_CONCLUDED = ("shown", "negligible", "identical")
_NAMED = 5  # comparisons of a note; more are counted


class AnswerGroup(NamedTuple):
    """Findings of one kind; the clearest first."""

    title: str  # `Pays`
    verdict: str  # that gives it its colour
    sentences: tuple[str, ...]  # of the first results, or that there are none
    results: tuple[ComparisonResult, ...]  # all of this kind
    takes: str = ""  # repeats that the one nearest to a verdict still needs

    @property
    def named(self) -> tuple[ComparisonResult, ...]:
        """Results with a sentence."""
        return self.results[: len(self.sentences)]

    @property
    def left_out(self) -> int:
        """Number of results without a sentence."""
        return len(self.results) - len(self.named)


@dataclass(frozen=True)
class Answer:
    """The results that a first page shows, and what they say."""

    claims: tuple[Claim, ...]  # of the results: several where cells have repeats of several kinds
    results: tuple[ComparisonResult, ...]  # at least one
    effects: bool  # these are main effects, else comparisons
    groups: tuple[AnswerGroup, ...]
    notes: tuple[str, ...]  # what has to be known before the verdicts are believed


def study_answer(results: StudyResults, most: int = 2) -> Answer | None:
    """The answer as far as it is known; None where the study compares nothing or has no result yet.

    ``most``: sentences of a kind.
    """
    analysis = study_analysis(results)
    effects = any(result.difference is not None for result in analysis.main_effects)
    # A cell without a finished trial leaves no main effect, but comparisons of the other cells.
    stated = analysis.main_effects if effects else analysis.comparisons
    known = [result for result in stated if result.difference is not None]
    if not known:
        return None
    first: Claim = next(claim for claim in CLAIMS if any(result.claim == claim for result in known))
    chosen = first_claims(sorted(stated, key=lambda result: result.claim != first))
    claims: tuple[Claim, ...] = tuple(
        claim for claim in CLAIMS if any(result.claim == claim for result in chosen)
    )
    groups = tuple(_groups(chosen, stated, most, several=len(claims) > 1))
    notes = (*(alias_notes(results) if effects else ()), *_notes(chosen))
    return Answer(claims, chosen, effects, groups, notes)


def _groups(
    chosen: Sequence[ComparisonResult], stated: Sequence[ComparisonResult], most: int, *, several: bool
) -> Iterator[AnswerGroup]:
    """Findings by kind. Those that pay come first, also where there are none yet.

    ``stated``: the results by all claims. ``several``: those that are chosen have several claims.
    """
    ranked = sorted(chosen, key=_clarity)
    shown = [result for result in ranked if result.verdict == "shown" and not result.small]
    small = [result for result in ranked if result.small]
    settled = [result for result in ranked if result.too_small]
    tied = [result for result in ranked if result.verdict == "identical" and not result.too_small]
    unsettled = [result for result in ranked if result.verdict not in _CONCLUDED]
    pays = [result for result in shown if result.gain > 0]
    costs = [result for result in shown if result.gain <= 0]
    for title, verdict, of_kind in (
        ("Pays", "shown", pays),
        ("Costs", "suggested", costs),
        ("Small", "negligible", small),
        ("Can go" if all(map(is_switch, settled)) else "No difference", "negligible", settled),
        ("Every repeat ties", "identical", tied),
    ):
        sentences = tuple(_concluded(result, stated, several=several) for result in of_kind[:most])
        if sentences or title == "Pays":
            none = ("Nothing is shown to pay yet.",) if unsettled else ("Nothing is shown to pay.",)
            yield AnswerGroup(title, verdict, sentences or none, tuple(of_kind))
    if unsettled:
        sentences = tuple(
            f"{full_name(result)}{_mark(result, several=several)}: {claimed_text(result)}"
            for result in unsettled[:most]
        )
        nearest = unsettled[0]
        takes = " ".join(filter(None, (exact_test_text(nearest), settle_text(nearest))))
        yield AnswerGroup("Open", "open", sentences, tuple(unsettled), takes)


def _concluded(result: ComparisonResult, stated: Sequence[ComparisonResult], *, several: bool) -> str:
    """A result that is shown (small or not), negligible or identical, and what other claims say of it."""
    sentence = negligible_text(result) or f"{full_name(result)}: {claimed_text(result)}"
    if result.small:
        sentence += f" There is a difference, of less than {result.resolve:g}."
    claims = [
        f"on {other.claim} {other.verdict}"
        for other in stated
        if (other.comparison, other.within) == (result.comparison, result.within)
        and (several or other.claim != result.claim)
    ]
    return f"{sentence} {', '.join(claims).capitalize()}." if claims else sentence


def _notes(chosen: Sequence[ComparisonResult]) -> Iterator[str]:
    """Intervals that disagree with their tests; what is odd about a result that has a verdict and no tie."""
    yield from disagreements(chosen)
    noted: dict[str, list[str]] = {}
    alike = Counter(result.comparison for result in chosen)
    for result in chosen:
        if result.note and result.verdict not in ("identical", "interim"):
            name = result.comparison if alike[result.comparison] == 1 else full_name(result)
            noted.setdefault(result.note, []).append(name)
    for note, names in noted.items():
        yield f"{summarise(names, _NAMED, '; ')}: {note}."


def _mark(result: ComparisonResult, *, several: bool) -> str:
    """A verdict that is none yet, where it has a name of its own; † where interval and test disagree.

    ``several``: and the claim, which is not that of all results.
    """
    texts = filter(None, ["" if result.verdict == "open" else result.verdict, "†" * result.disagree])
    text = ", ".join(filter(None, [" ".join(texts), f"on {result.claim}" if several else ""]))
    return f" ({text})" if text else ""


def _clarity(result: ComparisonResult) -> tuple[bool, float, float]:
    """The smallest p first, then the largest difference; without a repeat last."""
    p = 1.0 if result.p is None else result.p
    return (result.difference is None, p, -abs(result.difference or 0.0))
