"""PRO: how much of each defect is found, whatever its size."""

from __future__ import annotations

import numpy as np

from trainables.metrics.base import CurveMetric
from trainables.metrics.inputs import PixelCurve

__all__ = ["METRIC", "overlap_up_to"]

PRO_FPR_LIMIT = 0.3  # Bergmann et al. 2021, MVTec AD, section 5.2


def overlap_up_to(curve: PixelCurve, limit: float) -> float:
    """Per-region overlap over the false-positive rate up to ``limit``, divided by it.

    The exact area under the curve through all thresholds, straight between neighbours. Between two scores
    of defect pixels the overlap stays and the rate grows; at such a score both step, together with the
    background pixels tied to it. So two points per distinct score of a defect pixel hold the whole curve.

    Source: Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, IJCV, section 5.2 (per-region
    overlap normalised by its integration limit).
    """
    after = curve.overlap[::-1]
    before = np.append(0.0, after[:-1])
    rates = np.stack([curve.fp_above[::-1], curve.fp[::-1]], axis=1).ravel() / curve.background
    overlaps = np.stack([before, after], axis=1).ravel()
    rates, overlaps = np.r_[0.0, rates, 1.0], np.r_[0.0, overlaps, 1.0]
    inside = int(np.searchsorted(rates, limit, side="right"))
    start, end = rates[inside - 1], rates[inside]
    part = (limit - start) / (end - start)
    at_limit = overlaps[inside - 1] + part * (overlaps[inside] - overlaps[inside - 1])
    area = np.trapezoid(np.r_[overlaps[:inside], at_limit], np.r_[rates[:inside], limit])
    return float(area / limit)


def pixel_pro(curve: PixelCurve) -> float:
    """The benchmark's limit is a rate of 0.3."""
    return overlap_up_to(curve, PRO_FPR_LIMIT)


METRIC = CurveMetric(
    name="pixel_pro",
    title="PRO",
    description="Mean overlap of 8-connected defect regions, integrated to a false-positive rate of 0.3.",
    compute=pixel_pro,
)
