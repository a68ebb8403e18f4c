"""F1 of image decisions, at the threshold that validation chose."""

from __future__ import annotations

from trainables.metrics.base import ImageMetric
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]


def image_f1(images: ImageScores) -> float | Undefined:
    """Normal images need not be there."""
    return images.no_defective or 2 * images.tp / (2 * images.tp + images.fp + images.fn)


METRIC = ImageMetric(
    name="image_f1",
    title="F1",
    description="F1 of image decisions at the chosen threshold.",
    compute=image_f1,
)
