"""The Masks page in a browser: its numbers and pixels are NumPy's and the record's, and nobody gets in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from assay.analysis.names import variant_name
from assay.analysis.results.reading import read_results
from assay.analysis.summary import Repeat
from assay.report.masks.sheets import records_with_maps
from assay.storage import Record, Store
from tests.dashboard.made_records import make_scene, make_study
from tests.e2e.dashboard.conftest import Results
from tests.e2e.dashboard.masks_page import MasksPage
from tests.e2e.dashboard.serving import Served, serve
from trainables.evaluation.heatmaps import THRESHOLD_LEVEL, read_probe

STYLE = Path(__file__).parents[3] / "dashboard" / "assay_dashboard" / "style.css"
WEAK, STRONG = "all off", "balance + stop + distance"
COLOURS = {"gained": (86, 180, 233), "lost": (213, 94, 0), "added": (240, 228, 66), "removed": (0, 114, 178)}
HOSTILE = (
    "<img src=x onerror=window.broken=1>.png",
    "../../../../etc/passwd",
    "<script>window.broken=1</script>",
    "x" * 10_000,
    "Ünïcödé \u202e reversed 缺陷.png",
    "a&amp;b \"quoted\" 'single' `tick` ${1}",
)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`additions`, six cells of two seeds; `chain`, staged; `hostile`, with names that want to be markup.

    In `damaged` the maps of the first cell are no table.
    """
    store = Store(tmp_path_factory.mktemp("masks"))
    scene = make_scene(9, (96, 144))
    make_study(store, scene, seeds=2, probes=8)
    make_study(store, scene, name="chain", seeds=1, probes=2, staged=True, epochs=11)
    named = make_scene(6, (48, 64), name=HOSTILE.__getitem__)
    make_study(store, named, name="hostile", seeds=1, probes=6, epochs=12)
    make_study(store, make_scene(4, (48, 64)), name="damaged", seeds=1, probes=2, epochs=13)
    record = next(iter(cells_of(store, "damaged").values()))
    store.write_bytes(f"{store.trial(record.id)}/{record.attempt}/maps.parquet", b"not a table")
    return store


@pytest.fixture(scope="module")
def server(storage: Store) -> Iterator[Served]:
    with serve(storage.uri) as served:
        yield served


@pytest.fixture
def masks(page: Page, server: Served) -> MasksPage:
    return MasksPage(page, server.url)


@pytest.fixture(scope="module")
def cells(storage: Store) -> dict[str, Record]:
    return cells_of(storage, "additions")


def cells_of(storage: Store, study: str) -> dict[str, Record]:
    results = read_results(storage, study)
    return records_with_maps(results, results.plan.trials, storage.read_part)[Repeat(0, None)]


def rows_of(storage: Store, record: Record) -> dict[str, dict[str, Any]]:
    table = storage.read_part(record, "maps.parquet")
    assert table is not None
    return {row["sample"]: row for row in table.to_pylist()}


def numbers(row: dict[str, Any], level: int) -> tuple[float, int, int, int]:
    """IoU, defects found, FP and FN, by NumPy on what is stored."""
    positives, negatives = (np.frombuffer(row[name], "<i4") for name in ("positives", "negatives"))
    tp, fp = int(positives[level:].sum()), int(negatives[level:].sum())
    fn = int(positives.sum()) - tp
    return tp / max(1, tp + fp + fn), int((np.frombuffer(row["peaks"], np.uint8) >= level).sum()), fp, fn


def image_threshold(record: Record) -> float:
    assert record.result is not None
    assert record.result.thresholds is not None
    return record.result.thresholds.image


def counted(row: dict[str, Any], level: int, image_threshold: float) -> list[str]:
    """The caption of a cell."""
    iou, found, fp, fn = numbers(row, level)
    reaches = row["score"] >= image_threshold
    score = (
        f"{'fail' if reaches else 'pass'} {row['score']:.3f} {'≥' if reaches else '<'} {image_threshold:.3f}"
    )
    score += f" · {'correct' if reaches == row['label'] else 'false alarm' if reaches else 'missed'}"
    if not row["label"]:
        return ["no defect", f"FP {fp:,} px", score]
    return [f"IoU {iou:.3f} · found {found} of {len(row['peaks'])}", f"FP {fp:,} · FN {fn:,} px", score]


