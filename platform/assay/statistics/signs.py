"""Sign flips of whole repeats: what chance alone makes of all comparisons of a family at once.

Where nothing differs, the differences of a repeat are as likely with all their signs turned. So a sign is
drawn for each repeat, and turns the differences of every comparison in it: what they share stays shared.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAME", "sign_vectors", "stepdown_p", "studentised", "vectors_over_looks"]

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
