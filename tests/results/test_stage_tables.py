"""The section on stages: chains in order, equal cells in one row, floors last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from assay.results import Record, StageResult
from assay.results.answers import study_answers
from assay.results.page.model import Section
from assay.results.report import study_page
from assay.results.stage_tables import stage_section
from assay.study import Plan
from tests.results.made_studies import STUDY, lose, make_plan, make_record, make_records

PLAN = make_plan()
Stage = tuple[Literal["test", "train", "floor"], str, float]


def stage_result(of: Literal["test", "train", "floor"], stage: str, value: float) -> StageResult:
    names = ["pixel_iou", "pixel_iou_positive", *(["pixel_ap"] if of != "train" else [])]
    return StageResult(stage=stage, of=of, metrics=dict.fromkeys(names, value))


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
    found = stage_section(plan, records)
    assert found is not None
    return found


def columns(found: Section, *titles: str) -> list[tuple[str, ...]]:
    assert found.table is not None
    places = [[column.title for column in found.table.columns].index(title) for title in titles]
    return [tuple(row[place] for place in places) for row in found.table.rows]


def test_a_method_without_stages_has_no_section() -> None:
    assert stage_section(PLAN, make_records(PLAN)) is None
    assert not any(
        one.title == "Stages"
        for one in study_page(PLAN, make_records(PLAN), study_answers(PLAN, {})).sections
    )


def test_stages_come_in_chain_order_then_training_labels_then_floors_and_equal_cells_share_a_row() -> None:
    assert columns(section(), "stage", "cells") == [
        ("cam", "all"),
        ("final_cam", "full·on, few·on"),
        ("s1", "full·off, few·off"),
        ("s1", "full·on, few·on"),
        ("on training images: pseudo", "full·off, few·off"),
        ("on training images: pseudo", "full·on, few·on"),
        ("floor: random", "all"),
    ]


def test_a_value_is_the_mean_and_the_spread_over_repeats() -> None:
    assert columns(section(), "pixel AP", "IoU", "n")[0] == ("0.210 ± 0.010", "0.210 ± 0.010", "3")


def test_what_a_label_has_no_metric_of_is_a_dash() -> None:
    assert columns(section(), "pixel AP", "PRO")[4] == ("–", "–")


def test_a_lost_repeat_is_counted() -> None:
    lost = next(trial for trial in PLAN.trials if trial.cell == "full·off")
    found = section({**RECORDS, lost.id: lose(lost, "diverged", "NaN")})
    rows = columns(found, "stage", "cells", "n")
    assert ("s1", "full·off", "2 of 3") in rows
    assert ("s1", "few·off", "3") in rows


def test_many_cells_are_named_in_a_note() -> None:
    three = "{a: {config: {epochs: 1}}, b: {config: {epochs: 2}}, c: {config: {epochs: 3}}}"
    plan = make_plan(STUDY.replace("design:", f"  epochs: {three}\ndesign:"))
    found = section(with_stages(plan, {"off": SHORT, "on": LONG}), plan)
    assert columns(found, "stage", "cells")[1] == ("final_cam", "full·on·a and 5 more ¹")
    assert found.table is not None
    assert found.table.notes[0].startswith("final_cam: full·on·a, full·on·b, full·on·c, few·on·a")


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


def test_what_photographs_sizes_tell_is_a_floor_with_a_column_of_its_own() -> None:
    floor = StageResult(stage="size only", of="floor", metrics={"image_ap": 0.33})
    records = {
        id_: record.model_copy(
            update={"result": record.result.model_copy(update={"stages": (*record.result.stages, floor)})}
        )
        for id_, record in RECORDS.items()
        if record.result is not None
    }
    found = section(records)
    assert columns(found, "stage", "pixel AP", "AP")[-1] == ("floor: size only", "–", "0.330 ± 0.000")
    assert any(note.startswith("`size only`") for note in found.notes)
