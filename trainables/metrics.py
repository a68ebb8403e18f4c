"""Every score that a table may show, and the two rules by which validation chooses thresholds.

``METRICS`` names them. Image metrics read labels and one score per image; pixel metrics read heatmaps and
masks at the network's input resolution, collected image by image in a :class:`PixelScores`. A metric that
the data do not define is :class:`Undefined` with a reason: never NaN, never a 0 that looks measured.

Trade-off: pixel AP and PRO of a model are exact. They keep every pixel's score (float32, twice while ranking:
8 bytes a pixel, 0.2 GB for 135 images of 704 × 256). Only the scores of defect pixels change recall, so two
plain sorts and a binary search replace a threshold loop. A model of many stages would need that a dozen times
over: :mod:`trainables.pixel_histogram` counts in bins instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.pixel_curve import CURVE_METRICS, PixelCurve, mean_overlaps

__all__ = [
    "METRICS",
    "PROXIES",
    "Metric",
    "PixelCounts",
    "PixelScores",
    "Undefined",
    "best_f1_threshold",
    "defect_regions",
    "image_ap",
    "image_metrics",
    "region_shares",
    "truth_at",
]


@dataclass(frozen=True)
class Metric:
    """What a score is called, how it reads and what it needs."""

    name: str
    title: str
    unit: Literal["share", "images"]  # share: 0..1
    better: Literal["higher", "lower"]
    worst: float | None  # the value a diverged trial gets; None: no bound (a count depends on the test set)
    reads: Literal["labels", "masks"]
    description: str


def _share(name: str, title: str, reads: Literal["labels", "masks"], description: str) -> Metric:
    return Metric(name, title, "share", "higher", 0.0, reads, description)


def _count(name: str, title: str, description: str) -> Metric:
    return Metric(name, title, "images", "lower", None, "labels", description)


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        _share("image_ap", "AP", "labels", "Average precision of image scores, step-wise."),
        _share("image_auroc", "AUROC", "labels", "Area under the ROC curve of image scores."),
        _share("image_f1", "F1", "labels", "F1 of image decisions at the chosen threshold."),
        _share(
            "image_best_f1",
            "best F1 (oracle)",
            "labels",
            "F1 of image decisions at the threshold that is best for it. Reads test labels by definition.",
        ),
        _share("image_accuracy", "accuracy", "labels", "Share of images decided rightly."),
        _share("image_mean_class_accuracy", "mean class accuracy", "labels", "(TPR + TNR) / 2 of decisions."),
        _count("fp", "FP", "Normal images decided defective, at the chosen threshold."),
        _count("fn", "FN", "Defective images decided normal, at the chosen threshold."),
        _count(
            "fp_at_zero_fn",
            "FP at FN = 0",
            "Normal images scored no lower than the lowest defective one: the cost of missing nothing. "
            "Reads test labels by definition; no threshold of it is used elsewhere.",
        ),
        _share("pixel_iou", "IoU", "masks", "Σ TP / Σ (TP + FP + FN) over all pixels of all images (micro)."),
        _share("pixel_iou_positive", "IoU (defective)", "masks", "Mean IoU over images that have a defect."),
        _share(
            "pixel_iou_oracle",
            "best IoU (oracle)",
            "masks",
            "IoU (micro) at the threshold that is best for it. Reads test masks by definition.",
        ),
        _share("pixel_ap", "pixel AP", "masks", "Average precision over all pixels, step-wise."),
        _share("pixel_auroc", "pixel AUROC", "masks", "Area under the ROC curve over all pixels."),
        _share(
            "pixel_pro",
            "PRO",
            "masks",
            "Mean overlap of 8-connected defect regions, integrated to a false-positive rate of 0.3.",
        ),
    )
}


# What a search may ask of validation images beside METRICS, of a method that offers it (`Trainable.proxies`):
# scores of localisation that read image labels only, where choosing by masks would end weak supervision.
PROXIES: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        _share(
            "erasure_drop",
            "erasure drop",
            "labels",
            "Fall of p(defect) when what the heatmap shows is painted over, mean over defective images.",
        ),
        _share(
            "image_ap_and_erasure_drop",
            "AP and erasure drop",
            "labels",
            "Mean of image_ap and erasure_drop.",
        ),
    )
}


@dataclass(frozen=True)
class Undefined:
    """A metric (or threshold) that the data at hand do not define, and why."""

    reason: str


# Images -------------------------------------------------------------------------------------------------


def image_ap(labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> float | Undefined:
    """Average precision of image scores, step-wise: Σ (R_n − R_{n−1})·P_n, tied scores taken together.

    Undefined when a class is missing: without normal images every ranking would reach 1.
    """
    from sklearn.metrics import average_precision_score  # a second: only what scores pays for it

    missing = _missing_class(labels)
    return missing or float(average_precision_score(labels, scores))


def image_metrics(
    labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]], threshold: float
) -> dict[str, float | Undefined]:
    """All metrics that read labels only; an image is decided defective when its score ≥ ``threshold``."""
    from sklearn.metrics import roc_auc_score

    missing = _missing_class(labels)
    no_positive = None if labels.any() else missing
    decisions = scores >= threshold
    tp, fp = int(np.sum(decisions & labels)), int(np.sum(decisions & ~labels))
    fn, tn = int(np.sum(~decisions & labels)), int(np.sum(~decisions & ~labels))
    return {
        "image_ap": image_ap(labels, scores),
        "image_auroc": missing or float(roc_auc_score(labels, scores)),
        "image_f1": no_positive or 2 * tp / (2 * tp + fp + fn),
        "image_best_f1": missing or float(_f1_by_score(labels, scores)[1].max()),
        "image_accuracy": (tp + tn) / len(labels) if len(labels) else Undefined("no image"),
        "image_mean_class_accuracy": missing or (tp / (tp + fn) + tn / (tn + fp)) / 2,
        "fp": float(fp) if fp + tn else Undefined("no normal image"),
        "fn": no_positive or float(fn),
        "fp_at_zero_fn": missing or float(np.sum(scores[~labels] >= scores[labels].min())),
    }


def best_f1_threshold(
    labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]], dtype: type[np.floating[Any]] = np.float64
) -> float | Undefined:
    """The threshold of best F1, as the midpoint between the chosen score and the next lower one.

    The midpoint (Božič et al. 2021, published evaluation code) leaves the margin on both sides. Of several
    thresholds with one F1 the lowest is taken: a missed defect costs more than a false alarm.

    Args:
        labels: One per image, True: defective.
        scores: One per image, in [0, 1].
        dtype: Type of the numbers that will be compared with the threshold; it is representable in it.
    """
    missing = _missing_class(labels)
    if missing:
        return missing
    levels, f1 = _f1_by_score(labels, scores)
    best = int(np.argmax(f1))  # argmax takes the first, the lowest score
    return _between(levels[best - 1] if best else 0.0, levels[best], dtype)


def _f1_by_score(
    labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.float64]]:
    """The distinct scores, ascending, and F1 with each of them as the threshold."""
    levels, inverse = np.unique(scores, return_inverse=True)
    positives = np.bincount(inverse, weights=labels, minlength=len(levels))
    decided = np.bincount(inverse, minlength=len(levels))[::-1].cumsum()[::-1]
    tp = positives[::-1].cumsum()[::-1]
    return levels, 2 * tp / (decided + labels.sum())


def _missing_class(labels: NDArray[np.bool_]) -> Undefined | None:
    if not labels.any():
        return Undefined("no defective image")
    return Undefined("no normal image") if labels.all() else None


def _between(lower: float, upper: float, dtype: type[np.floating[Any]]) -> float:
    """The midpoint in ``dtype``; ``upper`` where rounding would let ``lower`` reach the threshold."""
    middle = dtype((float(lower) + float(upper)) / 2)
    return float(middle if middle > lower else dtype(upper))


# Pixels -------------------------------------------------------------------------------------------------


def truth_at(mask: NDArray[np.uint8], height: int, width: int) -> NDArray[np.bool_]:
    """Bring a mask (1 = defect) to ``height`` × ``width``: a cell is defect when at least half its area is.

    A mask that would vanish (a hair crack at an eighth of its size) keeps its strongest cells: the image is
    labelled defective, and without any truth pixel its defect could be neither found nor missed. Specks of
    a mask of which other parts remain do go: they are below the resolution at which the network is judged.
    """
    if mask.shape == (height, width):
        return mask > 0
    cover = cv2.resize((mask > 0).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    truth = cover >= 0.5
    strongest = cover.max()
    # Cells of equal cover differ by rounding of the area weights only.
    return truth if truth.any() or strongest <= 0 else cover >= strongest * (1 - 1e-5)


def defect_regions(truth: NDArray[np.bool_]) -> tuple[int, NDArray[np.int32]]:
    """Number of 8-connected defects in ``truth``, and for each pixel its defect's number (1.., 0: none)."""
    count, numbers = cv2.connectedComponents(truth.astype(np.uint8), connectivity=8)
    return count - 1, np.asarray(numbers, dtype=np.int32)


