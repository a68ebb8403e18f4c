"""Plans in which the best point is trained with one change less."""

from __future__ import annotations

from typing import Any

from assay.study import Ablation, Plan, Point, reported_plan
from assay.study.points import make_ablations
from tests.study.searches import points_of, search_with
from tests.study.toy import TOY, plan

ABLATE: dict[str, Any] = {"replicate": {"best": 1, "seeds": [10, 11], "ablate_winner": True}}


def ablations(made: Plan, best: Point) -> list[Ablation]:
    return make_ablations(made.study, TOY, made.searched[0], best, "cpu")


def test_each_changed_parameter_goes_back_alone_and_takes_what_hangs_on_it() -> None:
    made = plan(search_with(**ABLATE))
    (best,) = points_of(made, {"config.lr": 0.5, "config.a": 1, "config.b": 3})
    assert {one.parameter: one.values for one in ablations(made, best)} == {
        "config.lr": {"config.a": 1, "config.b": 3},
        "config.a": {"config.lr": 0.5},  # b is drawn where a is 1
        "config.b": {"config.lr": 0.5, "config.a": 1},
    }
    assert ablations(made, best)[0].name == "base #0, default lr"


def test_a_drawn_value_that_is_the_default_is_no_change() -> None:
    made = plan(search_with(**ABLATE))
    (best,) = points_of(made, {"config.lr": 0.1, "config.a": 2})
    assert [one.parameter for one in ablations(made, best)] == ["config.a"]


def test_what_goes_back_has_the_setting_of_the_study_and_not_the_default_of_the_method() -> None:
    made = plan(search_with(**ABLATE, config={"image_size": [64, 64], "lr": 0.3}))
    (best,) = points_of(made, {"config.lr": 0.5})
    (one,) = ablations(made, best)
    assert one.config is not None
    assert (one.name, one.config["lr"]) == ("base #0, default lr", 0.3)


def test_settings_that_follow_a_parameter_go_back_with_it() -> None:
    made = plan(search_with(**ABLATE, space={"config.epochs": {"int": [1, 40]}}, start=None))
    (best,) = points_of(made, {"config.epochs": 30})
    (one,) = ablations(made, best)
    assert best.config is not None
    assert one.config is not None
    assert [(c["epochs"], c["warmup"]) for c in (best.config, one.config)] == [(30, 15), (3, 1)]


def test_an_ablation_is_compared_with_the_best_point_and_names_its_bundle() -> None:
    made = plan(search_with(**ABLATE))
    points = points_of(made, {"config.lr": 0.5, "config.a": 1, "config.b": 3})
    grown = made.with_points(points).with_winners(points, ablations(made, points[0]), complete=True)
    reported = reported_plan(grown)
    assert {trial.seed for trial in reported.trials} == {10, 11}
    assert len({trial.id for trial in grown.trials}) == len(grown.trials)
    assert [(c.name, c.pairs, c.paths) for c in reported.comparisons] == [
        ("config.lr: 0.1 → 0.5", (("base #0, default lr", "base #0 replicated"),), ("config.lr",)),
        ("config.a: 0 → 1", (("base #0, default a", "base #0 replicated"),), ("config.a", "config.b")),
        ("config.b: 0 → 3", (("base #0, default b", "base #0 replicated"),), ("config.b",)),
    ]
    assert reported_plan(Plan.from_table(grown.to_table())) == reported


def test_an_ablation_that_is_a_start_point_is_trained_once() -> None:
    made = plan(search_with(**ABLATE))
    points = points_of(made, {"config.lr": 0.1, "config.a": 0}, {"config.lr": 0.5, "config.a": 0})
    grown = made.with_points(points).with_winners(
        [points[1], points[0]], ablations(made, points[1]), complete=True
    )
    assert [cell.name for cell in reported_plan(grown).cells] == ["base #1 replicated", "base #0 replicated"]
    assert [c.pairs for c in reported_plan(grown).comparisons] == [
        (("base #0 replicated", "base #1 replicated"),)
    ]
    assert len({trial.id for trial in grown.trials}) == len(grown.trials)


def test_an_ablation_that_the_method_refuses_is_left_out_with_its_reason() -> None:
    made = plan(search_with(**ABLATE))
    (best,) = points_of(made, {"config.lr": 0.5, "config.a": 0})
    refused = ablations(made, best)[0].model_copy(update={"config": None, "reason": "no"})
    grown = made.with_points([best]).with_winners([best], [refused], complete=True)
    assert reported_plan(grown).comparisons == ()
    assert grown.ablated == (refused,)


def test_the_plan_counts_an_ablation_of_each_parameter() -> None:
    assert plan(search_with(**ABLATE)).size == 6 * 2 + (1 + 3) * 2
