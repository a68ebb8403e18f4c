"""Verdict `negligible`: the difference is smaller than what is worth knowing, whichever way it goes.

Two one-sided t tests inside the family: |mean| plus a margin of error stays within ``resolve``. The margin is
never narrower than that of the 95 % interval, so the interval beside the verdict lies within ``resolve``.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import optimize, special

from assay.analysis.statistics.contrast_test import Measured
from assay.analysis.statistics.more_repeats import MOST_REPEATS
from assay.analysis.statistics.paired import ALPHA, t_half_width

__all__ = ["is_negligible", "repeats_until_negligible"]

_POWER = 0.8
_FEWEST = 3
_QUANTILES = 200  # of the sd that so many repeats may show


def is_negligible(measured: Measured, resolve: float, m: int, looks: int = 1) -> bool:
    """True where the difference is within ± ``resolve``; where a trial diverged, with both fillings.

    Args:
        measured: The comparison; one without spread is never negligible.
        resolve: The margin, above 0.
        m: Comparisons in the family.
        looks: Numbers of seeds at which the study was looked at, this one counted.
    """
    if measured.p is None or (measured.units.diverged and measured.filled is None):
        return False
    for filling in (measured, measured.filled):
        if filling is None:
            continue
        if filling.sd is None:
            return False
        error = t_half_width(filling.sd, filling.units.variance, filling.units.df, _alpha(m, looks))
        if abs(float(np.mean(filling.d))) + error > resolve:
            return False
    return True


def repeats_until_negligible(ratio: float, m: int, *, overlap: float | None = None) -> int | None:
    """Repeats in all until a comparison without a difference is negligible with 80 % chance; None: above 50.

    Args:
        ratio: ``resolve`` over the sd of the differences, above 0.
        m: Comparisons in the family.
        overlap: n_test/n_train for the claim ``new data`` on own splits; None: repeats are independent.
    """
    numbers = range(_FEWEST, MOST_REPEATS + 1)
    return next((n for n in numbers if ratio >= _smallest_ratio(n, m, overlap)), None)


@lru_cache(maxsize=4096)
def _smallest_ratio(n: int, m: int, overlap: float | None) -> float:
    """``resolve`` over the true sd at which n repeats suffice with 80 % chance."""
    critical = t_half_width(1.0, 1.0, n - 1, _alpha(m))
    chances = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    errors = critical * np.sqrt(special.chdtri(n - 1, 1 - chances) / (n - 1))  # as the sd may be seen

    def lacking(ratio: float) -> float:
        """Chance that mean and error stay within ``ratio`` standard errors, less 80 %."""
        return float(np.mean(np.maximum(0.0, 2 * special.ndtr(ratio - errors) - 1))) - _POWER

    in_errors = optimize.brentq(lacking, 0.0, 10 + 2 * float(errors.max()), xtol=1e-6)
    return float(np.asarray(in_errors)) * math.sqrt(1 / n + (overlap or 0.0))


def _alpha(m: int, looks: int = 1) -> float:
    """Level of the two-sided interval that must lie within the margin."""
    # Of m comparisons each may err at one side only: .05/(1.5 m) kept the family in the simulations.
    return 2 * ALPHA / (max(2.0, 1.5 * m) * looks)
