"""Defective images found at one false alarm in a hundred normal ones."""

from __future__ import annotations

import numpy as np

from trainables.metrics.base import ImageMetric
from trainables.metrics.images import rates_by_score
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]

FPR = 0.01


def tpr_at_fpr_1(images: ImageScores) -> float | Undefined:
    """The highest rate of any threshold with so few false alarms; below 100 normal images, with none."""
    if images.missing:
        return images.missing
    tpr, fpr = rates_by_score(images.labels, images.scores)
    return float(np.max(tpr[fpr <= FPR], initial=0.0))


METRIC = ImageMetric(
    name="tpr_at_fpr_1",
    title="TPR at FPR 1 %",
    description="Share of defective images found where at most 1 % of the normal ones are false alarms. "
    "Reads test labels by definition.",
    noted=False,
    compute=tpr_at_fpr_1,
)
