"""IoU of all pixels of all images together."""

from __future__ import annotations

from trainables.metrics.base import CountMetric
from trainables.metrics.inputs import PixelCounts

__all__ = ["METRIC"]


def pixel_iou(counts: PixelCounts) -> float:
    """A large defect weighs more than a small one."""
    union = counts.tp + counts.fp + counts.fn
    return float(counts.tp.sum() / union.sum())


METRIC = CountMetric(
    name="pixel_iou",
    title="IoU",
    description="Σ TP / Σ (TP + FP + FN) over all pixels of all images (micro).",
    compute=pixel_iou,
)
