"""Comparisons of a study that decides, as they stood at the look that settled each.

Until then a comparison is ``interim``: it has a difference and an interval, nothing that may still change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from assay.analysis.decisions import StudyDecisions
from assay.analysis.statistics import ComparisonResult, Verdict
from assay.analysis.statistics.looks import PLANNED_LOOKS, Decision

__all__ = ["as_decided", "interim"]


def as_decided(
    decisions: StudyDecisions, tested: Callable[[int | None], Sequence[ComparisonResult]]
) -> tuple[ComparisonResult, ...]:
    """The comparisons with their decisions, each under the narrowest of its claims: the one that is decided.

    Args:
        decisions: Of the study.
        tested: The study's comparisons with its first so many seeds, or with all there are.
    """
    by_now = tested(None)
    at = {n: tested(n) for n in {each.repeats for each in decisions.taken.decisions} if n}
    decided: dict[tuple[str, str], ComparisonResult] = {}
    for index, result in enumerate(by_now):
        assert result.cell_a is not None, "a comparison is of two cells"
        assert result.cell_b is not None, "a comparison is of two cells"
        pair = result.cell_a, result.cell_b
        if pair in decided:
            continue
        decision = decisions.of(*pair)
        if decision.verdict == "undecided" and not decisions.over:
            decided[pair] = interim(result, decisions)
        else:
            decided[pair] = _settled(at[decision.repeats][index], decision)
    return tuple(decided.values())


def interim(result: ComparisonResult, decisions: StudyDecisions) -> ComparisonResult:
    """The result without what may still change."""
    comes = f"verdicts come at n = {decisions.taken.next}"
    note = "; ".join(filter(None, (result.note, comes)))
    return replace(
        result,
        p=None,
        p_min=None,
        p_adjusted=None,
        verdict="interim",
        more=None,
        more_negligible=None,
        note=note,
    )


def _settled(result: ComparisonResult, decision: Decision) -> ComparisonResult:
    verdict: Verdict = "open" if decision.verdict == "undecided" else decision.verdict
    if result.verdict == "identical":  # not a single repeat differs: more than negligible
        verdict = "identical"
    return replace(
        result,
        p_adjusted=decision.p,
        verdict=verdict,
        more=None,
        more_negligible=None,
        test=PLANNED_LOOKS,
        p_min=None,
    )
