"""Pixel scores: the threshold that validation chooses, and all metrics that read masks.

Heatmaps and masks at the network's input resolution are collected image by image in a :class:`PixelScores`.

Trade-off: pixel AP and PRO of a model are exact. They keep every pixel's score (float32, three times for
AUPIMO: 12 bytes a pixel, 0.3 GB for 135 images of 704 × 256). Only the scores of defect pixels change recall,
so two plain sorts and a binary search replace a threshold loop. A model of many stages would need that a
dozen times over: :mod:`trainables.evaluation.metrics.histogram` counts in bins instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.samples import ImageSet
from trainables.evaluation.metrics.areas import HALF, cover_of
from trainables.evaluation.metrics.base import METRICS, CountMetric, CurveMetric, DefectMetric, HeatmapMetric
from trainables.evaluation.metrics.image_scores import threshold_between
from trainables.evaluation.metrics.inputs import MapAndTruth, PixelCounts, PixelCurve, Undefined

__all__ = [
    "PixelScores",
    "Ranking",
    "background_of",
    "count_metrics",
    "curve_metrics",
    "defect_regions",
    "ignored_of",
    "overlap_of",
    "region_shares",
    "truth_at",
    "truth_of",
]


def count_metrics(counts: PixelCounts) -> dict[str, float | Undefined]:
    """All metrics that read pixel counts at one threshold; some image has a defect."""
    return {m.name: m.value(counts) for m in METRICS.values() if isinstance(m, CountMetric)}


def curve_metrics(curve: PixelCurve) -> dict[str, float | Undefined]:
    """All metrics that read pixel counts at every threshold; undefined where every pixel is defect."""
    curved = [metric for metric in METRICS.values() if isinstance(metric, CurveMetric)]
    if not curve.background:
        return {metric.name: Undefined("no background pixel") for metric in curved}
    return {metric.name: metric.value(curve) for metric in curved}


def truth_at(mask: NDArray[np.uint8], height: int, width: int) -> NDArray[np.bool_]:
    """Bring a mask (1 = defect) to ``height`` × ``width``: a cell is defect when at least half its area is.

    A mask that would vanish (a hair crack at an eighth of its size) keeps its strongest cells: the image is
    labelled defective, and without any truth pixel its defect could be neither found nor missed. Specks of
    a mask of which other parts remain do go: they are below the resolution at which the network is evaluated.
    """
    if mask.shape == (height, width):
        return mask > 0
    # INTER_AREA averages areas only while no axis grows.
    size = (min(width, mask.shape[1]), min(height, mask.shape[0]))
    resized = cv2.resize((mask > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    cover = np.asarray(resized, np.float32)
    if cover.shape != (height, width):
        cover = _enlarged(cover, height, width)
    truth = cover >= HALF
    strongest = cover.max()
    # Cells of equal cover differ by rounding of the area weights only.
    return truth if truth.any() or strongest <= 0 else cover >= strongest * (1 - 1e-5)


def _enlarged(cover: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Shares of larger cells as those of smaller ones, height × width, from the part that is covered."""
    left, top, across, down = cv2.boundingRect((cover > 0).astype(np.uint8))
    enlarged = np.zeros((height, width))
    if across:
        part = cover[top : top + down, left : left + across]
        stored = (cover.shape[0], cover.shape[1])
        rows, columns, shares = cover_of(part, (top, left), stored, (height, width))
        enlarged[rows, columns] = shares
    return enlarged


def defect_regions(truth: NDArray[np.bool_]) -> tuple[int, NDArray[np.int32]]:
    """Number of 8-connected defects in ``truth``, and for each pixel its defect's number (1.., 0: none)."""
    count, numbers = cv2.connectedComponents(truth.astype(np.uint8), connectivity=8)
    return count - 1, np.asarray(numbers, dtype=np.int32)


