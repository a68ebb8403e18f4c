"""The Masks page as a script: what it asks for, leaves out and sends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

import assay_dashboard
from assay.analysis.names import plan_names, study_names
from assay.analysis.results.reading import read_results, results_of_plan
from assay.analysis.summary import Repeat
from assay.report.masks.payload import MOST_CELLS, PAGE_ROWS
from assay.report.masks.sheets import records_with_maps
from assay.report.tables.cells import highlighted_cells, in_order
from assay.storage import Record, Store
from assay.storage.plans import write_plan
from assay.study import Plan
from assay_dashboard import study_view as reading
from assay_dashboard.best_variant import best_of_each, pictures_of_failures
from tests.dashboard.conftest import texts_of
from tests.dashboard.made_records import large_study_text, make_large_study, make_scene, make_study
from trainables.evaluation.metrics import METRICS

Open = Callable[..., AppTest]
VIEWS = Path(assay_dashboard.__file__).parent / "views"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`additions`, and `large` with ten cells."""
    store = Store(tmp_path_factory.mktemp("masks"))
    scene = make_scene(8, (32, 48))
    make_study(store, scene, seeds=1, probes=8)
    make_large_study(store, large_study_text(factors=1, seeds=1), scene=scene, variants=2)
    return store


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Open:
    def run(
        store: Store, study: str = "additions", state: dict[str, Any] | None = None, **query: str
    ) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["app.py", "--storage", store.uri])
        page = AppTest.from_file(str(VIEWS / "images.py"), default_timeout=120)
        for name, value in {"study": study, **(state or {})}.items():
            page.session_state[name] = value
        page.query_params.update(query)
        page.run()
        assert not page.exception
        return page

    return run


def sent(page: AppTest) -> dict[str, Any]:
    """The header of the payload."""
    (grid,) = page.get("bidi_component")
    payload = grid.proto.bytes
    return json.loads(payload[4 : 4 + int.from_bytes(payload[:4], "little")])


def test_only_the_images_of_one_page_are_sent(store: Store, open_page: Open) -> None:
    first, second = (sent(open_page(store, page=number, sort="sample")) for number in ("1", "2"))
    assert (len(first["rows"]), len(second["rows"])) == (PAGE_ROWS, 2)
    samples = [row["sample"] for row in first["rows"] + second["rows"]]
    assert samples == sorted(set(samples))


def test_the_page_opens_on_what_the_base_and_the_best_cell_disagree_on_most(
    store: Store, open_page: Open
) -> None:
    page = open_page(store)
    header = sent(page)
    marks = {column["mark"]: column["name"] for column in header["columns"]}
    best = in_order(read_results(store, "additions"), METRICS["pixel_iou"])[0]
    words = study_names(read_results(store, "additions")).variant
    assert (marks["A"], marks["B"]) == (words("all off"), words(best))
    assert page.selectbox(key="sort").value == "disagreement"
    assert header["rows"] != sent(open_page(store, sort="sample"))["rows"]


def test_a_column_has_the_test_sets_iou_and_the_image_threshold_of_its_record(
    store: Store, open_page: Open
) -> None:
    words = study_names(read_results(store, "additions")).variant
    records = store.records(store.trials()).values()
    of_cell = {words(record.trial["cell"]): record for record in records if record.study == "additions"}
    for column in sent(open_page(store))["columns"]:
        result = of_cell[column["name"]].result
        assert result is not None
        assert result.thresholds is not None
        assert column["testIou"] == result.metrics["pixel_iou"]
        assert column["imageThreshold"] == result.thresholds.image


@pytest.mark.parametrize(
    ("text", "level"),
    [
        *((str(level), level) for level in (1, 140, 255)),
        *((text, 128) for text in ("0", "256", "-3", "1e3", "９９", "../../etc/passwd", "9" * 5000, "\0")),
    ],
)
def test_a_threshold_of_the_url_is_a_level_or_nothing(
    store: Store, open_page: Open, text: str, level: int
) -> None:
    view = sent(open_page(store, threshold=text))["view"]
    assert (view["level"], view["difference"]) == (level, False)


@pytest.mark.parametrize("text", ["<script>", "", "Target", "x" * 5000])
def test_a_picture_of_the_url_that_there_is_not_is_the_decision(
    store: Store, open_page: Open, text: str
) -> None:
    header = sent(open_page(store, picture=text))
    assert header["view"]["picture"] == "decision"
    assert header["view"]["shows_targets"]
    assert {column["lesson"] for column in header["columns"]} == {None}


