"""All that a metric may be computed from: scores of images, counts and curves of pixels, heatmaps.

:class:`~trainables.evaluation.metrics.pixels.PixelScores` makes the curve of exact scores,
:class:`~trainables.evaluation.metrics.histogram.PixelHistogram` that of scores in bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SINGLE_VIEWS",
    "Erasure",
    "ImageScores",
    "MapAndTruth",
    "PixelCounts",
    "PixelCurve",
    "Undefined",
    "missing_class",
]


@dataclass(frozen=True)
class Undefined:
    """A metric (or threshold) that the data at hand do not define, and why."""

    reason: str


SINGLE_VIEWS = Undefined("every item has one image")  # of metrics of parts


def missing_class(labels: NDArray[np.bool_]) -> Undefined | None:
    """The reason where not both classes are there."""
    if not labels.any():
        return Undefined("no defective image")
    return Undefined("no normal image") if labels.all() else None


@dataclass(frozen=True, eq=False)
class ImageScores:
    """Labels and scores of images. One is decided defective when its score ≥ ``threshold``."""

    labels: NDArray[np.bool_]  # True: defective
    scores: NDArray[np.floating[Any]]  # in [0, 1]
    threshold: float
    items: tuple[str, ...] = ()  # physical item of each image; (): unknown

    @cached_property
    def parts(self) -> ImageScores | Undefined:
        """Items as if they were images: defective where any of its images is, with the highest score."""
        # A part is defective if one of its views shows a defect, and is decided by the view that looks
        # worst, as at a line.
        names, of_image = np.unique(self.items, return_inverse=True)
        if len(names) == len(self.items):
            return SINGLE_VIEWS
        labels = np.bincount(of_image, weights=self.labels) > 0
        scores = np.full(len(names), -np.inf)
        np.maximum.at(scores, of_image, self.scores)
        return ImageScores(labels, scores, self.threshold)

    @property
    def parts_or_images(self) -> ImageScores:
        """Parts, or the images themselves where every item has one."""
        return self if isinstance(self.parts, Undefined) else self.parts

    @cached_property
    def missing(self) -> Undefined | None:
        """The reason where not both classes are there."""
        return missing_class(self.labels)

    @cached_property
    def no_defective(self) -> Undefined | None:
        """The reason where no image is defective."""
        return None if self.labels.any() else self.missing

    @cached_property
    def _decisions(self) -> NDArray[np.bool_]:
        return self.scores >= self.threshold

    @cached_property
    def tp(self) -> int:
        """Defective images decided defective."""
        return int(np.sum(self._decisions & self.labels))

    @cached_property
    def fp(self) -> int:
        """Normal images decided defective."""
        return int(np.sum(self._decisions & ~self.labels))

    @cached_property
    def fn(self) -> int:
        """Defective images decided normal."""
        return int(np.sum(~self._decisions & self.labels))

    @cached_property
    def tn(self) -> int:
        """Normal images decided normal."""
        return int(np.sum(~self._decisions & ~self.labels))


class PixelCounts(NamedTuple):
    """Pixels of each image at one threshold: arrays of one value per image."""

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    tn: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PixelCurve:
    """Pixels found and false at any score.

    One entry per distinct score of a defect pixel (a level), ascending; there is at least one.
    """

    tp: NDArray[np.int64]  # defect pixels with score ≥ level
    overlap: NDArray[np.float64]  # mean share of a region that scores ≥ level
    fp: NDArray[np.int64]  # background pixels with score ≥ level
    fp_above: NDArray[np.int64]  # background pixels with score > level
    background: int

    def iou(self) -> NDArray[np.float64]:
        """Micro IoU with each level as the threshold."""
        return self.tp / (self.tp[0] + self.fp)

    def gained(self) -> NDArray[np.int64]:
        """Defect pixels of each level."""
        return self.tp - np.append(self.tp[1:], 0)


class MapAndTruth(NamedTuple):
    """One image at the network's input resolution, H × W."""

    heatmap: NDArray[np.float32]  # in [0, 1]; 0 in pixels that are neither defect nor background
    truth: NDArray[np.bool_]  # True: defect


@dataclass(frozen=True, eq=False)
class Erasure:
    """Validation images before and after their shown defects are painted over."""

    drops: NDArray[np.float64]  # fall of p(defect), one per defective image
    image_ap: float
