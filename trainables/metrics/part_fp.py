"""False alarms, in parts: items with several images."""

from __future__ import annotations

from trainables.metrics.base import of_parts
from trainables.metrics.fp import METRIC as OF_IMAGES

__all__ = ["METRIC"]

METRIC = of_parts(
    OF_IMAGES,
    name="part_fp",
    title="part FP",
    description="Normal parts of which any image is decided defective.",
)
