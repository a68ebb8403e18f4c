"""Accuracy of image decisions with both classes weighed alike."""

from __future__ import annotations

from trainables.metrics.base import ImageMetric
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]


def image_mean_class_accuracy(images: ImageScores) -> float | Undefined:
    """Mean of the true-positive and the true-negative rate."""
    tp, fp, fn, tn = images.tp, images.fp, images.fn, images.tn
    return images.missing or (tp / (tp + fn) + tn / (tn + fp)) / 2


METRIC = ImageMetric(
    name="image_mean_class_accuracy",
    title="mean class accuracy",
    description="(TPR + TNR) / 2 of decisions.",
    compute=image_mean_class_accuracy,
)
