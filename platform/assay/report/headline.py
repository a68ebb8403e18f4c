"""The results that answer a study, and what has to be known before they are believed.

They are those that the report lists first: the comparisons that the study asks for, else main effects, each
by the narrowest of its claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assay.analysis.names import sentence_case, study_names
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.report.tables.answer import first_results
from assay.report.tables.comparisons import alias_notes, disagreements
from assay.statistics.families import ComparisonResult
from assay.statistics.scores import CLAIMS, Claim
from trainables.data.inspect.findings import summarise

__all__ = ["Answer", "study_answer"]

_NAMED = 5  # comparisons of a note; more are counted


@dataclass(frozen=True)
class Answer:
    """The results that a first page shows, and what they say."""

    claims: tuple[Claim, ...]  # of the results: several where cells have repeats of several kinds
    results: tuple[ComparisonResult, ...]  # at least one
    effects: bool  # these are main effects, else comparisons
    notes: tuple[str, ...]  # what has to be known before the verdicts are believed


def study_answer(results: StudyResults) -> Answer | None:
    """The answer as far as it is known; None where the study compares nothing or has no result yet."""
    effects, _, chosen = first_results(study_analysis(results))
    if not chosen:
        return None
    claims: tuple[Claim, ...] = tuple(
        claim for claim in CLAIMS if any(result.claim == claim for result in chosen)
    )
    notes = (*(alias_notes(results) if effects else ()), *_notes(results, chosen))
    return Answer(claims, chosen, effects, notes)


def _notes(results: StudyResults, chosen: Sequence[ComparisonResult]) -> Iterator[str]:
    """Intervals that disagree with their tests; what is odd about a result that has a verdict and no tie."""
    yield from disagreements(chosen)
    noted: dict[str, list[str]] = {}
    for result in chosen:
        if result.note and result.verdict not in ("identical", "interim"):
            noted.setdefault(result.note, []).append(study_names(results).change(result))
    for note, names in noted.items():
        of = "" if len(names) == len(chosen) else f"{summarise(names, _NAMED, '; ')}: "
        yield sentence_case(f"{of}{note}.")
