"""Plans of searches: what is refused before anything trains, and how a plan grows with its points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from assay.study import parse_study, plan_study, reported_plan
from assay.study.file.writing import study_of_point
from assay.study.planning.plan_table import plan_of_table, table_of_plan
from tests.study.searches import SEARCH, points_of, search_with
from tests.study.toy import TOY, ToyConfig, plan, plan_on_images
from trainables.errors import InputError

FRONT = [{"max": "validation.image_ap"}, {"min": "size_mb"}]
CELLS: dict[str, Any] = {
    "factors": {"c": {"low": {"config": {"c": 1}}, "high": {"config": {"c": 2}}}},
    "design": {"full": "all"},
    "search": {"within": "cell"},
    "comparisons": [{"factor": "c"}],
}


def refusal(**changes: Any) -> str:
    """What is said against a search, each line with its place in the file."""
    with pytest.raises(InputError) as caught:
        plan(search_with(**changes))
    assert all(line.startswith("study.yaml:") for line in str(caught.value).splitlines())
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "cells"), [({}, ["base"]), (CELLS, ["low", "high"])], ids=["one cell", "two cells"]
)
def test_the_plan_of_a_search_is_its_cells_with_the_same_budget_each(
    changes: dict[str, Any], cells: list[str]
) -> None:
    made = plan(search_with(**changes))
    assert (made.trials, [searched.cell.name for searched in made.searched]) == ((), cells)
    assert made.size == made.pending_points == len(cells) * (6 * 2 + 2 * 3)


def test_the_start_points_can_be_replicated_beside_the_winners() -> None:
    made = plan(search_with(replicate={"best": 2, "start": True, "seeds": [10]}))
    assert made.size == 6 * 2 + 3


def test_models_of_start_points_that_are_replicated_are_counted_among_what_is_kept() -> None:
    made = [plan(search_with(replicate={"best": 2, "start": s, "seeds": [10]})) for s in (False, True)]
    alone, beside = (each.gigabytes or 0.0 for each in made)
    assert beside - alone > 4e-3  # a million weights of four bytes, and what a trial leaves beside


def test_a_grid_is_as_large_as_its_space() -> None:
    grid = {"sampler": "grid", "points": 50}
    space = {path: one for path, one in SEARCH["space"].items() if path != "config.lr"}
    assert plan(search_with(search=grid, space=space, start=None)).budget == 2 + 3


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ({"max": "validation.image_pa"}, "objective: unknown metric `image_pa`; did you mean `image_ap`?"),
        ({"max": "validation.erasure_drop"}, "objective: toy does not offer erasure_drop. Take another"),
        ({"max": "validation.fp"}, "objective: lower fp is better: write `{min: validation.fp}`"),
        ({"max": "validation.defects_found"}, "objective: defects_found is measured on test images alone"),
        ({"min": "latency_ms"}, "low cost alone ends at the smallest model, found latency_ms: add"),
        ([{"max": "validation.image_ap"}], "several objectives are two or three, found 1: write one without"),
        ([*FRONT, {"max": "validation.image_ap"}], "is named once, found image_ap, size_mb, image_ap"),
        ([FRONT[0], {"max": "size_mb"}], "a cost is lowered, found max: size_mb: write `{min: size_mb}`"),
        ([FRONT[1], {"min": "validation.image_ap"}], "objective[1]: higher image_ap is better: write `{max"),
    ],
)
def test_an_objective_that_cannot_be_had_is_refused_with_the_way_out(objective: Any, expected: str) -> None:
    assert expected in refusal(search={"objective": objective})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"search": None, "start": None, "replicate": None}, "space: `space` belongs to a search"),
        ({"space": None}, "search: a search has a `space`"),
        (
            {**CELLS, "search": {}},
            "search.within: `study` searches one cell, and the design has 2. Write `within: cell`",
        ),
        (
            {"search": {"objective": {"max": "validation.pixel_iou"}}, "supervision": "weak"},
            "search.objective: pixel_iou reads the masks of validation images, which supervision weak",
        ),
        (
            {"data": {"reader": "synthetic", "validation": "none"}},
            "data.validation: a search is evaluated on validation images",
        ),
        (
            {"search": {"sampler": "grid"}, "start": None},
            "space.config.lr: a grid has choices and whole numbers",
        ),
        (
            {
                "search": {"sampler": "grid", "points": 2},
                "space": {"config.a": {"int": [0, 2]}},
                "start": None,
            },
            "search.points: the grid has more than 2 points",
        ),
        (
            {
                "search": {"pruner": {"kind": "asha"}},
                "resources": {"pack": 2},
                "repeats": {"seeds": [0, 1, 2]},
            },
            "resources.pack: a pruner compares points repeat by repeat, in batches of all 3",
        ),
        (
            {"replicate": {"seeds": [0, 10]}},
            "replicate.seeds: fresh seeds are none that the search used, found 0",
        ),
        (
            {"space": {"config.lrr": {"float": [0, 1]}}, "start": None},
            "toy has no setting `lrr`; did you mean `lr`?",
        ),
        (
            {"space": {"config.lr": {"float": [0, 1]}}, "start": None},
            "space.config.lr: should be greater than 0, found 0.0",
        ),
        (
            {"config": {"preset": "large", "a": 7}},
            "start[0]: a start point lies in the space, and config.a is 7 in base, not 0 … 2",
        ),
        ({"start": [{"config.c": 1}]}, "start[0]: a start point sets what the space has"),
        ({"start": [{"config.a": 9}]}, "start[0]: a start point lies in the space, and config.a is 9"),
        (
            {"search": {"nested": True}},
            "search.nested: a nested search has the folds of `repeats` or `splits: per_seed`, found one",
        ),
        (
            {"search": {"nested": True}, "data": {"reader": "synthetic", "splits": "per_seed"}},
            "replicate.seeds: each search has a fresh seed of its own for its winner, found 3 for 2 splits",
        ),
        (
            {
                "search": {"nested": True},
                "data": {"reader": "synthetic", "splits": "per_seed"},
                "replicate": {"best": 2, "seeds": [10, 11]},
            },
            "replicate: each of several searches sends its one winner to the table, found best: 2",
        ),
        (
            {**CELLS, "space": {"config.c": {"int": [0, 9]}}, "start": None},
            "space.config.c: level `high` of c sets it: let either the factor or the search set it",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_at_the_key_that_asks_for_it(
    changes: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(**changes)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("search.pruner", {"search": {"pruner": {"kind": "median"}}}),
        ("search.nested", {"search": {"nested": True}}),
    ],
)
def test_what_goes_by_the_best_point_is_refused_with_several_objectives(
    key: str, changes: dict[str, Any]
) -> None:
    text = refusal(**{**changes, "search": {"objective": FRONT, **changes.get("search", {})}})
    assert f"{key}: it goes by the one best point, and a search with 2 objectives has none. Leave it" in text


def test_a_sampler_without_its_package_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.study.search.search_rules.find_spec", lambda name: None)
    text = refusal(search={"sampler": "gp"})
    assert "the sampler gp needs the package torch, scipy, which is not installed" in text


@pytest.mark.parametrize("choices", [[1, 2], [1.0, 2.0]])
def test_a_whole_number_in_a_choice_is_the_setting_of_the_start_however_it_is_written(
    choices: list[float],
) -> None:
    space = {"config.lr": {"choice": choices}, "config.a": {"choice": choices}}
    assert plan(search_with(space=space, config={"preset": "small", "lr": 1, "a": 2})).pending_points
    assert "config.lr is 3.0 in base, not 1" in refusal(space=space, config={"preset": "small", "lr": 3})


def test_a_truth_value_is_no_number_in_a_choice() -> None:
    space = {"config.a": {"choice": [1, 2]}, "config.b": {"int": [0, 1], "when": {"config.a": True}}}
    assert "`config.a` is never True" in refusal(space=space)


def test_a_start_without_the_block_of_a_searched_setting_is_refused_by_name() -> None:
    class Tail(BaseModel, frozen=True, extra="forbid"):
        size: int = 3

    class Config(ToyConfig, frozen=True):
        tail: Tail | None = None

    study = search_with(space={"config.tail.size": {"int": [1, 9]}})
    with pytest.raises(InputError, match=r"start\[0\]: .* config.tail.size is 'not set' in base"):
        plan_study(study, None, "cpu", find=lambda _: replace(TOY, Config=Config))


def test_drawn_values_are_in_the_settings_of_the_points_trials() -> None:
    made = plan(search_with())
    grown = made.with_points(points_of(made, {"config.lr": 0.5, "config.a": 1, "config.b": 2}))
    assert [trial.cell for trial in grown.trials] == ["base #0", "base #0"]
    assert {(t.config["lr"], t.config["a"], t.config["b"]) for t in grown.trials} == {(0.5, 1, 2)}
    assert grown.cells[0].diff["config.a"] == (0, 1)
    assert grown.size == made.size


def test_a_point_like_an_earlier_one_is_not_trained_twice() -> None:
    made = plan(search_with())
    same = {"config.lr": 0.5, "config.a": 0}
    assert len(made.with_points(points_of(made, same, same)).cells) == 1


def test_a_point_has_the_ids_of_the_same_settings_in_a_design(tmp_path: Path) -> None:
    made = plan_on_images(search_with(), tmp_path)
    (point,) = points_of(made, {"config.lr": 0.5, "config.a": 2})
    plain = plan_on_images(
        search_with(
            search=None, space=None, start=None, replicate=None, config={"preset": "small", "lr": 0.5, "a": 2}
        ),
        tmp_path,
    )
    assert [t.id for t in made.with_points([point]).trials] == [t.id for t in plain.trials]


def test_settings_that_the_method_refuses_together_are_a_point_that_failed() -> None:
    made = plan(search_with())
    (point,) = points_of(made, {"config.lr": -1.0, "config.a": 0})
    assert point.config is None
    assert "should be greater than 0" in (point.reason or "")
    assert made.with_points([point]).cells == ()


def test_only_replicated_points_are_reported() -> None:
    made = plan(search_with(**CELLS))
    points = points_of(made, {"config.lr": 0.5, "config.a": 0}, {"config.lr": 0.1, "config.a": 2})
    grown = made.with_points(points).with_winners([points[2], points[0], points[1]], complete=True)
    reported = reported_plan(grown)
    assert [cell.name for cell in reported.cells] == [
        "low #1 replicated",
        "low #0 replicated",
        "high #0 replicated",
    ]
    assert {trial.seed for trial in reported.trials} == {10, 11, 12}
    assert [c.pairs for c in reported.comparisons] == [(("low #1 replicated", "high #0 replicated"),)]


def test_the_plan_of_a_search_comes_back_from_its_table() -> None:
    made = plan(search_with(**CELLS))
    back = plan_of_table(table_of_plan(made))
    assert (back.searched, back.size, back.trials) == (made.searched, made.size, ())
    points = points_of(made, {"config.lr": 0.5, "config.a": 0})
    assert back.with_points(points).trials == made.with_points(points).trials


def test_the_rules_of_one_search_have_the_hash_that_they_always_had() -> None:
    (searched,) = plan(search_with()).searched
    assert (searched.search, searched.key, searched.part) == ("f1486f115eb10e27", "base", "")


def test_a_winner_of_a_nested_search_is_written_with_the_split_that_its_search_left_for_tests() -> None:
    made = plan(
        search_with(
            data={"reader": "synthetic", "splits": "per_seed"},
            search={"nested": True},
            repeats={"seeds": [0, 1, 2]},
            replicate={"best": 1, "seeds": [10, 11, 12]},
        )
    )
    (point,) = (p for p in points_of(made, {"config.lr": 0.5, "config.a": 0}) if p.cell == "base, split 1")
    points = made.with_points([point])
    winners = made.with_winners([point], complete=True)
    assert [trial.seed for trial in winners.trials] == [11]
    searched, trained = made.searched[1], {trial.id for trial in winners.trials}
    text = study_of_point(made, searched, point, "winner", "It won.", trained=trained)
    assert [t.id for t in plan(parse_study(text, "winner")).trials] == [t.id for t in points.trials]
    assert "repeats: {seeds: [1]}  # the split of its search, which may have seen the test images" in text
    assert "trained already" not in text
    assert "fresh seeds" not in text
