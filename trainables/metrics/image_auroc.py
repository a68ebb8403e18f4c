"""AUROC of image scores: how often a defective image scores higher than a normal one."""

from __future__ import annotations

from trainables.metrics.base import ImageMetric
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]


def image_auroc(images: ImageScores) -> float | Undefined:
    """Ties count half."""
    if images.missing is not None:
        return images.missing
    from sklearn.metrics import roc_auc_score  # a second: only what scores pays for it

    return float(roc_auc_score(images.labels, images.scores))


METRIC = ImageMetric(
    name="image_auroc",
    title="AUROC",
    description="Area under the ROC curve of image scores.",
    compute=image_auroc,
)
