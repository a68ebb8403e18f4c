"""AUROC of parts: items with several images."""

from __future__ import annotations

from trainables.metrics.base import of_parts
from trainables.metrics.image_auroc import METRIC as OF_IMAGES

__all__ = ["METRIC"]

METRIC = of_parts(
    OF_IMAGES,
    name="part_auroc",
    title="part AUROC",
    description="Area under the ROC curve of parts, each with the highest score of its images.",
)
