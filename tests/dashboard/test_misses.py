"""The page of misses: wrong decisions on all test images, counted over the repeats of a cell."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.analysis.results.computed import Computed
from assay.storage import Store
from assay.study import Plan, Trial, parse_study, plan_study
from assay_dashboard.best_variant import counts_text, variants_table
from assay_dashboard.predictions import Kind, has_predictions, of_kind, wrong_images, wrong_shares
from assay_dashboard.study_view import view
from tests.cli.small_study import STUDY, finished
from tests.dashboard.conftest import Show, put, texts_of
from tests.dashboard.made_records import make_scene, make_study
from trainables.evaluation.evaluate import PREDICTIONS_SCHEMA

IMAGES = {"crack": True, "dent": True, "clean": False}  # name → defective
DECIDED = {
    ("off", 0): (False, False, False),
    ("off", 1): (False, True, True),
    ("on", 0): (False, True, True),
    ("on", 1): (False, True, True),
}
UNTESTED = {trial: decided[1:] if trial[0] == "on" else decided for trial, decided in DECIDED.items()}
BLANK = "Blank: no run of the variant was tested on the image."


def predict(store: Store, trial: Trial, decided: tuple[bool, ...]) -> None:
    """A record of the trial with its decisions of the last images."""
    images = list(IMAGES)[-len(decided) :]
    columns = {
        "sample": images,
        "label": [IMAGES[image] for image in images],
        "score": [float(decision) for decision in decided],
        "decision": list(decided),
    }
    empty = {name: [None] * len(images) for name in PREDICTIONS_SCHEMA.names if name not in columns}
    file = io.BytesIO()
    pq.write_table(pa.table(columns | empty, schema=PREDICTIONS_SCHEMA), file)
    record = finished(trial, store)
    name = f"{record.attempt}/predictions.parquet"
    store.write_bytes(f"{store.trial(trial.id)}/{name}", file.getvalue())
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    store.write_record(record.model_copy(update={"files": {name: digest}}))


@pytest.fixture
def cells(store: Store, plan: Plan) -> list[str]:
    """Two cells of two repeats that have decided three images."""
    for trial in plan.trials:
        predict(store, trial, DECIDED[trial.levels["balance"], trial.seed])
    return [cell.name for cell in plan.cells]


def test_an_image_counts_with_the_share_of_repeats_that_decide_it_wrongly(
    store: Store, cells: list[str]
) -> None:
    now = view(store, "small")
    assert has_predictions(now) == cells
    shares = wrong_shares(now, cells).set_index("test image")
    expected = {"crack": (1.0, 1.0), "clean": (0.5, 1.0), "dent": (0.5, 0.0)}
    assert {image: tuple(shares.loc[image, cells]) for image in shares.index} == expected
    assert list(shares.index) == list(expected), "the most often wrong first"


def test_counts_of_the_best_variant_have_the_limit_of_their_rate(store: Store, cells: list[str]) -> None:
    words = "missed 0 of 2 (at most 78 %), false alarms 1 of 1 (at most 100 %)"
    assert words in variants_table(view(store, "small"), cells[0])


def test_no_more_is_kept_than_a_column_for_each_cell_whatever_is_chosen(
    store: Store, cells: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: set[str] = set()
    once = Computed.once

    def listed(self: Computed, name: str, make: Callable[[], object]) -> object:
        kept.add(name)
        return once(self, name, make)

    monkeypatch.setattr(Computed, "once", listed)
    now = view(store, "small")
    for chosen in (cells, cells[::-1], cells[:1]):
        assert list(wrong_shares(now, chosen).columns[3:]) == chosen
    assert {name for name in kept if "misses" in name} == {f"misses of {cell}" for cell in cells}


@pytest.mark.parametrize(
    ("kind", "of", "images"),
    [
        ("missed by all", 0, ["crack"]),
        ("missed", 0, ["crack"]),
        ("false alarms", 0, []),
        ("false alarms", 1, ["clean"]),
        (None, 1, ["crack", "clean", "dent"]),
    ],
)
def test_a_decision_is_wrong_where_most_repeats_are(kind: Kind | None, of: int, images: list[str]) -> None:
    shares = pd.DataFrame(
        {
            "test image": ["crack", "clean", "dent"],
            "defect class": [""] * 3,
            "true label": ["defective", "normal", "defective"],
            "off": [1.0, 0.5, 0.5],
            "on": [1.0, 1.0, 0.0],
        }
    )
    assert list(of_kind(shares, kind, ("off", "on")[of])["test image"]) == images


def test_the_page_counts_what_no_cell_finds_and_lists_the_kind_that_is_asked_for(
    show: Show, cells: list[str]
) -> None:
    app = show("misses", kind="false alarms", of=cells[1])
    texts = texts_of(app)
    assert "3 test images." in texts
    assert "In most runs: 1 missed by all" in texts
    assert BLANK not in texts
    assert list(app.dataframe[0].value["test image"]) == ["clean"]


def test_counts_of_errors_are_those_of_a_run_with_the_fewest_and_the_most() -> None:
    """None is wrong in most repeats, which does not mean that there are none."""
    assert counts_text({0: 25.0, 1: 1.0, 2: 2.0, 3: 1.0, 4: 4.0, 5: 1.0}) == "5.7 (1–25)"
    assert counts_text({0: 0.0, 1: 0.0}) == "0"


def test_images_of_which_a_picture_was_kept_have_a_thumbnail_and_can_be_seen_large(
    show: Show, store: Store
) -> None:
    make_study(store, make_scene(8, (32, 48)), seeds=1, probes=2)
    app = show("misses", study="additions")
    table = app.dataframe[0].value
    kept = table["small picture"].notna()
    assert kept.any()
    assert not kept.all()
    for sample, has_picture in zip(table["test image"], kept, strict=True):
        grids = show("misses", study="additions", sample=sample).get("bidi_component")
        assert len(grids) == has_picture


def test_the_file_of_wrong_images_has_each_wrong_decision_with_score_and_threshold(
    store: Store, cells: list[str]
) -> None:
    wrong = wrong_images(view(store, "small"), cells)
    expected = {
        (trial[0], f"seed {trial[1]}", image)
        for trial, decided in DECIDED.items()
        for (image, defective), decision in zip(IMAGES.items(), decided, strict=True)
        if decision != defective
    }
    levels = {"all off": "off", "balance": "on"}
    found = zip(wrong["variant"].map(levels), wrong["repeat"], wrong["image"], strict=True)
    assert set(found) == expected
    assert set(wrong.loc[wrong["image"] == "clean", "error"]) == {"false alarm"}
    assert list(wrong.columns) == [
        "variant", "repeat", "error", "image", "defect class", "score", "threshold",
    ]  # fmt: skip


def test_a_cell_may_be_called_as_a_column_of_images_or_an_argument_is(store: Store, show: Show) -> None:
    names = ["image", "class", "truth", "self"]
    levels = ", ".join(f"{name}: {{config: {{epochs: {n}}}}}" for n, name in enumerate(names, 1))
    before, _, _ = STUDY.replace("study: small", "study: named").partition("factors:")
    text = f"{before}factors: {{labels: {{{levels}}}}}\ndesign: {{full: all}}\nrepeats: {{seeds: [0]}}\n"
    plan = plan_study(parse_study(f"{text}metrics: {{primary: image_ap}}\n", "named.yaml"), None, "cpu")
    put(store, plan, {})
    for trial in plan.trials:
        predict(store, trial, (False, False, True))
    app = show("misses", study="named")
    assert not app.exception
    assert [list(app.dataframe[0].value[name]) for name in names] == [[100.0, 100.0, 100.0]] * 4


def test_an_image_on_which_a_cell_was_not_tested_is_judged_by_the_others(
    store: Store, plan: Plan, show: Show
) -> None:
    for trial in plan.trials:
        predict(store, trial, UNTESTED[trial.levels["balance"], trial.seed])
    off, on = (cell.name for cell in plan.cells)
    app = show("misses", kind="missed by all", of=on)
    texts = texts_of(app)
    assert "1 missed by all, 0 missed" in texts
    assert BLANK in texts
    table = app.dataframe[0].value
    assert list(table["test image"]) == ["crack"]
    assert table[on].isna().all()
    assert list(table[off]) == [100.0]
