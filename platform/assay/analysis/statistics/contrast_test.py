"""One contrast under one claim, by itself: differences, spread, p-value, and what is odd about them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.analysis.statistics import paired
from assay.analysis.statistics.contrasts import Contrast
from assay.analysis.statistics.score_table import Claim, Scores
from assay.analysis.statistics.units import Units, units
from trainables.metrics import Metric

__all__ = ["ONE_SIDED", "TOO_FEW", "Measured", "is_at_bound", "measure"]

TOO_FEW = 2
ONE_SIDED = "one-sided spread: interval approximate (about 89 % measured)"
_UNEQUAL_SDS = 4.0


@dataclass(frozen=True, eq=False)
class Measured:
    """What a contrast's units say before the family is known. None: it cannot be had, see ``notes``."""

    contrast: Contrast
    units: Units
    d: NDArray[np.float64]  # n, on 12 digits
    p: float | None = None
    p_t: float = 1.0  # of the paired t test; 1 where it may not be asked
    sd: float | None = None  # of d; None: no spread was seen
    half_width: float | None = None  # of the 95 % interval
    interval: str = ""
    test: str = ""
    notes: tuple[str, ...] = ()


def measure(
    scores: Scores,
    contrast: Contrast,
    claim: Claim,
    *,
    resolution: float | None = None,
    test: paired.Test = "sign-flip",
) -> Measured:
    """Test one contrast.

    Where a trial diverged, twice: without its repeat, and with the metric's worst value in its place. A
    method's failure is part of what it does, so what is shown must be shown both ways, with one sign.

    Args:
        scores: All cells.
        contrast: Which of them are compared.
        claim: One of ``claims_of(scores, contrast.weights)``.
        resolution: Smallest step of the metric; stands for the spread where none was seen.
        test: The exact test.
    """
    own = units(scores, contrast.weights, claim)
    d = paired.rounded(own.first - own.second)
    found = _tested(Measured(contrast, own, d, notes=_one_sided(own, scores, contrast)), resolution, test)
    if not own.diverged:
        return found
    worst = scores.metric.worst
    if worst is None:
        note = f"{own.diverged} diverged, and {scores.metric.title} has no worst value: not tested"
        return replace(found, p=None, p_t=1.0, notes=(*found.notes, note))
    filled = units(scores, contrast.weights, claim, worst=worst)
    with_worst = Measured(contrast, filled, paired.rounded(filled.first - filled.second))
    return _both(found, _tested(with_worst, resolution, test), f"{own.diverged} diverged", worst)


def _both(complete: Measured, filled: Measured, lost: str, worst: float) -> Measured:
    notes = (*complete.notes, f"{lost}: tested without and with {worst:g} in place, the larger p counts")
    if complete.p is None or filled.p is None:
        return replace(complete, notes=(*complete.notes, lost))
    if np.sign(complete.d.mean()) != np.sign(filled.d.mean()):
        note = f"{lost}: without and with {worst:g} in place the difference has two signs"
        return replace(complete, p=1.0, p_t=1.0, notes=(*complete.notes, note))
    return replace(complete, p=max(complete.p, filled.p), p_t=max(complete.p_t, filled.p_t), notes=notes)


def _tested(found: Measured, resolution: float | None, test: paired.Test) -> Measured:
    own, d = found.units, found.d
    if own.n <= TOO_FEW:
        return found
    exact = paired.exact_p(d, test) if own.exact else None
    found = replace(found, test=test if own.exact else "Nadeau–Bengio t")
    if paired.has_no_spread(d):
        return _without_spread(found, exact, resolution)
    sd = float(np.std(d, ddof=1))
    p_t = paired.t_p(float(np.mean(d)), sd, own.variance, own.df)
    return replace(
        found,
        p=p_t if exact is None else exact,
        p_t=p_t,
        sd=sd,
        half_width=paired.t_half_width(sd, own.variance, own.df),
        interval="t" if own.exact else "Nadeau–Bengio t",
    )


def _without_spread(found: Measured, exact: float | None, resolution: float | None) -> Measured:
    """A t test of equal differences would be sure of anything: the smallest step of the metric stands in."""
    own, d = found.units, found.d
    notes = ["no spread seen"]
    if not d.any():
        differ = 100 * (1 - paired.ALPHA ** (1 / own.n))
        notes.append(f"all equal: with 95 % confidence fewer than {differ:.0f} % of repeats differ")
    if exact is None and d.any() and resolution is not None:
        exact = paired.t_p(float(np.mean(d)), resolution, own.variance, own.df)
    return replace(
        found,
        p=1.0 if exact is None else exact,
        half_width=None if resolution is None else paired.t_half_width(resolution, own.variance, own.df),
        interval="" if resolution is None else "smallest step of the metric",
        notes=(*found.notes, *notes),
    )


def is_at_bound(values: NDArray[np.float64], metric: Metric) -> bool:
    """Whether half of the values or more are the best that the metric can be."""
    best = 1.0 if metric.better == "higher" else 0.0
    return bool(2 * np.sum(values == best) >= len(values))


def _one_sided(own: Units, scores: Scores, contrast: Contrast) -> tuple[str, ...]:
    """Where one cell alone is skewed towards a bound, intervals covered 88–93 % in the simulations."""
    if own.n <= TOO_FEW or contrast.pair is None:
        return ()
    at_bound = any(is_at_bound(side, scores.metric) for side in (own.first, own.second))
    small, large = sorted(float(np.std(side, ddof=1)) for side in (own.first, own.second))
    if at_bound or large > _UNEQUAL_SDS * small:
        return (ONE_SIDED,)
    return ()