def test_numbers_are_those_of_numpy_at_every_threshold(
    masks: MasksPage, storage: Store, cells: dict[str, Record]
) -> None:
    masks.open(sort="sample")  # other orders follow the threshold
    rows = [rows_of(storage, record) for record in cells.values()]
    assert (len(masks.samples), len(rows)) == (6, 6)
    for level in (128, 1, 90, 127, 129, 200, 255):
        masks.set_threshold(level)
        shown = masks.captions()
        for r, sample in enumerate(masks.samples):
            for c, of_cell in enumerate(rows):
                expected = counted(of_cell[sample], level, image_threshold(list(cells.values())[c]))
                assert shown[r][c] == expected, (level, sample, c)


def test_validations_choice_gives_the_counts_of_the_record(
    masks: MasksPage, storage: Store, cells: dict[str, Record]
) -> None:
    masks.open(cells=list(cells)[:2], sort="sample")
    for c, record in enumerate(list(cells.values())[:2]):
        counts = predicted(storage, record)
        for r, sample in enumerate(masks.samples):
            assert masks.caption(r, c)[1] == counts[sample]


def predicted(storage: Store, record: Record) -> dict[str, str]:
    """Sample → FP and FN of the record's own predictions, as a caption says them."""
    table = storage.read_part(record, "predictions.parquet")
    assert table is not None
    return {
        row["sample"]: f"FP {row['fp']:,} · FN {row['fn']:,} px" if row["label"] else f"FP {row['fp']:,} px"
        for row in table.to_pylist()
    }


def all_found(row: dict[str, Any], level: int) -> bool:
    """No box of a missed defect is drawn over its picture."""
    return bool(np.all(np.frombuffer(row["peaks"], np.uint8) >= level))


@pytest.mark.ray
def test_masks_of_a_study_that_was_trained_have_the_counts_of_its_records(
    page: Page, dashboard: str, results: Results
) -> None:
    masks = MasksPage(page, dashboard).open(study="small")
    small = read_results(results.store, "small")
    kept = next(iter(records_with_maps(small, small.plan.trials, results.store.read_part).values()))
    names = [variant_name(small, cell) for cell in kept]
    assert masks.page.locator(".column .name").all_text_contents() == names
    for c, record in enumerate(kept.values()):
        for r, sample in enumerate(masks.samples):
            assert masks.caption(r, c)[1] == predicted(results.store, record)[sample]


def test_the_mask_is_where_the_map_reaches_the_threshold(
    masks: MasksPage, storage: Store, cells: dict[str, Record]
) -> None:
    masks.open(sort="sample")
    masks.set_threshold(150)
    rows = rows_of(storage, cells[STRONG])
    plain = [(r, sample) for r, sample in enumerate(masks.samples) if all_found(rows[sample], 150)]
    assert len(plain) >= 3
    for r, sample in plain:
        picture = read_probe(rows[sample])
        assert picture.defects is not None
        assert np.array_equal(masks.pixels(r, 5, "decision")[:, :, 3] > 0, picture.levels >= 150)
        line = masks.pixels(r, 5, "truth-line")[:, :, 3] > 0
        assert line.any() == (picture.defects > 0).any()
        assert not line[picture.defects > 0].any()  # it is outside the defect


