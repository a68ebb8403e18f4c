"""Number of further repeats that would settle a comparison, with 80 % chance.

:func:`more_repeats` takes the spread that was seen for the true one, and gives a range because a few repeats
know it badly. The smallest effect that each number of repeats can show is computed once and kept, up to 50.
:func:`repeats_until_negligible` is for comparisons in which nothing differs.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from assay.statistics.paired import ALPHA, enough_repeats, t_half_width

__all__ = ["MOST_REPEATS", "More", "more_repeats", "negligible_alpha", "repeats_until_negligible"]

MOST_REPEATS = 50  # nobody plans beyond
_POWER = 0.8
_FEWEST = 3
_DRAWS = 5_000  # know a chance to ± .004, in 10 ms for each size of a family
_LARGEST = 1e3  # effect size: any family finds it
_QUANTILES = 200  # of the sd that so many repeats may show


class More(NamedTuple):
    """Repeats beyond those there are: the estimate and its range; None: not within 50 repeats in all."""

    estimate: int | None
    low: int | None
    high: int | None
    delta: float  # the difference that is to be shown
    half_width: float  # of the interval at 50 repeats


def more_repeats(
    n: int,
    sd: float,
    delta: float,
    m: int,
    *,
    overlap: float | None = None,
    folds: int = 1,
    ranks: bool = False,
) -> More:
    """Repeats until a difference of ``delta`` is shown in a family of m with 80 % chance.

    Args:
        n: Repeats there are, at least 3.
        sd: Of their differences, above 0.
        delta: The difference worth knowing, above 0.
        m: Comparisons in the family.
        overlap: n_test/n_train where every seed draws its own split: Nadeau–Bengio's t is then the test, and
            no number of repeats makes its interval vanish. None: the exact test and the plain t.
        folds: Of each such split: repeats then come by seeds, and S seeds of K folds know the spread with
            S + K − 2 degrees of freedom.
        ranks: True: the exact test is of signed ranks.

    The range comes from a 60 % interval of the sd (χ² with the degrees of freedom of the t test).
    """

    def further(spread: float) -> int | None:
        needed = _needed(delta / spread, m, overlap, folds, ranks)
        return None if needed is None else max(0, needed - n)

    df = _df(n, folds)
    shrunk, grown = (sd * math.sqrt(df / chi2) for chi2 in _chi2_range(df))
    variance = 1 / MOST_REPEATS + (overlap or 0.0)
    at_most = t_half_width(sd, variance, _df(MOST_REPEATS, folds))
    return More(further(sd), further(shrunk), further(grown), delta, at_most)


def _df(n: int, folds: int) -> float:
    """Degrees of freedom of n repeats, in n/K seeds of K folds."""
    return n / folds + folds - 2


@lru_cache(maxsize=256)
def _chi2_range(df: float) -> tuple[float, float]:
    """The .8 and .2 quantiles of χ²."""
    return 2 * float(special.gammaincinv(df / 2, 0.8)), 2 * float(special.gammaincinv(df / 2, 0.2))


def _needed(effect_size: float, m: int, overlap: float | None, folds: int, ranks: bool) -> int | None:
    """Repeats in all; None when it takes more than 50."""
    enough = np.flatnonzero(effect_size >= _detectable(m, overlap, folds, ranks))
    return _numbers(_fewest(m, overlap, ranks), folds)[enough[0]] if len(enough) else None


def _numbers(fewest: int, folds: int) -> range:
    """Numbers of repeats from ``fewest`` to 50, whole seeds."""
    return range(folds * math.ceil(fewest / folds), MOST_REPEATS + 1, folds)


def _fewest(m: int, overlap: float | None, ranks: bool) -> int:
    """Repeats from which something is shown where nothing else in the family differs."""
    if overlap is not None:
        return _FEWEST
    # The largest sum of ranks is the same in every comparison: signs that suit any of them reach it.
    return enough_repeats(m if ranks else 1)


@lru_cache(maxsize=256)
def _detectable(m: int, overlap: float | None, folds: int, ranks: bool) -> NDArray[np.float64]:
    """Effect size (in sd of d) that is found with 80 % chance, at the fewest repeats, … 50."""

    def lacking(effect: float, effective: float, df: float) -> float:
        # The nearer tail only: the other holds less than 1e-5 here, and its distribution turns NaN far out.
        critical = -special.stdtrit(df, ALPHA / m / 2)
        return 1 - _POWER - float(special.nctdtr(df, effect * math.sqrt(effective), critical))

    effects: list[float] = []
    fewest = _fewest(m, overlap, ranks)
    for n in _numbers(fewest, folds):
        effective = 1 / (1 / n + (overlap or 0.0))  # repeats without overlap that would say as much
        df = _df(n, folds)
        most = 2 - 2 * float(special.stdtrit(df, ALPHA / m / 2))
        root = optimize.brentq(lacking, 0.0, most / math.sqrt(effective), args=(effective, df), xtol=1e-9)
        effects.append(float(np.asarray(root)))
    if overlap is None:  # at its fewest repeats the exact test is weaker
        of_one_sign = float(special.ndtri(_POWER ** (1 / fewest)))  # all that ranks ask there
        effects[0] = max(effects[0], of_one_sign if ranks else _detectable_at_fewest(m))
    return np.array(effects)


def _detectable_at_fewest(m: int) -> float:
    """Effect size that max-T finds with 80 % chance at the fewest repeats, where nothing else differs.

    With so few the sign vector that was seen must be alone: all differences have one sign, and are clearer
    than each other comparison is with the signs that suit it best.
    """
    uniform = np.random.default_rng(0).random((_DRAWS, enough_repeats()))

    def with_one_sign(effect: float) -> NDArray[np.float64]:
        """The statistic Σd / √Σd² of normal differences that are all above 0."""
        d = effect + special.ndtri(special.ndtr(-effect) + uniform * special.ndtr(effect))
        return d.sum(axis=1) / np.sqrt(np.sum(d**2, axis=1))

    others = np.sort(with_one_sign(0.0))  # |d| of what does not differ

    def lacking(effect: float) -> float:
        clearer = np.searchsorted(others, with_one_sign(effect)) / _DRAWS
        one_sign = float(special.ndtr(effect)) ** enough_repeats()
        return _POWER - one_sign * float(np.mean(clearer ** (m - 1)))

    return float(np.asarray(optimize.brentq(lacking, 0.0, _LARGEST, xtol=1e-3)))


def repeats_until_negligible(
    ratio: float, m: int, *, overlap: float | None = None, folds: int = 1, one_sided: bool = False
) -> int | None:
    """Repeats in all until a comparison without a difference is negligible with 80 % chance; None: above 50.

    Args:
        ratio: ``resolve`` over the sd of the differences, above 0.
        m: Comparisons in the family.
        overlap: n_test/n_train for the claim ``new data`` on own splits; None: repeats are independent.
        folds: Of each such split.
        one_sided: True: until it is dispensable, which is one of the two tests of ``negligible``.
    """
    numbers = _numbers(_FEWEST, folds)
    return next((n for n in numbers if ratio >= _smallest_ratio(n, m, overlap, folds, one_sided)), None)


@lru_cache(maxsize=4096)
def _smallest_ratio(n: int, m: int, overlap: float | None, folds: int, one_sided: bool) -> float:
    """``resolve`` over the true sd at which n repeats suffice with 80 % chance."""
    df = _df(n, folds)
    critical = t_half_width(1.0, 1.0, df, negligible_alpha(m))
    chances = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    errors = critical * np.sqrt(special.chdtri(df, 1 - chances) / df)  # as the sd may be seen

    def lacking(ratio: float) -> float:
        """Chance that mean and error stay within ``ratio`` standard errors, less 80 %."""
        below = special.ndtr(ratio - errors)
        return float(np.mean(below if one_sided else np.maximum(0.0, 2 * below - 1))) - _POWER

    in_errors = optimize.brentq(lacking, 0.0, 10 + 2 * float(errors.max()), xtol=1e-6)
    return float(np.asarray(in_errors)) * math.sqrt(1 / n + (overlap or 0.0))


def negligible_alpha(m: int, looks: int = 1) -> float:
    """Level of the two-sided interval that must lie within the margin."""
    # Of m comparisons each may err at one side only: .05/(1.5 m) kept the family in the simulations.
    return 2 * ALPHA / (max(2.0, 1.5 * m) * looks)
