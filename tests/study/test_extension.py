"""A study that grows: what was trained keeps its id, so that only what is new is trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.study import Plan, parse_study
from tests.study.toy import BASIC, as_yaml, plan, study_with

Text = dict[str, Any]
GROWING: Text = {
    **BASIC,
    "factors": {
        **BASIC["factors"],
        "set": {"one": {}, "other": {"data": {"reader": "mtd", "splits": "per_seed"}}},
        "c": {"five": {"config": {"c": 5}}, "ten": {"config": {"c": 10}}},
    },
    "nested": {"c": {"a": "on"}},
    "design": {
        "rows": [
            {"a": ["off", "on"], "b": ["off", "on"], "set": "one", "c": ["five", "ten"]},
            {"a": "off", "b": "on", "set": "other", "override": {"config": {"lr": 0.2}}},
        ]
    },
    "repeats": {"seeds": [0, 1], "folds": [0]},
}


def made(text: Text) -> Plan:
    return plan(parse_study(as_yaml(text), "study.yaml"))


def ids(result: Plan) -> set[str]:
    found = {trial.id for trial in result.trials}
    assert len(found) == len(result.trials)
    return found


def described(result: Plan) -> dict[tuple[frozenset[tuple[str, str]], int, int | None], str]:
    return {(frozenset(t.levels.items()), t.seed, t.fold): t.id for t in result.trials}


def main_row(text: Text) -> Text:
    return next(row for row in text["design"]["rows"] if "c" in row)


def add_row(text: Text, row: Text) -> None:
    plain = {"d": "plain"} if "d" in text["factors"] else {}
    text["design"]["rows"].insert(0, {**plain, **row})


def more_seeds(text: Text) -> None:
    text["repeats"]["seeds"] = [7, *text["repeats"]["seeds"]]


def more_folds(text: Text) -> None:
    text["repeats"]["folds"] = [2, *text["repeats"]["folds"]]


def another_row(text: Text) -> None:
    add_row(text, {"a": "off", "b": "off", "set": "other"})


def another_level(text: Text) -> None:
    text["factors"]["b"] = {"half": {"config": {"b": 7}}, **text["factors"]["b"]}
    main_row(text)["b"] = ["half", "off", "on"]


def another_level_of_a_sub_factor(text: Text) -> None:
    text["factors"]["c"]["twenty"] = {"config": {"c": 20}}
    main_row(text)["c"].insert(0, "twenty")


def another_data_set(text: Text) -> None:
    text["factors"]["set"]["third"] = {"data": {"reader": "folder", "splits": "per_seed"}}
    add_row(text, {"a": "off", "b": "on", "set": "third"})


def another_factor_at_its_default(text: Text) -> None:
    text["factors"] = {"d": {"plain": {}, "new": {"config": {"d": 3}}}, **text["factors"]}
    for row in text["design"]["rows"]:
        row["d"] = "plain"
    add_row(text, {"a": "off", "b": "off", "set": "one", "d": "new"})


def another_sub_factor_at_its_default(text: Text) -> None:
    text["factors"]["e"] = {"plain": {}, "new": {"config": {"batch_size": 8}}}
    text["nested"]["e"] = {"a": "on", "c": "ten"}
    main_row(text)["e"] = ["plain", "new"]


def another_question(text: Text) -> None:
    text["comparisons"] = [{"factor": "c"}]
    text["metrics"] = {"primary": "image_auroc"}
    text["keep"] = {"probes": 3}
    text["study"] = "renamed"


GROWTH: list[Callable[[Text], None]] = [
    more_seeds,
    more_folds,
    another_row,
    another_level,
    another_level_of_a_sub_factor,
    another_data_set,
    another_factor_at_its_default,
    another_sub_factor_at_its_default,
    another_question,
]


@pytest.mark.parametrize("grow", GROWTH)
def test_each_way_to_extend_a_study_trains_what_is_new_alone(grow: Callable[[Text], None]) -> None:
    text = copy.deepcopy(GROWING)
    before = ids(made(text))
    grow(text)
    after = ids(made(text))
    assert before <= after
    assert (before < after) == (grow is not another_question)


@settings(max_examples=20)
@given(st.lists(st.sampled_from(GROWTH), unique=True, max_size=len(GROWTH)))
def test_a_study_extended_in_any_order_of_ways_keeps_every_id(ways: list[Callable[[Text], None]]) -> None:
    text = copy.deepcopy(GROWING)
    known = ids(made(text))
    for grow in ways:
        grow(text)
        after = ids(made(text))
        assert known <= after
        known = after


@st.composite
def shuffled(draw: st.DrawFn, value: Any) -> Any:
    """The same mapping with its keys in another order, at every depth."""
    if isinstance(value, list):
        return [draw(shuffled(one)) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: draw(shuffled(value[key])) for key in draw(st.permutations(sorted(value)))}


@settings(max_examples=30)
@given(shuffled(GROWING), st.randoms(use_true_random=False))
def test_ids_depend_on_the_order_of_no_key_row_or_seed(text: Text, random: Any) -> None:
    random.shuffle(text["design"]["rows"])
    random.shuffle(text["repeats"]["seeds"])
    for row in text["design"]["rows"]:
        for levels in (levels for levels in row.values() if isinstance(levels, list)):
            random.shuffle(levels)
    assert described(made(text)) == described(made(GROWING))


@pytest.mark.parametrize(
    "design",
    [
        {"full": "all"},
        {"one_at_a_time": {"base": {"a": "on", "b": "on"}}},
        {"leave_one_out": {"whole": {"a": "on", "b": "on"}}},
        {"cumulative": {"base": {"a": "off", "b": "off"}, "add": [{"b": "on"}, {"a": "on"}]}},
    ],
    ids=lambda design: next(iter(design)),
)
def test_another_design_over_the_same_factors_finds_the_trials_that_it_shares(design: Text) -> None:
    rows = {"rows": [{"a": ["off", "on"], "b": ["off", "on"]}]}
    every = described(plan(study_with(design=rows)))
    found = described(plan(study_with(design=design)))
    assert found.items() <= every.items()