def test_cells_that_another_page_chose_are_shown_up_to_six(store: Store, open_page: Open) -> None:
    names = [f"l{k}" for k in range(10)]
    asked = [*names[3:], "<script>", "../../etc"]
    header = sent(open_page(store, "large", {"cells": asked}))
    assert [column["name"] for column in header["columns"]] == names[3 : 3 + MOST_CELLS]
    usual = sent(open_page(store, "large", {"cells": []}))
    results = read_results(store, "large")
    assert [column["name"] for column in usual["columns"]] == highlighted_cells(results, names, MOST_CELLS)


def test_a_study_that_has_no_probe_images_yet_says_so(tmp_path: Path, store: Store, open_page: Open) -> None:
    empty = Store(tmp_path)
    empty.write_table("studies/additions/plan.parquet", store.read_table("studies/additions/plan.parquet"))
    page = open_page(empty)
    assert "No finished run of this study has kept example images yet." in texts_of(page)
    assert not page.get("bidi_component")


def test_of_a_study_that_keeps_no_probe_images_the_page_says_what_would_keep_them(
    tmp_path: Path, open_page: Open
) -> None:
    """Its trials have files of maps, without a row."""
    store = Store(tmp_path / "none kept")
    make_study(store, make_scene(4, (32, 48)), seeds=1, probes=0, epochs=15)
    text = texts_of(open_page(store))
    assert "kept example images yet. Trials that have ended get none later, so seeds are to be added" in text
    assert "keep: {probes: 12}" in text


def test_images_that_another_study_kept_of_the_same_trials_are_shown(tmp_path: Path, open_page: Open) -> None:
    store = Store(tmp_path / "shared")
    kept = make_study(store, make_scene(4, (32, 48)), name="kept", seeds=1, probes=2, epochs=16)
    keep = kept.study.keep.model_copy(update={"probes": 0})
    study = kept.study.model_copy(update={"study": "none", "keep": keep})
    none = kept.model_copy(update={"study": study})
    write_plan(store, none)
    assert len(sent(open_page(store, "none"))["columns"]) == MOST_CELLS


def test_repeats_that_were_trained_before_images_were_kept_hide_no_other(
    tmp_path: Path, open_page: Open
) -> None:
    store = Store(tmp_path)
    make_study(store, make_scene(4, (32, 48)), seeds=2, probes=2, epochs=17)
    make_study(store, make_scene(4, (32, 48)), name="before", seeds=1, probes=0, epochs=17)
    page = open_page(store)
    assert page.selectbox(key="repeat").options == ["seed 1"]
    assert len(sent(page)["rows"]) == 2
    view = reading.view(store, "additions")
    (best,) = best_of_each(view.results).values()
    assert pictures_of_failures(view, best).count("<img") == 2


def test_maps_that_cannot_be_read_are_named_and_the_other_cells_shown(
    tmp_path: Path, open_page: Open
) -> None:
    broken = Store(tmp_path)
    plan: Plan = make_study(broken, make_scene(4, (32, 48)), seeds=1, probes=2, epochs=13)
    (cells,) = _with_maps(broken, plan).values()
    name, record = next(iter(cells.items()))
    broken.write_bytes(f"{broken.trial(record.id)}/{record.attempt}/maps.parquet", b"not a table")
    page = open_page(broken)
    words = plan_names(plan).variant
    assert f"{words(name)} is left out" in texts_of(page)
    assert [column["name"] for column in sent(page)["columns"]] == [words(cell) for cell in list(cells)[1:]]


def test_a_filter_that_nothing_passes_says_so(store: Store, open_page: Open) -> None:
    page = open_page(store, show="A finds, B misses", threshold="1")
    assert "No example image matches." in texts_of(page)


def test_a_choice_that_two_cells_can_not_answer_says_why(tmp_path: Path, open_page: Open) -> None:
    store = Store(tmp_path)
    plan = make_study(store, make_scene(4, (32, 48)), seeds=1, probes=2, epochs=14)
    (cells,) = _with_maps(store, plan).values()
    _forget_masks(store, next(iter(cells.values())))
    page = open_page(store, show="A finds, B misses")
    assert "A and B share no example image with a defect that both have a mask of" in texts_of(page)


def _with_maps(store: Store, plan: Plan) -> dict[Repeat, dict[str, Record]]:
    return records_with_maps(results_of_plan(plan, store), plan.trials, store.read_part)


def _forget_masks(store: Store, record: Record) -> None:
    """As of images whose masks are not known."""
    maps = store.read_part(record, "maps.parquet")
    assert maps is not None
    for name in ("truth", "truth_bits", "peaks", "areas", "positives", "negatives"):
        at = maps.schema.get_field_index(name)
        maps = maps.set_column(at, maps.schema.field(name), pa.nulls(len(maps), maps.schema.field(name).type))
    name = f"{record.attempt}/maps.parquet"
    written = store.write_table(f"{store.trial(record.id)}/{name}", maps)
    store.write_record(record.model_copy(update={"files": {**record.files, name: written}}))
