"""Pixel metrics: hand-computed cases, parity with a threshold loop, and masks at the network's size."""

import time
from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from trainables.evaluation.metrics import (
    METRICS,
    CountMetric,
    HeatmapMetric,
    PixelScores,
    Undefined,
    truth_at,
)
from trainables.evaluation.metrics.histogram import BinnedPixelScores, PixelHistogram, bin_scores

Image = tuple[NDArray[np.float32], NDArray[np.bool_]]


def image(heatmap: list[list[float]], truth: list[list[int]]) -> Image:
    return np.array(heatmap, dtype=np.float32), np.array(truth, dtype=bool)


def collect(images: list[Image]) -> PixelScores:
    pixels = PixelScores()
    for heatmap, truth in images:
        pixels.add(heatmap, truth)
    return pixels


def with_scores(images: list[Image]) -> dict[str, float]:
    """Every metric of counts and curves at the threshold 0.5, from exact scores."""
    metrics = collect(images).metrics(0.5)
    metrics = {n: v for n, v in metrics.items() if not isinstance(METRICS[n], HeatmapMetric)}
    assert not any(isinstance(value, Undefined) for value in metrics.values())
    return metrics  # type: ignore[return-value]


def with_bins(images: list[Image]) -> dict[str, float]:
    """The same from scores in bins."""
    pixels = PixelHistogram()
    for image in images:
        pixels.add(*batch(image))
    return pixels.metrics()


def with_kept_bins(images: list[Image]) -> dict[str, float]:
    """The same from bins that are kept for each image."""
    pixels = BinnedPixelScores()
    for heatmap, truth in images:
        pixels.add(heatmap, truth)
    return pixels.metrics(0.5)  # type: ignore[return-value]


def batch(*images: Image) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    return np.stack([heatmap for heatmap, _ in images]), np.stack([truth for _, truth in images])


Measure = Callable[[list[Image]], dict[str, float]]
MEASURES = [with_scores, with_bins]
DECIDED = ("pixel_iou", "pixel_iou_positive")

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
        ("pixel_iou_oracle", 2 / 4),  # at 0.6; at 0.9: 1/2 as well
        ("pixel_ap", 0.5 * 1 + 0.5 * 2 / 4),
        ("pixel_auroc", 10 / 12),  # of 2 × 6 pairs two are in the wrong order
        # 6 background pixels; FPR 0: overlap 1/2 up to 2/6 > 0.3
        ("pixel_pro", 0.5),
        ("pixel_pro_05", 0.5),
        ("pixel_best_f1", 2 / 3),  # at 0.6: TP 2, FP 2; at 0.9: TP 1, FN 1
        ("false_regions", 2 / 2),  # 0.7 beside the defect's piece, and 0.8 in the normal image
    ],
)
def test_hand_computed(name: str, value: float) -> None:
    assert collect([DEFECTIVE, NORMAL]).metrics(0.55)[name] == pytest.approx(value)


def test_pixel_counts_of_each_image() -> None:
    tp, fp, fn, tn = collect([DEFECTIVE, NORMAL]).counts(0.7)
    assert (tp.tolist(), fp.tolist(), fn.tolist(), tn.tolist()) == ([1, 0], [1, 1], [1, 0], [1, 3])


@pytest.mark.parametrize(("name", "limit"), [("pixel_pro", 0.3), ("pixel_pro_05", 0.05)])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_pro_equals_a_loop_over_all_thresholds(seed: int, ties: bool, name: str, limit: float) -> None:
    images = random_images(seed, ties)
    expected = pro_by_threshold_loop(images, limit)
    assert collect(images).metrics(0.5)[name] == pytest.approx(expected, abs=1e-9)