def region_shares(truth: NDArray[np.bool_]) -> tuple[int, NDArray[np.float64]]:
    """Number of defects, and for each defect pixel in reading order its share of its defect."""
    count, regions = defect_regions(truth)
    inside = regions[truth]
    return count, 1 / np.bincount(inside, minlength=count + 1)[inside]


class PixelCounts(NamedTuple):
    """Pixels of each image at one threshold: arrays of one value per image, in the order of ``add``."""

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    tn: NDArray[np.int64]


class _Ranking(NamedTuple):
    """The curve of exact scores, and where between them a threshold may stand."""

    curve: PixelCurve
    levels: NDArray[np.float32]
    next_lower: NDArray[np.float32]  # the next lower score of any pixel; 0 when there is none


@dataclass
class PixelScores:
    """Scores of all pixels of a set of images, for the metrics that read masks."""

    _defect: list[NDArray[np.float32]] = field(default_factory=list)  # one array per image
    _background: list[NDArray[np.float32]] = field(default_factory=list)
    _shares: list[NDArray[np.float64]] = field(default_factory=list)  # of each defect pixel in its region
    _regions: int = 0

    def add(self, heatmap: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        """Take in one image: ``heatmap`` in [0, 1] and ``truth``, both H × W."""
        count, shares = region_shares(truth)
        self._defect.append(heatmap[truth])
        self._background.append(heatmap[~truth])
        self._shares.append(shares)
        self._regions += count

    @property
    def has_defects(self) -> bool:
        """Whether any pixel of any image is defect."""
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
        """All metrics that read masks."""
        if not self.has_defects:
            nothing = Undefined("no mask of a defective image to compare with")
            return {name: nothing for name, metric in METRICS.items() if metric.reads == "masks"}
        tp, fp, fn, _ = self.counts(threshold)
        return {**mean_overlaps(tp, fp, fn), **self._curve_metrics()}

    def _curve_metrics(self) -> dict[str, float | Undefined]:
        curve = self._rank().curve
        if curve.background:
            return dict(curve.metrics())
        return dict.fromkeys(CURVE_METRICS, Undefined("no background pixel"))

    def best_iou_threshold(self) -> float | Undefined:
        """The threshold of best micro IoU, as a midpoint and with ties as in :func:`best_f1_threshold`."""
        if not self.has_defects:
            return Undefined("no mask of a defective image")
        ranking = self._rank()
        best = int(np.argmax(ranking.curve.iou()))
        return _between(float(ranking.next_lower[best]), float(ranking.levels[best]), np.float32)

    def _rank(self) -> _Ranking:
        background = np.concatenate(self._background)
        background.sort()
        defect, shares = np.concatenate(self._defect), np.concatenate(self._shares)
        order = np.argsort(defect)
        levels, first = np.unique(defect[order], return_index=True)
        overlap = shares[order][::-1].cumsum()[::-1] / self._regions
        at_least = np.searchsorted(background, levels, side="left")
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
        return _Ranking(curve, levels, next_lower)
