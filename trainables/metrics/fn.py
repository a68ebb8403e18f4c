"""Missed defects, in images."""

from __future__ import annotations

from trainables.metrics.base import ImageMetric
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]


def fn(images: ImageScores) -> float | Undefined:
    """Counted at the threshold that validation chose."""
    return images.no_defective or float(images.fn)


METRIC = ImageMetric(
    name="fn",
    title="FN",
    description="Defective images decided normal, at the chosen threshold.",
    unit="images",
    better="lower",
    compute=fn,
)