def test_regions_touching_at_a_corner_are_one_in_pro() -> None:
    # One region of 2 pixels and one of 1: as three regions the mean overlap at 0.9 would be 2/3.
    truth = [[1, 0, 0, 0, 1], [0, 1, 0, 0, 0]]
    heatmap = [[0.9, 0.3, 0.3, 0.3, 0.9], [0.3, 0.0, 0.3, 0.3, 0.3]]
    assert collect([image(heatmap, truth)]).metrics(0.5)["pixel_pro"] == pytest.approx(3 / 4)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("name", "known"), [("pixel_ap", average_precision_score), ("pixel_auroc", roc_auc_score)]
)
def test_pixel_ap_and_auroc_equal_scikit_learn(
    name: str, known: Callable[[NDArray[np.bool_], NDArray[np.float32]], float], ties: bool
) -> None:
    images = random_images(7, ties)
    truth = np.concatenate([truth.ravel() for _, truth in images])
    scores = np.concatenate([heatmap.ravel() for heatmap, _ in images])
    assert collect(images).metrics(0.5)[name] == pytest.approx(known(truth, scores), abs=1e-12)


def prevalence(images: list[Image]) -> float:
    return float(np.mean([truth.mean() for _, truth in images]))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("better", [True, False])
def test_a_perfect_map_reaches_1_and_an_inverted_one_the_floor(measure: Measure, better: bool) -> None:
    images = [((truth == better).astype(np.float32), truth) for _, truth in random_images(1, False)]
    metrics = measure(images)
    for name in ("pixel_iou", "pixel_iou_positive", "pixel_auroc", "pixel_pro"):
        assert metrics[name] == pytest.approx(1.0 if better else 0.0), name
    for name in ("pixel_ap", "pixel_iou_oracle"):  # the only level reaches every pixel
        assert metrics[name] == pytest.approx(1.0 if better else prevalence(images)), name


@pytest.mark.parametrize("measure", [*MEASURES, with_kept_bins])
@pytest.mark.parametrize("seed", range(6))
def test_a_perfect_ranking_of_pixels_is_1_to_the_bit(measure: Measure, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [
        ((0.8 * truth + 0.2 * rng.random(truth.shape)).astype(np.float32), truth)
        for _, truth in random_images(seed, False)
    ]
    metrics = measure(images)
    for name in ("pixel_ap", "pixel_auroc", "pixel_pro", "pixel_pro_05", "pixel_iou_oracle"):
        assert metrics[name] == 1, name


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("level", [0.0, 0.3, 0.5, 1.0])
def test_a_constant_map_has_the_prevalence_as_its_ap(measure: Measure, level: float) -> None:
    images = [(np.full(truth.shape, level, np.float32), truth) for _, truth in random_images(2, False)]
    metrics = measure(images)
    assert metrics["pixel_ap"] == pytest.approx(prevalence(images))
    assert metrics["pixel_auroc"] == pytest.approx(0.5)
    assert metrics["pixel_pro"] == pytest.approx(0.3 / 2)  # overlap equals the rate: a straight line


@pytest.mark.parametrize("measure", MEASURES)
def test_pro_weighs_a_small_region_like_a_large_one(measure: Measure) -> None:
    # Regions of 6 and 2 pixels; the large one alone is found before the first of 10 background pixels, then
    # half of the small one at a rate of 0.2, nothing more up to 0.3.
    truth = [[1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1]]
    heatmap = [[0.9, 0.9, 0.9, 0.8, 0.8, 0.1], [0.9, 0.9, 0.9, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1, 0.7, 0.1]]
    # Overlap 1/2 up to a rate of 0.2, then 3/4 rising straight to 1 at a rate of 1.
    expected = (0.2 * 0.5 + 0.1 * (0.75 + 0.25 * 0.05 / 0.8)) / 0.3
    assert measure([image(heatmap, truth)])["pixel_pro"] == pytest.approx(expected)


@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_histogram_says_what_exact_scores_say(seed: int, crowded: bool) -> None:
    images = random_images(seed, ties=False)
    if crowded:  # as a confident network has them: within 1e-4 of 0 and 1
        images = [
            (np.where(heatmap > 0.5, 1 - heatmap / 1e4, heatmap / 1e4).astype(np.float32), truth)
            for heatmap, truth in images
        ]
    exact, binned = with_scores(images), with_bins(images)
    assert binned.keys() == exact.keys()
    assert binned == pytest.approx(exact, abs=2e-3)
    assert {n: binned[n] for n in DECIDED} == {n: exact[n] for n in DECIDED}


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2))
def test_bins_keep_the_order_of_scores(scores: list[float]) -> None:
    low, high = sorted(scores)
    metrics = with_bins([image([[low, high]], [[0, 1]])])
    assert metrics["pixel_auroc"] in ({0.5} if low == high else {0.5, 1.0})
    if high > low + 0.005:
        assert metrics["pixel_auroc"] == 1.0


