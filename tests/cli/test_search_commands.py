"""A search at the command line: its budget, its report, and its winner as a study of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from assay.storage import Store
from assay.storage.method_store import keep_methods
from assay.storage.plans import write_plan
from assay.storage.search_points import with_points, write_points
from assay.study import Plan, parse_study, plan_study, reported_plan
from assay.study.search.points import make_point
from tests.cli.small_search import DRAWN, SEARCH, score_new, write_search
from tests.cli.small_study import Assay
from tests.engine.process.file_method import CODE
from tests.engine.search.search_study import SEARCH as TOY_SEARCH
from tests.engine.search.search_study import ToySearch
from trainables.plugins.catalogue import find_trainable

DESIGN = ("--design", "leave_one_out")


@pytest.fixture
def search_file(tmp_path: Path) -> Path:
    path = tmp_path / "hunt.yaml"
    path.write_text(SEARCH, encoding="utf-8")
    return path


@pytest.fixture
def search_plan() -> Plan:
    return plan_study(parse_study(SEARCH, "hunt.yaml"), None, "cpu")


@pytest.fixture
def searched(tmp_path: Path, search_plan: Plan) -> Store:
    """A storage with a search that is over: five points and two winners on fresh seeds."""
    store = Store(tmp_path / "storage")
    write_search(store, search_plan)
    return store


def test_plan_prints_the_budget_and_the_space(assay: Assay, search_file: Path) -> None:
    answer = assay("plan", search_file, "--no-data")
    assert answer.code == 0, answer.err
    assert "5 points × 2 seeds (0 of 5 drawn) + 2 best × 2 seeds = at most 14 trials" in answer.out
    assert "0 done, at most 14 to train" in assay("plan", search_file).out
    assert re.search(r"config\.balance_power +0\.5 … 4 +config\.balance is power", answer.out)


def test_a_search_that_drew_more_points_than_it_asks_for_by_now_says_so(
    assay: Assay, searched: Store, search_file: Path
) -> None:
    fewer = SEARCH.replace("points: 5", "points: 3")
    search_file.write_text(fewer, encoding="utf-8")
    planned = " ".join(assay("plan", search_file, "--storage", searched.uri).out.split())
    assert "5 points × 2 seeds (5 drawn, more than the 3 asked for: all count) + 2 best" in planned
    plan = plan_study(parse_study(fewer, "hunt.yaml"), None, "cpu")
    write_plan(searched, plan)
    page = assay("report", "hunt", "--storage", searched.uri).out
    assert "5 points drawn, more than the 3 asked for: all count; 5 finished. 14 trials" in page


def test_status_counts_what_is_not_drawn_yet(assay: Assay, searched: Store, search_plan: Plan) -> None:
    points = with_points(search_plan, searched).points
    searched.delete_tree("studies/hunt/search.jsonl")
    write_points(searched, search_plan, points[:3])
    answer = assay("status", "hunt", "--once", "--storage", searched.uri)
    assert "6/14 trials · 6 finished · 0 running · 8 planned" in answer.out


@pytest.mark.parametrize(
    "command", [("status", "hunt", "--once"), ("report", "hunt"), ("best", "hunt"), ("clean", "--orphans")]
)
def test_a_search_whose_method_is_not_installed_is_not_taken_for_an_untrained_one(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """The method's Config alone knows which settings ids leave out."""
    text = SEARCH.partition("trainable:")[0] + (
        "trainable: toy\ndata: {reader: synthetic}\nsupervision: full\nspace: {config.x: {float: [0, 1]}}\n"
        "search: {points: 1, objective: {max: validation.image_ap}}\n"
    )
    plan = plan_study(parse_study(text, "hunt.yaml"), None, "cpu")
    (cell,), toy, store = plan.searched, find_trainable("toy"), Store(tmp_path / "storage")
    write_plan(store, plan)
    point = make_point(plan.study, toy, cell, "cpu", index=0, source="tpe", values={"config.x": 0.2})
    write_points(store, plan, [point])
    score_new(store, plan)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not place.endswith("tests/plugin")])
    answer = assay(*command, "--storage", store.uri)
    assert answer.code == 2
    assert "study hunt has searched with 'toy', which is not installed here" in answer.err


def test_the_report_has_winners_best_points_history_and_every_drawn_value(
    assay: Assay, searched: Store
) -> None:
    page = assay("report", "hunt", "--storage", searched.uri).out
    assert "Search with tpe: 5 of 5 points drawn; 5 finished. 14 trials: 14 finished." in page
    table, best, history = (page.partition(title)[2] for title in ("# hunt", "## Best points", "## History"))
    assert [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| point")][:2] == [
        "point 1 on fresh seeds",
        "point 3 on fresh seeds",
    ]
    assert re.search(r"\| base #1 +\| +0\.9795 \| tpe +\| +0\.02 \| +power \| +2\.5 \|", best)
    assert [len(re.findall(rf"\| +{lr:g} \|", history)) for lr, *_ in DRAWN] == [1] * 5
    assert "trained again on seeds that chose nothing" in page


