"""AUROC of pixels, which is high for most maps since defects are small."""

from __future__ import annotations

import numpy as np

from trainables.metrics.base import CurveMetric
from trainables.metrics.inputs import PixelCurve

__all__ = ["METRIC"]


def pixel_auroc(curve: PixelCurve) -> float:
    """Share of pairs in which the defect pixel scores higher than the background's; a tie counts half."""
    lower = curve.background - (curve.fp + curve.fp_above) / 2
    return float(np.sum(curve.gained() * lower) / curve.tp[0] / curve.background)


METRIC = CurveMetric(
    name="pixel_auroc",
    title="pixel AUROC",
    description="Area under the ROC curve over all pixels.",
    compute=pixel_auroc,
)
