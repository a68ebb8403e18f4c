"""Scores against labels, and two studies side by side: the numbers on the pages are those of the records."""

from __future__ import annotations

import gc
import json
import math
import weakref
from collections.abc import Mapping
from html import unescape
from itertools import pairwise
from statistics import mean
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from assay.analysis.labels import label_costs
from assay.analysis.results.results import StudyResults
from assay.report.figures.drawing import COLOURS
from assay.storage import Record, Store
from assay.study import Plan, parse_study
from assay.study.file.schema import Labelling
from assay_dashboard.charts import cost_plot
from assay_dashboard.layout import INK
from assay_dashboard.study_view import beside
from tests.analysis.label_studies import LINE, ladder, trained
from tests.analysis.made_studies import STUDY, make_plan, make_record, make_records
from tests.dashboard.conftest import Open, Show, put, texts_of

Study = tuple[Plan, Mapping[str, Record]]
SEEDS = ", ".join(map(str, range(8)))
FIRST = STUDY.replace("[0, 1, 2]", f"[{SEEDS}]").replace("splits: per_seed", "splits: published")
LONGER = FIRST.replace("study: additions", "study: longer").replace(
    "preset: ksdd", "preset: ksdd, epochs: 77"
)


def score(images: int, masks: int) -> float:
    return 0.7 + 0.002 * masks


def scores_of(study: Study, cell: str) -> list[float]:
    plan, records = study
    found = (records[trial.id].result for trial in plan.trials if trial.cell == cell)
    return [one.metrics["image_ap"] for one in found if one is not None]


@pytest.fixture
def labelled(store: Store) -> Study:
    """`labels` at 3 s and 90 s; beside it `cheap`, at less than its sliders else begin with."""
    study = trained(LINE, score)
    put(store, *study)
    cheap = LINE.replace("study: labels", "study: cheap")
    put(
        store,
        *trained(cheap.replace("seconds: 3", "seconds: 0.05").replace("seconds: 90", "seconds: 0.5"), score),
    )
    return study


def test_a_study_of_labels_without_a_finished_trial_waits_for_trials_and_not_for_factors(
    show: Show, store: Store
) -> None:
    put(store, make_plan(), {})
    text = texts_of(show("labels", study="additions"))
    assert "It takes finished trials of two variants that differ in supervision." in text
    assert "in the study file" not in text


@pytest.mark.usefixtures("labelled")
def test_advice_that_lacks_numbers_gives_lines_that_the_studys_images_allow(show: Show) -> None:
    """40 defective images train."""
    text = texts_of(show("labels", study="labels"))
    assert "quarter: {data: {positives: 10}}, half: {data: {positives: 20}}" in text
    lines = unescape(text.partition('<pre class="yaml">')[2].partition("</pre>")[0])
    study = parse_study(f"study: next\ntrainable: segdec\ndata: {{reader: synthetic}}\n{lines}\n")
    assert [len(levels) for levels in study.factors.values()] == [3, 3]


@pytest.mark.usefixtures("labelled")
def test_labels_cost_what_the_study_names_whatever_the_one_before_named(show: Show) -> None:
    app = show("labels", study="cheap")
    for study, seconds in {"cheap": [0.05, 0.5], "labels": [3.0, 90.0]}.items():
        app.session_state["study"] = study
        app.run()
        assert not app.exception
        assert [slider.value for slider in app.slider] == seconds


def test_scores_against_labels_are_those_of_the_records_at_the_readers_costs(
    show: Show, labelled: Study
) -> None:
    plan, records = labelled
    app = show("labels", study="labels")
    app.slider(key="mask-seconds").set_value(180.0).run()
    text = texts_of(app)
    assert "3 s per image label and 180 s per mask" in text
    labelling = Labelling(image_label_seconds=3, mask_seconds=180)
    costs = label_costs(StudyResults(plan, records).with_labelling(labelling))
    assert costs is not None
    for one in costs.cells:
        scores = scores_of(labelled, one.cell.name)
        assert f"{mean(scores):.3f}" in text
        assert one.hours == pytest.approx((one.image_labels * 3 + one.masks * 180) / 3600)


def test_two_studies_are_compared_by_the_scores_of_their_records(show: Show, store: Store) -> None:
    first, longer = make_plan(FIRST), make_plan(LONGER)
    flat = {"image_ap": 0.951, "fp": 1.0, "pixel_iou": 0.5}
    put(store, first, make_records(first))
    put(store, longer, {trial.id: make_record(trial, lambda _: flat) for trial in longer.trials})
    text = texts_of(show("compare", study="additions", other="longer"))
    for cell in first.cells:
        of_cell = mean(scores_of((first, make_records(first)), cell.name))
        assert f"{of_cell:.3f}" in text
        assert f"{0.951 - of_cell:.3f}" in text
    assert "0.951" in text


def test_of_a_study_that_runs_beside_another_a_few_states_are_kept() -> None:
    """Each record that comes is another state, with all that was computed from it."""
    plan, longer = make_plan(FIRST), make_plan(LONGER)
    left = StudyResults(plan, make_records(plan))
    states: list[weakref.ref[StudyResults]] = []
    for _ in range(8):
        right = StudyResults(longer, make_records(longer))
        assert beside(left, right) is beside(left, right)
        states.append(weakref.ref(right))
    del right
    gc.collect()
    assert [state() is None for state in states] == [True] * 4 + [False] * 4


