"""Defects found, one by one: an image with two of them counts twice."""

from __future__ import annotations

from trainables.metrics.base import DefectMetric
from trainables.metrics.regions import DefectScore

__all__ = ["METRIC"]


def defects_found(defects: DefectScore) -> float:
    """A defect is found where some pixel of it reaches the pixel threshold."""
    return defects.detected / defects.regions


METRIC = DefectMetric(
    name="defects_found",
    title="defects found",
    description="Share of the defects in known masks of which some pixel reaches the pixel threshold.",
    noted=False,
    compute=defects_found,
)
