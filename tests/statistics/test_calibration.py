"""The error rates that the methods were chosen for, through the functions that make the report.

The simulations of `make calibrate` with fewer draws. A rate breaks its bound when it exceeds 5.5 % by more
than two binomial standard errors of its draws; the random numbers are the same each time.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assay.statistics.intervals import weighted_ap
from benchmarks.calibration.calibrate import BEGIN, PAGE, broken_text, section, tables_of
from benchmarks.calibration.figures import Figure
from benchmarks.calibration.simulated_assumptions import (
    at_resolve,
    decided_at_resolve,
    dependent,
    missing,
    seeds_in_all_folds,
    small_looks,
)
from benchmarks.calibration.simulated_can_go import (
    AT_THE_MARGIN,
    at_the_margin,
    planned_looks,
)
from benchmarks.calibration.simulated_can_go import power as power_of_parts
from benchmarks.calibration.simulated_data import item_intervals, seeds_and_folds
from benchmarks.calibration.simulated_data_sets import family_over_sets, over_sets
from benchmarks.calibration.simulated_decisions import adastop, against_fixed, errors
from benchmarks.calibration.simulated_families import FAMILY_WORLDS
from benchmarks.calibration.simulated_repeats import (
    failures,
    family_of_four,
    looking_again,
    one_comparison,
    power,
)
from benchmarks.calibration.worlds import NO_EFFECT, WORLDS, average_precision
from benchmarks.shared import END, write_block

DRAWS = 400


def unbroken(figures: list[Figure]) -> bool:
    bounded = [one for one in figures if one.most is not None]
    assert bounded, "nothing is promised here"
    return not any(one.broken for one in bounded)


@pytest.mark.parametrize("n", [5, 6, 10])
@pytest.mark.parametrize("world", [world.name for world in NO_EFFECT])
def test_where_nothing_differs_interval_test_and_verdict_are_rarely_wrong(world: str, n: int) -> None:
    assert unbroken(list(one_comparison((world, n), DRAWS)))


@pytest.mark.parametrize(("n", "expected"), [(6, 36), (7, 57), (10, 80)])
def test_power_is_what_the_tables_of_the_method_say(n: int, expected: float) -> None:
    found = {one.row: one.value for one in power((1, n), DRAWS)}
    assert found["exact test, 1 sd"] == pytest.approx(expected, abs=5)


@pytest.mark.parametrize("n", [5, 8])
def test_of_four_cells_against_one_base_false_verdicts_are_rare(n: int) -> None:
    assert unbroken(list(family_of_four(("normal", n), 150)))


@pytest.mark.parametrize("way", ["at random", "low scores, both cells"])
def test_failures_do_not_raise_false_positives(way: str) -> None:
    assert unbroken(list(failures(way, 150)))


@pytest.mark.parametrize("world", AT_THE_MARGIN)
def test_a_part_that_loses_resolve_is_rarely_called_dispensable(world: str) -> None:
    assert unbroken(list(at_the_margin((world, 2, 6), 100)))


def test_what_may_be_dispensable_is_found_sooner_than_what_may_be_negligible() -> None:
    found = {figure.row: figure.value for figure in power_of_parts((1, 1.0, 10), 100)}
    both = [
        found[f"1, `resolve` = 1 sd, dropping costs nothing: `{v}`"] for v in ("dispensable", "negligible")
    ]
    assert both[0] > both[1] + 5


def test_at_planned_looks_a_part_that_loses_resolve_is_rarely_called_dispensable() -> None:
    assert unbroken(list(planned_looks("normal", 60)))


def test_looking_again_is_paid_for() -> None:
    figures = list(looking_again(NO_EFFECT[0], 100))
    assert unbroken(figures)
    as_it_is, times = (one.value for one in figures if one.column == "5, 6, … 10")
    assert as_it_is > 1.2 * times


def test_what_a_seed_moves_in_all_folds_is_not_taken_for_a_difference() -> None:
    figures = list(seeds_in_all_folds((5, 2.0), 150))
    assert unbroken(figures)
    before, counted = (figure.value for figure in figures if figure.column == "S = 10")
    assert before > 10 > counted


@pytest.mark.parametrize("numbers", [(3, 5), (3, 4, 5)])
def test_looks_below_six_repeats_are_paid_for(numbers: tuple[int, ...]) -> None:
    figures = list(small_looks(numbers, 200))
    assert unbroken(figures)
    assert figures[0].value > figures[1].value


def test_the_worst_seeds_of_a_cell_cannot_be_left_out() -> None:
    figures = {figure.row: figure for figure in missing(("normal", 20, 2), 200)}
    assert unbroken(list(figures.values()))
    found = [figure.value for row, figure in figures.items() if "2 sd better" in row]
    assert min(found) > 90


def test_repeats_that_depend_on_each_other_are_known_to_mislead() -> None:
    (figure,) = dependent(20, 200)
    assert figure.most is None
    assert figure.value > 8


@pytest.mark.parametrize("n", [3, 5])
def test_what_differs_by_resolve_is_rarely_negligible(n: int) -> None:
    assert unbroken(list(at_resolve(("skewed", 4, n), 150)))


def test_at_planned_looks_what_differs_by_resolve_is_rarely_negligible() -> None:
    assert unbroken(list(decided_at_resolve("normal", 100)))


@pytest.mark.parametrize("true", [0, 2])
def test_a_study_that_decides_rarely_shows_what_is_not_there(true: int) -> None:
    assert unbroken(list(errors(("normal", true), 100)))


def test_where_differences_are_clear_or_none_deciding_takes_six_tenths_of_the_trainings() -> None:
    figures = list(against_fixed(((2.5, 2.5, 0.0, 0.0, 0.0, 0.0), 1.5), 60))
    found = {figure.column: figure.value for figure in figures}
    assert unbroken(figures)
    assert found["share"] <= 0.6
    assert found["settled rightly"] >= found["fixed 20: rightly"] - 2


def test_adastop_stops_at_the_first_interim_where_cells_are_apart_and_at_none_where_they_are_not() -> None:
    scores = np.random.default_rng(1).normal(0, 1, (3, 4, 20))
    scores[1] += 9
    settled = adastop(scores, permutations=4_000)
    assert settled.shown.tolist() == [[True, False]] * 4
    assert settled.repeats.tolist() == [[5, 20]] * 4


@pytest.mark.parametrize(
    "row",
    [
        "same folds, loud seeds: `new data`",
        "same folds, quiet seeds: `new data`",
        "own split per seed, loud: `new data`",
        "same folds, cells alike on them: `these folds`",
    ],
)
def test_a_claim_holds_for_a_learner_whose_cells_are_exchangeable(row: str) -> None:
    assert unbroken(list(seeds_and_folds(row, 300)))


@pytest.mark.parametrize("sets", [5, 6])
@pytest.mark.parametrize("world", ["normal", "data sets differ, normal, mean 0"])
def test_a_claim_over_data_sets_is_rarely_wrong(world: str, sets: int) -> None:
    assert unbroken(list(over_sets((world, sets), DRAWS)))


def test_a_family_over_six_data_sets_and_its_mean_ranks_are_rarely_wrong() -> None:
    assert unbroken(list(family_over_sets(6, DRAWS)))


def test_the_item_interval_covers_the_score_on_endless_items() -> None:
    covered = {figure.column: figure.value for figure in item_intervals("50 × 4", 60)}
    assert covered["one cell"] >= 92.5 - 100 * 3 * np.sqrt(0.925 * 0.075 / 60)
    assert covered["difference of equals"] >= 94.3 - 100 * 3 * np.sqrt(0.943 * 0.057 / 60)


# The measuring itself --------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS.values(), ids=lambda world: world.name)
def test_a_world_has_the_difference_that_it_says(world: object) -> None:
    a, b = world.draw(np.random.default_rng(0), 40_000, 5)  # type: ignore[attr-defined]
    error = float(np.std(a - b)) / np.sqrt(a.size)
    assert np.mean(a - b) == pytest.approx(world.difference, abs=4 * error)  # type: ignore[attr-defined]


def test_the_average_precision_of_a_batch_is_that_of_the_report() -> None:
    rng = np.random.default_rng(0)
    label, score = np.arange(30) % 3 == 0, rng.normal(size=(5, 30))
    expected = [weighted_ap(label, one, np.ones((1, 30)))[0] for one in score]
    assert average_precision(np.broadcast_to(label, score.shape), score) == pytest.approx(expected)


def test_a_rate_that_is_too_high_is_found_and_said() -> None:
    interval = next(one_comparison(("collapse-a", 5), 200))  # no method holds there: nothing is promised
    assert interval.most is None
    promised = replace(interval, most=5.5)
    assert promised.broken
    assert "collapse-a, n = 5:" in broken_text(promised)
    assert "at most 5.5 %" in broken_text(promised)
    assert "**" in section("interval", [promised])


@pytest.mark.parametrize(("value", "broken"), [(5.5, False), (6.9, False), (7.2, True)])
def test_a_bound_leaves_room_for_two_standard_errors(value: float, broken: bool) -> None:
    assert Figure("exact", "normal", "n = 6", value, 800, most=5.5).broken is broken  # 0.81 each


@pytest.mark.parametrize("world", [name for name, (_, held) in FAMILY_WORLDS.items() if not held])
def test_the_page_names_each_world_that_need_not_keep_the_limit(world: str) -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## What does not hold")[2].partition(BEGIN)[0]
    assert f"`{world}`" in text


def test_the_page_keeps_what_is_written_by_hand(tmp_path: Path) -> None:
    page = tmp_path / "calibration.md"
    page.write_text(f"# Title\n\n{BEGIN}old\n{END}\nThe end.\n", encoding="utf-8")
    for _ in range(2):
        write_block(page, BEGIN, "new\n")
        assert page.read_text(encoding="utf-8") == f"# Title\n\n{BEGIN}\nnew\n\n{END}\nThe end.\n"
    page.write_text("# Title\n", encoding="utf-8")
    with pytest.raises(ValueError, match="found one or none"):
        write_block(page, BEGIN, "new")


def test_a_page_keeps_the_tables_that_are_not_drawn_anew(tmp_path: Path) -> None:
    page = tmp_path / "calibration.md"
    kept = section("exact", [Figure("exact", "normal", "n = 6", 3.1, 800)])
    page.write_text(f"{BEGIN}\n{kept}\n\n`make calibrate`: 3 s\n\n{END}", encoding="utf-8")
    assert tables_of(page)["exact"] == kept
    assert tables_of(page)["power"].endswith("Not drawn yet.")


def test_the_shipped_page_has_a_place_for_its_tables() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.index(BEGIN) < text.index(END)
