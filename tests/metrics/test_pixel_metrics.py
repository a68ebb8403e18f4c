"""Pixel metrics: hand-computed cases, parity with a threshold loop, and masks at the network's size."""

import time
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from trainables.metrics import METRICS, PixelScores, Undefined, truth_at

Image = tuple[NDArray[np.float32], NDArray[np.bool_]]


def image(heatmap: list[list[float]], truth: list[list[int]]) -> Image:
    return np.array(heatmap, dtype=np.float32), np.array(truth, dtype=bool)


def collect(images: list[Image]) -> PixelScores:
    pixels = PixelScores()
    for heatmap, truth in images:
        pixels.add(heatmap, truth)
    return pixels


DEFECTIVE = image([[0.9, 0.6, 0.2, 0.7]], [[1, 1, 0, 0]])
NORMAL = image([[0.1, 0.3, 0.8, 0.1]], [[0, 0, 0, 0]])


def random_images(seed: int, ties: bool) -> list[Image]:
    rng = np.random.default_rng(seed)
    images = []
    for positive in (True, True, False):
        truth = (
            cv2.GaussianBlur(rng.random((24, 20)), (0, 0), 2) > 0.53 if positive else np.zeros((24, 20), bool)
        )
        heatmap = np.clip(0.3 * truth + 0.7 * rng.random(truth.shape), 0, 1).astype(np.float32)
        images.append((np.round(heatmap, 1) if ties else heatmap, truth))
    return images


def pro_by_threshold_loop(images: list[Image], limit: float) -> float:
    """PRO as its definition reads: one pair of FPR and mean overlap for each distinct score."""
    regions = []
    for heatmap, truth in images:
        count, numbers = cv2.connectedComponents(truth.astype(np.uint8), connectivity=8)
        regions += [heatmap[numbers == k] for k in range(1, count)]
    background = np.concatenate([heatmap[~truth] for heatmap, truth in images])
    rates, overlaps = [0.0], [0.0]
    for t in np.unique(np.concatenate([heatmap.ravel() for heatmap, _ in images]))[::-1]:
        rates.append(float(np.mean(background >= t)))
        overlaps.append(float(np.mean([np.mean(region >= t) for region in regions])))
    area = 0.0
    for (a, p), (b, q) in pairwise(zip(rates, overlaps, strict=True)):
        if a >= limit:
            break
        end = min(b, limit)
        height = p + (q - p) * (end - a) / (b - a) if b > a else q
        area += (end - a) * (p + height) / 2
    return area / limit


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pixel_iou", 2 / 4),  # at 0.55: TP 2, FP 1 + 1, FN 0
        ("pixel_iou_positive", 2 / 3),  # the normal image's FP does not count here
        ("pixel_ap", 0.5 * 1 + 0.5 * 2 / 4),
        # 6 background pixels; FPR 0: overlap 1/2 up to 2/6 > 0.3
        ("pixel_pro", 0.5),
    ],
)
def test_hand_computed(name: str, value: float) -> None:
    assert collect([DEFECTIVE, NORMAL]).metrics(0.55)[name] == pytest.approx(value)


def test_pixel_counts_of_each_image() -> None:
    tp, fp, fn, tn = collect([DEFECTIVE, NORMAL]).counts(0.7)
    assert (tp.tolist(), fp.tolist(), fn.tolist(), tn.tolist()) == ([1, 0], [1, 1], [1, 0], [1, 3])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_pro_equals_a_loop_over_all_thresholds(seed: int, ties: bool) -> None:
    images = random_images(seed, ties)
    expected = pro_by_threshold_loop(images, limit=0.3)
    assert collect(images).metrics(0.5)["pixel_pro"] == pytest.approx(expected, abs=1e-9)


