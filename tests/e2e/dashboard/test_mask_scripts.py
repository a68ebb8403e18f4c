"""The scripts of the Masks page alone, in a browser: they count and match as the server does."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

import assay
from assay.report.masks.payload import peaks_in
from assay.storage import Store
from tests.dashboard.made_records import make_scene, make_study
from trainables.evaluation.heatmaps import Probe, maps_table, read_probe
from trainables.evaluation.operating_point import rate_text

GRID = Path(__file__).parents[3] / "platform" / "assay" / "report" / "masks"


def test_the_browser_matches_defects_of_two_sizes_as_the_server_does(page: Page) -> None:
    rng = np.random.default_rng(0)
    scene = make_scene(6, (96, 144))
    page.goto("about:blank")
    page.add_script_tag(path=GRID / "mask_pixels.js")
    for truth in scene.test.masks.values():
        rows = [made_row(cv2.resize(truth, size), rng) for size in ((144, 96), (61, 50), (70, 110))]
        for own, other in permutations(rows, 2):
            cells = [as_cell(row) for row in (own, other)]
            matched = page.evaluate("([own, other]) => matchedPeaks(own, other)", cells)
            assert matched == peaks_in(other, own).tolist()


def test_pixels_of_two_sizes_are_not_subtracted(page: Page) -> None:
    page.goto("about:blank")
    page.add_script_tag(path=GRID / "mask_numbers.js")
    told = page.evaluate(
        """() => {
          const counts = (all) => new Array(256).fill(0).with(200, all);
          const [small, large] = [1, 4].map((k) => new Numbers(counts(5 * k), counts(10 * k), counts(1)));
          return [captionOf(small, small, 128), captionOf(small, large, 128)];
        }"""
    )
    assert told == [
        ["IoU +0.000 · found ±0", "FP ±0 · FN ±0 px"],
        ["IoU +0.000 · found ±0", "pixels are of two sizes"],
    ]


def test_the_maps_of_a_large_net_have_their_extremes_too(page: Page) -> None:
    page.goto("about:blank")
    page.add_script_tag(path=GRID / "mask_numbers.js")
    told = page.evaluate(
        """() => {
          const weights = new Float32Array(500000).fill(1).with(7, 3);
          return taughtCaption({ width: 1000, height: 500, target: weights, weights }, "weights");
        }"""
    )
    assert told == ["weights in 500 × 1000 grid cells", "1 to 3 at the defect"]


@pytest.mark.parametrize("level", [128, 200])
def test_the_grid_of_a_notebook_counts_and_compares_without_a_server(
    level: int, page: Page, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    make_study(store, make_scene(4, (48, 72)), seeds=1, probes=4)
    study = assay.open(store.uri).study("additions")
    page.goto("about:blank")
    page.context.set_offline(True)
    page.set_content(study.masks(["all off", "stop"], images=3)._repr_html_())
    grid = page.frame_locator("iframe")
    expect(grid.locator("figure.cell")).to_have_count(2 * 3)
    grid.locator("input.threshold").fill(str(level))
    rows = study.maps(first_trial(study.trials(), "all off")).to_pylist()
    row = min(
        (row for row in rows if row["label"]), key=lambda row: (row["defect_class"] or "", row["sample"])
    )
    hits, alarms = (int(np.frombuffer(row[name], "<i4")[level:].sum()) for name in ("positives", "negatives"))
    iou = hits / (np.frombuffer(row["positives"], "<i4").sum() + alarms)
    expect(grid.locator("figcaption .line").first).to_contain_text(f"IoU {iou:.3f}")
    grid.locator("input.difference").check()
    expect(grid.locator(".legend")).to_contain_text("defect pixels gained")
    grid.locator(".frame").first.click()
    expect(grid.locator(".frame").first).to_have_class(re.compile("zoomed"))


def first_trial(trials: pd.DataFrame, cell: str) -> str:
    return str(trials.index[trials["cell"] == cell][0])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("decisionOf(0.643, 0.5, true).text", "fail 0.643 ≥ 0.500 · correct"),
        ("decisionOf(0.643, 0.5, false).text", "fail 0.643 ≥ 0.500 · false alarm"),
        ("decisionOf(0.31, 0.5, true).text", "pass 0.310 < 0.500 · missed"),
        ("decisionOf(0.49999, 0.5, false).text", "pass 0.499990 < 0.500000 · correct"),
        ("decisionOf(0.643, null, true).text", "score 0.643"),
        ("factorsOf([{scale: [0, 0.2, 1]}, {scale: [0, 0.5, 1]}, {scale: null}], 64)", "own × 0.50"),
        ("factorsOf([{scale: [0, 0.2, 1]}, {scale: [0, 0.5, 1]}], 192)", "own × 1.50 – 3.00"),
        ("factorsOf([{scale: [0, 0, 1]}], 192)", ""),
        ("rateText(0, 60)", rate_text(0, 60)),
        ("rateText(2, 171)", rate_text(2, 171)),
        ("rateText(3, 3)", rate_text(3, 3)),
        ("rateText(0, 0)", rate_text(0, 0)),
        ("rateText(1, 20000)", rate_text(1, 20000)),
        ("rateText(4321, 20000)", rate_text(4321, 20000)),
        (
            "imageErrors({defective: [0.9, 0.2], normal: [0.1], independent: true}, 0.5)",
            f"escapes {rate_text(1, 2)} · false alarms {rate_text(0, 1)}",
        ),
        (
            "imageErrors({defective: [0.9, 0.2], normal: [0.1], independent: false}, 0.5)",
            "escapes 1 of 2 photos · false alarms 0 of 1 photos",
        ),
    ],
)
def test_decisions_and_thresholds_are_said_in_numbers(page: Page, call: str, text: str) -> None:
    page.goto("about:blank")
    page.add_script_tag(path=GRID / "mask_numbers.js")
    assert page.evaluate(call) == text


def made_row(truth: NDArray[np.uint8], rng: np.random.Generator) -> dict[str, Any]:
    """An image of `maps.parquet` with this mask and a map by chance."""
    heatmap = rng.random(truth.shape, dtype=np.float32)
    photo = np.full((*truth.shape, 1), 90, np.uint8)
    return maps_table([Probe("one", True, None, 0.5, photo, heatmap, truth > 0)], 0.5).to_pylist()[0]


def as_cell(row: dict[str, Any]) -> dict[str, Any]:
    """What the grid keeps of it."""
    defects = read_probe(row).defects
    assert defects is not None
    return {
        "width": row["width"],
        "height": row["height"],
        "truthPlace": str(row["truth"]),
        "defects": defects.ravel().tolist(),
        "peaks": list(row["peaks"]),
    }
