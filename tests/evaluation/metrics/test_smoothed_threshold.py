"""The smoothed threshold: best for two normal distributions, and better where few images choose."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from tests.evaluation.evaluate_scenes import CPU, Brightness, make_set
from trainables.data.samples import EvaluationData
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.metrics import Undefined, best_f1_threshold
from trainables.evaluation.metrics.smoothed import smoothed_f1_threshold, threshold_range


def draw(
    rng: np.random.Generator, normal: int, defective: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    logits = np.r_[rng.normal(-3, 1, normal), rng.normal(-1, 1.3, defective)]
    return np.arange(normal + defective) >= normal, expit(logits)


def f1(labels: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float | Undefined) -> float:
    assert isinstance(threshold, float)
    decided = scores >= threshold
    return 2 * np.sum(decided & labels) / (decided.sum() + labels.sum())


def test_it_is_where_expected_f1_is_best() -> None:
    labels, scores = draw(np.random.default_rng(0), 40, 9)
    a, b = logit(scores[~labels]), logit(scores[labels])
    spread = np.sqrt((8 * np.var(b, ddof=1) + 4 * np.var(a, ddof=1)) / 12)
    levels = np.linspace(-6, 4, 5001)
    true, false = 9 * norm.sf(levels, b.mean(), spread), 40 * norm.sf(levels, a.mean(), np.std(a, ddof=1))
    best = levels[np.argmax(2 * true / (true + false + 9))]
    assert logit(smoothed_f1_threshold(labels, scores)) == pytest.approx(best, abs=0.02)  # type: ignore[arg-type]


def test_eight_defective_images_choose_better_by_it_than_by_single_scores() -> None:
    rng = np.random.default_rng(1)
    test = draw(rng, 4000, 540)
    single, smooth = [], []
    for _ in range(60):
        few = draw(rng, 60, 8)
        single.append(f1(*test, best_f1_threshold(*few)))
        smooth.append(f1(*test, smoothed_f1_threshold(*few)))
    assert np.mean(smooth) > np.mean(single) + 0.01
    assert np.std(smooth) < np.std(single)


@pytest.mark.parametrize(
    ("labels", "scores", "low", "high"),
    [
        ([0, 0, 0, 1], [0.1, 0.15, 0.2, 0.9], 0.2, 0.9),  # a single defective image lends the normal spread
        ([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0], 0.0, 1.0),
        ([0, 1], [0.3, 0.3], 0.29, 0.31),
    ],
)
def test_few_or_equal_scores_have_a_threshold(
    labels: list[int], scores: list[float], low: float, high: float
) -> None:
    threshold = smoothed_f1_threshold(np.array(labels, bool), np.array(scores))
    assert isinstance(threshold, float)
    assert low < threshold < high


@pytest.mark.parametrize("score", [0.0, 1e-9, 1e-6, 0.5, 1.0])
def test_where_all_scores_are_equal_every_image_is_decided_defective(score: float) -> None:
    labels, scores = np.arange(68) >= 60, np.full(68, score)
    assert f1(labels, scores, smoothed_f1_threshold(labels, scores)) == pytest.approx(16 / 76)
    low, high = threshold_range(labels, scores)
    assert low <= high <= score


@pytest.mark.parametrize(("labels", "reason"), [([0, 0], "no defective image"), ([1, 1], "no normal image")])
def test_one_class_smooths_no_threshold(labels: list[int], reason: str) -> None:
    assert smoothed_f1_threshold(np.array(labels, bool), np.array([0.1, 0.9])) == Undefined(reason)


def test_the_range_is_narrower_where_more_images_choose() -> None:
    rng = np.random.default_rng(2)
    few, many = (threshold_range(*draw(rng, 10 * n, n)) for n in (4, 60))
    assert few[0] < many[0] < many[1] < few[1]


def test_an_evaluation_says_which_rule_chose_and_how_far_it_is_open() -> None:
    data = EvaluationData(make_set("val", 15, seed=2, masks=True), make_set("test", 12, seed=1, masks=True))
    plain = evaluate(Brightness(), data, device=CPU, batch=4, probes=0, seed=0)
    smooth = evaluate(Brightness(), data, device=CPU, batch=4, probes=0, seed=0, threshold="smoothed_f1")
    assert plain.thresholds.image_range is None
    assert smooth.thresholds.image_range is not None
    low, high = smooth.thresholds.image_range
    assert 0 < low <= smooth.thresholds.image <= high < 1
    chosen = {"image": smooth.thresholds.image, "image_source": "smoothed validation F1"}
    assert smooth.thresholds == plain.thresholds.model_copy(update={**chosen, "image_range": (low, high)})
