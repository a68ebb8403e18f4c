"""False alarms that are paid for finding 95 of a hundred defective images."""

from __future__ import annotations

from trainables.metrics.base import ImageMetric
from trainables.metrics.images import rates_by_score
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]

TPR = 0.95


def fpr_at_tpr_95(images: ImageScores) -> float | Undefined:
    """The lowest rate of any threshold that finds so many; below 20 defective images, all of them."""
    if images.missing:
        return images.missing
    tpr, fpr = rates_by_score(images.labels, images.scores)
    return float(fpr[tpr >= TPR].min())  # the lowest score finds all


METRIC = ImageMetric(
    name="fpr_at_tpr_95",
    title="FPR at TPR 95 %",
    description="Share of normal images that are false alarms where at least 95 % of the defective ones are "
    "found. Reads test labels by definition.",
    better="lower",
    noted=False,
    compute=fpr_at_tpr_95,
)
