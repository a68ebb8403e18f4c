"""The lines of `assay plan` on trainings that a study with `repeats.decide` will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.report.answers.plans import ExpectedTrainings
    from assay.storage import Store
    from assay.storage.record import Record
    from assay.study import Plan

__all__ = ["expected_of", "format_expected"]


def format_expected(expectations: Sequence[ExpectedTrainings]) -> Iterator[str]:
    """``expect 63 of 140 trainings (56–84 in 8 of 10 studies) where comparisons differ by 0.01 …``"""
    for expected in expectations:
        effect = expected.effect
        where = f"every comparison differs by {effect:g}" if effect else "nothing differs"
        spread = f"{expected.low}–{expected.high}" if expected.low < expected.high else str(expected.low)
        yield (
            f"where {where}: expect {expected.mean:.0f} of {expected.most} trainings ({spread} in "
            f"8 of 10 studies), {100 * expected.settled:.0f} % of comparisons settled"
        )
    for expected in expectations[:1]:
        yield f"spread of a difference: {expected.sd:.2g}, {expected.sd_source}"


def expected_of(
    planned: Plan, records: Mapping[str, Record], store: Store, effect: float | None
) -> list[ExpectedTrainings]:
    """Trainings that a study with `repeats.decide` will take; of any other study none.

    Args:
        planned: Of any study.
        records: Of its trials.
        store: Where other studies may know the spread.
        effect: True difference of every comparison; None: of `resolve`, and of nothing, until all is settled.
    """
    study = planned.study
    if not study.repeats.decide or study.resolve is None:
        return []
    from assay.analysis.results import StudyResults

    decisions = StudyResults(planned, records).decisions
    if effect is None and decisions is not None and decisions.over:
        return []  # nothing more trains
    from assay.analysis.statistics.expected_trainings import (
        expected_trainings,
    )  # loads pandas and scipy.stats
    from assay.report.answers.plans import ExpectedTrainings

    sd, source = _spread(planned, records, store)
    places = {cell.name: index for index, cell in enumerate(planned.cells)}
    pairs = {
        frozenset(pair): (places[pair[0]], places[pair[1]])
        for comparison in planned.comparisons
        for pair in comparison.pairs
    }
    trials = Counter(trial.cell for trial in planned.trials)
    per_seed = [trials[name] // len(study.repeats.seeds) for name in places]
    looks, most = study.repeats.decide, len(planned.trials)
    expectations: list[ExpectedTrainings] = []
    for size in (study.resolve, 0.0) if effect is None else (effect,):
        expected = expected_trainings(
            list(pairs.values()), per_seed, looks, effect=size, sd=sd, resolve=study.resolve
        )
        facts = {"mean": expected.mean, "low": expected.low, "high": expected.high, "most": most}
        spread = {"effect": size, "settled": expected.settled, "sd": sd, "sd_source": source}
        expectations.append(ExpectedTrainings.model_validate({**facts, **spread}))
    return expectations


def _spread(planned: Plan, records: Mapping[str, Record], store: Store) -> tuple[float, str]:
    """Standard deviation of a comparison's differences, and the words for its source."""
    import numpy as np

    from assay.analysis.ledger import spread_seen
    from assay.analysis.results import StudyResults
    from assay.analysis.study_analysis import so_far

    comparisons = so_far(StudyResults(planned, records)).comparisons if records else ()
    claim = comparisons[0].claim if comparisons else None  # the narrowest, which is the one that is decided
    seen = [np.var(r.differences, ddof=1) for r in comparisons if r.claim == claim and r.n > 2]
    if seen and sum(seen):
        return float(np.sqrt(np.mean(seen))), "as seen in this study so far"
    known = spread_seen(store, planned)
    if known is not None:
        return known[0], f"as seen over the seeds of {known[1]}"
    assert planned.study.resolve is not None, "the schema refuses `decide` without it"
    return planned.study.resolve, "assumed to be `resolve`: nothing was trained on these data yet"
