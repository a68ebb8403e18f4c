"""The interval of one cell's mean: what a paper prints beside a score, and no test of anything.

The same t intervals as those of differences, of a cell's own scores: over seeds for ``this split`` and
``these folds``, Nadeau and Bengio's for ``new data``. Never a bootstrap over repeats. Given only where every
planned repeat has a value: a mean without the runs that diverged is not the mean of the method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from assay.statistics.contrast_test import TOO_FEW, is_at_bound
from assay.statistics.paired import has_no_spread, t_half_width
from assay.statistics.score_table import Claim, Scores, Splits, claims_of, read_scores
from assay.statistics.units import Units, units_of
from assay.study.names import from_to
from trainables.evaluation.metrics import Metric

__all__ = ["MeanInterval", "mean_intervals", "method_texts"]


@dataclass(frozen=True)
class MeanInterval:
    """95 % interval of a cell's mean, cut at the metric's bounds."""

    low: float
    high: float
    statistic: str  # `t`
    n: int  # of its units
    units: str  # `seeds`
    claim: Claim
    approximate: bool  # half of the repeats or more lie at the metric's bound

    @property
    def method(self) -> str:
        """``t over 6 seeds``."""
        return f"{self.statistic} over {self.n} {self.units}"


def method_texts(intervals: Iterable[MeanInterval]) -> list[tuple[str, Claim]]:
    """The ways in which intervals were made, each once with its claim: ``t over 6 to 12 seeds``."""
    ways: dict[tuple[str, str, Claim], list[int]] = {}
    for interval in intervals:
        ways.setdefault((interval.statistic, interval.units, interval.claim), []).append(interval.n)
    return [
        (f"{statistic} over {from_to(numbers)} {units}", claim)
        for (statistic, units, claim), numbers in ways.items()
    ]


def mean_intervals(
    table: pd.DataFrame, *, metric: str | Metric, splits: Splits | Mapping[str, Splits] = "prescribed"
) -> dict[str, MeanInterval]:
    """Cell → interval of its mean on test data, for the narrowest claim of which it has three units or more.

    Cells that lost a repeat, or whose repeats show no spread, have none.

    Raises:
        ValueError: If the table breaks its rules (see :mod:`assay.statistics.score_table`).
    """
    scores = read_scores(table, metric, splits=splits)
    intervals: dict[str, MeanInterval] = {}
    for cell, column in scores.cells.items():
        if np.isnan(scores.values[scores.planned[:, column], column]).any():
            continue
        for claim in claims_of(scores, [cell]):
            units = units_of(scores, {cell: 1.0}, claim)
            if units.n > TOO_FEW:
                if not has_no_spread(units.first):
                    folds = len(np.unique(scores.folds[scores.planned[:, column]])) > 1
                    intervals[cell] = _interval(units, scores, folds=folds)
                break
    return intervals


def _interval(units: Units, scores: Scores, *, folds: bool) -> MeanInterval:
    mean, sd = float(np.mean(units.first)), float(np.std(units.first, ddof=1))
    half = t_half_width(sd, units.variance, units.df)
    low, high = scores.metric.lowest, scores.metric.highest
    if units.exact:
        statistic, counted = "t", "seeds (means over folds)" if folds else "seeds"
    else:
        statistic, counted = "Nadeau–Bengio's t", "repeats" if units.grows else "folds"
    return MeanInterval(
        low=max(low, mean - half),
        high=min(high, mean + half),
        statistic=statistic,
        n=units.n,
        units=counted,
        claim=units.claim,
        approximate=is_at_bound(units.first, scores.metric),
    )
