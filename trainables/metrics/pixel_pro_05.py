"""PRO where false alarms are rare: to a false-positive rate of 0.05."""

from __future__ import annotations

from trainables.metrics.base import CurveMetric
from trainables.metrics.inputs import PixelCurve
from trainables.metrics.pixel_pro import overlap_up_to

__all__ = ["METRIC"]

STRICT_FPR_LIMIT = 0.05  # Bergmann et al. 2022, MVTec LOCO AD, reports sPRO to this limit


def pixel_pro_05(curve: PixelCurve) -> float:
    """The same curve as that of :mod:`~trainables.metrics.pixel_pro`, to a sixth of its limit."""
    return overlap_up_to(curve, STRICT_FPR_LIMIT)


METRIC = CurveMetric(
    name="pixel_pro_05",
    title="PRO to FPR 0.05",
    description="Mean overlap of 8-connected defect regions, integrated to a false-positive rate of 0.05.",
    noted=False,
    compute=pixel_pro_05,
)
