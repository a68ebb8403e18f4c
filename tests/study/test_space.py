"""The space of a search: what may be drawn, what depends on what, and what no space can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from assay.study.search.space import (
    contains,
    corners,
    draw,
    format_parameter,
    grid,
    grid_size,
    space_problems,
)
from assay.study.search.spec import Parameter

Space = dict[str, Parameter]
SPACE = TypeAdapter(Space)


def space(text: Mapping[str, Any]) -> Space:
    return SPACE.validate_python(dict(text))


CONDITIONAL = space(
    {
        "config.power": {"float": [0.25, 4.0], "when": {"config.balance": "power"}},  # before its condition
        "config.balance": {"choice": ["none", "power"]},
        "config.n": {"int": [1, 3]},
        "config.fine": {"choice": [True, False], "when": {"config.n": 2, "config.balance": "power"}},
    }
)


@st.composite
def spaces(draw_: st.DrawFn) -> Space:
    """Sound spaces of up to six parameters; each may depend on values of earlier ones."""
    found: dict[str, Any] = {}
    for number in range(draw_(st.integers(1, 6))):
        kind = draw_(st.sampled_from(["float", "int", "choice"]))
        low = draw_(st.integers(1, 5))
        one: dict[str, Any] = {"choice": ["a", "b", True]} if kind == "choice" else {kind: [low, low + 3]}
        if kind != "choice":
            one["log"] = draw_(st.booleans())
        if found and draw_(st.booleans()):
            other = draw_(st.sampled_from(sorted(found)))
            values = found[other].get("choice") or found[other].get("int") or found[other]["float"]
            one["when"] = {other: draw_(st.sampled_from(values))}
        found[f"config.p{number}"] = one
    order = draw_(st.permutations(sorted(found)))
    return space({path: found[path] for path in order})


@given(spaces(), st.randoms(use_true_random=False))
def test_a_point_has_a_value_where_the_condition_holds_and_nowhere_else(made: Space, random: Any) -> None:
    assert list(space_problems(made)) == []
    values = draw(made, lambda _, parameter: random.choice(corners(parameter)))
    assert list(values) == [path for path in made if path in values]
    for path, parameter in made.items():
        holds = all(values.get(other) == value for other, value in parameter.when.items())
        assert (path in values) == holds
        assert path not in values or contains(parameter, values[path])


@given(spaces())
def test_a_grid_has_every_point_once(made: Space) -> None:
    whole = {
        path: one for path, one in made.items() if not hasattr(one, "bounds") or type(one.bounds[0]) is int
    }
    whole = {path: one for path, one in whole.items() if all(other in whole for other in one.when)}
    points = [tuple(point.items()) for point in grid(whole)]
    assert len(set(points)) == len(points) == grid_size(whole, 10_000)


def test_conditions_are_followed_whatever_the_order_of_the_file() -> None:
    asked: list[str] = []

    def value(path: str, parameter: Parameter) -> Any:
        asked.append(path)
        return corners(parameter)[-1]

    assert draw(CONDITIONAL, value) == {"config.power": 4.0, "config.balance": "power", "config.n": 3}
    assert asked.index("config.balance") < asked.index("config.power")


def test_a_grid_counts_conditional_points_once() -> None:
    made = {path: one for path, one in CONDITIONAL.items() if path != "config.power"}
    assert grid_size(made, 100) == 3 + 3 + 1  # none × 3, power × 3, of which n = 2 twice
    assert grid_size(made, 4) == 5


@pytest.mark.parametrize(
    ("value", "inside"), [(0.25, True), (4, True), (4.01, False), ("power", False), (True, False)]
)
def test_a_real_number_lies_between_its_bounds(value: Any, inside: bool) -> None:
    assert contains(CONDITIONAL["config.power"], value) is inside


@pytest.mark.parametrize(("path", "value"), [("config.fine", 1), ("config.n", 1.5)])
def test_a_number_of_another_type_is_no_value(path: str, value: float) -> None:
    assert not contains(CONDITIONAL[path], value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            {"lr": {"float": [0, 1]}},
            "a search sets the method's config, such as `config.lr`; found `lr`",
        ),
        (
            {"config.a": {"int": [0, 1], "when": {"config.bb": 1}}, "config.b": {"int": [0, 1]}},
            "a condition names another parameter of the space; did you mean `config.b`?",
        ),
        (
            {"config.a": {"int": [0, 1], "when": {"config.b": 7}}, "config.b": {"int": [0, 1]}},
            "`config.b` is never 7: it is 0 … 1",
        ),
        (
            {
                "config.a": {"int": [0, 1], "when": {"config.b": 1}},
                "config.b": {"int": [0, 1], "when": {"config.a": 1}},
            },
            "conditions go in a circle: config.a, config.b",
        ),
    ],
)
def test_a_space_that_cannot_be_drawn_from_is_refused(text: dict[str, Any], expected: str) -> None:
    assert [problem.message for problem in space_problems(space(text))] == [expected]


def test_a_parameter_is_said_in_a_few_words() -> None:
    made = space({"config.lr": {"float": [0.003, 2], "log": True}, "config.s": {"choice": [True, "x", 2]}})
    assert [format_parameter(one) for one in made.values()] == ["0.003 … 2 (log)", "true, x, 2"]
