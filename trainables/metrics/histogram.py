"""Pixel metrics of many maps at once: scores are counted in bins, so that no pixel has to be kept.

Trade-off: scores that differ by less than 0.2 % are taken as equal. Bins are the leading bits of a float: of
the score up to 0.5, of its distance to 1 above. So they are finest at 0 and 1, where a confident network
crowds its scores and bins of equal width would be coarsest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainables.metrics.inputs import PixelCounts, PixelCurve, Undefined
from trainables.metrics.pixels import count_metrics, curve_metrics, region_shares

__all__ = ["PixelHistogram"]

_HALF = 0.5
_DROPPED_BITS = 14  # of the 23 of a float32's mantissa: 9 stay
_HALF_BIN = int(np.float32(_HALF).view(np.int32)) >> _DROPPED_BITS  # holds 0.5 and no other score
_BINS = 2 * _HALF_BIN + 2


def _counts() -> NDArray[np.int64]:
    return np.zeros(_BINS, np.int64)


@dataclass
class PixelHistogram:
    """Scores of all pixels of a set of images, in 3 MB however many there are; decided at 0.5 (exactly)."""

    _defect: NDArray[np.int64] = field(default_factory=_counts)
    _background: NDArray[np.int64] = field(default_factory=_counts)
    _overlap: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))  # shares of regions
    _decided: list[NDArray[np.int64]] = field(default_factory=list)  # tp, fp, fn, tn (4 × N) of each batch
    _regions: int = 0

    def add(self, heatmaps: NDArray[np.float32], truths: NDArray[np.bool_]) -> None:
        """Take in N images: ``heatmaps`` in [0, 1] and ``truths``, both N × H × W."""
        of_images = [region_shares(truth) for truth in truths]
        bins = _bins(heatmaps)
        inside = bins[truths]
        defect = np.bincount(inside, minlength=_BINS)
        self._defect += defect
        self._background += np.bincount(bins.ravel(), minlength=_BINS) - defect
        self._overlap += np.bincount(inside, np.concatenate([s for _, s in of_images]), minlength=_BINS)
        self._regions += sum(count for count, _ in of_images)
        reached = bins >= _HALF_BIN
        tp, claimed, defects = (np.sum(x, axis=(1, 2)) for x in (reached & truths, reached, truths))
        rest = truths[0].size - claimed - defects + tp
        self._decided.append(np.stack([tp, claimed - tp, defects - tp, rest]))

    def metrics(self) -> dict[str, float]:
        """All metrics of counts and curves; none where no image has a defect, or no pixel is background."""
        at_least = self._background[::-1].cumsum()[::-1]
        if not self._regions or not at_least[0]:
            return {}
        counts = PixelCounts(*np.concatenate(self._decided, axis=1))
        levels = np.flatnonzero(self._defect)
        curve = PixelCurve(
            tp=self._defect[::-1].cumsum()[::-1][levels],
            overlap=self._overlap[::-1].cumsum()[::-1][levels] / self._regions,
            fp=at_least[levels],
            fp_above=at_least[levels] - self._background[levels],
            background=int(at_least[0]),
        )
        values = count_metrics(counts) | curve_metrics(curve)
        return {name: value for name, value in values.items() if not isinstance(value, Undefined)}


def _bins(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """The bin of every score in [0, 1]: counted up from 0 below 0.5, down from 1 above."""
    near = np.abs(np.minimum(scores, 1 - scores))  # 1 − score has no rounding above 0.5; −0 becomes 0
    steps = near.view(np.int32) >> _DROPPED_BITS
    return np.where(scores > _HALF, _BINS - 1 - steps, steps)
