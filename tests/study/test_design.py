"""Designs: which cells a study has, and which of them a comparison pairs."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.study import parse_study
from assay.study.design import design_cells, format_design, level_pairs, pairs_of
from assay.study.file.schema import Study
from assay.study.planning.cell_names import cell_name
from tests.study.toy import BASIC, as_yaml, plan, study_with
from trainables.errors import InputError

DIALS = "abcd"


def dials(levels: list[int]) -> dict[str, Any]:
    """Factors a, b, … with so many levels each."""
    return {
        name: {f"l{level}": {"config": {name: level}} for level in range(count)}
        for name, count in zip(DIALS, levels, strict=False)
    }


def cells_of(study: Study) -> list[tuple[str, ...]]:
    return [tuple(cell.levels.values()) for cell in design_cells(study)]


def named(study: Study, levels: tuple[str, ...]) -> str:
    return cell_name(study.factors, dict(zip(study.factors, levels, strict=True)))


FACTORS = st.lists(st.integers(2, 3), min_size=1, max_size=4).map(dials)


@given(FACTORS)
def test_full_is_every_combination_once(factors: dict[str, Any]) -> None:
    study = study_with(factors=factors, design={"full": "all"})
    assert cells_of(study) == list(product(*factors.values()))


@given(FACTORS, st.data())
def test_one_at_a_time_is_the_base_and_every_other_level_alone_compared_with_the_base(
    factors: dict[str, Any], data: st.DataObject
) -> None:
    base = {name: data.draw(st.sampled_from(sorted(levels))) for name, levels in factors.items()}
    planned = plan(study_with(factors=factors, design={"one_at_a_time": {"base": base}}))
    cells = cells_of(planned.study)
    assert cells[0] == tuple(base.values())
    differences = [sum(x != y for x, y in zip(cell, cells[0], strict=True)) for cell in cells[1:]]
    assert differences == [1] * sum(len(levels) - 1 for levels in factors.values())
    assert len(set(cells)) == len(cells)
    first, *others = (cell.name for cell in planned.cells)
    pairs = [pair for comparison in planned.comparisons for pair in comparison.pairs]
    assert sorted(pairs) == sorted((first, other) for other in others)


@st.composite
def wholes(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """Factors, a level of each for the whole, and another one for each that is left out."""
    factors = draw(FACTORS)
    whole = {name: draw(st.sampled_from(sorted(levels))) for name, levels in factors.items()}
    without = {
        name: draw(st.sampled_from([level for level in levels if level != whole[name]]))
        for name, levels in factors.items()
    }
    return factors, whole, without


@given(wholes())
def test_leave_one_out_is_the_whole_and_the_whole_without_each_factor(
    made: tuple[dict[str, Any], dict[str, str], dict[str, str]],
) -> None:
    factors, whole, without = made
    study = study_with(factors=factors, design={"leave_one_out": {"whole": whole, "without": without}})
    lacking = [tuple({**whole, name: without[name]}.values()) for name in factors]
    assert cells_of(study) == [tuple(whole.values()), *lacking]
    pairs = {(c.start, c.end, pair) for c in plan(study).comparisons for pair in c.pairs}
    assert pairs == {
        (without[name], whole[name], (named(study, cell), named(study, tuple(whole.values()))))
        for name, cell in zip(factors, lacking, strict=True)
    }


@given(wholes(), st.data())
def test_cumulative_adds_one_step_after_the_other_and_compares_each_with_the_one_before(
    made: tuple[dict[str, Any], dict[str, str], dict[str, str]], data: st.DataObject
) -> None:
    factors, base, new = made
    order = data.draw(st.permutations(sorted(factors)))
    steps = [{name: new[name]} for name in order]
    planned = plan(study_with(factors=factors, design={"cumulative": {"base": base, "add": steps}}))
    states = [base]
    for step in steps:
        states.append({**states[-1], **step})
    assert cells_of(planned.study) == [tuple(state.values()) for state in states]
    names = [cell.name for cell in planned.cells]
    assert [c.pairs for c in planned.comparisons] == [((one, other),) for one, other in pairwise(names)]
    assert [c.name for c in planned.comparisons] == [f"{n}: {base[n]} → {new[n]}" for n in order]


def test_a_cumulative_design_may_raise_one_factor_several_times() -> None:
    steps = [{"a": "l1"}, {"b": "l1"}, {"a": "l2"}]
    design = {"cumulative": {"base": {"a": "l0", "b": "l0"}, "add": steps}}
    study = study_with(factors=dials([3, 2]), design=design)
    assert cells_of(study) == [("l0", "l0"), ("l1", "l0"), ("l1", "l1"), ("l2", "l1")]
    assert [c.pairs for c in plan(study).comparisons] == [
        (("a=l0 b=l0", "a=l1 b=l0"),),
        (("a=l1 b=l0", "a=l1 b=l1"),),
        (("a=l1 b=l1", "a=l2 b=l1"),),
    ]


@pytest.mark.parametrize(
    ("design", "cells"),
    [
        ({"one_at_a_time": {"base": {"b": "off"}}}, 2),
        ({"leave_one_out": {"whole": {"b": "on"}}}, 2),
        ({"cumulative": {"base": {"b": "off"}, "add": [{"b": "on"}]}}, 2),
    ],
    ids=["one_at_a_time", "leave_one_out", "cumulative"],
)
def test_a_design_is_repeated_for_each_level_that_it_is_crossed_with(
    design: dict[str, Any], cells: int
) -> None:
    factors = {
        "supervision": {"full": {"supervision": "full"}, "few": {"supervision": {"mixed": 5}}},
        "set": {"one": {}, "other": {"data": {"reader": "mtd", "splits": "per_seed"}}},
        "b": BASIC["factors"]["b"],
    }
    (way,) = design
    across = {"supervision": ["full", "few"], "set": ["one", "other"]}
    result = plan(study_with(factors=factors, design={way: {**design[way], "across": across}}))
    assert len(result.cells) == 4 * cells
    (comparison,) = result.comparisons
    settings = [f"supervision={labels} set={set_}" for labels in ("full", "few") for set_ in ("one", "other")]
    assert comparison.pairs == tuple((f"{setting} b=off", f"{setting} b=on") for setting in settings)


@pytest.mark.parametrize("design", [{"full": "all"}, {"rows": [{"a": ["off", "on"], "b": "off"}]}])
def test_rows_and_a_full_factorial_compare_what_is_stated(design: dict[str, Any]) -> None:
    assert plan(study_with(design=design)).comparisons == ()


def test_stated_comparisons_take_the_place_of_the_natural_ones() -> None:
    design = {"one_at_a_time": {"base": {"a": "off", "b": "off"}}}
    assert len(plan(study_with(design=design)).comparisons) == 2
    stated = plan(study_with(design=design, comparisons=[{"factor": "b"}])).comparisons
    assert [(c.name, c.pairs) for c in stated] == [("b: off → on", (("all off", "b"),))]
    assert plan(study_with(design=design, comparisons=[])).comparisons == ()


@st.composite
def row_studies(draw: st.DrawFn) -> Study:
    factors = draw(FACTORS)
    row = st.fixed_dictionaries(
        {
            name: st.sampled_from(sorted(levels))
            | st.lists(st.sampled_from(sorted(levels)), min_size=1, unique=True)
            for name, levels in factors.items()
        }
    )
    return study_with(factors=factors, design={"rows": draw(st.lists(row, min_size=1, max_size=5))})


@given(row_studies())
def test_rows_give_each_cell_once_and_nothing_else(study: Study) -> None:
    assert study.design is not None
    asked = {
        chosen
        for row in study.design.block
        for chosen in product(*(row.levels[factor] for factor in study.factors))
    }
    cells = cells_of(study)
    assert set(cells) == asked
    assert len(cells) == len(asked)


@given(row_studies())
def test_a_comparison_has_all_pairs_that_differ_in_its_factor_only(study: Study) -> None:
    cells = [cell.levels for cell in design_cells(study)]
    for factor, levels in study.factors.items():
        for start, end in product(levels, levels):
            expected = [
                (one, other)
                for one in cells
                for other in cells
                if (one[factor], other[factor]) == (start, end)
                and all(one[name] == other[name] for name in study.factors if name != factor)
            ]
            assert pairs_of(cells, factor, start, end) == expected


def test_a_study_without_factors_has_one_cell() -> None:
    study = {key: value for key, value in BASIC.items() if key not in ("factors", "design")}
    assert [cell.name for cell in plan(parse_study(as_yaml(study))).cells] == ["base"]


@pytest.mark.parametrize(
    ("comparison", "pairs"),
    [
        ({}, [("l0", "l1"), ("l0", "l2"), ("l1", "l2")]),
        ({"from": "l2"}, [("l2", "l0"), ("l2", "l1")]),
        ({"to": "l0"}, [("l1", "l0"), ("l2", "l0")]),
        ({"from": "l2", "to": "l1"}, [("l2", "l1")]),
    ],
)
def test_a_comparison_is_about_the_levels_it_names_or_all(
    comparison: dict[str, str], pairs: list[tuple[str, str]]
) -> None:
    study = study_with(factors=dials([3]), comparisons=[{"factor": "a", **comparison}])
    assert study.comparisons is not None
    assert level_pairs(study, study.comparisons[0]) == pairs


CAN_GO = {"factor": "a", "ask": "can go"}


def test_asking_whether_a_part_can_go_is_of_all_pairs_and_changes_no_cell() -> None:
    asked = plan(study_with(comparisons=[CAN_GO, {"factor": "b"}], resolve=0.02))
    assert [comparison.ask for comparison in asked.comparisons] == ["can go", "pays"]
    plain = plan(study_with(comparisons=[{"factor": "a"}, {"factor": "b"}]))
    assert [trial.id for trial in asked.trials] == [trial.id for trial in plain.trials]
    assert [each.pairs for each in asked.comparisons] == [each.pairs for each in plain.comparisons]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"comparisons": [CAN_GO]}, "less than `resolve`, and the study has none"),
        (
            {"comparisons": [{**CAN_GO, "from": "on", "to": "off"}], "resolve": 0.02},
            "Turn it round: `{factor: a, from: off, to: on, ask: can go}`",
        ),
        (
            {"comparisons": [{"factor": "a"}, CAN_GO], "resolve": 0.02},
            "in one direction: `ask: can go` also asks whether it pays",
        ),
        ({"comparisons": [{**CAN_GO, "ask": "costs"}], "resolve": 0.02}, "'pays' or 'can go'"),
    ],
)
def test_a_question_whether_a_part_can_go_that_has_no_answer_is_refused(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError) as refused:
        study_with(**changes)
    assert says in str(refused.value)


def test_a_comparison_without_a_pair_is_refused_with_the_row_it_needs() -> None:
    study = study_with(
        design={"rows": [{"a": "off", "b": "off"}, {"a": "on", "b": "on"}]}, comparisons=[{"factor": "a"}]
    )
    with pytest.raises(InputError, match=r"Beside all off the design would need the row {a: on, b: off}"):
        plan(study)


def test_a_design_with_more_trials_than_memory_holds_is_refused_before_they_are_listed() -> None:
    factors = {f"f{n}": {f"l{level}": {} for level in range(50)} for n in range(20)}
    with pytest.raises(InputError, match="a study has at most 1,000,000 trials, found 19"):
        study_with(factors=factors)


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"full": "all"}, "full factorial: 2 a × 2 b"),
        ({"rows": [{"a": "on", "b": "on"}]}, "one row"),
        ({"one_at_a_time": {"base": {"a": "off"}, "across": {"b": ["off", "on"]}}},
         "one at a time from a off, for each b of off, on"),
        ({"leave_one_out": {"whole": {"a": "on", "b": "on"}}}, "leave one out of a on, b on: a off, b off"),
        ({"cumulative": {"base": {"a": "off", "b": "off"}, "add": [{"b": "on"}, {"a": "on"}]}},
         "cumulative from a off, b off: b on, then a on"),
    ],
)  # fmt: skip
def test_a_design_is_said_in_a_line(design: dict[str, Any], said: str) -> None:
    assert format_design(study_with(design=design)) == said
