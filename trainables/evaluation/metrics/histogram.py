"""Pixel metrics of many or large maps: scores are counted in bins, so that no pixel has to be kept.

Trade-off: scores that differ by less than 0.2 % are taken as equal. Bins are the leading bits of a float: of
the score up to 0.5, of its distance to 1 above. So they are finest at 0 and 1, where a confident network
crowds its scores and bins of equal width would be coarsest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainables.evaluation.metrics.base import HeatmapMetric
from trainables.evaluation.metrics.inputs import PixelCounts, PixelCurve, Undefined
from trainables.evaluation.metrics.pixels import (
    PixelScores,
    Ranking,
    background_of,
    count_metrics,
    curve_metrics,
    overlap_of,
    region_shares,
)

__all__ = ["BinnedPixelScores", "PixelHistogram", "bin_scores"]

_HALF = 0.5
_DROPPED_BITS = 14  # of the 23 of a float32's mantissa: 9 stay
_HALF_BIN = int(np.float32(_HALF).view(np.int32)) >> _DROPPED_BITS  # holds 0.5 and no other score
_BINS = 2 * _HALF_BIN + 2
_AT_ONCE = 1 << 22  # pixels whose bins are held


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

    def add(
        self,
        heatmaps: NDArray[np.float32],
        truths: NDArray[np.bool_],
        ignored: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take in N images: ``heatmaps`` in [0, 1], ``truths``, and pixels to leave out, all N × H × W."""
        # A defect pixel counts twice: as a pixel, and by its share of its region, which the per-region
        # overlap needs.
        of_images = [region_shares(truth) for truth in truths]
        bins = _bins(heatmaps)
        inside, background = bins[truths], background_of(truths, ignored)
        self._defect += np.bincount(inside, minlength=_BINS)
        self._background += np.bincount(bins[background], minlength=_BINS)
        self._overlap += np.bincount(inside, np.concatenate([s for _, s in of_images]), minlength=_BINS)
        self._regions += sum(count for count, _ in of_images)
        # Decisions at 0.5 are exact, since 0.5 has a bin of its own.
        reached = bins >= _HALF_BIN
        pairs = ((reached, truths), (reached, background), (~reached, truths), (~reached, background))
        self._decided.append(np.stack([np.sum(ours & theirs, axis=(1, 2)) for ours, theirs in pairs]))

    def metrics(self) -> dict[str, float]:
        """All metrics of counts and curves; none where no image has a defect, or no pixel is background."""
        if not self._regions or not self._background.any():
            return {}
        counts = PixelCounts(*np.concatenate(self._decided, axis=1))
        curve = _curve(self._defect, self._background, self._overlap)
        values = count_metrics(counts) | curve_metrics(curve)
        return {name: value for name, value in values.items() if not isinstance(value, Undefined)}


@dataclass
class BinnedPixelScores(PixelScores):
    """:class:`PixelScores` that keep bins: exact for heatmaps whose scores :func:`bin_scores` put into them.

    A heatmap of 64 million pixels takes a few hundred kilobytes. Metrics of whole heatmaps are undefined.
    """

    _defects: NDArray[np.int64] = field(default_factory=_counts)
    _backgrounds: NDArray[np.int64] = field(default_factory=_counts)
    _overlap: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))  # shares of regions
    _of_images: list[tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]] = field(
        default_factory=list[tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]]
    )  # bins with pixels, defect pixels in each, background pixels in each

    def add(
        self, heatmap: NDArray[np.float32], truth: NDArray[np.bool_], ignored: NDArray[np.bool_] | None = None
    ) -> None:
        defect, background = _counts(), _counts()
        rows = max(1, _AT_ONCE // heatmap.shape[1])
        for top in range(0, len(heatmap), rows):
            part = slice(top, top + rows)
            bins, inside = _bins(heatmap[part]), truth[part]
            outside = background_of(inside, None if ignored is None else ignored[part])
            defect += np.bincount(bins[inside], minlength=_BINS)
            background += np.bincount(bins[outside], minlength=_BINS)

        # Regions are looked for in the box around all defects: connected components of a whole large image
        # would take as long as the prediction.
        if defect.any():
            (rows_with, columns_with) = (np.flatnonzero(truth.any(axis=axis)) for axis in (1, 0))
            box = tuple(slice(at[0], at[-1] + 1) for at in (rows_with, columns_with))
            count, shares = region_shares(truth[box])
            self._overlap += np.bincount(_bins(heatmap[box][truth[box]]), shares, minlength=_BINS)
            self._regions += count
        used = np.flatnonzero(defect + background)
        self._of_images.append((used, defect[used], background[used]))
        self._defects += defect
        self._backgrounds += background

    def counts(self, threshold: float) -> PixelCounts:
        reached = np.float32(threshold) <= _SCORES
        rows = [
            (d[up].sum(), b[up].sum(), d[~up].sum(), b[~up].sum())
            for used, d, b in self._of_images
            for up in [reached[used]]
        ]
        return PixelCounts(*np.array(rows, dtype=np.int64).reshape(-1, 4).T)

    def whole_heatmap_metric(self, metric: HeatmapMetric, threshold: float) -> float | Undefined:
        return Undefined("heatmaps of images in tiles are not kept")

    def _rank(self) -> Ranking:
        levels = np.flatnonzero(self._defects)
        used = np.flatnonzero(self._defects + self._backgrounds)
        below = np.searchsorted(used, levels) - 1
        next_lower = np.where(below >= 0, _SCORES[used[np.maximum(below, 0)]], np.float32(0))
        curve = _curve(self._defects, self._backgrounds, self._overlap)
        return Ranking(curve, _SCORES[levels], next_lower)


def _curve(
    defect: NDArray[np.int64], background: NDArray[np.int64], overlap: NDArray[np.float64]
) -> PixelCurve:
    """The curve of pixels counted in bins, with a level for each bin that holds a defect pixel."""
    levels = np.flatnonzero(defect)
    at_least = background[::-1].cumsum()[::-1]
    return PixelCurve(
        tp=defect[::-1].cumsum()[::-1][levels],
        overlap=overlap_of(overlap)[levels],
        fp=at_least[levels],
        fp_above=at_least[levels] - background[levels],
        background=int(at_least[0]),
    )


def bin_scores(heatmap: NDArray[np.float32]) -> None:
    """Put the score that stands for its bin in the place of each: 0.2 % from it at most, and 0.5 stays."""
    rows = max(1, _AT_ONCE // heatmap.shape[1])
    for top in range(0, len(heatmap), rows):
        heatmap[top : top + rows] = _SCORES[_bins(heatmap[top : top + rows])]


def _bins(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """The bin of every score in [0, 1]: counted up from 0 below 0.5, down from 1 above."""
    near = np.abs(np.minimum(scores, 1 - scores))  # 1 − score has no rounding above 0.5; −0 becomes 0
    steps = near.view(np.int32) >> _DROPPED_BITS
    return np.where(scores > _HALF, _BINS - 1 - steps, steps)


# A score of each bin, the nearest to 0 or 1 that it holds.
_NEAR = (np.arange(_HALF_BIN + 1, dtype=np.int32) << _DROPPED_BITS).view(np.float32)
_SCORES: NDArray[np.float32] = np.concatenate([_NEAR, (1 - _NEAR)[::-1]])
