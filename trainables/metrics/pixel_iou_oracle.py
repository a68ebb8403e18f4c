"""IoU at the best threshold there is, which reads the masks that it is measured by."""

from __future__ import annotations

from trainables.metrics.base import CurveMetric
from trainables.metrics.inputs import PixelCurve

__all__ = ["METRIC"]


def pixel_iou_oracle(curve: PixelCurve) -> float:
    """The largest over all scores as thresholds."""
    return float(curve.iou().max())


METRIC = CurveMetric(
    name="pixel_iou_oracle",
    title="best IoU (oracle)",
    description="IoU (micro) at the threshold that is best for it. Reads test masks by definition.",
    compute=pixel_iou_oracle,
)
