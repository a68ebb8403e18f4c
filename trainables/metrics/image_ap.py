"""AP of image scores: the metric that rankings of defect detectors are told by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.metrics.base import ImageMetric
from trainables.metrics.inputs import Undefined, missing_class

__all__ = ["METRIC", "image_ap"]


def image_ap(labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> float | Undefined:
    """Average precision of image scores, step-wise: Σ (R_n − R_{n−1})·P_n, tied scores taken together.

    Undefined when a class is missing: without normal images every ranking would reach 1.
    """
    missing = missing_class(labels)
    if missing is not None:
        return missing
    from sklearn.metrics import average_precision_score  # a second: only what scores pays for it

    return float(average_precision_score(labels, scores))


METRIC = ImageMetric(
    name="image_ap",
    title="AP",
    description="Average precision of image scores, step-wise.",
    compute=lambda images: image_ap(images.labels, images.scores),
)
