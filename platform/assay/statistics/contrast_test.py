"""One contrast under one claim, by itself: differences, spread, p-value, and what is odd about them.

:func:`measure` is the step before a family corrects its p-values (:mod:`assay.statistics.families`).
Where the data do not allow a number it stays None and a note says why. Equal differences get no t test, and
diverged trials are tested both left out and at the metric's worst: both choices lose power rather than claim
too much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from assay.statistics import paired
from assay.statistics.contrasts import Contrast
from assay.statistics.score_table import Claim, Scores
from assay.statistics.units import Units, units_of
from trainables.evaluation.metrics import Metric

__all__ = ["ONE_SIDED", "TOO_FEW", "Measured", "is_at_bound", "measure"]

TOO_FEW = 2
ONE_SIDED = "one-sided spread: interval approximate (about 89 % measured)"
# Ratios of two cells' sds, and of the largest distance from the median of d to the median one. Of normal
# differences 10 % are noted at 3 to 6 repeats and 1 % at 20, with louder seeds in one cell 26 % and 80 %.
_UNEQUAL_SDS, _OUTLYING, _OUTLYING_FROM = 2.0, 8.0, 6
# So near to a bound a score is at it: means of folds are rounded.
_AT_BOUND = 1e-12


@dataclass(frozen=True, eq=False)
class Measured:
    """Test of one contrast before its family is known. None: it cannot be had, see ``notes``."""

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
    filled: Measured | None = None  # the same with the worst value where a trial diverged

    @property
    def fillings(self) -> tuple[Measured, ...]:
        """Without what diverged and, where it is tested so, with the worst value in its place."""
        return (self,) if self.filled is None else (self, self.filled)


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
    units = units_of(scores, contrast.weights, claim)
    d = paired.rounded(units.first - units.second)
    complete = _tested(
        Measured(contrast, units, d, notes=_one_sided(d, units, scores, contrast)), resolution, test
    )
    if not units.diverged:
        return complete
    worst = scores.metric.worst
    if worst is None:
        note = f"{units.diverged} diverged, and {scores.metric.title} has no worst value: not tested"
        return replace(complete, p=None, p_t=1.0, notes=(*complete.notes, note))
    lost = f"{units.diverged} diverged"
    if complete.p is None:
        return replace(complete, notes=(*complete.notes, lost))
    filled = units_of(scores, contrast.weights, claim, worst=worst)
    with_worst = Measured(contrast, filled, paired.rounded(filled.first - filled.second))
    return _both(complete, _tested(with_worst, resolution, test), lost, worst)


def _both(complete: Measured, filled: Measured, lost: str, worst: float) -> Measured:
    notes = (*complete.notes, f"{lost}: tested without and with {worst:g} in place, the larger p counts")
    assert complete.p is not None, "it is tested before it is filled"
    assert filled.p is not None, "with fillings there are no fewer repeats"
    without, with_worst = np.sign(paired.rounded(np.array([complete.d.mean(), filled.d.mean()])))
    if without != with_worst:
        note = f"{lost}: without and with {worst:g} in place the difference has two signs"
        if not without * with_worst:
            where = f"with {worst:g} in place" if without else "over the other repeats"
            note = f"{lost}: {where} the difference is 0"
        return replace(complete, p=1.0, p_t=1.0, notes=(*complete.notes, note))
    p, p_t = max(complete.p, filled.p), max(complete.p_t, filled.p_t)
    return replace(complete, p=p, p_t=p_t, notes=notes, filled=filled)


def _tested(measured: Measured, resolution: float | None, test: paired.Test) -> Measured:
    units, d = measured.units, measured.d
    if units.n <= TOO_FEW:
        return measured
    exact = paired.exact_p(d, test) if units.exact else None
    measured = replace(measured, test=test if units.exact else "Nadeau–Bengio t")
    if paired.has_no_spread(d):
        return _without_spread(measured, exact, resolution)
    sd = float(np.std(d, ddof=1))
    p_t = paired.t_p(float(np.mean(d)), sd, units.variance, units.df)
    return replace(
        measured,
        p=p_t if exact is None else exact,
        p_t=p_t,
        sd=sd,
        half_width=paired.t_half_width(sd, units.variance, units.df),
        interval="t" if units.exact else "Nadeau–Bengio t",
    )


def _without_spread(measured: Measured, exact: float | None, resolution: float | None) -> Measured:
    """A t test of equal differences would be sure of anything: the smallest step of the metric stands in."""
    units, d = measured.units, measured.d
    notes = ["no spread seen"]
    if resolution is not None:
        notes = [*measured.notes, *notes]  # they are of the interval, which there is then
    if not d.any() and not units.diverged:
        differ = 100 * (1 - paired.ALPHA ** (1 / units.n))
        notes.append(f"all equal: with 95 % confidence fewer than {differ:.0f} % of repeats differ")
    if exact is None and d.any() and resolution is not None:
        exact = paired.t_p(float(np.mean(d)), resolution, units.variance, units.df)
    return replace(
        measured,
        p=1.0 if exact is None else exact,
        half_width=None if resolution is None else paired.t_half_width(resolution, units.variance, units.df),
        interval="" if resolution is None else "smallest step of the metric",
        notes=tuple(notes),
    )


def is_at_bound(values: NDArray[np.float64], metric: Metric) -> bool:
    """True where half of the values or more are the best that the metric can be."""
    best = metric.highest if metric.better == "higher" else metric.lowest
    return bool(2 * np.sum(np.abs(values - best) <= _AT_BOUND) >= len(values))


def _one_sided(d: NDArray[np.float64], units: Units, scores: Scores, contrast: Contrast) -> tuple[str, ...]:
    """Note a spread towards one side: with such a cell intervals covered 88–93 % in the simulations."""
    if units.n <= TOO_FEW or contrast.pair is None:
        return ()
    at_bound = any(is_at_bound(side, scores.metric) for side in (units.first, units.second))
    small, large = sorted(float(np.std(side, ddof=1)) for side in (units.first, units.second))
    by_chance = math.sqrt(special.fdtri(units.n - 1, units.n - 1, 0.95))  # few repeats differ more by chance
    distances = np.abs(d - np.median(d))
    outlying = units.n >= _OUTLYING_FROM and float(distances.max()) > _OUTLYING * float(np.median(distances))
    if (
        at_bound
        or large > max(_UNEQUAL_SDS, by_chance) * small
        or (outlying and np.count_nonzero(distances) > 1)
    ):
        return (ONE_SIDED,)
    return ()
