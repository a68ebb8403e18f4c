"""Metrics that read image labels only: of image scores, of decisions on images, and of both on parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.metrics.base import ImageMetric, Metric, of_parts
from trainables.metrics.images import f1_by_score, rates_by_score
from trainables.metrics.inputs import ImageScores, Undefined, missing_class

__all__ = ["DECLARED", "image_ap"]

_TPR, _FPR = 0.95, 0.01

# Rankings: scores alone, without a threshold of the model ----------------------------------------------


def image_ap(labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> float | Undefined:
    """Average precision of image scores, step-wise: Σ (R_n − R_{n−1})·P_n, tied scores taken together.

    Undefined when a class is missing: without normal images every ranking would reach 1.
    """
    missing = missing_class(labels)
    if missing is not None:
        return missing
    from sklearn.metrics import average_precision_score  # a second: only what scores pays for it

    return float(average_precision_score(labels, scores))


def _image_auroc(images: ImageScores) -> float | Undefined:
    """Share of pairs in which the defective image scores higher; ties count half."""
    if images.missing is not None:
        return images.missing
    from sklearn.metrics import roc_auc_score  # a second: only what scores pays for it

    return float(roc_auc_score(images.labels, images.scores))


def _image_best_f1(images: ImageScores) -> float | Undefined:
    """The largest over all scores as thresholds."""
    return images.missing or float(f1_by_score(images.labels, images.scores)[1].max())


def _fp_at_zero_fn(images: ImageScores) -> float | Undefined:
    """Normal images that score at least as high as the lowest defective one."""
    labels, scores = images.labels, images.scores
    return images.missing or float(np.sum(scores[~labels] >= scores[labels].min()))


def _fpr_at_tpr_95(images: ImageScores) -> float | Undefined:
    """The lowest rate of any threshold that finds so many; below 20 defective images, all of them."""
    if images.missing:
        return images.missing
    tpr, fpr = rates_by_score(images.labels, images.scores)
    return float(fpr[tpr >= _TPR].min())  # the lowest score finds all


def _tpr_at_fpr_1(images: ImageScores) -> float | Undefined:
    """The highest rate of any threshold with so few false alarms; below 100 normal images, with none."""
    if images.missing:
        return images.missing
    tpr, fpr = rates_by_score(images.labels, images.scores)
    return float(np.max(tpr[fpr <= _FPR], initial=0.0))


# Decisions at the threshold that validation chose ------------------------------------------------------


def _image_accuracy(images: ImageScores) -> float | Undefined:
    """One class is enough; says little where few images are defective."""
    count = len(images.labels)
    return (images.tp + images.tn) / count if count else Undefined("no image")


def _image_mean_class_accuracy(images: ImageScores) -> float | Undefined:
    """Mean of the true-positive and the true-negative rate: both classes weigh alike."""
    tp, fp, fn, tn = images.tp, images.fp, images.fn, images.tn
    return images.missing or (tp / (tp + fn) + tn / (tn + fp)) / 2


def _image_f1(images: ImageScores) -> float | Undefined:
    """Normal images need not be there."""
    return images.no_defective or 2 * images.tp / (2 * images.tp + images.fp + images.fn)


def _fp(images: ImageScores) -> float | Undefined:
    return float(images.fp) if images.fp + images.tn else Undefined("no normal image")


def _fn(images: ImageScores) -> float | Undefined:
    return images.no_defective or float(images.fn)


def _false_alarms(images: ImageScores) -> float | Undefined:
    """Good parts alone count: their share differs between a test and a line."""
    parts = images.parts_or_images
    normal = parts.fp + parts.tn
    return 1000 * parts.fp / normal if normal else Undefined("no normal image")


def _escapes(images: ImageScores) -> float | Undefined:
    """Defective parts alone count: their share differs between a test and a line."""
    parts = images.parts_or_images
    return parts.no_defective or 1000 * parts.fn / (parts.fn + parts.tp)


_AP = ImageMetric(
    name="image_ap",
    title="AP",
    description="Average precision of image scores, step-wise.",
    compute=lambda images: image_ap(images.labels, images.scores),
)
_AUROC = ImageMetric(
    name="image_auroc",
    title="AUROC",
    description="Area under the ROC curve of image scores.",
    compute=_image_auroc,
)
_F1 = ImageMetric(
    name="image_f1",
    title="F1",
    description="F1 of image decisions at the chosen threshold.",
    compute=_image_f1,
)
_FALSE_POSITIVES = ImageMetric(
    name="fp",
    title="FP",
    description="Normal images decided defective, at the chosen threshold.",
    unit="images",
    better="lower",
    compute=_fp,
)
_FALSE_NEGATIVES = ImageMetric(
    name="fn",
    title="FN",
    description="Defective images decided normal, at the chosen threshold.",
    unit="images",
    better="lower",
    compute=_fn,
)

DECLARED: tuple[Metric, ...] = (
    _AP,
    _AUROC,
    _F1,
    _FALSE_POSITIVES,
    _FALSE_NEGATIVES,
    ImageMetric(
        name="image_best_f1",
        title="best F1 (oracle)",
        description="F1 of image decisions at the threshold that is best for it. Reads test labels by "
        "definition.",
        compute=_image_best_f1,
    ),
    ImageMetric(
        name="fp_at_zero_fn",
        title="FP at FN = 0",
        description="Normal images scored no lower than the lowest defective one: the cost of missing "
        "nothing. Reads test labels by definition; no threshold of it is used elsewhere.",
        unit="images",
        better="lower",
        compute=_fp_at_zero_fn,
    ),
    ImageMetric(
        name="fpr_at_tpr_95",
        title="FPR at TPR 95 %",
        description="Share of normal images that are false alarms where at least 95 % of the defective ones "
        "are found. Reads test labels by definition.",
        better="lower",
        noted=False,
        compute=_fpr_at_tpr_95,
    ),
    ImageMetric(
        name="tpr_at_fpr_1",
        title="TPR at FPR 1 %",
        description="Share of defective images found where at most 1 % of the normal ones are false alarms. "
        "Reads test labels by definition.",
        noted=False,
        compute=_tpr_at_fpr_1,
    ),
    ImageMetric(
        name="image_accuracy",
        title="accuracy",
        description="Share of images decided rightly.",
        compute=_image_accuracy,
    ),
    ImageMetric(
        name="image_mean_class_accuracy",
        title="mean class accuracy",
        description="(TPR + TNR) / 2 of decisions.",
        compute=_image_mean_class_accuracy,
    ),
    ImageMetric(
        name="false_alarms",
        title="false alarms per 1,000",
        description="Good parts decided defective, per 1,000 good ones, at the chosen threshold; of images "
        "where every part has one.",
        unit="parts in 1,000",
        better="lower",
        noted=False,
        compute=_false_alarms,
    ),
    ImageMetric(
        name="escapes",
        title="escapes per 1,000",
        description="Defective parts decided good, per 1,000 defective ones, at the chosen threshold; of "
        "images where every part has one.",
        unit="parts in 1,000",
        better="lower",
        noted=False,
        compute=_escapes,
    ),
    of_parts(
        _AP,
        name="part_ap",
        title="part AP",
        description="Average precision of parts, each with the highest score of its images.",
    ),
    of_parts(
        _AUROC,
        name="part_auroc",
        title="part AUROC",
        description="Area under the ROC curve of parts, each with the highest score of its images.",
    ),
    of_parts(
        _F1,
        name="part_f1",
        title="part F1",
        description="F1 of parts; a part is decided defective where any of its images is.",
    ),
    of_parts(
        _FALSE_POSITIVES,
        name="part_fp",
        title="part FP",
        description="Normal parts of which any image is decided defective.",
    ),
    of_parts(
        _FALSE_NEGATIVES,
        name="part_fn",
        title="part FN",
        description="Defective parts of which every image is decided normal.",
    ),
)
