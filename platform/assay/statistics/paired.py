"""Tests of paired differences: exact sign flips, signed ranks, t, and their corrections for a family.

Functions of one comparison take its differences ``d`` (one per repeat, 1-D) after :func:`rounded`. Those of a
family take n × m differences and turn the signs of whole repeats: where nothing differs, the differences of a
repeat are as likely with all their signs turned, and what comparisons share stays shared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = [
    "ALPHA",
    "SAME",
    "Test",
    "enough_repeats",
    "exact_p",
    "has_no_spread",
    "hedges_g",
    "holm",
    "lower_t_p",
    "rounded",
    "sign_vectors",
    "signed_ranks",
    "smallest_p",
    "stepdown_p",
    "studentised",
    "t_half_width",
    "t_p",
    "vectors_over_looks",
]

# One comparison ------------------------------------------------------------------------------------------


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
    from scipy.stats import rankdata  # half a second to load, for the few studies that ask for ranks

    ranks = np.zeros(len(d))
    ranks[d != 0] = rankdata(np.abs(d[d != 0]))  # equal sizes share their mean rank
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


def t_p(mean: float, sd: float, variance: float, df: float) -> float:
    """Two-sided p of the t test that belongs to :func:`t_half_width`."""
    return float(2 * special.stdtr(df, -abs(mean) / (sd * math.sqrt(variance))))


def lower_t_p(mean: float, sd: float, variance: float, df: float) -> float:
    """One-sided p of the same t test: small where the mean is surely below 0."""
    return float(special.stdtr(df, mean / (sd * math.sqrt(variance))))


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


# Sign flips of a family ----------------------------------------------------------------------------------


_ALL_UP_TO = 14  # repeats: 8,192 vectors
_MOST = 20_000
_MOST_PLANNED = 4_096  # where `assay plan` and simulations draw hundreds of studies, five times as fast
SAME = 1e-9  # between two statistics, 0 to √n: sums of floats that should be equal, or 0, are not


@lru_cache(maxsize=32)
def sign_vectors(n: int, seed: int, most: int = _MOST) -> NDArray[np.int8]:
    """B × n signs of n repeats; the first vector changes nothing.

    Up to 14 repeats all 2ⁿ⁻¹ of them: turning every sign changes no |sum|. Beyond, ``most`` vectors of which
    all but the first are drawn from ``seed``.
    """
    if n <= _ALL_UP_TO:
        codes = np.arange(2 ** max(n - 1, 0))[:, None]
        signs = 1 - 2 * (codes >> np.arange(n) & 1)
    else:
        signs = 1 - 2 * np.random.default_rng(seed).integers(0, 2, (most, n))
        signs[0] = 1
    vectors = signs.astype(np.int8)
    vectors.setflags(write=False)  # it is kept for all who ask
    return vectors


@lru_cache(maxsize=32)
def vectors_over_looks(looks: tuple[int, ...], seed: int, *, planned: bool = False) -> NDArray[np.int8]:
    """B × n signs of the last look's n repeats, for looks at fewer, too; the first vector changes nothing.

    Beyond 14 repeats those of the largest look at no more, each equally often, with further signs drawn: at
    looks up to 14 every p is exact, and the same whatever looks follow.

    Args:
        looks: Numbers of repeats, ascending.
        seed: As of :func:`sign_vectors`.
        planned: True: the last look is known from the first on, so where all are beyond 14 its vectors serve
            all. False: those of the first look go on, for at that look they say what they said then.
    """
    most = _MOST_PLANNED if planned else _MOST
    kept = max((n for n in looks if n <= _ALL_UP_TO), default=looks[-1] if planned else looks[0])
    then = sign_vectors(kept, seed, most)
    if kept == looks[-1]:
        return then
    times = max(1, most // len(then))
    # Repeat by repeat, so that what a look drew is drawn again at the next one.
    rng = np.random.default_rng((seed, kept))
    further = 1 - 2 * rng.integers(0, 2, (looks[-1] - kept, times * len(then)))
    further[:, 0] = 1
    vectors = np.concatenate([np.tile(then, (times, 1)), further.T.astype(np.int8)], axis=1)
    vectors.setflags(write=False)
    return vectors


def studentised(differences: NDArray[np.float64], signs: NDArray[np.int8]) -> NDArray[np.float64]:
    """|Σ sign·d| / √Σ d² of each sign vector and comparison: B × m; 0 where all differences are 0.

    Args:
        differences: n × m; 0 where a comparison lacks a repeat.
        signs: B × n.
    """
    lengths = np.sqrt(np.sum(differences**2, axis=0))
    return np.abs(signs @ (differences / np.where(lengths == 0, 1.0, lengths)))


def stepdown_p(differences: NDArray[np.float64], signs: NDArray[np.int8]) -> NDArray[np.float64]:
    """Adjusted p of each comparison: max-T, step by step from the clearest one down.

    The share of sign vectors under which the largest statistic of this comparison and all less clear ones is
    at least the one that was seen. It is never below that of a clearer comparison.

    Args:
        differences: n × m; 0 where a comparison lacks a repeat.
        signs: B × n; the first vector changes nothing.

    Source: Westfall and Young 1993, Resampling-based multiple testing, algorithm 2.8.
    """
    statistics = studentised(differences, signs)
    order = np.argsort(-statistics[0], kind="stable")
    adjusted = np.empty(len(order))
    largest = np.zeros(len(signs))
    for comparison in order[::-1]:  # from the least clear one up: each step adds one to the maximum
        largest = np.maximum(largest, statistics[:, comparison])
        adjusted[comparison] = np.mean(largest >= statistics[0, comparison] - SAME)
    adjusted[order] = np.maximum.accumulate(adjusted[order])
    return adjusted
