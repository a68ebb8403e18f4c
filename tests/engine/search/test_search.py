"""Searches through the engine: what is drawn is what is trained, and nothing changes what is drawn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from assay.analysis.results.search_results import SearchResults
from assay.engine.search.proposals import Observation, importance, propose
from assay.storage.search_points import evaluate_points, winners
from assay.study import Trial, reported_plan
from assay.study.search.spec import Parameter, Search
from tests.analysis.made_studies import markdown_of
from tests.engine.search.search_study import SEARCH, ToySearch, made_record, made_result
from trainables.errors import InputError

SPACE = TypeAdapter(dict[str, Parameter]).validate_python(
    {
        "config.x": {"float": [-5.0, 10.0]},
        "config.y": {"float": [0.01, 15.0], "log": True},
        "config.kind": {"choice": ["valley", "ridge", "plain"]},
        "config.depth": {"float": [0.0, 5.0], "when": {"config.kind": "valley"}},
    }
)


def _search(**changes: Any) -> Search:
    chosen = {"sampler": "tpe", "points": 30, "batch": 1, "objective": {"max": "validation.image_ap"}}
    return Search.model_validate({**chosen, **changes})


def _height(values: Any) -> float:
    """A cheap test function with a condition: best is 0, at x 3, y 2 in a valley of depth 5."""
    distance = ((values["config.x"] - 3) / 5) ** 2 + (math.log(values["config.y"] / 2) / 2) ** 2
    lost = {"valley": 5 - values.get("config.depth", 0.0), "ridge": 4.0, "plain": 6.0}[values["config.kind"]]
    return -distance - lost / 2


def _best(search: Search) -> float:
    told: list[Observation] = []
    for start in range(0, search.points, search.batch):
        batch = list(told)
        for index in range(start, min(start + search.batch, search.points)):
            values = propose(search, SPACE, "base", batch, index)
            batch.append(Observation(values, "running"))
            told.append(Observation(values, "finished", _height(values)))
    return max(one.value for one in told if one.value is not None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> ToySearch:
    study = ToySearch(tmp_path_factory.mktemp("undisturbed"), cache_root)
    study.run()
    return study


# Proposals


def test_tpe_finds_better_points_than_chance_on_twenty_seeds(record_property: Any) -> None:
    pairs = [(_best(_search(seed=seed)), _best(_search(seed=seed, sampler="random"))) for seed in range(20)]
    better = sum(tpe > chance for tpe, chance in pairs)
    medians = [statistics.median(one) for one in zip(*pairs, strict=True)]
    figures = f"best of 30 points, median of 20 seeds: tpe {medians[0]:.3f}, random {medians[1]:.3f}; "
    figures += f"tpe better in {better} of 20"
    record_property("figures", figures)
    print(figures)  # noqa: T201
    assert better >= 15  # chance alone: 2 % of the time
    assert medians[0] > medians[1]


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_the_same_question_has_the_same_answer(sampler: str) -> None:
    told = [
        Observation({"config.x": float(i), "config.y": 1.0, "config.kind": "plain"}, "finished", -i)
        for i in range(11)
    ]
    search = _search(sampler=sampler)
    one, other = (propose(search, SPACE, "base", told, 11) for _ in range(2))
    assert one == other


def test_another_seed_and_another_cell_draw_other_points() -> None:
    drawn = [propose(_search(seed=seed), SPACE, cell, [], 0) for seed in (0, 1) for cell in ("base", "other")]
    assert all(one != other for one, other in combinations(drawn, 2))


def test_points_that_failed_were_pruned_or_still_run_are_told_as_they_are() -> None:
    values = {"config.x": 1.0, "config.y": 1.0, "config.kind": "plain"}
    told = [Observation(values, status, None, (0.5,)) for status in ("failed", "pruned", "running")]
    assert propose(_search(), SPACE, "base", told, 3)


# Searches


def test_drawn_values_are_in_the_configs_that_were_trained(undisturbed: ToySearch) -> None:
    configs = {
        (record.trial["cell"], record.trial["seed"]): record.trial["config"]
        for record in undisturbed.records().values()
    }
    assert len(undisturbed.points) == 12
    for point in undisturbed.points:
        for seed in (0, 1):
            config = configs[(point.name, seed)]
            assert {path: config[path.removeprefix("config.")] for path in point.values} == point.values


def test_the_published_point_comes_first(undisturbed: ToySearch) -> None:
    first = undisturbed.points[0]
    assert (first.source, first.values) == (
        "preset",
        {"config.x": 0.9, "config.shape": "round", "config.y": 0.7},
    )


def test_a_search_that_ended_after_6_of_12_points_goes_on_as_if_nothing_had_happened(
    undisturbed: ToySearch, cache_root: Path, tmp_path: Path
) -> None:
    first = ToySearch(tmp_path, cache_root)
    assert first.run(batches=6) == 6
    assert len(first.points) == 9  # the third batch is written down before it trains
    again = ToySearch(tmp_path, cache_root)
    assert again.run() == 6 + 2
    assert again.points == undisturbed.points
    assert again.results() == undisturbed.results()
    assert ToySearch(tmp_path, cache_root).run() == 0


def test_more_points_continue_a_search(cache_root: Path, tmp_path: Path) -> None:
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    for storage, points in ((whole, 12), (grown, 4), (grown, 12)):
        ToySearch(storage, cache_root, points=points).run_made()
    assert ToySearch(grown, cache_root).points == ToySearch(whole, cache_root).points


def test_a_search_whose_space_changed_is_refused(cache_root: Path, tmp_path: Path) -> None:
    ToySearch(tmp_path, cache_root, points=3).run_made(batches=1)
    other = ToySearch(tmp_path, cache_root, points=3, batch=2)
    with pytest.raises(InputError, match=r"the search in cell base of toy_search began with other rules"):
        other.run()


def test_the_objective_reads_validation_and_no_test_score(cache_root: Path, tmp_path: Path) -> None:
    found: list[list[Any]] = []
    for name, test in (("one", 0.0), ("other", 1.0)):
        study = ToySearch(tmp_path / name, cache_root, points=6)

        def train(trials: Sequence[Trial], study: ToySearch = study, test: float = test) -> None:
            for trial in trials:
                score = abs(test - trial.config["x"])  # test scores that say the opposite of each other
                study.store.write_record(made_record(trial, result=made_result(score, 1 - trial.config["x"])))

        study.run(train=train)
        found.append([(p.values, p.source) for p in study.points])
        replicated = [cell.drawn["config.x"] for cell in reported_plan(study.grown).cells]
        assert replicated == sorted(p.values["config.x"] for p in study.points)[:2]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": "diverged", "reason": "NaN"}, "failed"),
        ({"status": "failed"}, "failed"),
        ({"status": "pruned"}, "pruned"),
        ({"result": made_result(0.5, 0.5).model_copy(update={"validation": {}})}, "failed"),
    ],
)
def test_a_point_that_lost_a_repeat_has_no_value_and_the_search_goes_on(
    cache_root: Path, tmp_path: Path, changes: dict[str, Any], status: str
) -> None:
    rule = ", pruner: {kind: median, min: 1}" if status == "pruned" else ""
    study = ToySearch(tmp_path, cache_root, points=3, more=rule)

    def train(trials: Sequence[Trial]) -> None:
        for trial in trials:
            bad = trial.cell.endswith("#1") and trial.seed == 1
            study.store.write_record(
                made_record(trial, **({"result": made_result(0.5, 0.9)} | (changes if bad else {})))
            )

    study.run(train=train)
    (searched,) = study.plan.searched
    points = evaluate_points(study.plan.search.objectives, study.grown.points_of(searched), study.records())
    assert [point.status for point in points] == ["finished", status, "finished"]
    assert [point.index for point in winners(study.plan, points) or []] == [0, 2]


def test_a_batch_that_ended_without_records_ends_this_run_of_the_search(
    cache_root: Path, tmp_path: Path
) -> None:
    study = ToySearch(tmp_path, cache_root, points=3)
    assert study.run(train=lambda trials: None) == 3
    assert len(study.points) == 3
    assert study.run_made() == 3 + 2


def test_the_best_point_is_compared_with_the_one_that_the_search_started_from(
    cache_root: Path, tmp_path: Path
) -> None:
    replicate = "replicate: {best: 1, start: true, seeds: [10, 11]}"
    study = ToySearch(tmp_path, cache_root, points=6, replicate=replicate)
    study.run_made()
    (comparison,) = reported_plan(study.grown).comparisons
    best, start = reported_plan(study.grown).cells
    assert (comparison.name, comparison.pairs) == ("search: preset → best", ((start.name, best.name),))
    assert comparison.values["config.x"] == (0.9, best.config["x"])
    assert "best point instead of the preset" in markdown_of(study.grown, study.records())


def _two_cells(storage: Path, cache: Path, **settings: object) -> ToySearch:
    text = ToySearch(storage, cache, **settings).text.replace("{sampler", "{within: cell, sampler")
    text += "factors: {pace: {slow: {config: {lr: 0.05}}, fast: {config: {lr: 0.2}}}}\ndesign: {full: all}\n"
    return ToySearch(storage, cache, text.replace("{", "{{").replace("}", "}}"))


def _alike(trial: Trial) -> float:
    return 0.5


def test_cells_are_searched_side_by_side_with_equal_budgets(cache_root: Path, tmp_path: Path) -> None:
    study = _two_cells(tmp_path, cache_root)
    study.run_made(_alike)
    cells = [point.cell for point in study.points]
    assert (cells.count("slow"), cells.count("fast")) == (12, 12)
    assert set(cells[:4]) == {"slow", "fast"}  # both from the start
    note = "Each variant was searched with the same budget: 12 points."
    assert note in markdown_of(study.grown, study.records())


def test_cells_that_drew_more_points_than_are_asked_for_by_now_are_told_apart(
    cache_root: Path, tmp_path: Path
) -> None:
    _two_cells(tmp_path, cache_root).run_made(_alike, batches=9)
    study = _two_cells(tmp_path, cache_root, points=4)
    study.run_made(_alike)
    cells = [point.cell for point in study.points]
    numbers = sorted((cells.count("slow"), cells.count("fast")))
    assert numbers[0] < numbers[1]
    note = f"Variants were searched with {numbers[0]} to {numbers[1]} points"
    assert note in markdown_of(study.grown, study.records())


def test_importance_tells_the_parameter_that_matters(undisturbed: ToySearch) -> None:
    points = SearchResults(undisturbed.grown, undisturbed.records()).evaluated_points["base"]
    shares = importance(undisturbed.plan, points)
    assert set(shares) == {"config.x", "config.shape"}
    assert sum(shares.values()) == pytest.approx(1)
    assert importance(undisturbed.plan, points[:2]) == {}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_points_for_several_objectives_lie_in_the_space_and_repeat(sampler: str) -> None:
    search = _search(sampler=sampler, objective=[{"max": "validation.image_ap"}, {"min": "size_mb"}])
    past: list[Observation] = []
    for index in range(12):
        values = propose(search, SPACE, "base", past, index)
        both = (_height(values), float(values["config.y"]))
        past.append(Observation(values, "finished", both[0], several=both))
    assert propose(search, SPACE, "base", past[:11], 11) == past[11].values
    pruned = Observation(past[0].values, "pruned", steps=(0.5,))  # by another study
    assert propose(search, SPACE, "base", [*past, pruned], 13)
    assert all(-5 <= float(point.values["config.x"]) <= 10 for point in past)


def test_a_search_for_speed_and_size_measures_both_and_trains_its_front_again(
    cache_root: Path, tmp_path: Path
) -> None:
    goals = "[{{max: validation.image_ap}}, {{min: latency_ms}}, {{min: size_mb}}]"
    text = SEARCH.replace("{{max: validation.image_ap}}", goals)
    search = ToySearch(tmp_path, cache_root, text, points=3, seeds=[0])
    search.run()
    records = search.records().values()
    assert {record.status for record in records} == {"finished"}
    assert all(record.cost(name) for record in records for name in ("latency_ms", "latency_ratio", "size_mb"))
    assert 1 <= len({trial.cell for trial in search.grown.trials if trial.seed in (10, 11)}) <= 2
