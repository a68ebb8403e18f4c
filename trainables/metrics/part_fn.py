"""Missed defects, in parts: items with several images."""

from __future__ import annotations

from trainables.metrics.base import of_parts
from trainables.metrics.fn import METRIC as OF_IMAGES

__all__ = ["METRIC"]

METRIC = of_parts(
    OF_IMAGES,
    name="part_fn",
    title="part FN",
    description="Defective parts of which every image is decided normal.",
)
