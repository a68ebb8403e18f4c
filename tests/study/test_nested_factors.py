"""Nested factors: a sub-factor has a level only where its parent has the level it belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from assay.study.design import format_design
from tests.study.toy import BASIC, plan, study_with
from trainables.errors import InputError

# `c` belongs to `a: on`
NESTED: dict[str, Any] = {
    "factors": {**BASIC["factors"], "c": {"five": {"config": {"c": 5}}, "ten": {"config": {"c": 10}}}},
    "nested": {"c": {"a": "on"}},
}


@pytest.mark.parametrize(
    ("design", "cells"),
    [
        (
            {"full": "all"},
            [
                "a=off b=off",
                "a=off b=on",
                "a=on b=off c=five",
                "a=on b=off c=ten",
                "a=on b=on c=five",
                "a=on b=on c=ten",
            ],
        ),
        (
            {"rows": [{"a": ["off", "on"], "b": "on", "c": "ten"}, {"a": "off", "b": "off"}]},
            ["a=off b=on", "a=on b=on c=ten", "a=off b=off"],
        ),
        (
            {"one_at_a_time": {"base": {"a": "off", "b": "off"}}},
            ["a=off b=off", "a=on b=off c=five", "a=on b=off c=ten", "a=off b=on"],
        ),
        (
            {"one_at_a_time": {"base": {"a": "on", "b": "off", "c": "five"}}},
            ["a=on b=off c=five", "a=off b=off", "a=on b=on c=five", "a=on b=off c=ten"],
        ),
        (
            {"leave_one_out": {"whole": {"a": "on", "b": "on"}, "across": {"c": "ten"}}},
            ["a=on b=on c=ten", "a=off b=on", "a=on b=off c=ten"],
        ),
        (
            {
                "cumulative": {
                    "base": {"a": "off", "b": "off"},
                    "add": [{"a": "on", "c": "five"}, {"c": "ten"}, {"b": "on"}],
                }
            },
            ["a=off b=off", "a=on b=off c=five", "a=on b=off c=ten", "a=on b=on c=ten"],
        ),
    ],
)
def test_a_sub_factor_has_a_level_only_where_its_parent_has_the_level_it_belongs_to(
    design: dict[str, Any], cells: list[str]
) -> None:
    result = plan(study_with(**NESTED, design=design))
    assert [cell.name for cell in result.cells] == cells
    for cell in result.cells:
        assert cell.config["c"] == {"five": 5, "ten": 10, "–": 0}[cell.levels["c"]]


def test_the_design_in_a_line_says_with_which_levels_a_sub_factor_applies() -> None:
    line = "full factorial: 2 a × 2 b × 2 c (with a on)"
    assert format_design(study_with(**NESTED, design={"full": "all"})) == line


def test_a_level_is_compared_with_all_that_comes_with_it() -> None:
    study = study_with(**NESTED, design={"full": "all"}, comparisons=[{"factor": "a"}, {"factor": "c"}])
    with_it, within = plan(study).comparisons
    assert with_it.pairs == (
        ("a=off b=off", "a=on b=off c=five"),
        ("a=off b=off", "a=on b=off c=ten"),
        ("a=off b=on", "a=on b=on c=five"),
        ("a=off b=on", "a=on b=on c=ten"),
    )
    assert with_it.paths == ("config.a", "config.c")
    assert with_it.changes() == ["config.a 0 → 1", "config.c"]  # five and ten differ
    assert within.changes() == ["config.c 5 → 10"]
    assert within.pairs == (
        ("a=on b=off c=five", "a=on b=off c=ten"),
        ("a=on b=on c=five", "a=on b=on c=ten"),
    )


def test_a_sub_factor_may_belong_to_several_levels_and_have_sub_factors_of_its_own() -> None:
    factors = {
        "a": {"none": {}, "soft": {"config": {"a": 1}}, "hard": {"config": {"a": 2}}},
        "c": {"off": {}, "on": {"config": {"c": 1}}},
        "d": {"low": {"config": {"d": 1}}, "high": {"config": {"d": 2}}},
    }
    nested = {"d": {"c": "on"}, "c": {"a": ["soft", "hard"]}}
    study = study_with(factors=factors, nested=nested, comparisons=[{"factor": "a", "from": "soft"}])
    cells = [cell.name for cell in plan(study).cells]
    assert cells == [
        "a=none",
        *(f"a={a} {rest}" for a in ("soft", "hard") for rest in ("c=off", "c=on d=low", "c=on d=high")),
    ]
    back, across = plan(study).comparisons
    assert len(back.pairs) == 3  # each soft cell against none
    assert across.pairs == tuple(
        (f"a=soft {r}", f"a=hard {r}") for r in ("c=off", "c=on d=low", "c=on d=high")
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"nested": {"e": {"a": "on"}}}, "nested.e: unknown factor `e`"),
        ({"nested": {"c": {"x": "on"}}}, "nested.c.x: unknown factor `x`"),
        ({"nested": {"c": {"a": "onn"}}}, "nested.c.a: unknown level of a `onn`; did you mean `on`?"),
        ({"nested": {"c": {}}}, "nested.c: a sub-factor names its parent"),
        (
            {"nested": {"c": {"a": "on"}, "a": {"c": "five"}}},
            "nested.c: factors are nested in a circle: c, a",
        ),
        (
            {"design": {"rows": [{"a": ["off", "on"], "b": "on"}]}},
            "design.rows[0]: a cell has a level of every factor; missing: c",
        ),
        (
            {"design": {"rows": [{"a": "off", "b": "on", "c": "five"}]}},
            "design.rows[0].c: c applies with a on only, which is not the case here: leave it out",
        ),
        (
            {"design": {"one_at_a_time": {"base": {"a": "on", "b": "off"}}}},
            "design.one_at_a_time.base: a cell has a level of every factor; missing: c",
        ),
        (
            {"design": {"cumulative": {"base": {"a": "off", "b": "off"}, "add": [{"a": "on"}]}}},
            "design.cumulative.add[0]: a cell has a level of every factor; missing: c",
        ),
    ],
)
def test_what_cannot_be_nested_is_refused_at_the_key_that_asks_for_it(
    changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        study_with(**{**NESTED, **changes})
    assert expected in str(caught.value)
