"""Statistics of n paired differences: exact sign-flip p, t interval, effect size.

All functions take the differences ``d`` (one per repeat, 1-D) after :func:`rounded`, and give plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = [
    "ALPHA",
    "Test",
    "enough_repeats",
    "exact_p",
    "has_no_spread",
    "hedges_g",
    "holm",
    "rounded",
    "signed_ranks",
    "smallest_p",
    "t_half_width",
    "t_p",
]

ALPHA = 0.05
Test = Literal["sign-flip", "wilcoxon"]
Differences = NDArray[np.float64]

_DIGITS = 12
_NO_SPREAD = 1e-9  # of the largest difference
_EXACT_UP_TO = 40  # repeats: two lists of 2²⁰ half sums; beyond, random signs
_RANDOM_SIGNS = 100_000
_AT_ONCE = 5_000  # sign vectors in memory


def rounded(differences: Differences) -> Differences:
    """Differences on 12 digits, so that equal ones are equal."""
    return np.round(differences, _DIGITS) + 0.0  # no −0


def smallest_p(nonzero: int) -> float:
    """The least p that the exact test can give with so many differences that are not 0."""
    return min(1.0, 2.0 ** (1 - nonzero))


def enough_repeats(m: int = 1) -> int:
    """Repeats from which the exact test can speak, whatever the family: 6. More where p is times m."""
    return math.ceil(1 - math.log2(ALPHA / m))


def signed_ranks(d: Differences) -> Differences:
    """Ranks of the sizes of what is not 0, with the signs of the differences; 0 stays 0."""
    ranks = np.zeros(len(d))
    _, places, counts = np.unique(np.abs(d[d != 0]), return_inverse=True, return_counts=True)
    ranks[d != 0] = (np.cumsum(counts) - (counts - 1) / 2)[places]  # equal sizes share their mean rank
    return np.sign(d) * ranks


def exact_p(d: Differences, test: Test = "sign-flip") -> float:
    """Two-sided p of "differences are as often positive as negative, and as large".

    ``sign-flip``: the share of all 2ⁿ sign vectors whose mean is at least as far from 0; from 41 repeats on
    of 100,000 random ones. ``wilcoxon``: the same, of the signed ranks of what is not 0. scipy's is exact to
    n = 13 only where there are ties or zeros.

    Raises:
        ValueError: If a difference is not a number; scipy's ``permutation_test`` would say p = 0.
    """
    if not np.isfinite(d).all():
        raise ValueError(f"a difference is a number, found {d[~np.isfinite(d)][0]}")
    if not d.any():
        return 1.0
    if test == "wilcoxon":
        d = signed_ranks(d[d != 0])
    # Whole numbers, because sums of floats that should be equal are not; each is off by half a unit at most.
    unit = max(10.0**-_DIGITS, float(np.abs(d).max()) * 2.0**-50)
    whole = np.rint(d / unit).astype(np.int64)
    reached = abs(int(whole.sum())) - len(whole)
    if reached <= 0:
        return 1.0
    if len(whole) > _EXACT_UP_TO:
        return _random_sign_flip_p(whole, reached)
    # All sums of 2ⁿ sign vectors are the sums of one half plus those of the other.
    half = len(whole) // 2
    left, right = _signed_sums(whole[:half]), _signed_sums(whole[half:])
    at_least = len(left) * len(right) - int(np.searchsorted(right, reached - left, side="left").sum())
    return 2 * at_least / (len(left) * len(right))  # the other tail mirrors this one


def has_no_spread(d: Differences) -> bool:
    """True where all differences are equal: a t test would then say p = 1e-31."""
    return bool(np.std(d, ddof=1) <= _NO_SPREAD * np.abs(d).max())


def t_half_width(sd: float, variance: float, df: float, alpha: float = ALPHA) -> float:
    """Half of the 95 % interval of a mean whose variance is ``variance``·sd² (1/n, or Nadeau–Bengio's).

    ``alpha``: of an interval at 1 − alpha instead.
    """
    # special.stdtrit and stdtr are stats.t.ppf and cdf to the bit, without 0.1 ms of checks for each number.
    return float(special.stdtrit(df, 1 - alpha / 2)) * sd * math.sqrt(variance)


def t_p(mean: float, sd: float, variance: float, df: int) -> float:
    """Two-sided p of the t test that belongs to :func:`t_half_width`."""
    return float(2 * special.stdtr(df, -abs(mean) / (sd * math.sqrt(variance))))


def hedges_g(d: Differences) -> float:
    """Mean over sd of the differences, corrected for few repeats (n ≥ 3, some spread).

    Source: Hedges 1981, J(ν) = Γ(ν/2) / (√(ν/2)·Γ((ν − 1)/2)), ν = n − 1.
    """
    nu = len(d) - 1
    correction = math.exp(special.gammaln(nu / 2) - special.gammaln((nu - 1) / 2)) / math.sqrt(nu / 2)
    return float(correction * np.mean(d) / np.std(d, ddof=1))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values of a family.

    As ``multipletests(p, method="holm")[1]`` of statsmodels, which collects garbage at every call: 0.1 s in a
    program that has torch loaded.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted.tolist()


def _signed_sums(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of ``values`` under all 2ⁿ sign vectors, ascending."""
    sums = np.zeros(1, np.int64)
    for value in np.abs(values):
        sums = np.sort(np.concatenate([sums - value, sums + value]), kind="stable")  # merges two sorted runs
    return sums


def _random_sign_flip_p(whole: NDArray[np.int64], reached: int) -> float:
    """Share of random sign vectors whose sum is at least ``reached`` from 0, the seen one among them.

    A byte holds eight signs: what each of the 256 bytes makes of eight differences is looked up, which takes
    a third of the time of a matrix product at 1,000 repeats.
    """
    rng = np.random.default_rng(0)
    bytes_ = -(-len(whole) // 8)
    eights = np.pad(whole, (0, 8 * bytes_ - len(whole))).reshape(bytes_, 8)
    signs = 2 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.int64) - 1
    sums = eights @ signs.T  # bytes × 256
    at_least = 0
    for _ in range(_RANDOM_SIGNS // _AT_ONCE):
        drawn = np.zeros(_AT_ONCE, np.int64)
        for of_byte, codes in zip(sums, rng.integers(0, 256, (bytes_, _AT_ONCE), np.uint8), strict=True):
            drawn += of_byte[codes]
        at_least += int(np.count_nonzero(np.abs(drawn) >= reached))
    return (at_least + 1) / (_RANDOM_SIGNS + 1)
