"""What a report says of classes and sizes of defects, and of several classes together."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import pytest

from assay.analysis.results.results import StudyResults
from assay.report.formats import FORMATS
from assay.report.page.model import Section
from assay.report.pages import study_page
from assay.report.tables.parts import class_mean_section, defect_section
from assay.storage import Record
from assay.study import Plan
from tests.analysis.made_studies import STUDY, make_plan, make_record, make_records
from trainables.evaluation.metrics.regions import DefectScore

PLAN = make_plan(STUDY.partition("factors:")[0] + "repeats: {seeds: [0, 1]}\n")


def with_defects(plan: Plan) -> dict[str, Record]:
    """Ten regions in each repeat; seed 1 finds one more than seed 0. No mask of a stain is known."""
    records: dict[str, Record] = {}
    for trial in plan.trials:
        seen = 6 + trial.seed
        rows: list[tuple[Any, ...]] = [
            # of, name, regions, detected, outlined, largest, images, flagged
            ("all", "all", 10, seen, 5, 90, 8, 8),
            ("class", "hole", 8, seen - 2, 4, 90, 4, 4),
            ("class", "line", 2, 2, 1, 70 + trial.seed, 2, 1),
            ("class", "stain", 0, 0, 0, 0, 2, 2),
            ("size", "small", 5, 2, 2, 9),
            ("size", "large", 5, seen - 2, 3, 90),
        ]
        names = ("of", "name", "regions", "detected", "outlined", "largest", "images", "flagged")
        defects = tuple(DefectScore(**dict(zip(names, row, strict=False))) for row in rows)
        record = make_record(trial)
        assert record.result is not None
        result = record.result.model_copy(update={"defects": defects})
        records[trial.id] = record.model_copy(update={"result": result})
    return records


def section(plan: Plan = PLAN) -> Section:
    shown = defect_section(StudyResults(plan, with_defects(plan)))
    assert shown is not None
    return shown


def rows(shown: Section, *titles: str) -> list[tuple[str, ...]]:
    assert shown.table is not None
    places = [[column.title for column in shown.table.columns].index(title) for title in titles]
    return [tuple(row[place] for place in places) for row in shown.table.rows]


def test_records_without_known_masks_have_no_section() -> None:
    results = StudyResults(PLAN, make_records(PLAN))
    assert defect_section(results) is None
    assert not any("Defects" in part.title for part in study_page(results).sections)


def test_classes_their_mean_and_sizes_follow_all_defects_with_shares_over_repeats() -> None:
    shown = rows(section(), "defects", "regions", "area to", "found", "outlined", "missed", "images")
    assert shown == [
        ("all", "10", "90 px", "0.650 ± 0.071", "0.500 ± 0.000", "0.350 ± 0.071", "1.000 ± 0.000"),
        ("hole", "8", "90 px", "0.562 ± 0.088", "0.500 ± 0.000", "0.438 ± 0.088", "1.000 ± 0.000"),
        ("line", "2", "70 to 71 px", "1.000 ± 0.000", "0.500 ± 0.000", "0.000 ± 0.000", "0.500 ± 0.000"),
        ("stain", "0", "–", "–", "–", "–", "1.000 ± 0.000"),
        (
            "mean over 3 classes",
            "10",
            "90 px",
            "0.781 ± 0.044",
            "0.500 ± 0.000",
            "0.219 ± 0.044",
            "0.833 ± 0.000",
        ),
        ("small", "5", "9 px", "0.400 ± 0.000", "0.400 ± 0.000", "0.600 ± 0.000", "–"),
        ("large", "5", "90 px", "0.900 ± 0.141", "0.600 ± 0.000", "0.100 ± 0.141", "–"),
    ]


def test_cells_of_a_class_stand_together() -> None:
    plan = make_plan()
    names = [name for (name,) in rows(section(plan), "defects")]
    assert names == sorted(names, key=names.index)
    assert len(names) == 7 * len(plan.cells)


def without(records: Mapping[str, Record], seed: int, *classes: str) -> dict[str, Record]:
    """The records; the test images of a seed show no defect of some classes."""
    kept = dict(records)
    for trial in PLAN.trials:
        result = kept[trial.id].result
        if trial.seed == seed and result is not None:
            defects = tuple(each for each in result.defects or () if each.name not in classes)
            lacking = result.model_copy(update={"defects": defects})
            kept[trial.id] = kept[trial.id].model_copy(update={"result": lacking})
    return kept


def test_a_mean_over_classes_is_over_the_repeats_that_have_them_all() -> None:
    records = without(with_defects(PLAN), 1, "line")
    shown = defect_section(StudyResults(PLAN, records))
    assert shown is not None
    found = dict(rows(shown, "defects", "found"))
    assert (found["hole"], found["line"]) == ("0.562 ± 0.088", "1.000")
    assert found["mean over 3 classes"] == "0.750"  # of seed 0 alone


def test_where_no_repeat_has_all_classes_there_is_no_mean_over_them() -> None:
    records = without(without(with_defects(PLAN), 1, "line"), 0, "hole")
    shown = defect_section(StudyResults(PLAN, records))
    assert shown is not None
    assert not [title for (title,) in rows(shown, "defects") if title.startswith("mean over")]


@pytest.mark.parametrize("form", ["md", "html", "latex"])
def test_every_form_of_a_report_has_the_section(form: str) -> None:
    results = StudyResults(PLAN, with_defects(PLAN))
    text = FORMATS[form].study_files(results, "")[""].decode()
    assert "Defects by class and size" in text
    assert "mean over 3 classes" in text


def test_csv_has_a_row_for_each_class_or_size_and_cell() -> None:
    results = StudyResults(PLAN, with_defects(PLAN))
    files = FORMATS["csv"].study_files(results, "made.csv")
    listed = list(csv.DictReader(io.StringIO(files["made_defects.csv"].decode())))
    assert [(row["of"], row["defects"], row["n"]) for row in listed][:2] == [
        ("all", "all", "2"),
        ("class", "hole", "2"),
    ]
    assert (listed[1]["found"], listed[1]["images"], listed[3]["found"]) == ("0.5625", "1", "")


CLASSES = """
study: textures
trainable: segdec
data: {reader: dagm}
config: {preset: dagm, image_size: [128, 128]}
factors:
  texture: {c1: {data: {classes: [Class1]}}, c2: {data: {classes: [Class2]}}, c3: {data: {classes: [Class3]}}}
  stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}