def test_the_difference_of_two_cells_is_that_of_their_masks(
    masks: MasksPage, storage: Store, cells: dict[str, Record]
) -> None:
    rows = {name: rows_of(storage, cells[name]) for name in (WEAK, STRONG)}
    seen: set[str] = set()
    for a, b in [(WEAK, STRONG), (STRONG, WEAK)]:
        masks.open(cells=[WEAK, STRONG], a=a, difference="1", threshold="100", show="defective")
        for r, sample in enumerate(masks.samples):
            if not all(all_found(of_cell[sample], 100) for of_cell in rows.values()):
                continue
            old, new = read_probe(rows[a][sample]), read_probe(rows[b][sample])
            assert new.defects is not None
            was, now, truth = old.levels >= 100, new.levels >= 100, new.defects > 0
            expected = {
                "gained": now & ~was & truth,
                "lost": was & ~now & truth,
                "added": now & ~was & ~truth,
                "removed": was & ~now & ~truth,
            }
            shown = masks.pixels(r, [WEAK, STRONG].index(b), "decision")
            for name, rgb in COLOURS.items():
                # Alpha is multiplied in and out again: of the faint half of a hatch little is left.
                far = np.abs(shown[:, :, :3].astype(int) - rgb).max(axis=2)
                assert np.array_equal((far <= 4) & (shown[:, :, 3] > 0), expected[name]), (sample, name)
                seen |= {name} if expected[name].any() else set()
    assert seen == set(COLOURS)


def test_numbers_of_the_difference_are_differences_of_numbers(
    masks: MasksPage, storage: Store, cells: dict[str, Record]
) -> None:
    masks.open(cells=[WEAK, STRONG], difference="1", show="defective")
    before, after = (rows_of(storage, cells[name]) for name in (WEAK, STRONG))
    for r, sample in enumerate(masks.samples):
        was, now = (numbers(rows[sample], 128) for rows in (before, after))
        gain, found, fp, fn = (float(b) - float(a) for a, b in zip(was, now, strict=True))
        told = masks.caption(r, 1)
        assert told[0] == f"IoU {signed(gain, '.3f', '+0.000')} · found {signed(found, '.0f', '±0')}"
        assert told[1] == f"FP {signed(fp, ',.0f', '±0')} · FN {signed(fn, ',.0f', '±0')} px"


def signed(value: float, form: str, zero: str) -> str:
    text = format(abs(value), form)
    return zero if not text.strip("0.,") else f"{'−' if value < 0 else '+'}{text}"


def test_the_url_keeps_cells_threshold_difference_order_and_page(
    masks: MasksPage, cells: dict[str, Record]
) -> None:
    masks.open(cells=list(cells)[:3], sort="score", page="2", threshold="150", difference="1")
    assert masks.page.locator(".column").count() == 3
    assert masks.page.locator("input.threshold").input_value() == "150"
    assert masks.page.locator("input.difference").is_checked()
    assert len(masks.samples) == 2  # of eight, six on the first page
    masks.page.locator("input.threshold").fill("60")
    masks.page.locator("input.threshold").dispatch_event("change")
    masks.page.wait_for_url("**threshold=60**")
    masks.page.locator("button.reset").click()
    masks.page.wait_for_url(lambda url: "threshold" not in url)
    assert {name: masks.query[name] for name in ("sort", "page", "difference")} == {
        "sort": ["score"],
        "page": ["2"],
        "difference": ["1"],
    }


def test_a_threshold_moved_by_many_steps_of_a_key_is_in_the_url_at_last(masks: MasksPage) -> None:
    masks.open()
    masks.page.locator("input.threshold").focus()
    for level in range(THRESHOLD_LEVEL + 1, THRESHOLD_LEVEL + 31):  # each step runs the page again
        masks.page.keyboard.press("ArrowRight")
        expect(masks.page.locator("input.threshold")).to_have_value(str(level))
    masks.page.wait_for_url(f"**threshold={THRESHOLD_LEVEL + 30}**")


def test_back_and_forward_move_the_threshold_and_what_is_listed_by_it(masks: MasksPage) -> None:
    masks.open(show="no variant finds", threshold="220")
    before = masks.samples, masks.captions()
    masks.set_threshold(254)
    expect(masks.page.locator(".sample")).not_to_have_count(len(before[0]))
    expect(masks.page.locator("figcaption .line").first).not_to_be_empty()
    after = masks.samples, masks.captions()
    for go, level, shown in ((masks.page.go_back, "220", before), (masks.page.go_forward, "254", after)):
        go()
        expect(masks.page.locator(".sample")).to_have_count(len(shown[0]))
        expect(masks.page.locator("input.threshold")).to_have_value(level)
        masks.page.wait_for_timeout(500)  # in which an address could be written
        assert (masks.samples, masks.captions()) == shown
        assert masks.query["threshold"] == [level]


