"""Metrics that read image labels only: of image scores, of decisions on images, and of both on parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.evaluation.metrics.base import ImageMetric, Metric, part_metric
from trainables.evaluation.metrics.image_scores import counts_by_score, f1_by_score, rates_by_score
from trainables.evaluation.metrics.inputs import ImageScores, Undefined, missing_class

__all__ = ["DECLARED", "image_ap"]

_TPR, _FPR = 0.95, 0.01


def image_ap(labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> float | Undefined:
    """Average precision of image scores, step-wise: Σ (R_n − R_{n−1})·P_n, tied scores taken together.

    Undefined when a class is missing: without normal images every ranking would reach 1.
    """
    missing = missing_class(labels)
    if missing is not None:
        return missing
    _, tp, decided = counts_by_score(labels, scores)
    if _is_perfect(tp, decided):
        return 1.0
    recall = np.append(tp / tp[0], 0.0)  # the lowest score finds all
    return float(np.sum(-np.diff(recall) * (tp / decided)))


def _is_perfect(tp: NDArray[np.float64], decided: NDArray[np.int64]) -> bool:
    """True where a threshold parts the classes: their areas are 1, and sums of rounded shares need not be."""
    return bool((decided[tp == tp[0]] == tp[0]).any())


@ImageMetric.of("image_ap", "AP", "Average precision of image scores, step-wise.")
def _ap(images: ImageScores) -> float | Undefined:
    return image_ap(images.labels, images.scores)


@ImageMetric.of("image_auroc", "AUROC", "Area under the ROC curve of image scores.")
def _auroc(images: ImageScores) -> float | Undefined:
    """Share of pairs in which the defective image scores higher; ties count half."""
    if images.missing is not None:
        return images.missing
    _, tp, decided = counts_by_score(images.labels, images.scores)
    if _is_perfect(tp, decided):
        return 1.0
    hits, alarms = np.append(0.0, tp[::-1]), np.append(0.0, (decided - tp)[::-1])
    # Corners alone, as scikit-learn has it: to the bit, so that records which it counted tie with later ones.
    turns = np.flatnonzero((np.diff(hits[1:], 2) != 0) | (np.diff(alarms[1:], 2) != 0)) + 2
    corners = np.concatenate([[0, 1], turns, [len(hits) - 1]])
    return float(np.trapezoid(hits[corners] / tp[0], alarms[corners] / (decided - tp)[0]))


# Decisions at the threshold that validation chose ------------------------------------------------------


@ImageMetric.of("image_f1", "F1", "F1 of image decisions at the chosen threshold.")
def _f1(images: ImageScores) -> float | Undefined:
    """F1 of the defective class, for which normal images need not be there."""
    return images.no_defective or 2 * images.tp / (2 * images.tp + images.fp + images.fn)


@ImageMetric.of(
    "fp",
    "FP",
    "Normal images decided defective, at the chosen threshold.",
    unit="images",
    better="lower",
)
def _fp(images: ImageScores) -> float | Undefined:
    return float(images.fp) if images.fp + images.tn else Undefined("no normal image")


@ImageMetric.of(
    "fn",
    "FN",
    "Defective images decided normal, at the chosen threshold.",
    unit="images",
    better="lower",
)
def _fn(images: ImageScores) -> float | Undefined:
    return images.no_defective or float(images.fn)


@ImageMetric.of("image_accuracy", "accuracy", "Share of images decided rightly.")
def _accuracy(images: ImageScores) -> float | Undefined:
    """The share of right decisions. One class is enough; it says little where few images are defective."""
    count = len(images.labels)
    return (images.tp + images.tn) / count if count else Undefined("no image")


@ImageMetric.of("image_mean_class_accuracy", "mean class accuracy", "(TPR + TNR) / 2 of decisions.")
def _mean_class_accuracy(images: ImageScores) -> float | Undefined:
    tp, fp, fn, tn = images.tp, images.fp, images.fn, images.tn
    return images.missing or (tp / (tp + fn) + tn / (tn + fp)) / 2


@ImageMetric.of(
    "false_alarms",
    "false alarms per 1,000",
    "Good parts decided defective, per 1,000 good ones, at the chosen threshold; of images where every part "
    "has one.",
    unit="parts in 1,000",
    better="lower",
    noted=False,
)
def _false_alarms(images: ImageScores) -> float | Undefined:
    """Good parts alone count: their share differs between a test and a line."""
    parts = images.parts_or_images
    normal = parts.fp + parts.tn
    return 1000 * parts.fp / normal if normal else Undefined("no normal image")


@ImageMetric.of(
    "escapes",
    "escapes per 1,000",
    "Defective parts decided good, per 1,000 defective ones, at the chosen threshold; of images where every "
    "part has one.",
    unit="parts in 1,000",
    better="lower",
    noted=False,
)
def _escapes(images: ImageScores) -> float | Undefined:
    """Defective parts alone count: their share differs between a test and a line."""
    parts = images.parts_or_images
    return parts.no_defective or 1000 * parts.fn / (parts.fn + parts.tp)


# Rankings: scores alone, without a threshold of the model ----------------------------------------------


@ImageMetric.of(
    "image_best_f1",
    "best F1 (oracle)",
    "F1 of image decisions at the threshold that is best for it. Reads test labels by definition.",
)
def _best_f1(images: ImageScores) -> float | Undefined:
    return images.missing or float(f1_by_score(images.labels, images.scores)[1].max())


def _at_best_f1(images: ImageScores) -> ImageScores | Undefined:
    """The images decided at the score of best F1, the lowest of several, as Božič et al. 2021 choose it."""
    if images.missing is not None:
        return images.missing
    levels, f1 = f1_by_score(images.labels, images.scores)
    return replace(images, threshold=float(levels[int(np.argmax(f1))]))


def _oracle(metric: ImageMetric, name: str) -> ImageMetric:
    """A metric of decisions at the threshold of best F1 on these very images: what that paper reports."""

    def compute(images: ImageScores) -> float | Undefined:
        best = _at_best_f1(images)
        return best if isinstance(best, Undefined) else metric.compute(best)

    return replace(
        metric,
        name=name,
        title=f"{metric.title} at best F1 (oracle)",
        description=f"{metric.title} at the threshold of best F1 on these very images. Reads test labels by "
        "definition.",
        noted=False,
        compute=compute,
    )


@ImageMetric.of(
    "fp_at_zero_fn",
    "FP at FN = 0",
    "Normal images scored no lower than the lowest defective one: the cost of missing nothing. Reads test "
    "labels by definition; no threshold of it is used elsewhere.",
    unit="images",
    better="lower",
)
def _fp_at_zero_fn(images: ImageScores) -> float | Undefined:
    labels, scores = images.labels, images.scores
    return images.missing or float(np.sum(scores[~labels] >= scores[labels].min()))


@ImageMetric.of(
    "fpr_at_tpr_95",
    "FPR at TPR 95 %",
    "Share of normal images that are false alarms where at least 95 % of the defective ones are found. Reads "
    "test labels by definition.",
    better="lower",
    noted=False,
)
def _fpr_at_tpr_95(images: ImageScores) -> float | Undefined:
    """The lowest rate of any threshold that finds so many; below 20 defective images, all of them."""
    if images.missing:
        return images.missing
    tpr, fpr = rates_by_score(images.labels, images.scores)
    return float(fpr[tpr >= _TPR].min())  # the lowest score finds all


@ImageMetric.of(
    "tpr_at_fpr_1",
    "TPR at FPR 1 %",
    "Share of defective images found where at most 1 % of the normal ones are false alarms. Reads test "
    "labels by definition.",
    noted=False,
)
def _tpr_at_fpr_1(images: ImageScores) -> float | Undefined:
    """The highest rate of any threshold with so few false alarms; below 100 normal images, with none."""
    if images.missing:
        return images.missing
    tpr, fpr = rates_by_score(images.labels, images.scores)
    return float(np.max(tpr[fpr <= _FPR], initial=0.0))


_HIGHEST = ", each with the highest score of its images."

DECLARED: tuple[Metric, ...] = (
    _ap, _auroc, _f1, _fp, _fn, _best_f1, _fp_at_zero_fn, _fpr_at_tpr_95, _tpr_at_fpr_1, _accuracy,
    _mean_class_accuracy, _false_alarms, _escapes,
    _oracle(_accuracy, "image_best_accuracy"),
    _oracle(_mean_class_accuracy, "image_best_mean_class_accuracy"),
    _oracle(_fp, "image_best_fp"),
    _oracle(_fn, "image_best_fn"),
    part_metric(_ap, "part_ap", "part AP", f"Average precision of parts{_HIGHEST}"),
    part_metric(_auroc, "part_auroc", "part AUROC", f"Area under the ROC curve of parts{_HIGHEST}"),
    part_metric(
        _f1, "part_f1", "part F1", "F1 of parts; a part is decided defective where any of its images is."
    ),
    part_metric(_fp, "part_fp", "part FP", "Normal parts of which any image is decided defective."),
    part_metric(_fn, "part_fn", "part FN", "Defective parts of which every image is decided normal."),
)  # fmt: skip
