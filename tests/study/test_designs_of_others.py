"""Designs of other packages: one file and an entry point, and a study may name them."""

from __future__ import annotations

import pytest

from assay.study import study_schema
from assay.study.design import format_design
from assay.study.designs import DESIGNS
from tests.study.toy import plan, study_with
from trainables.errors import InputError


def test_a_study_is_planned_with_a_design_of_another_package() -> None:
    study = study_with(design={"extremes": "both"})
    assert [cell.name for cell in plan(study).cells] == ["all off", "a + b"]
    assert format_design(study) == "extremes: both"


def test_the_schema_for_editors_knows_it() -> None:
    assert "extremes" in study_schema()["$defs"]["Design"]["properties"]


def test_a_mistake_in_its_block_is_named_with_its_place_and_value() -> None:
    with pytest.raises(InputError, match=r"study.yaml:1:\d+: design.extremes: should be .*, found 'all'"):
        study_with(design={"extremes": "all"})


def test_a_mistake_in_its_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown key `extreme`; did you mean `extremes`"):
        study_with(design={"extreme": "both"})


@pytest.mark.parametrize("name", ["rows", "full", "one_at_a_time", "leave_one_out", "cumulative", "extremes"])
def test_each_design_is_a_file(name: str) -> None:
    assert DESIGNS.find(name).example.startswith(name)
