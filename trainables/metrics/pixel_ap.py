"""AP of pixels: how well heatmaps rank defect pixels first."""

from __future__ import annotations

import numpy as np

from trainables.metrics.base import CurveMetric
from trainables.metrics.inputs import PixelCurve

__all__ = ["METRIC"]


def pixel_ap(curve: PixelCurve) -> float:
    """Step-wise average precision: only the scores of defect pixels change recall."""
    return float(np.sum(curve.gained() * curve.tp / (curve.tp + curve.fp)) / curve.tp[0])


METRIC = CurveMetric(
    name="pixel_ap",
    title="pixel AP",
    description="Average precision over all pixels, step-wise.",
    compute=pixel_ap,
)