def test_the_threshold_stays_from_page_to_page(masks: MasksPage) -> None:
    masks.open(sort="sample")
    masks.set_threshold(60)
    first = masks.samples
    masks.page.locator("input.threshold").dispatch_event("change")
    masks.page.get_by_role("button", name="Page 2").click()
    expect(masks.page.locator(".sample")).to_have_count(2)
    expect(masks.page.locator("input.threshold")).to_have_value("60")
    assert not set(first) & set(masks.samples)


def test_only_images_with_a_defect_that_a_finds_and_b_misses_are_listed(
    masks: MasksPage, storage: Store, cells: dict[str, Record]
) -> None:
    masks.open(
        cells=[WEAK, STRONG], a=STRONG, b=WEAK, show="A finds, B misses", threshold="170", sort="sample"
    )
    finds, misses = (rows_of(storage, cells[name]) for name in (STRONG, WEAK))
    expected = [
        sample
        for sample in sorted(finds)
        if np.any(
            (np.frombuffer(finds[sample]["peaks"], np.uint8) >= 170)
            & (np.frombuffer(misses[sample]["peaks"], np.uint8) < 170)
        )
    ]
    assert expected
    assert masks.samples == expected[:6]


@pytest.mark.parametrize(("theme", "named"), [("light", 0), ("dark", 1)])
def test_faint_texts_have_the_colour_of_the_theme(masks: MasksPage, theme: Any, named: int) -> None:
    masks.page.emulate_media(color_scheme=theme)
    masks.open()
    sheet = STYLE.read_text("utf-8")
    quiet = re.search(r"--quiet: light-dark\((#\w{6}), (#\w{6})\)", sheet)
    assert quiet is not None
    rgb = tuple(int(quiet[named + 1][i : i + 2], 16) for i in (1, 3, 5))
    for text in (".hint", ".sample", ".line"):
        expect(masks.page.locator(text).first).to_have_css("color", f"rgb{rgb}")


def test_stages_of_a_cell_stand_side_by_side(masks: MasksPage) -> None:
    masks.open(study="chain", stages="all off")
    names = masks.page.locator(".column .name").all_text_contents()
    assert names == ["cam", "final cam", "pseudo", "crf", "no balance, no stop, no distance"]
    assert masks.caption(0, 0) == []
    assert masks.caption(0, 4) != []
    assert "IoU" in masks.page.locator(".column").first.inner_text()


def test_six_choices_stand_in_one_row_of_a_small_screen(masks: MasksPage) -> None:
    masks.page.set_viewport_size({"width": 1280, "height": 720})
    masks.open(study="chain")
    choices = masks.page.locator(
        ".st-key-mask-choices :is([data-testid=stSelectbox], [data-testid=stMultiSelect])"
    )
    expect(choices).to_have_count(6)
    bottom = "all => new Set(all.map(box => Math.round(box.getBoundingClientRect().bottom))).size"
    assert choices.evaluate_all(bottom) == 1


@pytest.mark.parametrize("width", [768, 1280])
def test_lines_of_the_heads_are_read_whole_and_stand_at_one_height(masks: MasksPage, width: int) -> None:
    masks.page.set_viewport_size({"width": width, "height": 900})
    masks.open()
    heads = masks.page.locator(":is(.corner, .column)")
    expect(heads).to_have_count(7)
    # Names end at one height, and each line below them begins at one: a label stands beside its value.
    lines = heads.evaluate_all("""all => all.map(head => [...head.children].map((line, i) => [
        line.getBoundingClientRect()[i ? "top" : "bottom"], line.scrollWidth <= line.clientWidth]))""")
    assert all(whole for head in lines for _, whole in head)
    assert {tuple(edge for edge, _ in head) for head in lines[1:]} == {tuple(edge for edge, _ in lines[0])}


