"""Intervals of means that test nothing: over the repeats of a cell, and over the items of a test set.

The interval over repeats is what a paper prints beside a score. It is the t interval of differences, of a
cell's own scores: over seeds for ``this split`` and ``these folds``, Nadeau and Bengio's for ``new data``.
Never a bootstrap over repeats. Given only where every planned repeat has a value: a mean without the runs
that diverged is not the mean of the method.

The interval over items says how much a score would move with another test part of the same size. Physical
items are resampled with all their images (two photographs of one item are not two findings), with the same
weights for every trial. It says nothing of training: it has a column of its own, and no p-value or verdict
comes from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from assay.statistics.contrast_test import TOO_FEW, is_at_bound
from assay.statistics.paired import ALPHA, has_no_spread, t_half_width
from assay.statistics.scores import Claim, Scores, Splits, Units, claims_of, read_scores, units_of
from assay.statistics.wording import bound_text
from assay.study.names import counted, from_to
from trainables.evaluation.metrics import Metric

__all__ = [
    "ItemBootstrap",
    "ItemInterval",
    "MeanInterval",
    "mean_intervals",
    "method_texts",
    "weighted_ap",
]

# Over repeats --------------------------------------------------------------------------------------------


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
        ValueError: If the table breaks its rules (see :mod:`assay.statistics.scores`).
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


# Over test items -----------------------------------------------------------------------------------------


_RESAMPLES = 999


@dataclass(frozen=True)
class ItemInterval:
    """A 95 % interval over test items; without one the note says why."""

    low: float | None
    high: float | None
    note: str = ""


class _Trial(NamedTuple):
    ap: float
    resampled: NDArray[np.float64]  # B; NaN where a resample has no defective image of this test part
    items: frozenset[int]
    defective: frozenset[int]  # items with a defective image
    samples: frozenset[str]


class ItemBootstrap:
    """Resampled image AP of the trials of one data set.

    Args:
        predictions: One row per trial and test image: ``trial, sample, item, label, score``. An image without
            an item is an item of its own.
        seed: Of the resamples; the same predictions give the same intervals.
    """

    def __init__(self, predictions: pd.DataFrame, *, seed: int = 0) -> None:
        predictions = predictions.sort_values("sample", kind="stable")
        item, sample = predictions["item"].to_numpy(object), predictions["sample"].to_numpy(object)
        names = np.where(pd.isna(item), sample, item).astype(str)
        items, codes = np.unique(names, return_inverse=True)
        count = len(items)
        rng = np.random.default_rng(seed)
        # B × items: how often each item was drawn
        self._weights = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES) if count else None
        self._codes = codes
        self._samples = sample.astype(str)
        self._labels = predictions["label"].to_numpy(np.bool_)
        self._scores = predictions["score"].to_numpy(np.float64)
        self._rows = {str(trial): rows for trial, rows in predictions.groupby("trial").indices.items()}
        self._trials: dict[str, _Trial | None] = {}

    def cell(self, trials: Sequence[str]) -> ItemInterval:
        """Interval of the mean AP of a cell's trials, on the logit scale.

        Where every trial ranks perfectly there is nothing to resample, and the note bounds what is missed.
        """
        usable = self._usable(trials)
        if not usable:
            return ItemInterval(None, None, "no predictions with both classes")
        ap = float(np.mean([trial.ap for trial in usable]))
        defective = len(frozenset[int]().union(*(trial.defective for trial in usable)))
        images = len(frozenset[str]().union(*(trial.samples for trial in usable)))
        if ap >= 1.0:
            missed = 100 * (1 - ALPHA ** (1 / defective))
            perfect = f"no error on {counted(defective, 'defective item')}"
            return ItemInterval(None, None, f"{perfect}; at most {bound_text(missed)} % missed (95 %)")
        if defective < 2:
            return ItemInterval(None, None, "one defective item: nothing to resample")
        margin = 0.5 / images
        logits = _logit(np.mean([trial.resampled for trial in usable], axis=0), margin)
        half = float(special.stdtrit(defective - 1, 1 - ALPHA / 2)) * _sd(logits)
        centre = float(_logit(np.array([ap]), margin)[0])
        low, high = (_back(centre + step, margin) for step in (-half, half))
        return ItemInterval(low, high)

    def difference(self, first: Sequence[str], second: Sequence[str]) -> ItemInterval:
        """Interval of mean AP of ``first`` minus mean AP of ``second``, on the score scale."""
        left, right = self._usable(first), self._usable(second)
        if not left or not right:
            return ItemInterval(None, None, "no predictions with both classes")
        items = len(frozenset[int]().union(*(trial.items for trial in (*left, *right))))
        if items < 2:
            return ItemInterval(None, None, "one item: nothing to resample")
        means = [np.mean([trial.resampled for trial in side], axis=0) for side in (left, right)]
        difference = float(np.mean([t.ap for t in left]) - np.mean([t.ap for t in right]))
        half = float(special.stdtrit(items - 1, 1 - ALPHA / 2)) * _sd(means[0] - means[1])
        if half == 0:
            return ItemInterval(None, None, "no resample changes the difference")
        return ItemInterval(difference - half, difference + half)

    def _usable(self, trials: Sequence[str]) -> list[_Trial]:
        resampled = [self._trial(trial) for trial in trials if trial in self._rows]
        return [trial for trial in resampled if trial is not None]

    def _trial(self, name: str) -> _Trial | None:
        if name not in self._trials:
            self._trials[name] = self._resample(self._rows[name])
        return self._trials[name]

    def _resample(self, rows: NDArray[np.intp]) -> _Trial | None:
        labels, scores, codes = self._labels[rows], self._scores[rows], self._codes[rows]
        if not labels.any() or labels.all() or self._weights is None:
            return None
        return _Trial(
            ap=float(weighted_ap(labels, scores, np.ones((1, len(labels))))[0]),
            resampled=weighted_ap(labels, scores, self._weights[:, codes].astype(np.float64)),
            items=frozenset(map(int, codes)),
            defective=frozenset(map(int, codes[labels])),
            samples=frozenset(map(str, self._samples[rows])),
        )


def weighted_ap(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Step-wise average precision under many weightings of the images at once; tied scores taken together.

    Args:
        labels: n, True: defective.
        scores: n.
        weights: B × n, at least 0.

    Returns:
        B values in [0, 1]; NaN where no defective image has weight.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # last image of each score
    sorted_weights = weights[:, order]
    decided = sorted_weights.cumsum(axis=1)[:, ends]
    hits = (sorted_weights * labels[order]).cumsum(axis=1)[:, ends]
    gained = np.diff(hits, axis=1, prepend=0.0)
    precision = np.divide(hits, decided, out=np.zeros_like(hits), where=decided > 0)
    total = hits[:, -1]
    area = (gained * precision).sum(axis=1)
    return np.divide(area, total, out=np.full_like(area, np.nan), where=total > 0)


def _sd(values: NDArray[np.float64]) -> float:
    """Over the resamples in which all trials are defined."""
    defined = values[~np.isnan(values)]
    return float(np.std(defined, ddof=1)) if len(defined) > 1 else 0.0


def _logit(ap: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """With half an image added to both sides, so that AP = 1 stays finite."""
    return np.log((ap + margin) / (1 - ap + margin))


def _back(logit: float, margin: float) -> float:
    ap = float(special.expit(logit)) * (1 + 2 * margin) - margin
    return min(1.0, max(0.0, ap))