def test_the_only_other_study_is_chosen_and_refused_in_a_sentence_where_no_cell_is_common(
    open_page: Open, store: Store
) -> None:
    plan = make_plan(FIRST)
    put(store, plan, make_records(plan))
    app = open_page("compare")
    assert not app.exception
    assert "Give both the same factors and levels" in texts_of(app)


def looks_of(spec: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, str]]]:
    """Lines of the chart of costs, in order, and colour and shape of each."""
    (points,) = (layer["encoding"] for layer in spec["layer"] if "shape" in layer["encoding"])
    colour, shape = points["color"]["scale"], points["shape"]["scale"]
    assert colour["domain"] == shape["domain"]
    return colour["domain"], list(zip(colour["range"], shape["range"], strict=True))


def test_of_many_methods_no_two_look_alike() -> None:
    row = {"hours": 1.0, "place": 1.0, "mean": 0.5, "low": 0.4, "high": 0.6, "front": False, "name": ""}
    cells = pd.DataFrame(
        [{**row, "variant": f"c{i}", "line": f"c{i}", "masks": i, "labels": i} for i in range(20)]
    )
    chart = cost_plot(cells, axis="AP", unit="hours", lines="method", logarithmic=False, theme="light")
    names, looks = looks_of(chart.to_dict())
    assert len(names) == len(set(looks)) == 20


def test_methods_of_a_ladder_look_as_in_the_report(show: Show, store: Store) -> None:
    put(store, *ladder())
    costs = label_costs(StudyResults(*ladder()))
    assert costs is not None
    (chart,) = show("labels", study="ladder").get("vega_lite_chart")
    names, looks = looks_of(json.loads(chart.proto.spec))
    assert names == [line[0].line for line in costs.lines]
    assert [colour for colour, _ in looks] == list(COLOURS)[: len(names)]
    assert [shape for _, shape in looks][:4] == ["circle", "square", "triangle-up", "triangle-down"]
    (data,) = chart.proto.datasets
    rows = pa.ipc.open_stream(data.data.data).read_all().to_pylist()
    assert [(row["variant"], row["mean"], row["front"]) for row in rows] == [
        (cell.variant, cell.mean, cell.on_front) for cell in costs.cells
    ]


def test_methods_of_a_ladder_stand_side_by_side_and_are_in_the_legend(show: Show, store: Store) -> None:
    put(store, *ladder())
    (chart,) = show("labels", study="ladder").get("vega_lite_chart")
    for layer in json.loads(chart.proto.spec)["layer"]:
        assert layer["encoding"]["x"]["field"] == "at"
        assert layer["encoding"].get("color", {}).get("legend", {"title": "method"})["title"] == "method"
    (data,) = chart.proto.datasets
    rows = pa.ipc.open_stream(data.data.data).read_all().to_pylist()
    assert len({row["place"] for row in rows}) == len(rows) > len({row["hours"] for row in rows})
    assert not any(row["name"] for row in rows), "names would cover each other: the legend has them"
    config = json.loads(chart.proto.spec)["config"]
    ink = {"labelColor": INK["light"], "titleColor": INK["light"]}
    assert ink.items() <= config["axis"].items()
    assert ink.items() <= config["legend"].items()


@pytest.mark.usefixtures("labelled")
def test_of_cells_that_were_moved_aside_the_page_says_where_their_costs_stand(
    show: Show, store: Store
) -> None:
    put(store, *ladder())
    said = "Cells moved aside for room cost what the tables say."
    assert [said in texts_of(show("labels", study=study)) for study in ("ladder", "labels")] == [True, False]


def test_times_of_labelling_are_written_without_exponents(show: Show, store: Store) -> None:
    """Of few ticks Vega rounds to one digit, which the type `g` writes as 2e+1."""
    put(store, *ladder())
    (chart,) = show("labels", study="ladder").get("vega_lite_chart")
    layers = json.loads(chart.proto.spec)["layer"]
    assert {layer["encoding"]["x"]["axis"]["format"] for layer in layers} == {"~r"}


@pytest.mark.parametrize(("seconds", "kind"), [("79", "log"), ("1", "linear")])
def test_methods_that_cost_the_same_do_not_cover_each_other_in_any_window(
    show: Show, store: Store, seconds: str, kind: str
) -> None:
    """A marker is 11 pixels wide. The axis begins with the cheapest cell, logarithmic or not."""
    put(store, *ladder())
    (chart,) = show("labels", study="ladder", **{"mask-seconds": seconds}).get("vega_lite_chart")
    (data,) = chart.proto.datasets
    rows = pa.ipc.open_stream(data.data.data).read_all().to_pylist()
    to = math.log if kind == "log" else float
    for column, pixels in {"place": 1200, "narrow": 240}.items():
        places = sorted(to(row[column]) for row in rows)
        nearest = min(right - left for left, right in pairwise(places))
        assert pixels * nearest / (places[-1] - places[0]) >= 11
    spec = json.loads(chart.proto.spec)
    scales = [layer["encoding"]["x"]["scale"] for layer in spec["layer"]]
    assert {(one.get("type", "linear"), one.get("zero", False), one["nice"]) for one in scales} == {
        (kind, False, False)
    }
