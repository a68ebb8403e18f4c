"""A search with several objectives at the command line: its front, fresh seeds, and how to take a point."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assay.analysis.results import StudyResults
from assay.analysis.search_front import search_front
from assay.report.figures.front_figure import draw_front, front_plots
from assay.storage import Record, Result, Store
from assay.storage.search_points import with_points
from assay.study import Plan, parse_study, plan_study
from assay.tracking.content import objective_mean
from tests.cli.small_search import DRAWN, SEARCH, draw
from tests.cli.small_study import Assay, finished

TEXT = SEARCH.replace(
    "objective: {max: validation.image_ap}",
    "objective: [{max: validation.image_ap}, {min: latency_ms}]",
).replace("best: 2, seeds: [7, 8]", "best: 2, seeds: [7, 8, 9]")
# Of each learning rate: validation AP and milliseconds in the search, test AP and milliseconds on fresh seeds.
WORTH = {
    0.1: (0.9, 20.0, 0.80, 21.0),
    0.02: (0.7, 5.0, 0.85, 5.5),
    0.3: (0.6, 9.0, 0.6, 9.0),  # beaten by 0.02
    0.05: (0.8, 10.0, 0.7, 10.0),
    0.8: (0.5, 6.0, 0.5, 6.0),  # beaten by 0.02
}


def score(store: Store, plan: Plan) -> None:
    """A record of each trial that has none; seeds differ a little."""
    trials = with_points(plan, store).trials
    known = store.records(trial.id for trial in trials)
    for trial in (trial for trial in trials if trial.id not in known):
        record = finished(trial, store)
        assert record.result is not None
        chosen, slow, test, later = WORTH[trial.config["lr"]]
        fresh = trial.seed >= 7
        aside = 0.001 * (trial.seed - 8) if fresh else 0.0
        metrics = {"image_ap": test + aside, "fp": 1.0}
        seen = {**record.result.model_dump(), "metrics": metrics, "validation": {"image_ap": chosen}}
        timings = {"predict_one": (later + aside if fresh else slow) / 1000, "reference_one": 0.002}
        update = {"result": Result.model_validate(seen), "study": "hunt", "timings": timings}
        store.write_record(record.model_copy(update=update))


@pytest.fixture
def plan() -> Plan:
    return plan_study(parse_study(TEXT, "hunt.yaml"), None, "cpu")


@pytest.fixture
def searched(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A search that is over: five points, of which three are the front, and its ends on fresh seeds."""
    store = Store(tmp_path / "storage")
    store.write_table("studies/hunt/plan.parquet", plan.to_table())
    monkeypatch.setattr("tests.cli.small_search.score_new", score)
    draw(store, plan, DRAWN)
    score(store, plan)
    return store


def test_the_report_has_the_front_with_intervals_on_fresh_seeds_and_says_who_is_beaten(
    assay: Assay, searched: Store
) -> None:
    page = assay("report", "hunt", "--storage", searched.uri).out
    front = page.partition("## Front")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in front.splitlines() if "| base" in line
    ]
    assert [row[0] for row in rows] == ["base #0", "base #3", "base #1"]
    assert rows[0][1:3] == ["0.9000", "20"]
    assert re.fullmatch(r"0\.8000 \[0\.79\d\d, 0\.80\d\d\]", rows[0][3])
    assert [row[-1] for row in rows] == ["beaten by base #1", "not trained again", "on the front"]
    assert "image_ap of the points that were trained again, mean: 0.8000 in the search, 0.8250 on" in front
    assert "The reference network took 2 ms" in front


def test_the_front_is_drawn_with_its_fresh_seeds(searched: Store, plan: Plan) -> None:
    results = StudyResults.of_plan(plan, searched)
    (plot,) = front_plots(results)
    assert [point.name for point in plot.front] == [point.name for point in search_front(results, "base")]
    picture = draw_front(plot, "svg")
    assert all(text in picture.decode() for text in ("validation.image_ap", "latency_ms"))


def test_best_lists_the_front_and_takes_the_point_that_is_named(assay: Assay, searched: Store) -> None:
    refused = assay("best", "hunt", "--as", "fast", "--storage", searched.uri)
    assert refused.code == 2
    assert "has 2 objectives, and none of the 3 points of its front is best" in refused.err
    assert "base #1, validation.image_ap 0.7000, latency_ms 5" in refused.err
    taken = assay("best", "hunt", "--as", "fast", "--point", "1", "--storage", searched.uri)
    assert "# A point of hunt: base #1, validation.image_ap 0.7000, latency_ms 5" in taken.out
    gone = assay("best", "hunt", "--as", "fast", "--point", "9", "--storage", searched.uri)
    assert "found --point 9: it was not drawn" in gone.err


def test_mlflow_gets_every_objective(searched: Store, plan: Plan) -> None:
    grown = with_points(plan, searched)
    records = [searched.record(trial.id) for trial in grown.trials if trial.cell == "base #0"]
    assert objective_mean(plan.study.search, [r for r in records if isinstance(r, Record)]) == {
        "validation/image_ap": 0.9,
        "cost/latency_ms": 20.0,
    }


def test_a_point_whose_cost_was_not_measured_has_no_value_and_says_so(searched: Store, plan: Plan) -> None:
    grown = with_points(plan, searched)
    trial = next(trial for trial in grown.trials if trial.cell == "base #2")
    record = searched.record(trial.id)
    assert isinstance(record, Record)
    searched.write_record(record.model_copy(update={"timings": {}, "study": "earlier"}))
    point = StudyResults.of_plan(plan, searched).evaluated_points["base"][2]
    assert (point.status, point.reason) == ("failed", "latency_ms was not measured when earlier trained it")
