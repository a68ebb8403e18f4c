"""Published figures: checked where they are written, no part of what is trained."""

from __future__ import annotations

from typing import Any

import pytest

from assay.study import Plan
from assay.study.planning.plan_table import plan_of_table, table_of_plan
from tests.study.toy import plan, study_with
from trainables.errors import InputError

ROW = {"at": {"a": "on"}, "values": {"image_ap": 0.9}}


def planned(*rows: dict[str, Any], **changes: Any) -> Plan:
    return plan(study_with(published={"source": "Somebody 2021, Table 4", "rows": list(rows)}, **changes))


def test_a_row_is_of_all_cells_that_have_its_levels() -> None:
    both = {"at": {"a": "off", "b": "on"}, "values": {"image_ap": 0.7, "fp": 3}}
    found = planned(ROW, both)
    values = {cell.name: found.study.published_values(cell.levels) for cell in found.cells}
    assert values == {
        "all off": {},
        "b": {"image_ap": 0.7, "fp": 3},
        "a": {"image_ap": 0.9},
        "a + b": {"image_ap": 0.9},
    }


def test_a_row_without_levels_is_of_every_cell() -> None:
    found = planned({"values": {"image_ap": 0.5}}, factors={}, design=None)
    assert found.study.published_values(found.cells[0].levels) == {"image_ap": 0.5}


def test_published_figures_leave_the_ids_as_they_are() -> None:
    assert planned(ROW).trials == plan(study_with()).trials


def test_a_stored_plan_keeps_them() -> None:
    found = planned(ROW)
    assert plan_of_table(table_of_plan(found)).study.published == found.study.published


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"at": {"aa": "on"}, "values": {"image_ap": 0.9}}, r"at\.aa: unknown factor `aa`; did you .* `a`"),
        ({"at": {"a": "onn"}, "values": {"image_ap": 0.9}}, r"at\.a: unknown level of a `onn`; did .* `on`"),
        ({"values": {"image_app": 0.9}}, r"values\.image_app: unknown metric `image_app`; did .* `image_ap`"),
        ({"values": {"pixel_iou": 0.9}}, r"no column pixel_iou: add it to `metrics\.report`"),
        ({"values": {"image_ap": 93.4}}, r"a share, 0\.\.1, found 93\.4: 93\.4 % are 0\.934"),
        ({"values": {"fp": -1}}, r"a number of images, 0 or more, found -1"),
        ({"values": {"image_ap": "high"}}, r"values\.image_ap: .*number.*'high'"),
        ({"values": {"image_ap": True}}, r"values\.image_ap: .*number.*true"),
        ({"values": {}}, r"values: .*at least 1"),
        ({"at": {"a": "on"}}, r"the key `values` is missing"),
        ({"att": {"a": "on"}, "values": {"image_ap": 0.9}}, r"unknown key `att`; did you mean `at`"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)study\.yaml:1:\d+: published\.rows\[1\].*{message}"):
        planned(ROW, row)


def test_a_row_that_no_cell_of_the_design_has_is_refused() -> None:
    rows = [{"a": "on", "b": "off"}, {"a": "off", "b": "off"}]
    with pytest.raises(
        InputError, match=r"rows\[0\]\.at: no cell of the design has b: on: add it, or remove"
    ):
        planned({"at": {"b": "on"}, "values": {"image_ap": 0.9}}, design={"rows": rows})


def test_two_figures_of_one_cell_and_metric_are_refused() -> None:
    again = {"at": {"b": "on"}, "values": {"fp": 1, "image_ap": 0.8}}
    with pytest.raises(InputError, match=r"rows\[1\]\.values\.image_ap: rows\[0\] has a value of image_ap"):
        planned(ROW, again)
    assert planned(ROW, {**again, "values": {"fp": 1}})


def test_a_negative_figure_is_refused_in_the_unit_of_its_metric() -> None:
    metrics = {"primary": "image_ap", "report": ["false_regions"]}
    with pytest.raises(InputError, match="false_regions is a number of regions per image, 0 or more"):
        planned({"values": {"false_regions": -1}}, metrics=metrics)
