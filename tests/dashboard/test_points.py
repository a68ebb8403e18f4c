"""What a search's page draws of thousands of points, and that it says so."""

from __future__ import annotations

import numpy as np
import pytest

from assay.storage.search_points import EvaluatedPoint, best_points
from assay.study import Plan, Point, parse_study, plan_study
from assay_dashboard.search_points import few, search_points, thinning
from tests.cli.small_search import SEARCH

PLAN: Plan = plan_study(parse_study(SEARCH, "hunt.yaml"), None, "cpu")


def made(values: list[float | None]) -> list[EvaluatedPoint]:
    """Points in the order in which they were drawn."""
    return [
        EvaluatedPoint(
            Point(cell="base", index=i, source="tpe", values={"config.lr": 0.1}, config={}, search=""),
            "failed" if value is None else "finished",
            value,
            () if value is None else (value,),
            values=() if value is None else (value,),
        )
        for i, value in enumerate(values)
    ]


def test_few_points_are_all_drawn_and_nothing_is_said() -> None:
    points = made([0.1] * 500)
    assert few(points) == points
    assert thinning(500) == ""


@pytest.mark.parametrize("count", [501, 1234, 10_000])
def test_of_many_the_best_and_an_even_sample_of_the_others_are_drawn(count: int) -> None:
    ranked = made([1 - i / count for i in range(count)])
    drawn = [one.point.index for one in few(ranked)]
    assert drawn[:250] == list(range(250))
    (step,) = set(np.diff(drawn[250:]))
    assert len(drawn) <= 500
    assert thinning(count) == f"Charts hold the best 250 of {count} points, and 1 in {step} of the others."


def test_the_best_so_far_is_exact_however_many_points_are_left_out() -> None:
    values = list(np.random.default_rng(0).random(3000))
    points = search_points(PLAN, made([*map(float, values)]))
    best = np.maximum.accumulate(values)
    history = points.history.set_index("index")["best"]
    assert len(history) < 600
    assert history.to_dict() == {i: best[i] for i in history.index}
    np.testing.assert_array_equal(history.reindex(range(3000)).ffill(), best)


def test_the_list_has_the_digits_of_the_report() -> None:
    """A grid writes 0.78125 as 0.7813, and 12345.6 with four digits as 12350."""
    goals = "[{max: validation.image_ap}, {min: train_seconds}]"
    study = SEARCH.replace("{max: validation.image_ap}", goals)
    plan = plan_study(parse_study(study, "hunt.yaml"), None, "cpu")
    (point,) = (row._replace(values=(0.78125, 12345.6)) for row in made([0.78125]))
    table = search_points(plan, [point]).table
    assert (table["objective"][0], table["objective 2"][0]) == (0.7812, 12346.0)


def test_points_are_ranked_best_first_and_those_without_a_value_last() -> None:
    points = search_points(PLAN, made([0.2, None, 0.9]))
    assert list(points.table["point"]) == ["base #2", "base #0", "base #1"]
    np.testing.assert_array_equal(points.axes[-1].positions, [1, 0, np.nan])
    assert points.valued == 2


@pytest.mark.parametrize("most", [0, 1, 3, 50])
def test_the_first_few_of_the_best_points_are_the_same_whoever_asks_for_more(most: int) -> None:
    """Points 0 to 9 have five settings between them, each drawn twice."""
    points = [
        each._replace(point=each.point.model_copy(update={"config": {"lr": each.point.index // 2}}))
        for each in made([0.1, 0.9, 0.5, 0.9, None, 0.3, 0.9, 0.9, 0.2, 0.5])
    ]
    assert best_points(PLAN, points, most) == best_points(PLAN, points)[:most]
