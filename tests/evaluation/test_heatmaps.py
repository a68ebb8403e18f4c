"""Probe maps: one choice for all cells, level 128 is the threshold, and counts are those of full size."""

import zlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.evaluation.evaluate_scenes import make_set
from trainables.data.samples import ImageSet
from trainables.evaluation.heatmaps import DISPLAY_SIDE, Probe, Scale, choose_probes, maps_table, read_probe
from trainables.evaluation.metrics import PixelScores

TEST = make_set("test", 40, seed=3, masks=False)


def make_probe(seed: int = 0, size: tuple[int, int] = (700, 130), specks: int = 3) -> Probe:
    rng = np.random.default_rng(seed)
    truth = np.zeros(size, dtype=bool)
    for k in range(specks):
        truth[2 * (k // 50) + 10, 2 * (k % 50) + 10] = True  # one pixel each, none touching
    truth[500:560, 30:90] = True
    heatmap = rng.random(size, dtype=np.float32)
    image = rng.integers(0, 256, (*size, 1), dtype=np.uint8)
    return Probe(f"s{seed}", True, "blob", 0.8, image, heatmap, truth)


def row_of(probe: Probe, threshold: float) -> dict:  # type: ignore[type-arg]
    return maps_table([probe], threshold).to_pylist()[0]


def histogram(data: bytes) -> NDArray[np.int32]:
    return np.frombuffer(data, "<i4")


def test_probes_depend_on_the_repeat_and_not_on_the_order_of_images() -> None:
    order = np.random.default_rng(0).permutation(len(TEST))
    shuffled = ImageSet(
        tuple(TEST.ids[i] for i in order),
        TEST.labels[order],
        TEST.images,
        classes=tuple(TEST.classes[i] for i in order),
    )
    chosen = {TEST.ids[i] for i in choose_probes(TEST, 8, seed=5)}
    assert {shuffled.ids[i] for i in choose_probes(shuffled, 8, seed=5)} == chosen
    assert {TEST.ids[i] for i in choose_probes(TEST, 8, seed=6)} != chosen


def test_probes_show_every_class_and_some_normal_images() -> None:
    chosen = choose_probes(TEST, 8, seed=0)
    assert Counter(TEST.classes[i] for i in chosen) == {"blob": 3, "scratch": 3, None: 2}


@pytest.mark.parametrize(("count", "rows"), [(0, 0), (1, 1), (39, 39), (100, 40)])
def test_a_lack_of_one_kind_is_filled_by_the_other(count: int, rows: int) -> None:
    chosen = choose_probes(TEST, count, seed=0)
    assert len(set(chosen)) == len(chosen) == rows


def test_probes_of_a_set_without_classes() -> None:
    chosen = choose_probes(replace(TEST, classes=()), 4, seed=0)
    assert [bool(TEST.labels[i]) for i in chosen].count(True) == 3


unit = st.floats(0, 1, width=32)


@settings(deadline=None)  # a busy machine is no failure
@given(scores=st.lists(unit, min_size=1, max_size=60), threshold=unit)
def test_level_128_is_the_threshold_to_the_last_bit(scores: list[float], threshold: float) -> None:
    t = np.float32(threshold)
    just_below = np.nextafter(t, np.float32(0))
    heatmap = np.array([*scores, t, just_below], dtype=np.float32)
    scale = Scale(min(float(heatmap.min()), threshold), threshold, max(float(heatmap.max()), threshold))
    levels = scale.levels(heatmap)
    assert np.array_equal(levels >= 128, heatmap >= t)
    assert np.all(np.diff(levels[np.argsort(heatmap)].astype(int)) >= 0)


@pytest.mark.parametrize("level", [1, 64, 128, 200, 255])
def test_a_level_stands_for_its_lowest_score(level: int) -> None:
    scale = Scale(0.1, 0.3, 0.9)
    around = np.array([scale.score(level) - 1e-5, scale.score(level) + 1e-5], dtype=np.float32)
    assert scale.levels(around).tolist() == [level - 1, level]


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 1.0])
def test_counts_at_level_128_are_those_of_the_metrics(threshold: float) -> None:
    probe = make_probe()
    assert probe.truth is not None
    row = row_of(probe, threshold)
    pixels = PixelScores()
    pixels.add(probe.heatmap, probe.truth)
    tp, fp, fn, tn = (int(values[0]) for values in pixels.counts(threshold))
    positives, negatives = histogram(row["positives"]), histogram(row["negatives"])
    assert (positives[128:].sum(), positives[:128].sum()) == (tp, fn)
    assert (negatives[128:].sum(), negatives[:128].sum()) == (fp, tn)