def test_a_histogram_takes_the_same_memory_for_any_number_of_images() -> None:
    pixels, sizes = PixelHistogram(), set[int]()
    for _ in range(3):
        pixels.add(*batch(DEFECTIVE, NORMAL))
        sizes.add(sum(value.nbytes for value in vars(pixels).values() if isinstance(value, np.ndarray)))
    assert sizes == {3 * 129026 * 8}


def test_a_batch_is_its_images_one_by_one() -> None:
    images, together = random_images(3, ties=False), PixelHistogram()
    together.add(*batch(*images))
    assert together.metrics() == pytest.approx(with_bins(images), abs=1e-12)


def test_without_masks_a_histogram_measures_nothing() -> None:
    pixels = PixelHistogram()
    pixels.add(*batch(NORMAL))
    assert pixels.metrics() == {}


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_has_a_better_micro_iou(seed: int) -> None:
    pixels = collect(images := random_images(seed, ties=seed % 2 == 0))
    chosen = pixels.best_iou_threshold()
    assert isinstance(chosen, float)
    every = np.unique(np.concatenate([heatmap.ravel() for heatmap, _ in images]))
    iou = METRICS["pixel_iou"]
    assert isinstance(iou, CountMetric)
    best = max(iou.value(pixels.counts(float(t))) for t in every)  # type: ignore[type-var]
    assert iou.value(pixels.counts(chosen)) == best


def test_pixel_threshold_is_the_midpoint_to_the_next_lower_score_of_any_pixel() -> None:
    # IoU at 0.9: 1/2; at 0.6: 2/4. Equal, so the lower is taken; next lower score is background's 0.3.
    assert collect([DEFECTIVE, NORMAL]).best_iou_threshold() == pytest.approx(0.45)


def test_without_masks_pixel_metrics_are_undefined() -> None:
    metrics = collect([NORMAL]).metrics(0.5)
    of_masks = {name for name, metric in METRICS.items() if metric.reads == "masks"}
    assert set(metrics) == of_masks - {"defects_found", "outlined_of_found"}  # those of regions
    assert all(isinstance(value, Undefined) for value in metrics.values())
    assert isinstance(PixelScores().best_iou_threshold(), Undefined)


def test_6_million_pixels_take_seconds() -> None:
    rng = np.random.default_rng(0)
    pixels = PixelScores()
    truth = np.zeros((704, 256), dtype=bool)
    truth[100:140, 50:150] = True
    for _ in range(34):
        pixels.add(rng.random(truth.shape, dtype=np.float32), truth)
    began = time.process_time()
    pixels.metrics(0.5)
    assert time.process_time() - began < 2.5


@pytest.mark.parametrize(("columns", "kept"), [(1, False), (2, True), (3, True)])
def test_a_cell_is_defect_when_at_least_half_its_area_is(columns: int, kept: bool) -> None:
    mask = np.zeros((4, 8), dtype=np.uint8)
    mask[:, :4] = 1  # the first cell of two is full
    mask[:, 4 : 4 + columns] = 1
    assert truth_at(mask, 1, 2).tolist() == [[True, kept]]


