"""Designs: which cells a study has, and which of them a comparison pairs."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.study import parse_study
from assay.study.design import design_cells, level_pairs, pairs_of
from assay.study.schema import Study
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
    return [tuple(cell.levels.values()) for cell in design_cells(study)[0]]


FACTORS = st.lists(st.integers(2, 3), min_size=1, max_size=4).map(dials)


@given(FACTORS)
def test_full_is_every_combination_once(factors: dict[str, Any]) -> None:
    study = study_with(factors=factors, design={"full": "all"})
    assert cells_of(study) == list(product(*factors.values()))


@given(FACTORS, st.data())
def test_one_at_a_time_is_the_base_and_every_other_level_alone(
    factors: dict[str, Any], data: st.DataObject
) -> None:
    base = {name: data.draw(st.sampled_from(sorted(levels))) for name, levels in factors.items()}
    cells = cells_of(study_with(factors=factors, design={"one_at_a_time": {"base": base}}))
    assert cells[0] == tuple(base.values())
    differences = [sum(x != y for x, y in zip(cell, cells[0], strict=True)) for cell in cells[1:]]
    assert differences == [1] * sum(len(levels) - 1 for levels in factors.values())
    assert len(set(cells)) == len(cells)


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
    assert study.design.rows is not None
    asked = {
        chosen
        for row in study.design.rows
        for chosen in product(*(row.levels[factor] for factor in study.factors))
    }
    cells = cells_of(study)
    assert set(cells) == asked
    assert len(cells) == len(asked)


@given(row_studies())
def test_a_comparison_has_all_pairs_that_differ_in_its_factor_only(study: Study) -> None:
    cells = [cell.levels for cell in design_cells(study)[0]]
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


def test_a_cell_that_two_rows_ask_for_is_trained_once_and_said_so() -> None:
    study = study_with(design={"rows": [{"a": ["off", "on"], "b": "on"}, {"a": "on", "b": "on"}]})
    result = plan(study)
    assert [cell.name for cell in result.cells] == ["off·on", "on·on"]
    assert "design.rows[1] asks again for the cell on·on, which row 0 has" in result.warnings[0]


def test_cells_are_named_by_their_levels_in_the_order_of_the_factors() -> None:
    study = study_with(design={"rows": [{"b": "on", "a": "off"}]})
    assert [cell.name for cell in design_cells(study)[0]] == ["off·on"]


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


def test_a_comparison_without_a_pair_is_refused_with_the_row_it_needs() -> None:
    study = study_with(
        design={"rows": [{"a": "off", "b": "off"}, {"a": "on", "b": "on"}]}, comparisons=[{"factor": "a"}]
    )
    with pytest.raises(InputError, match=r"Beside off·off the design would need the row {a: on, b: off}"):
        plan(study)


def test_a_comparison_lists_its_pairs_and_what_differs_between_them() -> None:
    (comparison,) = plan(study_with(comparisons=[{"factor": "b"}])).comparisons
    assert comparison.name == "b: off → on"
    assert comparison.pairs == (("off·off", "off·on"), ("on·off", "on·on"))
    assert comparison.paths == ("config.b",)


def test_a_design_with_more_trials_than_memory_holds_is_refused_before_they_are_listed() -> None:
    factors = {f"f{n}": {f"l{level}": {} for level in range(50)} for n in range(20)}
    with pytest.raises(InputError, match="a study has at most 1,000,000 trials, found 19"):
        study_with(factors=factors)


LENGTHS = {"length": {"short": {}, "long": {"config": {"epochs": 20}}}}


def test_a_difference_outside_the_factor_is_refused_with_both_values() -> None:
    study = study_with(factors=LENGTHS, comparisons=[{"factor": "length"}])
    with pytest.raises(InputError, match=r"differ outside length:\n +short +long\n +config\.warmup +1 +10\n"):
        plan(study)


def test_a_difference_outside_the_factor_may_be_allowed_with_its_reason() -> None:
    reason = {"config.warmup": "follows the number of epochs"}
    (comparison,) = plan(
        study_with(factors=LENGTHS, comparisons=[{"factor": "length"}], allow=reason)
    ).comparisons
    assert comparison.paths == ("config.epochs",)
    assert comparison.allowed == reason


def test_a_bundle_is_listed_whole() -> None:
    levels = {"full": {"supervision": "full"}, "weak": {"supervision": "weak", "config": {"lr": 0.01}}}
    study = study_with(
        factors={"supervision": levels}, comparisons=[{"factor": "supervision", "from": "weak"}]
    )
    assert plan(study).comparisons[0].paths == ("config.lr", "supervision")
