"""Metrics by choice: AUPIMO, pixel F1 and regions against brute force, and defects by hand."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import precision_recall_curve

from trainables.evaluation.metrics import METRICS, DefectMetric, HeatmapMetric, PixelScores, Undefined
from trainables.evaluation.metrics.regions import DefectScore

Image = tuple[NDArray[np.float32], NDArray[np.bool_]]
BLANK = np.zeros((200, 250), np.bool_)


def scored(seed: int, *, decimals: int = 7) -> list[Image]:
    """Two normal images with 100,000 pixels, two defective ones whose defects stand out more or less."""
    rng = np.random.default_rng(seed)
    images: list[Image] = []
    for lift in (0.0, 0.0, 3.0, 5.0):
        truth = BLANK.copy()
        if lift:
            truth[20:40, 30:60] = True
        z = rng.normal(size=truth.shape) + lift * truth
        images.append((np.round(1 / (1 + np.exp(-z)), decimals).astype(np.float32), truth))
    return images


def whole_heatmap_metric(name: str, images: list[Image], threshold: float = 0.5) -> float | Undefined:
    metric, pixels = METRICS[name], PixelScores()
    assert isinstance(metric, HeatmapMetric)
    for image in images:
        pixels.add(*image)
    return pixels.whole_heatmap_metric(metric, threshold)


def aupimo_by_integral(images: list[Image], steps: int = 4000) -> float:
    """AUPIMO as its definition reads: recall at the threshold of each rate, summed on a log grid of rates."""
    normal = np.sort(np.concatenate([h.ravel() for h, truth in images if not truth.any()]))[::-1]
    rates = np.exp(np.log(1e-5) + (np.arange(steps) + 0.5) / steps * np.log(10))
    # The highest normal score that must stay below the threshold, once so many pixels may be false.
    barred = normal[np.floor(rates * len(normal) + 1e-9).astype(int)]
    areas = [np.mean([np.mean(h[t] > bar) for bar in barred]) for h, t in images if t.any()]
    return float(np.mean(areas))


@pytest.mark.parametrize("decimals", [7, 3], ids=["all differ", "ties"])
@pytest.mark.parametrize("seed", range(2))
def test_aupimo_equals_its_integral(seed: int, decimals: int) -> None:
    images = scored(seed, decimals=decimals)
    value = whole_heatmap_metric("aupimo", images)
    assert isinstance(value, float)
    assert 0.01 < value < 0.99
    assert value == pytest.approx(aupimo_by_integral(images), abs=2e-3)


@pytest.mark.parametrize(
    ("false", "area"),
    [
        (0, 1.0),  # no normal pixel reaches the defect
        (1, 1.0),  # at a rate of 1 / 100,000, where the range begins
        (4, np.log(10 / 4) / np.log(10)),  # found from 4 / 100,000 on
        (10, 0.0),  # at 10 / 100,000, where it ends
    ],
)
def test_aupimo_by_hand(false: int, area: float) -> None:
    truth = BLANK.copy()
    truth[0, :2] = True
    normal = np.zeros((2, 200, 250), np.float32)
    normal[0, 5, :false] = 0.9
    images = [(normal[0], BLANK), (normal[1], BLANK), (np.where(truth, 0.9, 0.95).astype(np.float32), truth)]
    assert whole_heatmap_metric("aupimo", images) == pytest.approx(area)


def test_aupimo_needs_as_many_normal_pixels_as_its_lowest_rate_speaks_of() -> None:
    reason = "normal images have 50,000 pixels, a rate of 0.00001 needs 100,000"
    assert whole_heatmap_metric("aupimo", scored(0)[1:]) == Undefined(reason)


@pytest.mark.parametrize("seed", range(2))
def test_false_regions_are_the_pieces_that_touch_no_defect(seed: int) -> None:
    images = [(heatmap[:50, :80], truth[:50, :80]) for heatmap, truth in scored(seed)]
    false = 0
    for heatmap, truth in images:
        labelled: Any = ndimage.label(heatmap >= np.float32(0.95), np.ones((3, 3)))
        pieces, count = labelled
        false += sum(not truth[pieces == piece].any() for piece in range(1, count + 1))
    assert whole_heatmap_metric("false_regions", images, 0.95) == pytest.approx(false / 4)


@pytest.mark.parametrize("decimals", [7, 2], ids=["all differ", "ties"])
def test_best_pixel_f1_equals_scikit_learn(decimals: int) -> None:
    images, pixels = scored(3, decimals=decimals), PixelScores()
    for image in images:
        pixels.add(*image)
    precision, recall, _ = precision_recall_curve(
        np.concatenate([truth.ravel() for _, truth in images]),
        np.concatenate([heatmap.ravel() for heatmap, _ in images]),
    )
    best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    assert pixels.metrics(0.5)["pixel_best_f1"] == pytest.approx(best)


@pytest.mark.parametrize(
    ("name", "regions", "detected", "outlined", "value"),
    [
        ("defects_found", 8, 6, 3, 6 / 8),
        ("outlined_of_found", 8, 6, 3, 3 / 6),
        ("outlined_of_found", 8, 0, 0, Undefined("no defect is found")),
        ("defects_found", 0, 0, 0, Undefined("no mask of a defective image to compare with")),
    ],
)
def test_defects_by_hand(
    name: str, regions: int, detected: int, outlined: int, value: float | Undefined
) -> None:
    metric = METRICS[name]
    assert isinstance(metric, DefectMetric)
    everything = DefectScore(
        of="all", name="all", regions=regions, detected=detected, outlined=outlined, largest=9
    )
    assert metric.value([everything, everything.model_copy(update={"of": "size", "regions": 1})]) == value