def background_of(truth: NDArray[np.bool_], ignored: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """All pixels but defects and those to leave out."""
    return ~truth if ignored is None else ~(truth | ignored)


def region_shares(truth: NDArray[np.bool_]) -> tuple[int, NDArray[np.float64]]:
    """Number of defects, and for each defect pixel in reading order its share of its defect."""
    count, regions = defect_regions(truth)
    inside = regions[truth]
    return count, 1 / np.bincount(inside, minlength=count + 1)[inside]


def overlap_of(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean share of a region that scores so high, of shares at ascending scores; the first is exactly 1."""
    overlap = shares[::-1].cumsum()[::-1]
    return overlap / overlap[0]  # the number of regions, but for rounding


class Ranking(NamedTuple):
    """The curve of scores, and where between them a threshold may stand."""

    curve: PixelCurve
    levels: NDArray[np.float32]
    next_lower: NDArray[np.float32]  # the next lower score of any pixel; 0 when there is none


@dataclass
class PixelScores:
    """Scores of all pixels of a set of images, for the metrics that read masks."""

    _defect: list[NDArray[np.float32]] = field(default_factory=list)  # one array per image
    _background: list[NDArray[np.float32]] = field(default_factory=list)
    # Bits of defect and of background pixels, and H × W.
    _truths: list[tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[int, ...]]] = field(default_factory=list)
    _shares: list[NDArray[np.float64]] = field(default_factory=list)  # of each defect pixel in its region
    _regions: int = 0

    def add(
        self, heatmap: NDArray[np.float32], truth: NDArray[np.bool_], ignored: NDArray[np.bool_] | None = None
    ) -> None:
        """Take in one image: ``heatmap`` in [0, 1], ``truth``, and pixels to leave out, all H × W."""
        count, shares = region_shares(truth)
        background = background_of(truth, ignored)
        self._defect.append(heatmap[truth])
        self._background.append(heatmap[background])
        self._truths.append((np.packbits(truth), np.packbits(background), truth.shape))
        self._shares.append(shares)
        self._regions += count

    @property
    def has_defects(self) -> bool:
        """True where some pixel of some image is defect."""
        return self._regions > 0

    def counts(self, threshold: float) -> PixelCounts:
        """Confusion counts of each image; a pixel is decided defect when its score ≥ ``threshold``."""
        level = np.float32(threshold)
        tp = np.array([np.count_nonzero(scores >= level) for scores in self._defect], dtype=np.int64)
        fp = np.array([np.count_nonzero(scores >= level) for scores in self._background], dtype=np.int64)
        fn = np.array([len(scores) for scores in self._defect], dtype=np.int64) - tp
        tn = np.array([len(scores) for scores in self._background], dtype=np.int64) - fp
        return PixelCounts(tp, fp, fn, tn)

    def metrics(self, threshold: float) -> dict[str, float | Undefined]:
        """All metrics of counts, curves and heatmaps."""
        reading = {
            name: metric
            for name, metric in METRICS.items()
            if metric.reads == "masks" and not isinstance(metric, DefectMetric)
        }
        # Without a known defect no metric of pixels means anything, and one reason is given for all of them.
        if not self.has_defects:
            return dict.fromkeys(reading, Undefined("no mask of a defective image to compare with"))
        values = count_metrics(self.counts(threshold)) | curve_metrics(self._rank().curve)
        for name, metric in reading.items():
            if isinstance(metric, HeatmapMetric):
                values[name] = self.whole_heatmap_metric(metric, threshold)
        return {name: values[name] for name in reading}

    def whole_heatmap_metric(self, metric: HeatmapMetric, threshold: float) -> float | Undefined:
        """A metric that reads whole heatmaps."""
        return metric.value(self.images(), threshold)

    def images(self) -> Iterator[MapAndTruth]:
        """The heatmaps with their masks, in the order of ``add``."""
        for defect, background, (*bits, shape) in zip(
            self._defect, self._background, self._truths, strict=True
        ):
            truth, rest = (
                np.unpackbits(each, count=math.prod(shape)).astype(np.bool_).reshape(shape) for each in bits
            )
            heatmap = np.zeros(shape, np.float32)
            heatmap[truth], heatmap[rest] = defect, background
            yield MapAndTruth(heatmap, truth)

    def best_iou_threshold(self) -> float | Undefined:
        """The threshold of best micro IoU, as a midpoint and with ties as in ``best_f1_threshold``."""
        if not self.has_defects:
            return Undefined("no mask of a defective image")
        ranking = self._rank()
        best = int(np.argmax(ranking.curve.iou()))
        return threshold_between(float(ranking.next_lower[best]), float(ranking.levels[best]), np.float32)

    def _rank(self) -> Ranking:
        # Only scores of defect pixels are levels; how many background pixels lie above each is looked up in
        # a sorted row.
        background = np.concatenate(self._background)
        background.sort()
        defect, shares = np.concatenate(self._defect), np.concatenate(self._shares)
        order = np.argsort(defect)
        levels, first = np.unique(defect[order], return_index=True)
        overlap = overlap_of(shares[order])
        at_least = np.searchsorted(background, levels, side="left")

        # The next lower score of any pixel, defect or background: a threshold half-way to it changes no
        # decision.
        next_lower = np.append(np.float32(0), levels[:-1])
        inner = at_least > 0
        next_lower[inner] = np.maximum(next_lower[inner], background[at_least[inner] - 1])
        curve = PixelCurve(
            tp=len(defect) - first,
            overlap=overlap[first],
            fp=len(background) - at_least,
            fp_above=len(background) - np.searchsorted(background, levels, side="right"),
            background=len(background),
        )
        return Ranking(curve, levels, next_lower)


def truth_of(images: ImageSet, index: int, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The mask at the network's input size; None for a defective image whose mask may not be read."""
    if not images.labels[index]:
        return np.zeros(size, dtype=np.bool_)
    mask = images.masks.get(images.ids[index])
    if mask is None or not mask.any():  # an empty mask of a defective image says nothing of where it is
        return None
    return truth_at(mask, *size)


def ignored_of(images: ImageSet, index: int, truth: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """The pixels that are neither the defects of ``truth`` nor background; None where there are none."""
    mask = images.ignored.get(images.ids[index])
    if truth is None or mask is None or not mask.any():
        return None
    return truth_at(mask, truth.shape[0], truth.shape[1]) & ~truth
