"""Labels: how many masks are enough, and whether to buy image labels or masks next.

Number of masks that is enough: from it on no more than ``resolve`` is lost against all masks.

In every repeat the score is interpolated over log(1 + masks) between the trained cells. What is lost with m
masks, d(m) = score with all − score with m, is then a paired difference like any other, with its mean and
its 95 % interval by the claim's t. Enough is the number from which on the mean loss stays within ``resolve``.
Its interval turns the test round: it holds the numbers whose loss is neither shown to be more than that nor
shown to be less. It is wide where scores are noisy, and ends at all masks where repeats are few.

Advice on what to label next: the same hours spent on image labels or on masks.

A Gaussian process learns the score over log counts of both. A dot-product kernel is a straight line in log
counts with Gaussian priors on its slopes; an RBF kernel, its variance floored, admits that real curves bend.
The fit is done on the score and on its logit, and draws of both are pooled: the scale is not known either.

Trade-off: it says nothing rather than something it cannot know; simulated grids got advice in about half of
the draws, and it was right in at least 95 % of them (docs/labels.md).

Source: the idea of a Gaussian process around logarithmic growth, Gamazo Tejero et al. 2023, arXiv:2303.11678.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from assay.statistics.contrast_test import TOO_FEW
from assay.statistics.paired import has_no_spread, rounded, t_half_width
from assay.statistics.scores import Claim, Scores, Splits, Units, claims_of, read_scores, units_of
from assay.statistics.wording import apart, most_text
from assay.study.names import counted

__all__ = [
    "Enough",
    "EvenPrice",
    "Gain",
    "Kind",
    "LabelAdvice",
    "Labels",
    "advise_labels",
    "enough_masks",
    "most_hours",
]

# Masks that are enough -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Enough:
    """The number of masks that is enough, under one claim. None: it cannot be had, see ``note``."""

    claim: Claim
    n: int  # units with a value in every cell
    n_planned: int
    all_masks: int
    masks: int | None  # from which on the mean loss stays within `resolve`
    low: int | None  # 95 % interval
    high: int | None
    note: str


def enough_masks(
    table: pd.DataFrame,
    masks: Mapping[str, float],
    *,
    metric: str,
    resolve: float,
    splits: Splits | Mapping[str, Splits] = "prescribed",
) -> tuple[Enough, ...]:
    """Number of masks that is enough under each claim that the repeats allow, the narrower first.

    Args:
        table: One row per trial and metric (see :mod:`assay.statistics.scores`).
        masks: Cell → its number of masks, rising; the last cell has all.
        metric: A name of ``trainables.evaluation.metrics.METRICS``.
        resolve: The loss that does not matter, above 0.
        splits: Whether seeds share the splits, or every seed draws its own; of all cells, or by cell.

    Raises:
        ValueError: If the table breaks its rules or lacks a cell.
    """
    scores = read_scores(table, metric, splits=splits)
    *fewer, everything = masks
    claims = claims_of(scores, masks)
    enough: list[Enough] = []
    for claim in claims:
        # Weights of 0: a repeat counts only where every cell of the line has a value.
        nothing = dict.fromkeys(masks, 0.0)
        of_cells = [units_of(scores, nothing | {everything: 1.0, cell: -1.0}, claim) for cell in fewer]
        lost = [scores.metric.sign * rounded(units.first - units.second) for units in of_cells]
        enough.append(_enough(of_cells[0], np.array([*lost, np.zeros(of_cells[0].n)]), masks, resolve))
    return tuple(enough)


def _enough(units: Units, lost: NDArray[np.float64], masks: Mapping[str, float], resolve: float) -> Enough:
    """``lost``: cells × units."""
    at = np.log1p(list(masks.values()))
    numbers = np.arange(round(min(masks.values())), round(max(masks.values())) + 1)
    notes = [f"{units.diverged} diverged and left out"] if units.diverged else []
    estimate: int | None = None
    ends: tuple[int, int] | None = None
    if units.n:
        points = np.log1p(numbers)
        points[-1] = at[-1]  # all masks: their mean over the trainings is no whole number
        losses = np.array([np.interp(points, at, unit) for unit in lost.T])  # units × numbers
        mean = losses.mean(axis=0)
        estimate = _first_for_good(numbers, mean <= resolve)
        alike = [
            cell
            for cell, of_cell in zip(masks, lost[:-1], strict=False)
            if len(of_cell) > 1 and has_no_spread(of_cell)
        ]
        if units.n <= TOO_FEW:
            notes.append(f"{counted(units.n, 'repeat')}: no interval")
        elif alike:
            notes.append(f"no spread seen at {', '.join(alike)}: no interval")
        else:
            half = [t_half_width(float(sd), units.variance, units.df) for sd in losses.std(axis=0, ddof=1)]
            not_too_few = int(numbers[np.argmax(mean - half <= resolve)])
            ends = not_too_few, _first_for_good(numbers, mean + half <= resolve)
    else:
        notes.append("no repeat has a value in every cell")
    low, high = ends or (None, None)
    return Enough(
        units.claim, units.n, units.planned, int(numbers[-1]), estimate, low, high, "; ".join(notes)
    )


def _first_for_good(numbers: NDArray[np.int64], enough: NDArray[np.bool_]) -> int:
    """The first number from which on all are enough; with all masks nothing is lost."""
    lacking = np.flatnonzero(~enough)
    return int(numbers[lacking[-1] + 1 if len(lacking) else 0])


# Labels to buy next --------------------------------------------------------------------------------------


_LEVELS, _CELLS, _REPEATS = 3, 9, 3
_MOST_CORRELATION = 0.8
_SURE = 0.9
_DRAWS = 800  # from each of the two fits
_CLIP = (0.002, 0.998)  # of scores, before the logit
_PRICES = np.geomspace(0.01, 100.0, 81)  # times a mask's own: where the even one is looked for
_HOUR = 3600.0
_NO_SPREAD = 1e-12
_LEAST_NOISE = 1e-10  # of the variance between cells: a matrix must be invertible

Kind = Literal["image labels", "masks"]
_VARIED: dict[Kind, str] = {  # what a study file varies
    "image labels": "`data: {positives: N}`",
    "masks": "`supervision` (`weak`, `{mixed: N}`, `full`)",
}
Floats = NDArray[np.float64]


class Labels(NamedTuple):
    """An amount for each kind of label: how many there are, or the seconds that one takes."""

    image_labels: float
    masks: float


class Gain(NamedTuple):
    """Score points: mean and 95 % interval over the draws."""

    mean: float
    low: float
    high: float


class EvenPrice(NamedTuple):
    """Seconds per mask at which both kinds gain the same, with an 80 % interval."""

    seconds: float
    low: float
    high: float


@dataclass(frozen=True)
class LabelAdvice:
    """Gain of further hours, spent on one kind of label. None: it cannot be said, see ``reason``."""

    hours: float
    bought: Labels  # all hours on image labels; all hours on masks
    choice: Kind | None
    reason: str  # why nothing is advised; empty where something is
    image_labels: Gain | None = None
    masks: Gain | None = None
    difference: Gain | None = None  # masks minus image labels
    p_masks: float | None = None  # that masks gain more
    even: EvenPrice | None = None  # None: not in reach of the study


def most_hours(now: Labels, seconds: Labels) -> float:
    """The hours with which neither kind of label is more than doubled."""
    return min(now.image_labels * seconds.image_labels, now.masks * seconds.masks) / _HOUR


def advise_labels(
    table: pd.DataFrame,
    counts: Mapping[str, Labels],
    *,
    now: Labels,
    hours: float,
    seconds: Labels,
    metric: str,
    counted_as: str = "image labels",
) -> LabelAdvice:
    """Advise whether further hours of labelling are better spent on image labels or on masks.

    Args:
        table: One row per trial and metric (see :mod:`assay.statistics.scores`).
        counts: Cell → labels that its training used; other cells of the table are left out.
        now: The labels there are.
        hours: Of labelling that are to be spent, above 0.
        seconds: That one label of each kind takes.
        metric: A share of which more is better.
        counted_as: What the image labels are in words, where only those of some images count.

    Raises:
        ValueError: If the table breaks its rules or lacks a cell.
    """
    scores = read_scores(table, metric)
    bought = Labels(hours * _HOUR / seconds.image_labels, hours * _HOUR / seconds.masks)
    values = _complete(scores, list(counts))
    grid = np.log1p(np.array(list(counts.values())))
    words: Mapping[Kind, str] = {"image labels": counted_as, "masks": "masks"}
    objections = chain(
        _objections(scores, values, counts, grid, words), _too_far(now, bought, seconds, words)
    )
    reason = next(objections, "")
    if reason:
        return LabelAdvice(hours, bought, None, reason)
    # At the mask's price, then at others: fewer or more masks for the same hours.
    masks = [bought.masks, *(bought.masks / price for price in _affordable(now, bought))]
    there = [now, Labels(now.image_labels + bought.image_labels, now.masks)]
    there += [Labels(now.image_labels, now.masks + further) for further in masks]
    drawn = _draw(values, grid, np.log1p(np.array(there)))
    gains = drawn[:, 1:] - drawn[:, :1]
    return _judged(hours, bought, gains, _affordable(now, bought) * seconds.masks, words)


def _judged(
    hours: float, bought: Labels, gains: Floats, prices: Floats, words: Mapping[Kind, str]
) -> LabelAdvice:
    """``gains``: draws × (image labels, masks, masks at each of ``prices``)."""
    labels, masks = gains[:, 0], gains[:, 1]
    p_masks = float(np.mean(masks > labels))
    choice: Kind = "masks" if masks.mean() > labels.mean() else "image labels"
    sure = p_masks if choice == "masks" else 1 - p_masks
    better = _gain(masks if choice == "masks" else labels)
    reason = ""
    if sure < _SURE:
        reason = (
            f"it is not sure enough: {words[choice]} gain more with P = {apart(sure, _SURE, 2)}, "
            f"and advice takes {_SURE:.2f}"
        )
    elif better.low <= 0:
        reason = f"the gain of {words[choice]}, the better one, may be none: its interval includes 0"
    return LabelAdvice(
        hours=hours,
        bought=bought,
        choice=None if reason else choice,
        reason=reason,
        image_labels=_gain(labels),
        masks=_gain(masks),
        difference=_gain(masks - labels),
        p_masks=p_masks,
        even=_even(prices, np.mean(gains[:, 2:] > labels[:, None], axis=0)),
    )


def _complete(scores: Scores, cells: Sequence[str]) -> Floats:
    """Repeats that all cells have × cells."""
    values = scores.values[:, scores.columns(cells)]
    return values[~np.isnan(values).any(axis=1)]


def _objections(
    scores: Scores, values: Floats, counts: Mapping[str, Labels], grid: Floats, words: Mapping[Kind, str]
) -> Iterator[str]:
    """Why the study does not tell, each in a sentence without its full stop."""
    metric = scores.metric
    if metric.unit != "share" or metric.better != "higher":
        yield f"it takes a score from 0 to 1 of which more is better, and {metric.title} is none"
    for index, (kind, varied) in enumerate(_VARIED.items()):
        levels = sorted({round(labels[index]) for labels in counts.values()})
        if len(levels) < _LEVELS:
            yield (
                f"the study has {counted(len(levels), 'number')} of {words[kind]} "
                f"({', '.join(map(str, levels))}), and it takes {_LEVELS}: vary {varied}"
            )
    if len(counts) < _CELLS:
        yield (
            f"the study has {len(counts)} cells, and it takes {_CELLS}: combine all numbers of both kinds "
            "(`design: {full: all}`)"
        )
    if len(values) < _REPEATS:
        yield (
            f"the study has {counted(len(values), 'repeat')} of all cells, and it takes {_REPEATS}: "
            "add seeds or folds"
        )
    correlation = float(np.asarray(np.corrcoef(grid.T))[0, 1])
    if abs(correlation) > _MOST_CORRELATION:
        yield (
            f"{words['image labels']} and masks go together over the cells (their log counts correlate at "
            f"{apart(correlation, _MOST_CORRELATION, 2)}, {_MOST_CORRELATION} is the most): their gains "
            "cannot be told apart"
        )
    if np.ptp(values.mean(axis=0)) <= _NO_SPREAD:
        yield "all cells score the same"


def _too_far(now: Labels, bought: Labels, seconds: Labels, words: Mapping[Kind, str]) -> Iterator[str]:
    for kind, there, more in zip(words.values(), now, bought, strict=True):
        if more > there * (1 + 1e-9):
            yield (
                f"the hours buy {more:.0f} {kind}, which would more than double the {there:.0f}: the study "
                f"does not reach so far; ask for {most_text(most_hours(now, seconds))} hours or fewer"
            )


def _affordable(now: Labels, bought: Labels) -> Floats:
    """Prices of a mask, times its own, at which the hours buy one mask or more and do not double them."""
    masks = bought.masks / _PRICES
    return _PRICES[(masks >= 1) & (masks <= now.masks)]


def _draw(values: Floats, grid: Floats, there: Floats) -> Floats:
    """Joint draws of the score at ``there`` (log counts), of both fits: on the score and on its logit."""
    rng = np.random.default_rng(0)
    centre, spread = grid.mean(axis=0), grid.std(axis=0)
    x, z = (grid - centre) / spread, (there - centre) / spread
    on_score = _draw_fit(values, x, z, rng)
    on_logit = _draw_fit(logit(np.clip(values, *_CLIP)), x, z, rng)
    return np.concatenate([on_score, expit(on_logit)])


def _draw_fit(values: Floats, x: Floats, z: Floats, rng: np.random.Generator) -> Floats:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

    repeats, cells = values.shape
    values = values - values.mean(axis=1, keepdims=True) + values.mean()  # what a repeat shares is no noise
    means = values.mean(axis=0)
    noise = float(((values - means) ** 2).sum() / ((repeats - 1) * (cells - 1)) / repeats)
    lengths: Any = [1.5, 1.5]  # one for each axis, which scikit-learn's types do not know
    kernel = ConstantKernel(4.0, "fixed") * DotProduct(1.0, "fixed")
    kernel += ConstantKernel(0.2, (0.05, 10.0)) * RBF(lengths, (0.7, 3.0))
    alpha = max(noise / float(means.var()), _LEAST_NOISE)
    process = GaussianProcessRegressor(kernel, alpha=alpha)
    with warnings.catch_warnings():
        # The bounds of the RBF are a prior: to lie on one is no failure of the fit.
        warnings.filterwarnings("ignore", "The optimal value found for dimension", ConvergenceWarning)
        process.fit(x, (means - means.mean()) / means.std())
    mean, covariance = (np.asarray(part, np.float64) for part in process.predict(z, return_cov=True))
    drawn = rng.multivariate_normal(mean, covariance, _DRAWS, method="eigh", check_valid="ignore")
    return drawn * means.std() + means.mean()


def _even(prices: Floats, p_masks: Floats) -> EvenPrice | None:
    """Find where P(masks gain more) falls to .5, between .9 and .1; None where it does not fall so far."""
    falling = np.minimum.accumulate(p_masks)
    if not len(prices) or not falling[0] >= _SURE > 1 - _SURE >= falling[-1]:
        return None
    low, seconds, high = np.exp(np.interp([-_SURE, -0.5, _SURE - 1], -falling, np.log(prices)))
    return EvenPrice(float(seconds), float(low), float(high))


def _gain(draws: Floats) -> Gain:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Gain(float(draws.mean()), float(low), float(high))
