"""Expected trainings of a study that decides, by drawing studies and taking their looks.

:func:`expected_trainings` draws a normal score of each cell in each seed, adds the effect to every
comparison, and lets :func:`~assay.statistics.looks.decide` settle what it can: the same steps that
the study will take. Three hundred draws know the mean to about 2 % of the most trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.statistics.looks import decide

__all__ = ["ExpectedTrainings", "expected_trainings"]

_DRAWS = 300


@dataclass(frozen=True)
class ExpectedTrainings:
    """Trainings over the draws."""

    mean: float
    low: int  # nine of ten draws take at least so many
    high: int  # nine of ten draws take at most so many
    settled: float  # share of the comparisons, 0..1


def expected_trainings(
    pairs: Sequence[tuple[int, int]],
    per_seed: Sequence[int],
    looks: Sequence[int],
    *,
    effect: float,
    sd: float,
    resolve: float,
    draws: int = _DRAWS,
) -> ExpectedTrainings:
    """Trainings until all is settled, or the last look was taken.

    Args:
        pairs: The cells of each comparison, by index.
        per_seed: Trainings of each cell for one seed: its folds.
        looks: Numbers of seeds.
        effect: True difference of every comparison, in units of the metric.
        sd: Standard deviation of a comparison's differences over seeds, above 0.
        resolve: Difference worth knowing, above 0.
        draws: Studies that are drawn.
    """
    rng = np.random.default_rng(0)
    first, second = np.array(pairs).T
    trainings, settled = np.zeros(draws, np.int64), 0
    for draw in range(draws):
        scores = rng.normal(0.0, sd / np.sqrt(2), (looks[-1], len(per_seed)))
        differences = scores[:, second] - scores[:, first] + effect
        decisions = decide(differences, looks, seed=0, resolve=resolve).decisions
        seeds = np.full(len(per_seed), looks[0])
        for pair, decision in zip(pairs, decisions, strict=True):
            settled += decision.verdict in ("shown", "negligible")
            for cell in pair:
                seeds[cell] = max(seeds[cell], decision.repeats)
        trainings[draw] = int(seeds @ np.array(per_seed))
    low, high = np.quantile(trainings, [0.1, 0.9], method="nearest")
    return ExpectedTrainings(float(trainings.mean()), int(low), int(high), settled / (draws * len(pairs)))
