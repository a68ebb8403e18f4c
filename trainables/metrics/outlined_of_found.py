"""Found defects that are outlined: how well, given that it was found at all."""

from __future__ import annotations

from trainables.metrics.base import DefectMetric
from trainables.metrics.inputs import Undefined
from trainables.metrics.regions import DefectScore

__all__ = ["METRIC"]


def outlined_of_found(defects: DefectScore) -> float | Undefined:
    """A defect that is outlined was found, so `defects_found` times this is the share that is outlined."""
    return defects.outlined / defects.detected if defects.detected else Undefined("no defect is found")


METRIC = DefectMetric(
    name="outlined_of_found",
    title="outlined of found",
    description="Of the defects found, the share with an IoU of at least 0.5.",
    noted=False,
    compute=outlined_of_found,
)
