"""AP of parts: items with several images."""

from __future__ import annotations

from trainables.metrics.base import of_parts
from trainables.metrics.image_ap import METRIC as OF_IMAGES

__all__ = ["METRIC"]

METRIC = of_parts(
    OF_IMAGES,
    name="part_ap",
    title="part AP",
    description="Average precision of parts, each with the highest score of its images.",
)
