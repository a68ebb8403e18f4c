"""What a report says of stages: chains in order, equal cells in one row, baseline maps last; as CSV every
number."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Literal

import pytest

from assay.analysis.results.results import StudyResults
from assay.report.formats import FORMATS
from assay.report.page.model import Section
from assay.report.pages import study_page
from assay.report.rows import cell_table, stage_table, to_csv
from assay.report.tables.parts import stage_section
from assay.storage import Record
from assay.study import Plan
from tests.analysis.made_studies import STUDY, lose, make_plan, make_record, make_records
from trainables.evaluation.stage_maps import StageScores

PLAN = make_plan()
Stage = tuple[Literal["test", "train", "floor"], str, float]


def stage_result(of: Literal["test", "train", "floor"], stage: str, value: float) -> StageScores:
    names = ["pixel_iou", "pixel_iou_positive", *(["pixel_ap"] if of != "train" else [])]
    return StageScores(stage=stage, of=of, metrics=dict.fromkeys(names, value))


def with_stages(plan: Plan, chain: dict[str, list[Stage]]) -> dict[str, Record]:
    """A record for each trial: the chain of its level of `stop`, 0.01 better with each seed (not floors)."""
    records: dict[str, Record] = {}
    for trial in plan.trials:
        stages = tuple(
            stage_result(of, name, value + (0.01 * trial.seed if of != "floor" else 0.0))
            for of, name, value in chain[trial.levels["stop"]]
        )
        record = make_record(trial)
        assert record.result is not None
        records[trial.id] = record.model_copy(
            update={"result": record.result.model_copy(update={"stages": stages})}
        )
    return records


SHORT: list[Stage] = [
    ("test", "cam", 0.2),
    ("test", "s1", 0.3),
    ("floor", "random", 0.01),
    ("train", "pseudo", 0.4),
]
LONG: list[Stage] = [
    ("test", "cam", 0.2),
    ("test", "final_cam", 0.25),
    ("test", "s1", 0.5),
    ("floor", "random", 0.01),
    ("train", "pseudo", 0.6),
]
RECORDS = with_stages(PLAN, {"off": SHORT, "on": LONG})


def section(records: Mapping[str, Record] = RECORDS, plan: Plan = PLAN) -> Section:
    found = stage_section(StudyResults(plan, records))
    assert found is not None
    return found


def columns(found: Section, *titles: str) -> list[tuple[str, ...]]:
    assert found.table is not None
    places = [[column.title for column in found.table.columns].index(title) for title in titles]
    return [tuple(row[place] for place in places) for row in found.table.rows]


def test_a_method_without_stages_has_no_section() -> None:
    assert stage_section(StudyResults(PLAN, make_records(PLAN))) is None
    assert not any(
        one.title == "Stages" for one in study_page(StudyResults(PLAN, make_records(PLAN))).sections
    )


def test_stages_come_in_chain_order_then_training_labels_then_baseline_maps_and_equal_cells_share_a_row() -> (
    None
):
    assert columns(section(), "stage", "variants") == [
        ("cam", "all"),
        ("final_cam", "all masks, stop; 5 masks, stop"),
        ("s1", "all masks; 5 masks"),
        ("s1", "all masks, stop; 5 masks, stop"),
        ("on training images: pseudo", "all masks; 5 masks"),
        ("on training images: pseudo", "all masks, stop; 5 masks, stop"),
        ("floor: random", "all"),
    ]


@pytest.mark.parametrize(
    ("row", "titles", "values"),
    [
        (0, ("pixel AP", "IoU", "n"), ("0.210 ± 0.010", "0.210 ± 0.010", "3")),
        (4, ("pixel AP", "PRO"), ("–", "–")),
    ],
    ids=["measured", "a label without such a metric"],
)
def test_a_value_is_the_mean_and_the_spread_over_repeats_or_a_dash(
    row: int, titles: tuple[str, ...], values: tuple[str, ...]
) -> None:
    assert columns(section(), *titles)[row] == values


def test_a_lost_repeat_is_counted() -> None:
    lost = next(trial for trial in PLAN.trials if trial.cell == "supervision=full stop=off")
    found = section({**RECORDS, lost.id: lose(lost, "diverged", "NaN")})
    rows = columns(found, "stage", "variants", "n")
    assert ("s1", "all masks", "2 of 3") in rows
    assert ("s1", "5 masks", "3") in rows


def test_many_cells_are_named_in_a_note() -> None:
    three = "{a: {config: {epochs: 1}}, b: {config: {epochs: 2}}, c: {config: {epochs: 3}}}"
    plan = make_plan(STUDY.replace("design:", f"  epochs: {three}\ndesign:"))
    found = section(with_stages(plan, {"off": SHORT, "on": LONG}), plan)
    assert columns(found, "stage", "variants")[1] == (
        "final_cam",
        "all masks, stop, epochs a and 5 more ¹",
    )
    assert found.table is not None
    assert found.table.notes[0].startswith(
        "final_cam: all masks, stop, epochs a; all masks, stop, epochs b; "
        "all masks, stop, epochs c; 5 masks, stop, epochs a"
    )


def test_what_is_read_with_care_is_said() -> None:
    notes = " ".join(section().notes)
    for word in ("Oracle", "kept from training", "Floors"):
        assert word in notes
    without = with_stages(PLAN, {"off": SHORT[:2], "on": SHORT[:2]})
    assert not any("Floors" in note or "training images" in note for note in section(without).notes)


def test_a_study_of_one_cell_names_none() -> None:
    plan = PLAN.model_copy(
        update={
            "cells": PLAN.cells[:1],
            "trials": tuple(t for t in PLAN.trials if t.cell == PLAN.cells[0].name),
        }
    )
    found = section({t.id: RECORDS[t.id] for t in plan.trials}, plan)
    assert found.table is not None
    assert [column.title for column in found.table.columns][:2] == ["stage", "pixel AP"]


def test_what_photographs_sizes_tell_is_a_baseline_with_a_column_of_its_own() -> None:
    baseline = StageScores(stage="size only", of="floor", metrics={"image_ap": 0.33})
    records = {
        id_: record.model_copy(
            update={"result": record.result.model_copy(update={"stages": (*record.result.stages, baseline)})}
        )
        for id_, record in RECORDS.items()
        if record.result is not None
    }
    found = section(records)
    assert columns(found, "stage", "pixel AP", "AP")[-1] == ("floor: size only", "–", "0.330 ± 0.000")
    assert any(note.startswith("`size only`") for note in found.notes)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_row_per_stage_cell_and_metric() -> None:
    rows = read_csv(to_csv(stage_table(StudyResults(PLAN, RECORDS))))
    found = [(row["of"], row["stage"], row["cell"], row["metric"], row["n"]) for row in rows]
    assert found[:3] == [
        ("test", "cam", "supervision=full stop=off", "pixel_ap", "3"),
        ("test", "cam", "supervision=full stop=off", "pixel_iou_positive", "3"),
        ("test", "cam", "supervision=full stop=off", "pixel_iou", "3"),
    ]
    assert {row[:2] for row in found} == {one[:2] for one in LONG}
    assert len(set(found)) == len(found) == sum(2 * (3 if one[0] != "train" else 2) for one in SHORT + LONG)
    assert [rows[0][name] for name in ("study", "factor:supervision", "factor:stop")] == [
        "additions",
        "full",
        "off",
    ]


@pytest.mark.parametrize("folds", [False, True], ids=["own splits", "folds"])
def test_a_stage_with_a_cells_values_has_the_cells_interval_in_csv(folds: bool) -> None:
    text = STUDY.replace("[fp, pixel_iou]", "[pixel_iou]")
    if folds:
        text = text.replace("splits: per_seed", "splits: published").replace("2]}", "2], folds: [0, 1, 2]}")
    plan = make_plan(text)
    records: dict[str, Record] = {}
    for trial in plan.trials:
        record = make_record(trial)
        assert record.result is not None
        same = StageScores(stage="s1", of="test", metrics={"pixel_iou": record.result.metrics["pixel_iou"]})
        result = record.result.model_copy(update={"stages": (same,)})
        records[trial.id] = record.model_copy(update={"result": result})
    cells = read_csv(to_csv(cell_table(StudyResults(plan, records))))
    for_cells = [row for row in cells if row["metric"] == "pixel_iou"]
    names = ("cell", "mean", "sd", "sd_over", "n", "n_planned", "low", "high", "interval", "claim")
    read = [
        [row[name] for name in names] for row in read_csv(to_csv(stage_table(StudyResults(plan, records))))
    ]
    assert read == [[row[name] for name in names] for row in for_cells]
    assert all(row["low"] and row["claim"] for row in for_cells)


def test_a_stage_that_lost_a_repeat_has_a_mean_and_no_interval_in_csv() -> None:
    lost = next(trial for trial in PLAN.trials if trial.cell == "supervision=full stop=off")
    rows = read_csv(
        to_csv(stage_table(StudyResults(PLAN, {**RECORDS, lost.id: lose(lost, "diverged", "NaN")})))
    )
    first = next(row for row in rows if row["cell"] == "supervision=full stop=off")
    assert (first["n"], first["n_planned"], first["low"], first["interval"]) == ("2", "3", "", "")
    assert first["mean"]


@pytest.mark.parametrize(
    ("records", "name", "written"),
    [
        (RECORDS, "x.csv", {"x.csv", "x_comparisons.csv", "x_stages.csv"}),
        (RECORDS, "", {""}),
        (make_records(PLAN), "x.csv", {"x.csv", "x_comparisons.csv"}),
    ],
    ids=["with stages", "on stdout", "without stages"],
)
def test_csv_of_stages_is_written_where_there_are_some(
    records: dict[str, Record], name: str, written: set[str]
) -> None:
    files = FORMATS["csv"].study_files(StudyResults(PLAN, records), name)
    assert set(files) == written
