"""False alarms: good parts that are rejected, in a thousand."""

from __future__ import annotations

from trainables.metrics.base import ImageMetric
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]


def false_alarms(images: ImageScores) -> float | Undefined:
    """Good parts alone count: their share differs between a test and a line."""
    parts = images.parts_or_images
    normal = parts.fp + parts.tn
    return 1000 * parts.fp / normal if normal else Undefined("no normal image")


METRIC = ImageMetric(
    name="false_alarms",
    title="false alarms per 1,000",
    description="Good parts decided defective, per 1,000 good ones, at the chosen threshold; of images where "
    "every part has one.",
    unit="parts in 1,000",
    better="lower",
    noted=False,
    compute=false_alarms,
)
