"""F1 of pixels at the best threshold there is, which reads the masks that it is measured by."""

from __future__ import annotations

from trainables.metrics.base import CurveMetric
from trainables.metrics.inputs import PixelCurve

__all__ = ["METRIC"]


def pixel_best_f1(curve: PixelCurve) -> float:
    """The largest over all scores as thresholds."""
    return float((2 * curve.tp / (curve.tp[0] + curve.tp + curve.fp)).max())


METRIC = CurveMetric(
    name="pixel_best_f1",
    title="best pixel F1 (oracle)",
    description="F1 of all pixels at the threshold that is best for it. Reads test masks by definition.",
    noted=False,
    compute=pixel_best_f1,
)