design: {full: all}
repeats: {seeds: [0, 1]}
metrics: {primary: image_ap, report: [fn]}
"""
PUBLISHED = """
published:
  source: A paper
  rows: [{at: {texture: c1}, values: {image_ap: 0.9}}, {at: {texture: c2}, values: {image_ap: 0.8}}]
"""


def scores(plan: Plan) -> Mapping[str, Record]:
    """0.1 for each texture, 0.05 for `stop`, 0.01 for each seed."""
    return {
        trial.id: make_record(
            trial,
            lambda trial: {
                "image_ap": 0.1 * int(trial.levels["texture"][1:])
                + 0.05 * (trial.levels["stop"] == "on")
                + 0.01 * trial.seed,
                "fn": 2.0,
            },
        )
        for trial in plan.trials
    }


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("", [("off", "3", "0.205 ± 0.007"), ("on", "3", "0.255 ± 0.007")]),
        (
            PUBLISHED,
            [
                ("off", "3", "0.205 ± 0.007"),
                ("off", "2 with a published figure", "0.155 ± 0.007"),
                ("on", "3", "0.255 ± 0.007"),
                ("on", "2 with a published figure", "0.205 ± 0.007"),
            ],
        ),
    ],
    ids=["all", "and those of a benchmark"],
)
def test_a_study_over_classes_has_means_over_them(published: str, expected: list[tuple[str, ...]]) -> None:
    plan = make_plan(CLASSES + published)
    shown = class_mean_section(StudyResults(plan, scores(plan)))
    assert shown is not None
    assert rows(shown, "stop", "classes", "AP ↑") == expected


TWO_METRICS = """
published:
  source: A paper
  rows:
    - {values: {image_ap: 0.9}}
    - {at: {texture: c1}, values: {fn: 3}}
    - {at: {texture: c3}, values: {fn: 4}}
"""


def test_published_figures_stand_beside_means_over_the_classes_that_they_are_of() -> None:
    plan = make_plan(CLASSES + TWO_METRICS)
    shown = class_mean_section(StudyResults(plan, scores(plan)))
    assert shown is not None
    titles = [column.title for column in shown.table.columns]
    assert titles == ["stop", "classes", "AP ↑", "published", "FN ↓", "published", "n"]
    assert [row[3::2] for row in shown.table.rows[:2]] == [("0.900", "–"), ("–", "3.500")]


CATEGORIES = """
study: categories
trainable: segdec
data: {{reader: mvtec, splits: per_seed, test: {{share: 0.3, by: item}}}}
config: {{preset: dagm, image_size: [128, 128]}}
factors:
  category: {{{levels}}}
design: {{full: all}}
repeats: {{seeds: [0, 1]}}
metrics: {{primary: image_ap}}
"""


@pytest.mark.parametrize(
    ("categories", "expected"),
    [
        (["carpet", "bottle", "tile", "screw"], ["4", "2 textures", "2 objects"]),
        (["carpet", "tile", "screw"], ["3", "2 textures"]),
        (["carpet", "tile"], ["2"]),  # textures alone are all there are
        (["01", "02"], ["2"]),  # of BTAD, which has the layout
    ],
)
def test_a_study_over_categories_has_means_over_textures_and_objects_too(
    categories: list[str], expected: list[str]
) -> None:
    levels = ", ".join(
        f"c{place}: {{data: {{options: {{category: '{name}'}}}}}}" for place, name in enumerate(categories)
    )
    plan = make_plan(CATEGORIES.format(levels=levels))
    shown = class_mean_section(StudyResults(plan, make_records(plan)))
    assert shown is not None
    assert shown.title == "Means over category"
    assert [classes for (classes,) in rows(shown, "classes")] == expected


def test_a_mean_over_textures_leaves_out_objects() -> None:
    levels = ", ".join(
        f"{name}: {{data: {{options: {{category: {name}}}}}}}" for name in ("carpet", "tile", "screw", "pill")
    )
    plan = make_plan(CATEGORIES.format(levels=levels))
    values = {"carpet": 0.9, "tile": 0.7, "screw": 0.5, "pill": 0.3}
    records = {
        trial.id: make_record(trial, lambda trial: {"image_ap": values[trial.levels["category"]]})
        for trial in plan.trials
    }
    shown = class_mean_section(StudyResults(plan, records))
    assert shown is not None
    assert rows(shown, "classes", "AP ↑") == [
        ("4", "0.600 ± 0.000"),
        ("2 textures", "0.800 ± 0.000"),
        ("2 objects", "0.400 ± 0.000"),
    ]


def test_a_study_of_one_class_has_no_mean_over_classes() -> None:
    assert class_mean_section(StudyResults(PLAN, make_records(PLAN))) is None
