"""False alarms, in images."""

from __future__ import annotations

from trainables.metrics.base import ImageMetric
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]


def fp(images: ImageScores) -> float | Undefined:
    """Counted at the threshold that validation chose."""
    return float(images.fp) if images.fp + images.tn else Undefined("no normal image")


METRIC = ImageMetric(
    name="fp",
    title="FP",
    description="Normal images decided defective, at the chosen threshold.",
    unit="images",
    better="lower",
    compute=fp,
)
