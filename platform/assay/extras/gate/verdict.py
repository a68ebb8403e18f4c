"""The verdict of a gate, from the records of both sides: worse, not worse or undecided.

A cell is worse where its difference is `shown` against the head and its interval reaches beyond ± `resolve`,
or a training diverged, of which the interval knows nothing. It is not worse where the difference is
`negligible` or `shown` otherwise. All else is undecided, also a cell of which every repeat ties: scores
without a spread say of no difference how large it may be.

Where nothing differs, at most 5 % of gates say worse: `shown` against the head takes half of the 5 % that
all looks together spend, and of six seeds on which one side alone loses trainings all are the head's in
1.6 %.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from assay.analysis.decisions import StudyDecisions, as_decided, take_interim_looks
from assay.analysis.results.results import StudyResults
from assay.analysis.study_pair import match_cells, paired_scores
from assay.statistics.families import ComparisonResult
from assay.statistics.scores import read_scores
from assay.statistics.wording import sentence
from assay.study import Study
from assay.study.names import counted
from trainables.errors import InputError

__all__ = [
    "SURE_SEEDS",
    "CellVerdict",
    "GateDecision",
    "GateVerdict",
    "decide_gate",
    "interim_looks_of",
    "same_bits",
]

GateDecision = Literal["worse", "not worse", "undecided"]
SURE_SEEDS = 6  # of which a sign test can be sure
_INTERIM_LOOKS = (SURE_SEEDS, 8, 10, 13, 16, 20, 25, 32, 40, 50)


@dataclass(frozen=True)
class CellVerdict:
    """Verdict on one cell of the study."""

    cell: str
    decision: GateDecision
    text: str
    comparison: ComparisonResult | None = None  # head minus base; None: nothing had to be compared


@dataclass(frozen=True)
class GateVerdict:
    """Verdict on the head."""

    cells: tuple[CellVerdict, ...]
    seeds: int  # trained on both sides; 0: the code is the same
    over: bool = True  # False: a further look comes

    @property
    def decision(self) -> GateDecision:
        """Worse where some cell is, not worse where all are."""
        decisions = {cell.decision for cell in self.cells}
        return "worse" if "worse" in decisions else "undecided" if "undecided" in decisions else "not worse"


def interim_looks_of(study: Study) -> tuple[int, ...]:
    """Numbers of seeds at which a gate looks: those of ``repeats.decide``, or 6, 8, 10 … up to all seeds."""
    last = len(study.repeats.seeds)
    return study.repeats.decide or (*(number for number in _INTERIM_LOOKS if number < last), last)


def same_bits(base: StudyResults, head: StudyResults) -> bool:
    """True where every training ended on both sides, in the same weights and scores."""
    sides = [
        {(t.cell, t.seed, t.fold): side.records.get(t.id) for t in side.plan.trials} for side in (base, head)
    ]
    results = [{place: record and record.result for place, record in side.items()} for side in sides]
    return results[0] == results[1] and None not in results[0].values()


def decide_gate(study: Study, base: StudyResults, head: StudyResults) -> GateVerdict:
    """Take the looks at a study, as far as both sides are trained.

    Args:
        study: As declared, with all seeds.
        base: Its first seeds, with the code that is there.
        head: The same with the code that shall come.

    Raises:
        InputError: If the sides have other test images.
    """
    _refuse_other_images(base, head)
    seeds, trained = study.repeats.seeds, head.plan.study.repeats.seeds
    looks = interim_looks_of(study)
    matches = match_cells(base.reported, head.reported)
    if len(matches) == 1:
        matches = [replace(matches[0], name="")]  # "base" would be taken for the revision
    _, tables = paired_scores(base, head, matches, head.primary, ("base", "head"))
    tables = replace(tables, planned_looks=True)  # so each cell has one result: that of the looks' claim
    scores = read_scores(tables.table(head.primary.name), head.primary, splits=tables.rules.splits)
    pairs = tuple((pair[1], pair[0]) for contrast in tables.contrasts if (pair := contrast.pair))

    # Seeds that are not trained yet have not ended, and no look takes them in.
    ended = np.full((len(seeds), len(pairs)), base.all_ended and head.all_ended)
    ended[len(trained) :] = False
    taken = take_interim_looks(study, scores, pairs, looks, ended)

    def tested(number: int | None) -> tuple[ComparisonResult, ...]:
        """The comparisons with the first so many seeds, or with all."""
        return tables.tested(head.primary, "gate", tables.contrasts, seeds[:number])

    results = as_decided(StudyDecisions(pairs, taken, {}, looks[-1]), tested)
    lost = _lost(base, head)
    cells = (*([lost] if lost else []), *(_comparison_verdict(result, study.study) for result in results))
    return GateVerdict(cells, len(trained), over=taken.next is None)


def _comparison_verdict(result: ComparisonResult, study: str) -> CellVerdict:
    text = sentence(result)
    decision: GateDecision = "not worse" if result.too_small else "undecided"
    if result.verdict == "shown":
        # A loss that is shown, but is within ± `resolve` from end to end of its interval, is too small to
        # matter.
        ends = (result.difference, result.low, result.high)
        beyond = any(abs(end) > (result.resolve or 0.0) for end in ends if end is not None)
        large = beyond or result.n_diverged > 0
        decision = "worse" if result.gain < 0 and large else "not worse"
        text += "" if large else f" It is within ± {result.resolve:g}."
    return CellVerdict(result.within or study, decision, text, result)


def _lost(base: StudyResults, head: StudyResults) -> CellVerdict | None:
    """The verdict on trainings without a result: None where the head has no more of them than the base."""
    counts: list[Counter[int]] = []
    for side in (base, head):
        records = [(trial.seed, side.records.get(trial.id)) for trial in side.plan.trials]
        counts.append(Counter(seed for seed, record in records if record and record.result is None))
    more = [counts[1][seed] - counts[0][seed] for seed in head.plan.study.repeats.seeds]
    unequal = [number for number in more if number][:SURE_SEEDS]
    if sum(more) <= 0:
        return None

    # The first seeds in which the sides differ decide: if the head loses more in all of them, chance hardly
    # explains it.
    sure = len(unequal) == SURE_SEEDS and min(unequal) > 0
    lost = (record for record in head.records.values() if record.result is None)
    reasons = Counter(record.reason or f"it is {record.status}" for record in lost)
    text = (
        f"{counted(counts[1].total(), 'training')} without a result, {counts[0].total()} of the base: "
        f"{' '.join(reasons.most_common(1)[0][0].split())[:300]}."
    )
    return CellVerdict("trainings", "worse" if sure else "undecided", text)


def _refuse_other_images(base: StudyResults, head: StudyResults) -> None:
    images = [
        {(t.cell, t.seed, t.fold): (t.manifest, t.split) for t in side.plan.trials} for side in (base, head)
    ]
    differing = [place for place in images[1] if images[0].get(place) != images[1][place]]
    if differing:
        cell, seed, _ = differing[0]
        raise InputError(
            f"a gate compares both revisions on the same images, and of {len(differing)} trainings they are "
            f"others, the first of {cell}, seed {seed}: this change reads or splits data otherwise. Compare "
            "what comes after it."
        )
