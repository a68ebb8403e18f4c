"""The threshold of best F1 where few defective images choose it: smoothed, and how far it may be trusted.

The best F1 of eight defective images jumps from score to score. Two normal distributions on the logit scale,
one of each class, make a smooth curve of it.

Trade-off: what smoothing gains where defective images are few, it may lose where they are many and their
scores far from normal. So a study asks for it (`data.threshold: smoothed_f1`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr

from trainables.evaluation.metrics.inputs import Undefined, missing_class

__all__ = ["smoothed_f1_threshold", "threshold_range"]

_NEAREST = 1e-6  # a score this near to 0 or 1 is taken as that: its logit is finite
_PSEUDO = 4  # values with which the defective images' variance is drawn to the normal ones'
_LEAST_SPREAD = 1e-3  # of logits, where all scores are equal
_STEPS = 801
_DRAWS = 200
_SHARES = (0.05, 0.95)


def smoothed_f1_threshold(labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> float | Undefined:
    """The threshold whose expected F1 is best, of as many images as there are of each class.

    Args:
        labels: One per image, True: defective.
        scores: One per image, in [0, 1].
    """
    missing = missing_class(labels)
    if missing:
        return missing
    logits = _logits(scores)
    return _best(logits[~labels], logits[labels])


def threshold_range(labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """The 5 % and 95 % quantiles of the smoothed threshold over bootstrap draws; both classes are there.

    Normal and defective images are drawn for themselves, always the same draws.
    """
    logits, rng = _logits(scores), np.random.default_rng(0)
    normal, defective = logits[~labels], logits[labels]
    draws = [
        _best(rng.choice(normal, len(normal)), rng.choice(defective, len(defective))) for _ in range(_DRAWS)
    ]
    low, high = np.quantile(draws, _SHARES)
    return float(low), float(high)


def _logits(scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    return logit(np.clip(scores.astype(np.float64), _NEAREST, 1 - _NEAREST))


def _best(normal: NDArray[np.float64], defective: NDArray[np.float64]) -> float:
    of_normal = float(np.var(normal, ddof=1)) if len(normal) > 1 else 0.0
    free = len(defective) - 1
    squares = float(np.sum((defective - defective.mean()) ** 2))
    of_defective = (squares + _PSEUDO * of_normal) / (free + _PSEUDO)
    spreads = np.maximum(np.sqrt([of_normal, of_defective]), _LEAST_SPREAD)
    means = np.array([normal.mean(), defective.mean()])
    levels = np.linspace((means - 4 * spreads).min(), (means + 4 * spreads).max(), _STEPS)
    false, true = ndtr((means[:, None] - levels) / spreads[:, None]) * [[len(normal)], [len(defective)]]
    f1 = 2 * true / (true + false + len(defective))
    threshold = float(expit(levels[int(np.argmax(f1))]))  # the lowest of equal ones
    return threshold if threshold > _NEAREST else 0.0  # scores are compared as they are: 0 is reached by all
