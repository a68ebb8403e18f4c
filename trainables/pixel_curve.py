"""What all pixel metrics without a threshold of their own are made of: pixels found and false, at any score.

:class:`~trainables.metrics.PixelScores` makes the curve of exact scores,
:class:`~trainables.pixel_histogram.PixelHistogram` that of scores in bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CURVE_METRICS", "PixelCurve", "mean_overlaps"]

CURVE_METRICS = ("pixel_iou_oracle", "pixel_ap", "pixel_auroc", "pixel_pro")
PRO_FPR_LIMIT = 0.3  # Bergmann et al. 2021, MVTec AD, section 5.2


@dataclass(frozen=True, eq=False)
class PixelCurve:
    """One entry per distinct score of a defect pixel (a level), ascending; there is at least one."""

    tp: NDArray[np.int64]  # defect pixels with score ≥ level
    overlap: NDArray[np.float64]  # mean share of a region that scores ≥ level
    fp: NDArray[np.int64]  # background pixels with score ≥ level
    fp_above: NDArray[np.int64]  # background pixels with score > level
    background: int

    def metrics(self) -> dict[str, float]:
        """By the names of ``CURVE_METRICS``; there is background."""
        values = (float(self.iou().max()), self._ap(), self._auroc(), self._pro())
        return dict(zip(CURVE_METRICS, values, strict=True))

    def iou(self) -> NDArray[np.float64]:
        """Micro IoU with each level as the threshold."""
        return self.tp / (self.tp[0] + self.fp)

    def _ap(self) -> float:
        """Step-wise average precision: only the scores of defect pixels change recall."""
        return float(np.sum(self._gained() * self.tp / (self.tp + self.fp)) / self.tp[0])

    def _auroc(self) -> float:
        """How often a defect pixel scores higher than one of the background; a tie counts half."""
        lower = self.background - (self.fp + self.fp_above) / 2
        return float(np.sum(self._gained() * lower) / self.tp[0] / self.background)

    def _gained(self) -> NDArray[np.int64]:
        """Defect pixels of each level."""
        return self.tp - np.append(self.tp[1:], 0)

    def _pro(self) -> float:
        """Per-region overlap over the false-positive rate up to 0.3, divided by 0.3.

        The exact area under the curve through all thresholds, straight between neighbours. Between two scores
        of defect pixels the overlap stays and the rate grows; at such a score both step, together with the
        background pixels tied to it. So two points per distinct score of a defect pixel hold the whole curve.

        Source: Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, IJCV, section 5.2 (per-region
        overlap normalised by its integration limit).
        """
        after = self.overlap[::-1]
        before = np.append(0.0, after[:-1])
        rates = np.stack([self.fp_above[::-1], self.fp[::-1]], axis=1).ravel() / self.background
        overlaps = np.stack([before, after], axis=1).ravel()
        rates, overlaps = np.r_[0.0, rates, 1.0], np.r_[0.0, overlaps, 1.0]
        inside = int(np.searchsorted(rates, PRO_FPR_LIMIT, side="right"))
        start, end = rates[inside - 1], rates[inside]
        part = (PRO_FPR_LIMIT - start) / (end - start)
        at_limit = overlaps[inside - 1] + part * (overlaps[inside] - overlaps[inside - 1])
        area = np.trapezoid(np.r_[overlaps[:inside], at_limit], np.r_[rates[:inside], PRO_FPR_LIMIT])
        return float(area / PRO_FPR_LIMIT)


def mean_overlaps(tp: NDArray[np.int64], fp: NDArray[np.int64], fn: NDArray[np.int64]) -> dict[str, float]:
    """``pixel_iou`` and ``pixel_iou_positive`` of pixel counts at one threshold: one value per image.

    Some image has a defect.
    """
    union, defective = tp + fp + fn, tp + fn > 0
    return {
        "pixel_iou": float(tp.sum() / union.sum()),
        "pixel_iou_positive": float(np.mean((tp / np.maximum(union, 1))[defective])),
    }
