"""A search with several objectives at the command line: its front, fresh seeds, and how to take a point."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from assay.analysis.results.reading import results_of_plan
from assay.analysis.results.search_results import SearchResults
from assay.analysis.search_front import search_front
from assay.cli.options import DEFAULT_STORAGE
from assay.cli.plan import answer_of_plan, known_records
from assay.cli.results import way_on
from assay.report.figures.front import draw_front, front_plots
from assay.report.tables.footnotes import footnotes
from assay.report.tables.search import front_section
from assay.storage import Record, Store
from assay.storage.search_points import with_points
from assay.study import Plan, parse_study, plan_study
from assay.tracking.content import objective_mean
from tests.cli.small_front import FRONT, write_front
from tests.cli.small_study import Assay


@pytest.fixture
def plan() -> Plan:
    return plan_study(parse_study(FRONT, "hunt.yaml"), None, "cpu")


@pytest.fixture
def searched(tmp_path: Path, plan: Plan) -> Store:
    """A search that is over."""
    store = Store(tmp_path / "storage")
    write_front(store, plan)
    return store


def test_the_report_has_the_front_with_intervals_on_fresh_seeds_and_says_who_is_beaten(
    assay: Assay, searched: Store
) -> None:
    page = assay("report", "hunt", "--storage", searched.uri).out
    front = page.partition("## Pareto front")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in front.splitlines() if "| base" in line
    ]
    assert [row[0] for row in rows] == ["base #0", "base #3", "base #1"]
    assert rows[0][1:3] == ["0.9000", "20"]
    assert re.fullmatch(r"0\.8000 \[0\.79\d\d, 0\.80\d\d\]", rows[0][3])
    assert [row[-1] for row in rows] == ["beaten by base #1", "not trained again", "on the Pareto front"]
    assert "image_ap of the points that were trained again, mean: 0.8000 in the search, 0.8250 on" in front
    assert "The reference network took 2 ms" in front


def test_a_reference_network_that_took_more_than_a_second_is_told_in_whole_milliseconds(
    searched: Store, plan: Plan
) -> None:
    results = results_of_plan(plan, searched)
    slow = {
        id_: record.model_copy(update={"timings": {"reference_one": 1.2345}})
        for id_, record in results.records.items()
    }
    notes = front_section(SearchResults(results.plan, slow)).notes
    assert any("took 1234 ms (1234 to 1234) beside the models" in note for note in notes)


def test_the_front_is_drawn_with_its_fresh_seeds(searched: Store, plan: Plan) -> None:
    results = results_of_plan(plan, searched)
    (plot,) = front_plots(results)
    assert [point.name for point in plot.front] == [point.name for point in search_front(results, "base")]
    picture = draw_front(plot, "svg")
    assert all(text in picture.decode() for text in ("validation.image_ap", "latency_ms"))


def test_best_lists_the_front_and_takes_the_point_that_is_named(assay: Assay, searched: Store) -> None:
    refused = assay("best", "hunt", "--as", "fast", "--storage", searched.uri)
    assert refused.code == 2
    assert "has 2 objectives, and none of the 3 points of its front is best" in refused.err
    assert "base #1, validation.image_ap 0.7000, latency_ms 5: not beaten on fresh seeds" in refused.err
    assert "--point 0" not in refused.err
    taken = assay("best", "hunt", "--as", "fast", "--point", "1", "--storage", searched.uri)
    assert "# A point of hunt: base #1, validation.image_ap 0.7000, latency_ms 5" in taken.out
    gone = assay("best", "hunt", "--as", "fast", "--point", "9", "--storage", searched.uri)
    assert "found --point 9: it was not drawn" in gone.err


def test_best_without_a_name_lists_the_front_with_its_fresh_seeds_and_writes_nothing(
    assay: Assay, searched: Store
) -> None:
    answer = assay("best", "hunt", "--storage", searched.uri)
    assert answer.code == 0, answer.err
    said = [line.strip() for line in answer.out.splitlines()]
    assert said == [
        "base: the front, of which no point is best",
        "base #0, validation.image_ap 0.9000, latency_ms 20: beaten by base #1 on fresh seeds",
        "config.lr 0.1, config.balance none",
        "base #3, validation.image_ap 0.8000, latency_ms 10: not trained again",
        "config.lr 0.05, config.balance none",
        "base #1, validation.image_ap 0.7000, latency_ms 5: not beaten on fresh seeds",
        "config.lr 0.02, config.balance power, config.balance_power 2.5",
        f"as a study: assay best hunt --as NAME --point N --storage {searched.uri}",
    ]
    points = json.loads(assay("best", "hunt", "--json", "--storage", searched.uri).out)["points"]
    assert [(row["point"], row["unbeaten"], row["beaten_by"]) for row in points] == [
        (0, False, "base #1"),
        (3, None, None),
        (1, True, None),
    ]


def test_mlflow_gets_every_objective(searched: Store, plan: Plan) -> None:
    grown = with_points(plan, searched)
    records = [searched.record(trial.id) for trial in grown.trials if trial.cell == "base #0"]
    assert objective_mean(plan.search.objectives, [r for r in records if isinstance(r, Record)]) == {
        "validation/image_ap": 0.9,
        "cost/latency_ms": 20.0,
    }


def test_a_point_whose_cost_was_not_measured_has_no_value_and_says_so(searched: Store, plan: Plan) -> None:
    grown = with_points(plan, searched)
    trial = next(trial for trial in grown.trials if trial.cell == "base #2")
    record = searched.record(trial.id)
    assert isinstance(record, Record)
    searched.write_record(record.model_copy(update={"timings": {}, "study": "earlier"}))
    point = results_of_plan(plan, searched).evaluated_points["base"][2]
    assert (point.status, point.reason) == ("failed", "latency_ms was not measured when earlier trained it")


def test_the_plan_warns_of_points_that_another_study_trained_without_measuring_their_cost(
    searched: Store, plan: Plan
) -> None:
    grown = with_points(plan, searched)

    def warnings() -> tuple[str, ...]:
        records = known_records(grown, searched)
        return answer_of_plan(grown, searched, records, known=True, listed=False).warnings

    assert warnings() == ()
    trials = [trial.id for trial in grown.trials if trial.cell == "base #2"]
    for record in searched.records(trials).values():
        searched.write_record(record.model_copy(update={"timings": {}, "study": "earlier"}))
    (warning,) = warnings()
    assert warning.startswith(
        "1 point ended without a value, and so failed: base #2: latency_ms was not measured when earlier "
        "trained it. A cost is measured with `repeats.seeds`"
    )


def test_best_says_why_no_point_of_a_search_that_is_over_has_a_value(
    assay: Assay, searched: Store, plan: Plan
) -> None:
    for record in searched.records(trial.id for trial in with_points(plan, searched).trials).values():
        searched.write_record(record.model_copy(update={"timings": {}, "study": "earlier"}))
    refused = assay("best", "hunt", "--storage", searched.uri)
    assert refused.code == 2
    assert "base #0: latency_ms was not measured when earlier trained it" in refused.err
    assert "assay status" not in refused.err


def test_a_run_ends_with_a_command_that_takes_a_point_which_is_not_beaten_on_fresh_seeds(
    assay: Assay, searched: Store, plan: Plan
) -> None:
    line = way_on(results_of_plan(plan, searched), DEFAULT_STORAGE)
    assert line is not None
    command, _, told = line.partition("assay ")[2].partition(" (")
    assert told == "not beaten on fresh seeds: base #1)"  # base #0 is, and base #3 was not trained again
    answer = assay(
        *shlex.split(command.replace("NAME", "taken").replace(" N", " 1")), "--storage", searched.uri
    )
    assert "# A point of hunt: base #1, validation.image_ap 0.7000" in answer.out, answer.err


def test_without_a_point_on_fresh_seeds_a_run_names_the_command_that_lists_the_front(tmp_path: Path) -> None:
    store, text = Store(tmp_path), re.sub(r"replicate: .*\n", "", FRONT)
    plan = plan_study(parse_study(text, "hunt.yaml"), None, "cpu")
    write_front(store, plan)
    line = way_on(results_of_plan(plan, store), DEFAULT_STORAGE)
    assert line is not None
    assert line.endswith("assay best hunt --as NAME --point N (`assay best hunt` lists the front)")


def test_cells_with_a_front_each_are_not_said_to_be_compared(assay: Assay, tmp_path: Path) -> None:
    text = FRONT.replace("points: 5,", "within: cell, points: 5,") + (
        "factors: {stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}}\n"
        "design: {full: all}\ncomparisons: [{factor: stop}]\n"
    )
    file = tmp_path / "hunt.yaml"
    file.write_text(text, encoding="utf-8")
    said = assay("plan", file, "--no-data").out
    assert "compares nothing: of several objectives no point is best" in said
    assert "stop: off → on" not in said
    assert json.loads(assay("plan", file, "--no-data", "--json").out)["comparisons"] == []
    notes = footnotes(SearchResults(plan_study(parse_study(text, "hunt.yaml"), None, "cpu"), {}))
    assert any("Each variant was searched with the same budget" in note for note in notes)
    assert not any("Compared are" in note for note in notes)