def test_levels_mean_the_same_score_in_all_probes_of_a_trial() -> None:
    rows = maps_table([make_probe(1), make_probe(2)], 0.4).to_pylist()
    assert len({(row["lo"], row["threshold"], row["hi"]) for row in rows}) == 1


def test_pictures_have_display_size_and_keep_proportions() -> None:
    row = row_of(make_probe(), 0.5)
    picture = read_probe(row)
    assert (row["height"], row["width"]) == (DISPLAY_SIDE, 59)
    assert picture.image.shape == (DISPLAY_SIDE, 59, 3)
    assert picture.levels.shape == (DISPLAY_SIDE, 59)


def test_a_small_image_is_not_enlarged_and_its_map_is_exact() -> None:
    probe = make_probe(size=(600, 120))
    small = replace(
        probe, image=probe.image[:100], heatmap=probe.heatmap[:100], truth=np.zeros((100, 120), bool)
    )
    row = row_of(small, 0.5)
    levels = np.frombuffer(zlib.decompress(row["heatmap"]), np.uint8).reshape(100, 120)
    assert np.array_equal(levels >= 128, small.heatmap >= 0.5)


@pytest.mark.parametrize(("specks", "bits"), [(3, 8), (254, 8), (255, 16)])
def test_every_defect_has_a_number_and_stays_visible(specks: int, bits: int) -> None:
    row = row_of(make_probe(specks=specks, size=(600, 150)), 0.5)
    assert row["truth_bits"] == bits
    assert len(row["peaks"]) == specks + 1
    defects = read_probe(row).defects
    assert defects is not None
    assert defects.max() == specks + 1
    if specks == 3:
        assert set(np.unique(defects)) == {0, 1, 2, 3, 4}


def test_a_speck_is_not_hidden_by_a_large_neighbour_in_its_cell() -> None:
    truth = np.zeros((1280, 1280), dtype=bool)  # shown at a quarter: cells of 4 × 4 pixels
    truth[102:200, 0:100] = True  # half of the cells of rows 100–103
    truth[100, 50] = True
    probe = replace(make_probe(size=(1280, 1280)), truth=truth)
    defects = read_probe(row_of(probe, 0.5)).defects
    assert defects is not None
    assert set(np.unique(defects)) == {0, 1, 2}


def test_peak_and_area_of_a_defect_are_those_of_full_size() -> None:
    probe = make_probe(specks=0)
    row = row_of(probe, 0.5)
    scale = Scale(row["lo"], row["threshold"], row["hi"])
    assert list(row["peaks"]) == [scale.levels(probe.heatmap[500:560, 30:90]).max()]
    assert histogram(row["areas"]).tolist() == [3600]


def test_unknown_truth_is_null_and_an_image_without_defect_has_zeros() -> None:
    unknown = row_of(replace(make_probe(), truth=None), 0.5)
    assert unknown["truth"] is None
    assert unknown["positives"] is None
    assert read_probe(unknown).defects is None
    normal = row_of(replace(make_probe(), label=False, truth=np.zeros((700, 130), bool)), 0.5)
    assert histogram(normal["positives"]).sum() == 0
    assert histogram(normal["negatives"]).sum() == 700 * 130