def test_the_winner_becomes_a_study_whose_trials_are_those_of_the_replicate(
    assay: Assay, searched: Store, search_plan: Plan, tmp_path: Path
) -> None:
    file = tmp_path / "winner.yaml"
    answer = assay("best", "hunt", "--as", "winner", "--output", file, "--storage", searched.uri)
    assert answer.code == 0, answer.err
    text = file.read_text()
    assert "# The best point of hunt: base #1, validation.image_ap 0.9795 (mean over 2 repeats)" in text
    assert "# from 0.01 … 1 (log)" in text
    winner = plan_study(parse_study(text, "winner.yaml"), None, "cpu")
    replicated = reported_plan(with_points(search_plan, searched))
    assert {t.id for t in winner.trials} == {
        t.id for t in replicated.trials if t.cell == "base #1 replicated"
    }


def test_best_without_a_name_says_which_point_it_is_and_how_it_becomes_a_study(
    assay: Assay, searched: Store
) -> None:
    answer = assay("best", "hunt", "--storage", searched.uri)
    assert (answer.code, answer.out.splitlines()) == (
        0,
        [
            "base: the best point",
            "  base #1, validation.image_ap 0.9795 (mean over 2 repeats)",
            "    config.lr 0.02, config.balance power, config.balance_power 2.5",
            f"  as a study: assay best hunt --as hunt_best --storage {searched.uri}",
        ],
    )


@pytest.mark.parametrize(
    ("number", "what", "trained"),
    [(1, "the best point", True), (3, "base #3", True), (4, "base #4", False)],
    ids=["the best", "replicated", "not replicated"],
)
def test_the_study_of_a_point_says_which_point_it_is_and_whether_it_is_trained(
    number: int, what: str, trained: bool, assay: Assay, searched: Store
) -> None:
    text = assay("best", "hunt", "--as", "x", "--point", number, "--storage", searched.uri).out
    assert f'question: "What is {what} of hunt worth on fresh seeds?"' in text
    assert ("# those of the search's `replicate`: trained already" in text) == trained


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("small", "--as", "x"), "small is no search"),
        (("hunt", "--as", "X y"), "a study is named like"),
        (("hunt", "--as", "hunt"), "has a name of its own, found --as hunt: that of the search"),
        (("hunt", "--as", "x", "--cell", "other"), "hunt has no cell other. It searched base."),
        (("hunt", "--point", "1"), "--point makes a study, which has a name, found none. Add --as NAME."),
        (("hunt", *DESIGN), "--design makes a study, which has a name, found none. Add --as NAME."),
    ],
)
def test_what_has_no_winner_is_refused(
    assay: Assay, searched: Store, plan: Plan, arguments: tuple[str, ...], expected: str
) -> None:
    write_plan(searched, plan)
    answer = assay("best", *arguments, "--storage", searched.uri)
    assert answer.code == 2
    assert expected in answer.err


def test_the_best_point_is_taken_apart_by_a_study_that_plans_and_trains(
    assay: Assay, tmp_path: Path, cache_root: Path
) -> None:
    search = ToySearch(tmp_path / "storage", cache_root, points=3, seeds=[0], start="[]")
    search.run()
    write_plan(search.store, search.plan)
    file, places = tmp_path / "apart.yaml", ("--storage", search.store.uri)
    made = assay("best", "toy_search", "--as", "apart", *DESIGN, "--output", file, *places)
    assert made.code == 0, made.err
    assert "trained already" in file.read_text(encoding="utf-8")
    planned = assay("plan", file, "--cache", cache_root, *places)
    assert "leave one out of" in planned.out, planned.err
    ran = assay("run", file, "--local", "--processes", "0", "--cache", cache_root, *places)
    assert ran.code == 0, ran.err
    page = assay("report", "apart", *places).out
    assert "| x drawn instead of base |" in page
    assert {record.study for record in search.store.records(search.store.trials()).values()} == {
        "toy_search",
        "apart",
    }


def test_points_are_lines_of_json_with_their_checksum_in_the_last(searched: Store) -> None:
    *lines, last = searched.read_bytes("studies/hunt/search.jsonl").splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1, 2, 3, 4]
    assert list(json.loads(last)) == ["checksum"]


def test_a_point_of_a_method_in_a_file_is_taken_apart_where_the_method_is_not_loaded(
    tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("blur.py").write_text(CODE, encoding="utf-8")
    text = TOY_SEARCH.replace("trainable: toy", "trainable: ./blur.py:TRAINABLE")
    search = ToySearch(tmp_path / "storage", cache_root, text, points=2, seeds=[0], start="[]")
    search.run_made()
    write_plan(search.store, search.plan)

    def best() -> subprocess.CompletedProcess[str]:
        words = ("best", "toy_search", "--as", "apart", *DESIGN, "--storage", search.store.uri)
        return subprocess.run(
            [sys.executable, "-m", "assay", *words], capture_output=True, text=True, check=False
        )

    refused = best()
    assert (refused.returncode, "the code of blur@" in refused.stderr) == (2, True), refused.stderr
    keep_methods(search.store, search.plan.trainables)
    assert "design: {leave_one_out" in best().stdout
