"""Designs that do not fit their factors are refused before anything is planned."""

from __future__ import annotations

from typing import Any

import pytest

from tests.study.toy import BASIC, study_with
from trainables.errors import InputError

THREE = {**BASIC["factors"], "c": {f"l{level}": {"config": {"c": level}} for level in range(3)}}


def cumulative(*steps: dict[str, str]) -> dict[str, Any]:
    """A design of these steps on a base with all factors."""
    return {"cumulative": {"base": {"a": "off", "b": "off", "c": "l0"}, "add": list(steps)}}


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ({"full": "all", "rows": []}, "found `full`, `rows`"),
        (
            {"leave_one_out": {"whole": {"a": "on", "b": "on", "c": "l2"}}},
            "leave_one_out.whole.c: say which level of c (l0, l1, l2) means that it is left out",
        ),
        (
            {"leave_one_out": {"whole": {"a": "on", "b": "on", "c": "l2"}, "without": {"c": "l2"}}},
            "leave_one_out.without.c: `l2` is the level of the whole",
        ),
        (
            {
                "leave_one_out": {
                    "whole": {"a": "on", "b": "on"},
                    "without": {"c": "l0"},
                    "across": {"c": "l1"},
                }
            },
            "leave_one_out.without.c: unknown factor of the whole `c`",
        ),
        (
            {"one_at_a_time": {"base": {"a": "on", "b": "on", "c": "l1"}, "across": {"c": ["l1"]}}},
            "one_at_a_time.across.c: `c` is in `base` too: it is either varied or crossed",
        ),
        (
            {"one_at_a_time": {"base": {"a": "on", "b": "on"}, "across": {"c": ["l7"]}}},
            "one_at_a_time.across.c: unknown level of c `l7`",
        ),
        (
            {"one_at_a_time": {"base": {"a": "on", "b": "on"}}},
            "one_at_a_time.base: a cell has a level of every factor; missing: c",
        ),
        (cumulative({"a": "on", "b": "on"}), "cumulative.add[0]: a step changes one factor, found a, b"),
        (cumulative({"a": "of"}), "cumulative.add[0].a: unknown level of a `of`; did you mean `off`?"),
        (
            cumulative({"c": "l1"}, {"c": "l0"}),
            "cumulative.add[1].c: c was l0 before: each step adds something new",
        ),
        (
            {"cumulative": {"base": {"a": "off", "b": "off"}, "add": [{"c": "l1"}], "across": {"c": "l0"}}},
            "cumulative.add[0]: `c` is not in the base",
        ),
        (cumulative(), "at least 1 value, found []"),
        (cumulative({}), "add[0]: a step is a"),
    ],
)
def test_a_design_that_does_not_fit_its_factors_is_refused_at_the_key_that_asks_for_it(
    design: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        study_with(factors=THREE, design=design)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("study.yaml:1:")
