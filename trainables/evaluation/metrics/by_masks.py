"""Metrics that read masks: of pixel counts at a threshold, of curves over all, of heatmaps and of defects."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trainables.evaluation.metrics.base import CountMetric, CurveMetric, DefectMetric, HeatmapMetric, Metric
from trainables.evaluation.metrics.inputs import MapAndTruth, PixelCounts, PixelCurve, Undefined
from trainables.evaluation.metrics.pixels import defect_regions
from trainables.evaluation.metrics.regions import DefectScore

__all__ = ["DECLARED"]

_PRO_FPR_LIMIT = 0.3  # Bergmann et al. 2021, MVTec AD, section 5.2
_STRICT_FPR_LIMIT = 0.05  # Bergmann et al. 2022, MVTec LOCO AD, reports sPRO to this limit
_LOWEST_FPR, _HIGHEST_FPR = 1e-5, 1e-4  # Bertoldo et al. 2024, section 3: false pixels that cannot be seen


@CountMetric.of(
    "pixel_iou",
    "IoU",
    "Overlap of predicted and true defect pixels of all images together: Σ TP / Σ (TP + FP + FN).",
)
def _iou(counts: PixelCounts) -> float:
    """A large defect weighs more than a small one."""
    union = counts.tp + counts.fp + counts.fn
    return float(counts.tp.sum() / union.sum())


@CountMetric.of("pixel_iou_positive", "IoU (defective)", "Mean IoU over images that have a defect.")
def _iou_positive(counts: PixelCounts) -> float:
    """Each defective image weighs the same; false alarms in normal ones do not count."""
    union, defective = counts.tp + counts.fp + counts.fn, counts.tp + counts.fn > 0
    return float(np.mean((counts.tp / np.maximum(union, 1))[defective]))


@CurveMetric.of("pixel_ap", "pixel AP", "Average precision over all pixels, step-wise.")
def _ap(curve: PixelCurve) -> float:
    """Step-wise average precision: only the scores of defect pixels change recall."""
    return float(np.sum(curve.gained() * curve.tp / (curve.tp + curve.fp)) / curve.tp[0])


@CurveMetric.of("pixel_auroc", "pixel AUROC", "Area under the ROC curve over all pixels.")
def _auroc(curve: PixelCurve) -> float:
    """Share of pairs in which the defect pixel scores higher than the background's; a tie counts half.

    It is high for most maps, since defects are small.
    """
    lower = curve.background - (curve.fp + curve.fp_above) / 2
    return float(np.sum(curve.gained() * lower) / curve.tp[0] / curve.background)


@CurveMetric.of(
    "pixel_best_f1",
    "best pixel F1 (oracle)",
    "F1 of all pixels at the threshold that is best for it. Reads test masks by definition.",
    noted=False,
)
def _best_f1(curve: PixelCurve) -> float:
    return float((2 * curve.tp / (curve.tp[0] + curve.tp + curve.fp)).max())


def _overlap_up_to(curve: PixelCurve, limit: float) -> float:
    """Per-region overlap over the false-positive rate up to ``limit``, divided by it.

    The exact area under the curve through all thresholds, straight between neighbours. Between two scores
    of defect pixels the overlap stays and the rate grows; at such a score both step, together with the
    background pixels tied to it. So two points per distinct score of a defect pixel hold the whole curve.

    Source: Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, IJCV, section 5.2 (per-region
    overlap normalised by its integration limit).
    """
    # From the highest score down: each level is two points of the curve, before and after its step.
    after = curve.overlap[::-1]
    before = np.append(0.0, after[:-1])
    rates = np.stack([curve.fp_above[::-1], curve.fp[::-1]], axis=1).ravel() / curve.background
    overlaps = np.stack([before, after], axis=1).ravel()
    rates, overlaps = np.r_[0.0, rates, 1.0], np.r_[0.0, overlaps, 1.0]

    # The curve is cut at the limit, where it is interpolated; without that the area would depend on where
    # the last point happens to lie.
    inside = int(np.searchsorted(rates, limit, side="right"))
    start, end = rates[inside - 1], rates[inside]
    part = (limit - start) / (end - start)
    at_limit = overlaps[inside - 1] + part * (overlaps[inside] - overlaps[inside - 1])
    area = np.trapezoid(np.r_[overlaps[:inside], at_limit], np.r_[rates[:inside], limit])
    return float(area / limit)


@HeatmapMetric.of(
    "false_regions",
    "false regions",
    "Connected regions decided defect that touch no defect, per image, at the chosen threshold.",
    unit="regions per image",
    better="lower",
    digits=3,
    noted=False,
)
def _false_regions(images: Iterable[MapAndTruth], threshold: float) -> float:
    """8-connected pieces at the pixel threshold without a defect pixel: their mean over all images."""
    false: list[int] = []
    for heatmap, truth in images:
        count, pieces = defect_regions(heatmap >= np.float32(threshold))
        touching = np.unique(pieces[truth])
        false.append(count - int(np.count_nonzero(touching)))
    return float(np.mean(false))


@HeatmapMetric.of(
    "aupimo",
    "AUPIMO",
    "Recall of defect pixels in each defective image, averaged over false-positive rates of normal images "
    "from 0.00001 to 0.0001 on a log scale.",
    noted=False,
)
def _aupimo(images: Iterable[MapAndTruth], threshold: float) -> float | Undefined:
    """Mean over defective images of the area under their recall, over the log of the false-positive rate.

    The rate is that of normal images alone, shared by all. Recall at a rate z is that of the lowest threshold
    with no more than z. So a defect pixel that c of N normal pixels reach counts at all rates from c / N on,
    and its share of the area is known without a curve: exact, however the scores are spread.

    Source: Bertoldo, Ameln, Vaidya and Akçay 2024, AUPIMO, arXiv 2401.01984.
    """
    defects: list[NDArray[np.float32]] = []
    normal: list[NDArray[np.float32]] = []
    for heatmap, truth in images:
        if truth.any():
            defects.append(heatmap[truth])
        else:
            normal.append(heatmap.ravel())

    # A rate of 1e-5 needs 100,000 normal pixels to be one pixel.
    pixels = sum(map(len, normal))
    if pixels * _LOWEST_FPR < 1:
        return Undefined(f"normal images have {pixels:,} pixels, a rate of 0.00001 needs 100,000")

    # Only the highest scores of normal pixels can lie within the limits, so a partition replaces a sort of
    # all.
    count = int(pixels * _HIGHEST_FPR) + 1
    scores = np.concatenate(normal)
    normal.clear()  # maps may take a gigabyte
    scores.partition(pixels - count)
    highest = np.sort(scores[-count:])
    return float(np.mean([_aupimo_area(defect, highest, pixels) for defect in defects]))


def _aupimo_area(scores: NDArray[np.float32], highest: NDArray[np.float32], pixels: int) -> float:
    """The area of one image, of the scores of its defect pixels."""
    reaching = len(highest) - np.searchsorted(highest, scores, side="left")
    rates = np.clip(reaching / pixels, _LOWEST_FPR, _HIGHEST_FPR)
    return float(np.mean(np.log(_HIGHEST_FPR / rates)) / np.log(_HIGHEST_FPR / _LOWEST_FPR))


@DefectMetric.of(
    "outlined_of_found",
    "outlined of found",
    "Of the defects found, the share with an IoU of at least 0.5.",
    noted=False,
)
def _outlined_of_found(defects: DefectScore) -> float | Undefined:
    """A defect that is outlined was found, so `defects_found` times this is the share that is outlined."""
    return defects.outlined / defects.detected if defects.detected else Undefined("no defect is found")


@CurveMetric.of(
    "pixel_iou_oracle",
    "best IoU (oracle)",
    "IoU (micro) at the threshold that is best for it. Reads test masks by definition.",
)
def _iou_oracle(curve: PixelCurve) -> float:
    return float(curve.iou().max())


@DefectMetric.of(
    "defects_found",
    "defects found",
    "Share of the defects in known masks of which some pixel reaches the pixel threshold.",
    noted=False,
)
def _defects_found(defects: DefectScore) -> float:
    return defects.detected / defects.regions


_pro, _pro_05 = (
    CurveMetric.of(
        name,
        title,
        f"Mean overlap of 8-connected defect regions, integrated to a false-positive rate of {limit:g}.",
        noted=noted,
    )(partial(_overlap_up_to, limit=limit))
    for name, title, limit, noted in (
        ("pixel_pro", "PRO", _PRO_FPR_LIMIT, True),
        ("pixel_pro_05", "PRO to FPR 0.05", _STRICT_FPR_LIMIT, False),
    )
)

DECLARED: tuple[Metric, ...] = (
    _iou, _iou_positive, _iou_oracle, _ap, _auroc, _best_f1, _pro, _pro_05, _false_regions, _aupimo,
    _defects_found, _outlined_of_found,
)  # fmt: skip
