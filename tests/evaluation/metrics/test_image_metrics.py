"""Image metrics: hand-computed cases, what is undefined, and the threshold that validation chooses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from trainables.evaluation.metrics import (
    METRICS,
    ImageMetric,
    ImageScores,
    Undefined,
    best_f1_threshold,
    image_ap,
    image_metrics,
)

#                    +    −    +    −    −
LABELS = np.array([1, 0, 1, 0, 0], dtype=bool)
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
OF_PARTS = {"part_ap", "part_auroc", "part_f1", "part_fn", "part_fp"}  # every item has one image here
NEEDS_BOTH = {
    "image_ap",
    "image_auroc",
    "image_best_f1",
    "image_best_accuracy",
    "image_best_mean_class_accuracy",
    "image_best_fp",
    "image_best_fn",
    "image_mean_class_accuracy",
    "fp_at_zero_fn",
    "tpr_at_fpr_1",
    "fpr_at_tpr_95",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_ap", 0.5 * 1 + 0.5 * (2 / 3)),
        ("image_auroc", 5 / 6),  # of 6 pairs one is in the wrong order
        ("image_f1", 2 / 4),  # at 0.75: TP 1, FP 1, FN 1, TN 2
        ("image_best_f1", 4 / 5),  # at 0.7: TP 2, FP 1, FN 0
        ("image_best_fp", 1),
        ("image_best_fn", 0),
        ("image_best_accuracy", 4 / 5),
        ("image_best_mean_class_accuracy", (1 + 2 / 3) / 2),
        ("image_accuracy", 3 / 5),
        ("image_mean_class_accuracy", (1 / 2 + 2 / 3) / 2),
        ("fp", 1),
        ("fn", 1),
        ("tpr_at_fpr_1", 1 / 2),  # above 0.8, the highest normal score
        ("fpr_at_tpr_95", 1 / 3),  # at 0.7 both defects are found
        ("escapes", 500),
        ("false_alarms", 1000 / 3),
        ("fp_at_zero_fn", 1),  # at 0.7 both defects are found, and the normal image of 0.8
    ],
)
def test_hand_computed(name: str, value: float) -> None:
    assert image_metrics(LABELS, SCORES, threshold=0.75)[name] == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("image_ap", 1.5, "a share from 0 to 1, found 1.5"),
        ("fp", -1.0, "a number of images from 0 up, found -1"),
    ],
)
def test_a_value_out_of_its_range_is_refused(name: str, value: float, text: str) -> None:
    with pytest.raises(ValueError, match=f"the metric {name} is {text}"):
        METRICS[name].checked(value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("image_ap", 0.91234, "0.9123"), ("fp", 3.0, "3"), ("fp", 1234567.0, "1234567")],
)
def test_the_text_of_a_value_has_all_its_digits_before_the_point(name: str, value: float, text: str) -> None:
    assert METRICS[name].text(value) == text


def test_ap_is_step_wise_and_takes_tied_scores_together() -> None:
    labels = np.array([1, 0, 1, 0], dtype=bool)
    assert image_ap(labels, np.array([0.5, 0.5, 0.5, 0.1])) == pytest.approx(2 / 3)


def test_a_score_at_the_threshold_is_defective() -> None:
    assert image_metrics(LABELS, SCORES, threshold=0.7)["fn"] == 0


@pytest.mark.parametrize(
    ("labels", "undefined"),
    [
        (
            [0, 0],
            {*NEEDS_BOTH, "image_f1", "fn", "escapes"},
        ),
        ([1, 1], {*NEEDS_BOTH, "fp", "false_alarms"}),
        ([], {name for name, metric in METRICS.items() if metric.reads == "labels"} - OF_PARTS),
    ],
)
def test_what_a_missing_class_leaves_undefined(labels: list[int], undefined: set[str]) -> None:
    metrics = image_metrics(np.array(labels, dtype=bool), np.full(len(labels), 0.6), threshold=0.5)
    names = {name for name, value in metrics.items() if isinstance(value, Undefined)}
    assert names == undefined | OF_PARTS


def test_every_image_metric_is_registered() -> None:
    named = [name for name, metric in METRICS.items() if metric.reads == "labels"]
    assert list(image_metrics(LABELS, SCORES, 0.5)) == named


cases = st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=30).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@settings(deadline=None)  # a busy machine is no failure
@given(cases)
def test_ap_depends_on_the_order_of_scores_only(rows: list[tuple[bool, int]]) -> None:
    labels, ranks = np.array([r[0] for r in rows]), np.array([r[1] for r in rows]) / 20
    assert image_ap(labels, ranks) == pytest.approx(image_ap(labels, ranks**3 / 2 + 0.1))


@settings(deadline=None)  # a busy machine is no failure
@given(cases)
def test_ap_and_auroc_are_those_of_scikit_learn_to_the_bit(rows: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows]) / 20
    metrics = image_metrics(labels, scores, 0.5)
    perfect = scores[labels].min() > scores[~labels].max()  # scikit-learn's are 1 − 1e-16 for some of these
    assert metrics["image_ap"] == (1.0 if perfect else average_precision_score(labels, scores))
    assert metrics["image_auroc"] == (1.0 if perfect else roc_auc_score(labels, scores))


@pytest.mark.parametrize("positives", [1, 6, 7, 10, 18, 49, 120])
@pytest.mark.parametrize("decimals", [7, 2], ids=["all differ", "ties"])
def test_a_perfect_ranking_is_1_to_the_bit(positives: int, decimals: int) -> None:
    rng = np.random.default_rng(positives)
    labels = np.arange(positives + 58) < positives
    scores = np.where(labels, 0.8, 0.0) + np.round(0.2 * rng.random(len(labels)), decimals)
    metrics = image_metrics(labels, scores, 0.5)
    assert (metrics["image_ap"], metrics["image_auroc"], metrics["image_best_f1"]) == (1, 1, 1)


@settings(deadline=None, max_examples=30)  # a busy machine is no failure
@given(cases, st.sampled_from([1, 150]))
def test_rates_at_a_limit_equal_a_loop_over_all_thresholds(rows: list[tuple[bool, int]], times: int) -> None:
    labels, scores = np.array([r[0] for r in rows] * times), np.array([r[1] for r in rows] * times) / 20
    rates = [(np.mean(scores[labels] >= t), np.mean(scores[~labels] >= t)) for t in np.arange(22) / 20]
    metrics = image_metrics(labels, scores, 0.5)
    assert metrics["tpr_at_fpr_1"] == pytest.approx(max(tpr for tpr, fpr in rates if fpr <= 0.01))
    assert metrics["fpr_at_tpr_95"] == pytest.approx(min(fpr for tpr, fpr in rates if tpr >= 0.95))


@pytest.mark.parametrize(
    ("labels", "scores", "threshold"),
    [
        # F1 by lowest accepted score: 0.9: 2/3, 0.8: 1/2, 0.7: 4/5, 0.6: 2/3, 0.1: 4/7
        (LABELS, SCORES, 0.65),
        # 0.9: 2·1/(1+2) = 2/3; 0.2: 2·2/(4+2) = 2/3
        (np.array([1, 0, 0, 1, 0], dtype=bool), np.array([0.9, 0.8, 0.7, 0.2, 0.1]), 0.15),
    ],
    ids=["one best score", "the lowest of equal F1"],
)
def test_threshold_is_the_midpoint_below_the_best_score(
    labels: np.ndarray, scores: np.ndarray, threshold: float
) -> None:
    assert best_f1_threshold(labels, scores) == pytest.approx(threshold)


@settings(deadline=None)  # a busy machine is no failure
@given(cases)
def test_no_threshold_has_a_better_f1(rows: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows]) / 20
    chosen = best_f1_threshold(labels, scores)
    assert isinstance(chosen, float)
    f1 = METRICS["image_f1"]
    assert isinstance(f1, ImageMetric)
    others = [f1.value(ImageScores(labels, scores, t)) for t in np.unique(scores)]
    assert f1.value(ImageScores(labels, scores, chosen)) == max(others)  # type: ignore[type-var]


@pytest.mark.parametrize(("labels", "reason"), [([0, 0], "no defective image"), ([1, 1], "no normal image")])
def test_one_class_chooses_no_threshold(labels: list[int], reason: str) -> None:
    assert best_f1_threshold(np.array(labels, dtype=bool), np.array([0.1, 0.9])) == Undefined(reason)


def test_a_threshold_between_neighbouring_floats_still_parts_them() -> None:
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    chosen = best_f1_threshold(np.array([False, True]), np.array([low, high]), np.float32)
    assert isinstance(chosen, float)
    assert low < np.float32(chosen) <= high