def test_regions_touching_at_a_corner_are_one_in_pro() -> None:
    # One region of 2 pixels and one of 1: as three regions the mean overlap at 0.9 would be 2/3.
    truth = [[1, 0, 0, 0, 1], [0, 1, 0, 0, 0]]
    heatmap = [[0.9, 0.3, 0.3, 0.3, 0.9], [0.3, 0.0, 0.3, 0.3, 0.3]]
    assert collect([image(heatmap, truth)]).metrics(0.5)["pixel_pro"] == pytest.approx(3 / 4)


@pytest.mark.parametrize("ties", [False, True])
def test_pixel_ap_equals_scikit_learn(ties: bool) -> None:
    images = random_images(7, ties)
    truth = np.concatenate([truth.ravel() for _, truth in images])
    scores = np.concatenate([heatmap.ravel() for heatmap, _ in images])
    expected = average_precision_score(truth, scores)
    assert collect(images).metrics(0.5)["pixel_ap"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("better", [True, False])
def test_perfect_and_inverted_heatmaps_bound_the_metrics(better: bool) -> None:
    images = [((truth == better).astype(np.float32), truth) for _, truth in random_images(1, False)]
    metrics = collect(images).metrics(0.5)
    assert metrics["pixel_iou"] == (1.0 if better else 0.0)
    assert metrics["pixel_pro"] == pytest.approx(1.0 if better else 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_has_a_better_micro_iou(seed: int) -> None:
    pixels = collect(images := random_images(seed, ties=seed % 2 == 0))
    chosen = pixels.best_iou_threshold()
    assert isinstance(chosen, float)
    every = np.unique(np.concatenate([heatmap.ravel() for heatmap, _ in images]))
    best = max(pixels.metrics(float(t))["pixel_iou"] for t in every)  # type: ignore[type-var]
    assert pixels.metrics(chosen)["pixel_iou"] == best


def test_pixel_threshold_is_the_midpoint_to_the_next_lower_score_of_any_pixel() -> None:
    # IoU at 0.9: 1/2; at 0.6: 2/4. Equal, so the lower is taken; next lower score is background's 0.3.
    assert collect([DEFECTIVE, NORMAL]).best_iou_threshold() == pytest.approx(0.45)


def test_without_masks_pixel_metrics_are_undefined() -> None:
    metrics = collect([NORMAL]).metrics(0.5)
    assert set(metrics) == {name for name, metric in METRICS.items() if metric.reads == "masks"}
    assert all(isinstance(value, Undefined) for value in metrics.values())
    assert isinstance(PixelScores().best_iou_threshold(), Undefined)


def test_24_million_pixels_take_seconds() -> None:
    rng = np.random.default_rng(0)
    pixels = PixelScores()
    truth = np.zeros((704, 256), dtype=bool)
    truth[100:140, 50:150] = True
    for _ in range(135):
        pixels.add(rng.random(truth.shape, dtype=np.float32), truth)
    began = time.process_time()
    pixels.metrics(0.5)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(("columns", "kept"), [(1, False), (2, True), (3, True)])
def test_a_cell_is_defect_when_at_least_half_its_area_is(columns: int, kept: bool) -> None:
    mask = np.zeros((4, 8), dtype=np.uint8)
    mask[:, :4] = 1  # the first cell of two is full
    mask[:, 4 : 4 + columns] = 1
    assert truth_at(mask, 1, 2).tolist() == [[True, kept]]


def test_a_mask_too_thin_for_the_size_keeps_its_strongest_cells() -> None:
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[10:50, 20] = 1  # a hair crack: an eighth of each cell
    truth = truth_at(mask, 8, 8)
    assert np.argwhere(truth).tolist() == [[2, 2], [3, 2], [4, 2], [5, 2]]


@pytest.mark.parametrize("size", [(3, 5), (7, 7), (60, 33)])
def test_an_empty_mask_stays_empty_and_a_full_one_full(size: tuple[int, int]) -> None:
    assert not truth_at(np.zeros((17, 23), dtype=np.uint8), *size).any()
    assert truth_at(np.ones((17, 23), dtype=np.uint8), *size).all()
