"""Decisions of a study with ``repeats.decide``: what is settled, and which trials that leaves to train.

>>> str(study_decisions(results))
'4 of 6 comparisons settled, 2 variants go on to 10 seeds'

Everything follows from plan and records, so a run that was killed, another machine and a page in a browser
come to the same. The engine is given :func:`~assay.analysis.results.reading.needed_plan`, because it draws no
conclusions itself.

A comparison that waits for its look is ``interim``: it has a difference and an interval, nothing that may
still change. Then it stays as that look left it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.analysis.results.computed import computed
from assay.analysis.results.results import StudyResults
from assay.analysis.summary import metric_table
from assay.statistics.families import ComparisonResult, Verdict
from assay.statistics.interim_looks import (
    PLANNED_LOOKS,
    PLANNED_LOOKS_AT_RANKS,
    Decision,
    InterimLooks,
    decide,
)
from assay.statistics.paired import rounded
from assay.statistics.scores import Scores, read_scores
from assay.study import Study, Trial
from assay.study.names import counted
from assay.study.planning.identity import short_hash

__all__ = ["StudyDecisions", "as_decided", "interim", "study_decisions", "take_interim_looks"]

Pair = tuple[str, str]  # names of cells


@dataclass(frozen=True)
class StudyDecisions:
    """The looks at a study so far, and what they leave."""

    pairs: tuple[Pair, ...]  # each once, whichever way round it is compared
    taken: InterimLooks  # its decisions are those of the pairs
    seeds: Mapping[str, int]  # cell → seeds that it needs, of the study's in their order
    last: int  # seeds at the last look

    @property
    def over(self) -> bool:
        """True where no further look comes: all is settled, or the last look was taken."""
        return self.taken.next is None

    @property
    def given_up(self) -> int:
        """Comparisons that more seeds would hardly settle."""
        return sum(decision.verdict == "open" for decision in self.taken.decisions)

    @property
    def settled(self) -> int:
        """Comparisons that have their verdict."""
        return len(self.pairs) - len(self.taken.undecided) - self.given_up

    def needed(self, trials: Sequence[Trial], seeds: Sequence[int]) -> tuple[Trial, ...]:
        """Trials that the next look or an earlier one needs; ``seeds``: the study's, in its order."""
        place = {seed: index for index, seed in enumerate(seeds)}
        return tuple(trial for trial in trials if place[trial.seed] < self.seeds[trial.cell])

    def __str__(self) -> str:
        undecided = self.taken.undecided
        settled = f"{self.settled} of {counted(len(self.pairs), 'comparison')} settled"
        settled += f", {self.given_up} given up" if self.given_up else ""
        if self.taken.next is None:
            return f"{settled}, {len(undecided)} undecided after {self.last} seeds" if undecided else settled
        cells = {name for index in undecided for name in self.pairs[index]}
        verb = "goes" if len(cells) == 1 else "go"
        return f"{settled}, {counted(len(cells), 'variant')} {verb} on to {self.taken.next} seeds"


@computed
def study_decisions(results: StudyResults) -> StudyDecisions | None:
    """Take the looks at a study, as far as its records go; None of one without ``repeats.decide``."""
    plan, study = results.plan, results.plan.study
    looks = study.repeats.decide
    if not looks:
        return None

    # Two comparisons may ask about the same pair, each the other way round. It is tested once: twice, the
    # family would be larger than its questions.
    each = {frozenset(pair): pair for comparison in plan.comparisons for pair in comparison.pairs}
    can_go = [
        pair for comparison in plan.comparisons if comparison.ask == "can go" for pair in comparison.pairs
    ]
    each |= {frozenset(pair): pair for pair in can_go}  # the question has a direction
    pairs = tuple(each.values())

    # The looks start over each time from all the scores: what was decided follows from them, and nothing is
    # stored.
    scores = read_scores(metric_table(results, results.primary.name), results.primary)
    taken = take_interim_looks(study, scores, pairs, looks, _ended(results, pairs), can_go=can_go)

    # A cell needs the seeds of whichever of its comparisons needs most: those of the look that comes while
    # the pair is undecided, else those of the look that settled it. Cells in no comparison end at the first
    # look.
    seeds = dict.fromkeys((cell.name for cell in plan.cells), looks[0])
    for pair, decision in zip(pairs, taken.decisions, strict=True):
        going_on = decision.verdict == "undecided" and taken.next is not None
        for name in pair:
            seeds[name] = max(seeds[name], (taken.next or 0) if going_on else decision.repeats)
    return StudyDecisions(pairs, taken, seeds, looks[-1])


def take_interim_looks(
    study: Study,
    scores: Scores,
    pairs: Sequence[Pair],
    looks: Sequence[int],
    ended: NDArray[np.bool_],
    *,
    can_go: Collection[Pair] = (),
) -> InterimLooks:
    """Take the looks at pairs of cells, as far as their scores go.

    Args:
        study: Its name draws the signs beyond 14 repeats. It says which seeds there are, `resolve` and the
            exact test.
        scores: Of its cells.
        pairs: Whose differences are tested, as one family.
        looks: Numbers of seeds.
        ended: Seeds × pairs: nothing more comes of this seed.
        can_go: Pairs of which it is asked whether the second can be dropped for the first.
    """
    assert study.resolve is not None, "looks need a difference worth knowing"
    differences = _differences(scores, scores.values, pairs, study.repeats.seeds)
    return decide(
        differences,
        looks,
        seed=int(short_hash(study.study), 16),  # an edit of its question draws no other signs
        resolve=study.resolve,
        ended=ended,
        filled=_filled(scores, differences, pairs, study.repeats.seeds),
        test=study.exact_test,
        can_go=[scores.metric.sign if pair in can_go else 0 for pair in pairs],
    )


