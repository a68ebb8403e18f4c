"""Comparisons that wait for a look: ``interim`` until then, and as that look left them afterwards.

An interim comparison has a difference and an interval, nothing that may still change. A study that decides
looks at the numbers of seeds that it names, each other one once: when all its planned trials have ended.
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
    """The comparisons with their decisions.

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
        decision = decisions.of(*pair)
        if decision.verdict == "undecided" and not decisions.over:
            decided[pair] = interim(result, decisions.taken.next)
        else:
            decided[pair] = _settled(at[decision.repeats][index], decision, decisions.last)
    return tuple(decided.values())


def interim(result: ComparisonResult, n: int | None) -> ComparisonResult:
    """The result without what may still change; ``n``: of the next look, None: when all have theirs."""
    comes = "verdicts come when all trials have ended" if n is None else f"verdicts come at n = {n}"
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


def _settled(result: ComparisonResult, decision: Decision, last: int) -> ComparisonResult:
    verdict: Verdict = "open" if decision.verdict == "undecided" else decision.verdict
    if result.verdict == "identical":  # not a single repeat differs: more than negligible
        verdict = "identical"
    given_up = f"given up at n = {decision.repeats}: {last} would hardly settle it"
    return replace(
        result,
        p_adjusted=decision.p,
        verdict=verdict,
        more=None,
        more_negligible=None,
        test=PLANNED_LOOKS,
        p_min=None,
        note="; ".join(filter(None, (result.note, given_up if decision.verdict == "open" else ""))),
    )