def test_the_heads_stay_in_sight_below_the_tabs(masks: MasksPage) -> None:
    masks.page.set_viewport_size({"width": 1280, "height": 720})
    masks.open()
    masks.cell(5, 0).scroll_into_view_if_needed()
    tabs = masks.page.get_by_test_id("stHeader").bounding_box()
    head = masks.page.locator(".column").first.bounding_box()
    assert tabs is not None
    assert head is not None
    assert head["y"] == pytest.approx(tabs["y"] + tabs["height"], abs=1)


def test_a_row_is_zoomed_and_walked_by_keyboard(masks: MasksPage) -> None:
    masks.open()
    frames = masks.page.locator(".frame")
    frames.nth(0).focus()
    masks.page.keyboard.press("ArrowRight")
    masks.page.keyboard.press("ArrowDown")
    expect(frames.nth(7)).to_be_focused()
    masks.page.keyboard.press("Enter")
    expect(masks.page.locator(".frame.zoomed")).to_have_count(6)
    expect(masks.cell(1, 0).locator(".stack")).to_have_attribute("style", re.compile(r"scale\(2\)"))
    masks.page.keyboard.press("Escape")
    expect(masks.page.locator(".frame.zoomed")).to_have_count(0)


def test_another_repeat_shows_other_maps(masks: MasksPage, storage: Store) -> None:
    masks.open(repeat="seed 1", cells=["all off"])
    record = next(
        record
        for record in storage.records(storage.trials()).values()
        if record.study == "additions" and record.trial["cell"] == "all off" and record.trial["seed"] == 1
    )
    rows = rows_of(storage, record)
    for r, sample in enumerate(masks.samples):
        assert masks.caption(r, 0) == counted(rows[sample], 128, image_threshold(record))


@pytest.mark.parametrize(
    "parameters",
    [
        {
            "threshold": "1e999",
            "page": "99999999999999999999",
            "cells": ["<script>alert(1)</script>", "../../etc/passwd", "y" * 10_000],
            "stages": "../../../etc/passwd",
            "difference": "<b>",
        },
        {
            "threshold": "\0",
            "page": "../../etc/passwd",
            "repeat": "seed 0/../../..",
            "a": "\0",
            "b": "%00%ff",
            "sort": "__class__",
            "show": "{{7*7}}",
        },
    ],
)
def test_values_of_the_url_that_are_no_choice_are_ignored(
    masks: MasksPage, parameters: dict[str, Any]
) -> None:
    masks.open(**parameters)
    assert len(masks.samples) == 6
    assert masks.page.locator(".column").count() == 6
    assert masks.page.locator("input.threshold").input_value() == "128"
    assert not masks.page.locator("input.difference").is_checked()


def test_hostile_names_are_shown_as_text(masks: MasksPage) -> None:
    masks.open(study="hostile")
    assert sorted(masks.samples) == sorted(HOSTILE)
    assert masks.page.evaluate("window.broken") is None
    assert masks.page.locator(".grid script, .sample *").count() == 0
    width = masks.page.evaluate("document.documentElement.scrollWidth")
    assert width <= masks.page.viewport_size["width"]  # type: ignore[index]


def test_a_study_that_is_not_of_the_storage_opens_nothing(page: Page, server: Served) -> None:
    page.goto(f"{server.url}/images?{urlencode({'study': 'additions/../chain'})}")
    expect(page.get_by_text("Choose a study above.")).to_be_visible()
    assert page.locator(".grid").count() == 0


def test_damaged_maps_are_named_and_the_other_cells_shown(
    masks: MasksPage, storage: Store, cells: dict[str, Record]
) -> None:
    masks.open(study="damaged")
    results = read_results(storage, "damaged")
    damaged, *others = (variant_name(results, cell) for cell in cells)  # as in `additions`
    assert masks.page.locator(".column .name").all_text_contents() == others
    expect(masks.page.get_by_text(f"{damaged} is left out")).to_be_visible()