def as_decided(
    decisions: StudyDecisions, tested: Callable[[int | None], Sequence[ComparisonResult]]
) -> tuple[ComparisonResult, ...]:
    """The comparisons with their decisions.

    Args:
        decisions: Of the study.
        tested: The study's comparisons with its first so many seeds, or with all there are.
    """
    # A settled comparison keeps the numbers of the look that settled it. Seeds that came since, for the
    # sake of another comparison, do not change it.
    by_now = tested(None)
    at = {n: tested(n) for n in {each.repeats for each in decisions.taken.decisions} if n}
    of_pairs = dict(zip(map(frozenset, decisions.pairs), decisions.taken.decisions, strict=True))
    decided: dict[tuple[str, str], ComparisonResult] = {}
    for index, result in enumerate(by_now):
        assert result.cell_a is not None, "a comparison is of two cells"
        assert result.cell_b is not None, "a comparison is of two cells"
        pair = result.cell_a, result.cell_b
        decision = of_pairs[frozenset(pair)]
        # Once the looks are over, what is undecided is told with the last look's numbers.
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
        p_can_go=None,
        verdict="interim",
        more=None,
        more_negligible=None,
        note=note,
    )


def _differences(
    scores: Scores, values: NDArray[np.float64], pairs: Sequence[Pair], seeds: Sequence[int]
) -> NDArray[np.float64]:
    """Seeds × pairs: the mean over the folds that both cells have; NaN where one of them lacks a value."""
    # A seed is one repeat however many folds it has: its folds share the seed's luck. One fold without a
    # value makes the mean NaN, because a mean over fewer folds is another score.
    columns = np.full((len(seeds), len(pairs)), np.nan)
    for index, pair in enumerate(pairs):
        start, end = scores.columns(pair)
        shared = scores.planned[:, start] & scores.planned[:, end]
        difference = values[:, end] - values[:, start]
        for row, seed in enumerate(seeds):
            of_seed = shared & (scores.seeds == seed)
            if of_seed.any():
                columns[row, index] = difference[of_seed].mean()
    return rounded(columns)


def _filled(
    scores: Scores, differences: NDArray[np.float64], pairs: Sequence[Pair], seeds: Sequence[int]
) -> NDArray[np.float64] | None:
    """The differences with the metric's worst value for what diverged; None where nothing did.

    Of a metric without a worst value nothing can be said about a pair that diverged anywhere: all NaN.
    """
    if not scores.diverged.any():
        return None
    # A method that diverges would otherwise be judged by the trainings in which it did not.
    if scores.metric.worst is not None:
        values = np.where(scores.diverged, scores.metric.worst, scores.values)
        return _differences(scores, values, pairs, seeds)
    filled = differences.copy()
    for index, pair in enumerate(pairs):
        if scores.diverged[:, scores.columns(pair)].any():
            filled[:, index] = np.nan
    return filled


def _ended(results: StudyResults, pairs: Sequence[Pair]) -> NDArray[np.bool_]:
    """Seeds × pairs: True where every trial of both cells has a record, whatever it says."""
    # A trial that failed or diverged has ended as well: a look that waited for its value would never come.
    study = results.plan.study
    trained = {cell.name: np.zeros(len(study.repeats.seeds), np.int64) for cell in results.plan.cells}
    place = {seed: index for index, seed in enumerate(study.repeats.seeds)}
    # A seed is over for a cell when all its folds are; a seed that was not planned is never over.
    planned = {name: counts.copy() for name, counts in trained.items()}
    for trial in results.plan.trials:
        planned[trial.cell][place[trial.seed]] += 1
        trained[trial.cell][place[trial.seed]] += trial.id in results.records
    whole = {name: (planned[name] > 0) & (trained[name] == planned[name]) for name in planned}
    return np.stack([whole[start] & whole[end] for start, end in pairs], axis=1)


def _settled(result: ComparisonResult, decision: Decision, last: int) -> ComparisonResult:
    verdict: Verdict = "open" if decision.verdict == "undecided" else decision.verdict
    if result.verdict == "identical":  # not a single repeat differs: more than negligible
        verdict = "identical"
    given_up = f"given up at n = {decision.repeats}: {last} would hardly settle it"
    # What more repeats would bring is left out: the looks decide how many there are.
    return replace(
        result,
        p_adjusted=decision.p,
        p_can_go=decision.p_can_go,
        verdict=verdict,
        more=None,
        more_negligible=None,
        test=PLANNED_LOOKS_AT_RANKS if result.test == "wilcoxon" else PLANNED_LOOKS,
        p_min=None,
        note="; ".join(filter(None, (result.note, given_up if decision.verdict == "open" else ""))),
    )
