"""F1 of decisions on parts: items with several images."""

from __future__ import annotations

from trainables.metrics.base import of_parts
from trainables.metrics.image_f1 import METRIC as OF_IMAGES

__all__ = ["METRIC"]

METRIC = of_parts(
    OF_IMAGES,
    name="part_f1",
    title="part F1",
    description="F1 of parts; a part is decided defective where any of its images is.",
)
