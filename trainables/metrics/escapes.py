"""Escapes: defective parts that are let through, in a thousand."""

from __future__ import annotations

from trainables.metrics.base import ImageMetric
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]


def escapes(images: ImageScores) -> float | Undefined:
    """Defective parts alone count: their share differs between a test and a line."""
    parts = images.parts_or_images
    return parts.no_defective or 1000 * parts.fn / (parts.fn + parts.tp)


METRIC = ImageMetric(
    name="escapes",
    title="escapes per 1,000",
    description="Defective parts decided good, per 1,000 defective ones, at the chosen threshold; of images "
    "where every part has one.",
    unit="parts in 1,000",
    better="lower",
    noted=False,
    compute=escapes,
)
