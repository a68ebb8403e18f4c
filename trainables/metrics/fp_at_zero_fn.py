"""False alarms that are paid for missing nothing, in images."""

from __future__ import annotations

import numpy as np

from trainables.metrics.base import ImageMetric
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]


def fp_at_zero_fn(images: ImageScores) -> float | Undefined:
    """Normal images that score at least as high as the lowest defective one."""
    labels, scores = images.labels, images.scores
    return images.missing or float(np.sum(scores[~labels] >= scores[labels].min()))


METRIC = ImageMetric(
    name="fp_at_zero_fn",
    title="FP at FN = 0",
    description="Normal images scored no lower than the lowest defective one: the cost of missing nothing. "
    "Reads test labels by definition; no threshold of it is used elsewhere.",
    unit="images",
    better="lower",
    compute=fp_at_zero_fn,
)
