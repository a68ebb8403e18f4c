"""The rules of the house that can be counted and not gamed (``tests/project/house.py``)."""

from __future__ import annotations

from tests.project import house


def test_no_function_takes_a_plan_and_its_records_side_by_side() -> None:
    assert house.loose_plan_and_records() == []


def test_errors_show_the_value_that_they_refuse() -> None:
    showing, silent = house.raises()
    assert len(showing) >= 0.95 * (len(showing) + len(silent)), silent


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert house.import_cycles() == []
