"""Image scores: the threshold of best F1, and all metrics that read labels only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.evaluation.metrics.base import METRICS, ImageMetric
from trainables.evaluation.metrics.inputs import ImageScores, Undefined, missing_class

__all__ = [
    "best_f1_threshold",
    "counts_by_score",
    "f1_by_score",
    "image_metrics",
    "rates_by_score",
    "threshold_between",
]


def image_metrics(
    labels: NDArray[np.bool_],
    scores: NDArray[np.floating[Any]],
    threshold: float,
    items: tuple[str, ...] = (),
) -> dict[str, float | Undefined]:
    """All metrics that read labels only; an image is decided defective when its score ≥ ``threshold``.

    Those of parts need ``items``, the physical item of each image.
    """
    images = ImageScores(labels, scores, threshold, items)
    return {m.name: m.value(images) for m in METRICS.values() if isinstance(m, ImageMetric)}


def best_f1_threshold(
    labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]], dtype: type[np.floating[Any]] = np.float64
) -> float | Undefined:
    """The threshold of best F1, as the midpoint between the chosen score and the next lower one.

    The midpoint (Božič et al. 2021, published evaluation code) leaves the margin on both sides. Of several
    thresholds with one F1 the lowest is taken: a missed defect costs more than a false alarm.

    Args:
        labels: One per image, True: defective.
        scores: One per image, in [0, 1].
        dtype: Type of the numbers that will be compared with the threshold; it is representable in it.
    """
    missing = missing_class(labels)
    if missing:
        return missing
    levels, f1 = f1_by_score(labels, scores)
    best = int(np.argmax(f1))  # argmax takes the first, the lowest score
    return threshold_between(levels[best - 1] if best else 0.0, levels[best], dtype)


def f1_by_score(
    labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.float64]]:
    """The distinct scores, ascending, and F1 with each of them as the threshold."""
    levels, tp, decided = counts_by_score(labels, scores)
    return levels, 2 * tp / (decided + labels.sum())


def counts_by_score(
    labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.float64], NDArray[np.int64]]:
    """The distinct scores, ascending, and with each as threshold the hits and all decided defective."""
    levels, inverse = np.unique(scores, return_inverse=True)
    positives = np.bincount(inverse, weights=labels, minlength=len(levels))
    decided = np.bincount(inverse, minlength=len(levels))
    return levels, positives[::-1].cumsum()[::-1], decided[::-1].cumsum()[::-1]


def rates_by_score(
    labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """True- and false-positive rate with each distinct score as the threshold; both classes are there."""
    levels = np.unique(scores)
    ascending = [np.sort(of_class) for of_class in (scores[labels], scores[~labels])]
    # 1 of 100 is 0.01: the share of the rest, taken from 1, is not.
    tpr, fpr = ((len(each) - np.searchsorted(each, levels)) / len(each) for each in ascending)
    return tpr, fpr


def threshold_between(lower: float, upper: float, dtype: type[np.floating[Any]]) -> float:
    """The midpoint in ``dtype``; ``upper`` where rounding would let ``lower`` reach the threshold."""
    middle = dtype((float(lower) + float(upper)) / 2)
    return float(middle if middle > lower else dtype(upper))
