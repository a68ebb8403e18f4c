"""The point of a search taken apart: what it is without one change, and the study that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from assay.study import Plan, Point, parse_study
from assay.study.file.writing import study_that_leaves_one_out
from assay.study.search.points import changed_parameters, left_out, trials_of
from tests.study.searches import points_of, search_with
from tests.study.toy import TOY, ToyConfig, plan
from trainables.contract import Objection
from trainables.errors import InputError

Values = dict[str, Any]
WHOLE: Values = {"config.lr": 0.5, "config.a": 1, "config.b": 3}
# d hangs on c, and c on b: without b all three are as in the cell.
CHAIN: dict[str, Any] = {
    "space": {
        "config.b": {"int": [0, 3]},
        "config.c": {"int": [0, 3], "when": {"config.b": 2}},
        "config.d": {"int": [0, 3], "when": {"config.c": 1}},
    },
    "start": None,
}


def without(made: Plan, best: Point) -> dict[str, Point]:
    (searched,) = made.searched
    return {
        path: left_out(made.study, TOY, searched, "cpu", point=best, path=path)
        for path in changed_parameters(searched, best)
    }


def written(made: Plan, best: Point) -> str:
    return study_that_leaves_one_out(made, made.searched[0], best, "apart", "It won.", trainable=TOY)


def test_each_changed_parameter_goes_back_alone_and_takes_what_hangs_on_it() -> None:
    made = plan(search_with())
    (best,) = points_of(made, WHOLE)
    assert {path: one.values for path, one in without(made, best).items()} == {
        "config.lr": {"config.a": 1, "config.b": 3},
        "config.a": {"config.lr": 0.5},  # b is drawn where a is 1
        "config.b": {"config.lr": 0.5, "config.a": 1},
    }


def test_what_goes_back_has_the_setting_of_the_study_and_not_the_default_of_the_method() -> None:
    made = plan(search_with(config={"image_size": [64, 64], "lr": 0.3}))
    (best,) = points_of(made, {"config.lr": 0.5})
    (one,) = without(made, best).values()
    assert one.config is not None
    assert one.config["lr"] == 0.3


@pytest.mark.parametrize(
    ("changes", "values"),
    [
        ({}, WHOLE),
        ({}, {"config.lr": 0.1, "config.a": 2}),  # a drawn value that is the cell's is no change
        ({}, {"config.lr": 0.5, "config.a": 1, "config.b": 1}),
        ({"config": {"image_size": [64, 64], "a": 1, "b": 2}}, WHOLE),  # b's parent is as in the cell
        ({"config": {"image_size": [64, 64], "b": 3}}, WHOLE),  # b hangs on a, and is as in the cell
        ({"space": {"config.epochs": {"int": [1, 40]}}, "start": None}, {"config.epochs": 30}),
        (CHAIN, {"config.b": 2, "config.c": 1, "config.d": 3}),
        ({**CHAIN, "config": {"preset": "small", "c": 1}}, {"config.b": 2, "config.c": 1, "config.d": 3}),
    ],
    ids=[
        "conditional",
        "unchanged",
        "all",
        "parent as before",
        "child as before",
        "one that others follow",
        "chain",
        "chain through one as before",
    ],
)
def test_the_study_trains_the_point_and_the_point_without_each_change(
    changes: dict[str, Any], values: Values
) -> None:
    made = plan(search_with(**changes))
    (searched,), (best,) = made.searched, points_of(made, values)
    rows = {"": best, **without(made, best)}
    cells = {path: searched.cell.model_copy(update={"config": row.config}) for path, row in rows.items()}
    expected = {trial.id for cell in cells.values() for trial in trials_of(searched, cell, searched.fresh)}
    apart = plan(parse_study(written(made, best), "apart.yaml"))
    assert {trial.id for trial in apart.trials} == expected
    assert len(apart.cells) == len(rows)
    assert not apart.warnings
    whole = apart.cells[0].name
    for comparison in apart.comparisons:
        assert any(pair[1] == whole for pair in comparison.pairs)
    assert len(apart.comparisons) == len(rows) - 1


def test_the_cell_of_a_design_is_taken_apart_with_its_own_levels() -> None:
    made = plan(
        search_with(
            factors={"c": {"low": {"config": {"c": 1}}, "high": {"config": {"c": 2}, "supervision": "weak"}}},
            design={"full": "all"},
            search={"within": "cell"},
        )
    )
    (best,) = (point for point in points_of(made, {"config.lr": 0.5}) if point.cell == "high")
    text = study_that_leaves_one_out(made, made.searched[1], best, "apart", "It won.", trainable=TOY)
    apart = plan(parse_study(text, "apart.yaml"))
    assert {(cell.config["c"], str(cell.supervision)) for cell in apart.cells} == {(2, "weak")}
    assert [cell.config["lr"] for cell in apart.cells] == [0.5, 0.1]


def test_a_change_that_the_method_cannot_do_without_stays_and_says_so() -> None:
    made = plan(search_with())
    (best,) = points_of(made, WHOLE)

    def objections(config: ToyConfig, *_: object) -> Sequence[Objection]:
        return [Objection("config.lr", "toy learns above 0.2")] if config.lr < 0.2 else []

    picky = replace(TOY, objections=objections)
    text = study_that_leaves_one_out(made, made.searched[0], best, "apart", "It won.", trainable=picky)
    assert "# config.lr is in every cell: without it the method says: toy learns above 0.2" in text
    assert list(parse_study(text, "apart.yaml").factors) == ["a", "b"]
    assert {cell.config["lr"] for cell in plan(parse_study(text, "apart.yaml")).cells} == {0.5}


def test_a_point_with_the_settings_of_its_cell_has_nothing_to_leave_out() -> None:
    made = plan(search_with())
    (best,) = points_of(made, {"config.lr": 0.1, "config.a": 0})
    with pytest.raises(InputError, match="where the search changed something, found base #0"):
        written(made, best)
