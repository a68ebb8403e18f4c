"""Accuracy of image decisions, which says little where few images are defective."""

from __future__ import annotations

from trainables.metrics.base import ImageMetric
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]


def image_accuracy(images: ImageScores) -> float | Undefined:
    """One class is enough."""
    count = len(images.labels)
    return (images.tp + images.tn) / count if count else Undefined("no image")


METRIC = ImageMetric(
    name="image_accuracy",
    title="accuracy",
    description="Share of images decided rightly.",
    compute=image_accuracy,
)