@pytest.mark.parametrize(("pixels", "cells", "cell"), [(44, 3, 1), (62, 5, 2), (46, 7, 3), (1706, 1, 0)])
def test_a_cell_that_is_covered_exactly_half_is_defect_at_any_scale(
    pixels: int, cells: int, cell: int
) -> None:
    """OpenCV's area weights are rounded: 0.49999997 for a half."""
    mask = np.zeros((4, pixels), dtype=np.uint8)
    mask[:, : (2 * cell + 1) * pixels // (2 * cells)] = 1
    assert truth_at(mask, 4, cells)[0].tolist() == [True] * (cell + 1) + [False] * (cells - cell - 1)


LEFT_OUT = np.arange(12)[:, None] * np.ones((1, 16)) >= 7  # the lower rows


@pytest.mark.parametrize("scores", [PixelScores, BinnedPixelScores])
def test_pixels_that_are_left_out_count_as_little_as_those_cut_off(scores: type[PixelScores]) -> None:
    marked, cut = scores(), scores()
    for seed in range(4):
        heatmap, truth = random_images(seed, ties=False)[0]
        heatmap, truth = np.resize(heatmap, (12, 16)), np.resize(truth, (12, 16)) & ~LEFT_OUT
        bin_scores(heatmap)
        marked.add(heatmap, truth, LEFT_OUT)
        cut.add(heatmap[:7], truth[:7])
    for ours, theirs in zip(marked.counts(0.4), cut.counts(0.4), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert marked.best_iou_threshold() == cut.best_iou_threshold()
    curved = {n for n, metric in METRICS.items() if metric.reads == "masks" and n.startswith("pixel_")}
    ours, theirs = marked.metrics(0.4), cut.metrics(0.4)
    assert {name: ours[name] for name in curved} == {name: theirs[name] for name in curved}


def test_an_image_of_a_histogram_may_leave_all_of_its_background_out() -> None:
    heatmaps, truths = batch(DEFECTIVE, NORMAL)
    marked, alone = PixelHistogram(), PixelHistogram()
    marked.add(heatmaps, truths, np.array([[[0, 0, 0, 0]], [[1, 1, 1, 1]]], dtype=bool))
    alone.add(heatmaps[:1], truths[:1])
    assert marked.metrics() == alone.metrics()


@pytest.mark.parametrize("size", [(8, 16), (24, 5), (8, 10), (30, 16), (7, 5), (40, 13)])
def test_each_cell_is_decided_by_area_whichever_axes_shrink(size: tuple[int, int]) -> None:
    mask = (np.random.default_rng(3).random((30, 10)) < 0.4).astype(np.uint8)
    fine = np.kron(mask, np.ones(size))  # pieces of which whole numbers make up a pixel and a cell
    cover = fine.reshape(size[0], 30, size[1], 10).mean(axis=(1, 3))
    clear = np.abs(cover - 0.5) > 1e-4
    np.testing.assert_array_equal(truth_at(mask, *size)[clear], (cover >= 0.5)[clear])


@pytest.mark.parametrize("row", range(0, 600, 75))
def test_a_thin_scratch_is_kept_where_one_axis_grows(row: int) -> None:
    mask = np.zeros((600, 100), dtype=np.uint8)
    mask[row, 20:80] = 1
    assert np.flatnonzero(truth_at(mask, 128, 128).any(axis=1)).tolist() == [row * 128 // 600]


@pytest.mark.parametrize("size", [(13, 7), (30, 7), (1, 20)])
def test_where_no_axis_grows_opencv_brings_a_mask_to_the_size(size: tuple[int, int]) -> None:
    mask = (np.random.default_rng(0).random((30, 20)) < 0.4).astype(np.uint8)
    cover = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(truth_at(mask, *size), cover >= 0.5)


@pytest.mark.parametrize(("stored", "width"), [(72, 160), (60, 128), (20, 33), (36, 64), (30, 40), (8, 16)])
def test_an_enlarged_mask_gains_no_row_or_column(stored: int, width: int) -> None:
    for columns in range(1, stored):
        mask = np.zeros((4, stored), np.uint8)
        mask[:, :columns] = 1
        exact = int(columns * width / stored + 0.5)  # a cell that is half covered is defect
        assert truth_at(mask, 4, width).sum(axis=1).tolist() == [exact] * 4
        assert truth_at(mask.T, width, 4).sum(axis=0).tolist() == [exact] * 4


def test_a_mask_too_thin_for_the_size_keeps_its_strongest_cells() -> None:
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[10:50, 20] = 1  # a hair crack: an eighth of each cell
    truth = truth_at(mask, 8, 8)
    assert np.argwhere(truth).tolist() == [[2, 2], [3, 2], [4, 2], [5, 2]]


@pytest.mark.parametrize("size", [(3, 5), (7, 7), (60, 33)])
def test_an_empty_mask_stays_empty_and_a_full_one_full(size: tuple[int, int]) -> None:
    assert not truth_at(np.zeros((17, 23), dtype=np.uint8), *size).any()
    assert truth_at(np.ones((17, 23), dtype=np.uint8), *size).all()
