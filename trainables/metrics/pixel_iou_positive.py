"""IoU of each defective image, averaged."""

from __future__ import annotations

import numpy as np

from trainables.metrics.base import CountMetric
from trainables.metrics.inputs import PixelCounts

__all__ = ["METRIC"]


def pixel_iou_positive(counts: PixelCounts) -> float:
    """Each defective image weighs the same; false alarms in normal ones do not count."""
    union, defective = counts.tp + counts.fp + counts.fn, counts.tp + counts.fn > 0
    return float(np.mean((counts.tp / np.maximum(union, 1))[defective]))


METRIC = CountMetric(
    name="pixel_iou_positive",
    title="IoU (defective)",
    description="Mean IoU over images that have a defect.",
    compute=pixel_iou_positive,
)
