"""The page of a search: its list follows brushes and keeps the point that was clicked."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from assay.analysis.results.watch import Watch
from assay.analysis.search_front import search_front
from assay.analysis.summary import metric_summary
from assay.statistics.wording import claimed_text
from assay.storage import DamagedRecord, Record, Store
from assay.storage.plans import write_plan
from assay.storage.search_points import with_points
from assay.study import Plan, parse_study, plan_study
from assay.study.planning.identity import CellIdentity
from assay_dashboard.charts import front_rows
from assay_dashboard.search_points import against_start, best_point_rows, search_points
from assay_dashboard.study_view import view
from tests.cli.small_front import FRONT, write_front
from tests.cli.small_search import DRAWN, SEARCH, draw, write_search
from tests.dashboard.conftest import Open, Show, texts_of
from tests.dashboard.made_searches import make_started_search

GOALS = "[{max: validation.image_ap}, {min: latency_ms}]"


@pytest.fixture
def hunt(store: Store) -> Plan:
    plan = plan_study(parse_study(SEARCH, "hunt.yaml"), None, "cpu")
    write_search(store, plan)
    return plan


def sent(app: AppTest) -> dict[str, Any]:
    """The header of what the axes are drawn from."""
    (axes,) = app.get("bidi_component")
    payload = axes.proto.bytes
    return json.loads(payload[4 : 4 + int.from_bytes(payload[:4], "little")])


def listed(app: AppTest) -> list[str]:
    return list(app.dataframe[0].value["point"])


def marked(app: AppTest) -> list[int]:
    state = app.dataframe[0].proto.selection_state
    return json.loads(state)["selection"]["rows"] if state else []


def test_the_id_of_each_trial_of_a_search_is_computed_once(
    store: Store, hunt: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: Counter[str] = Counter()
    of_cell = CellIdentity.trial_id

    def trial_id(self: CellIdentity, **repeat: Any) -> str:
        computed.update([id_ := of_cell(self, **repeat)])
        return id_

    monkeypatch.setattr(CellIdentity, "trial_id", trial_id)
    results = view(store, "hunt").results
    assert any(results.evaluated_points.values())
    assert set(computed) == {trial.id for trial in results.plan.trials}
    assert set(computed.values()) == {1}


def test_records_of_a_search_are_read_once(store: Store, hunt: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()
    of_store = Store.record

    def record(self: Store, trial_id: str) -> Record | DamagedRecord | None:
        read[trial_id] += 1
        return of_store(self, trial_id)

    monkeypatch.setattr(Store, "record", record)
    now = view(store, "hunt")
    assert read == Counter(now.results.records.keys())
    assert set(now.results.records) == {trial.id for trial in with_points(hunt, store).trials}


def test_a_search_in_which_nothing_happened_stays_as_it_was(store: Store, hunt: Plan) -> None:
    watch = Watch(store, hunt)
    watch.take_snapshot()
    plan, records = watch.plan, dict(watch.records)
    watch.take_snapshot()
    assert watch.plan is plan
    assert watch.records == records


@pytest.mark.usefixtures("hunt")
def test_points_are_listed_best_first(show: Show) -> None:
    assert listed(show("search", study="hunt")) == ["base #1", "base #3", "base #0", "base #2", "base #4"]


def test_the_trial_page_opens_on_the_best_point_of_a_search_without_winners(show: Show, store: Store) -> None:
    alone = "".join(line for line in SEARCH.splitlines(keepends=True) if not line.startswith("replicate:"))
    write_search(store, plan_study(parse_study(alone, "hunt.yaml"), None, "cpu"))
    assert show("trial", study="hunt").selectbox(key="cell").value == "base #1"


@pytest.mark.usefixtures("hunt")
def test_brushes_of_the_url_filter_the_list_and_start_the_axes(show: Show) -> None:
    app = show("search", study="hunt", brush=["config.lr:0.5:1", "config.balance:0:0.25", "config.gone:0:1"])
    assert listed(app) == ["base #0", "base #4"], "lr from 0.1 on, on a log scale, and no balance"
    assert sent(app)["brushes"] == {"config.lr": [0.5, 1.0], "config.balance": [0.0, 0.25]}
    assert "2 of 5 points, inside the brushes" in texts_of(app)


@pytest.mark.usefixtures("hunt")
def test_another_study_begins_without_the_brushes_of_the_one_before(show: Show, store: Store) -> None:
    second = plan_study(parse_study(SEARCH.replace("study: hunt", "study: again"), "again.yaml"), None, "cpu")
    write_plan(store, second)
    draw(store, second, DRAWN)
    app = show("search", study="hunt", brush="config.lr:0.5:1")
    app.session_state["study"] = "again"
    app.run()
    assert len(listed(app)) == 5
    assert "brush" not in app.query_params


def test_the_point_that_was_clicked_stays_chosen_when_better_ones_come(
    hunt: Plan, open_page: Open, store: Store
) -> None:
    app = open_page("search", "hunt")
    app.session_state["_points of hunt base"] = "base #3"  # as a click leaves it
    app.run()
    assert (marked(app), app.page_link[0].label) == ([1], r"Open base \#3, seed 0")
    draw(store, hunt, [*DRAWN, (0.01, "none", None)])
    app.run()
    assert listed(app)[:3] == ["base #5", "base #1", "base #3"]
    assert (marked(app), app.page_link[0].label) == ([2], r"Open base \#3, seed 0")


@pytest.mark.parametrize(("gain", "word"), [(0.05, "Keep"), (0.0, "Undecided"), (-0.05, "Worse")])
def test_the_first_line_says_whether_the_winner_is_better_than_the_start(
    show: Show, store: Store, gain: float, word: str
) -> None:
    make_started_search(store, gain=gain)
    texts = texts_of(show("search", study="started"))
    assert f"{word}: base #1 against the start base #0 (given)" in texts
    results = view(store, "started").results.without_predictions()
    (result,) = against_start(results, "base")
    assert claimed_text(result) in texts


@pytest.mark.usefixtures("hunt")
def test_without_a_start_that_is_trained_again_the_page_says_which_lines_would_tell(show: Show) -> None:
    texts = texts_of(show("search", study="hunt"))
    assert "Nobody knows" in texts
    assert "replicate: {best: 1, start: true" in texts


def test_best_points_have_their_interval_and_stand_beside_their_fresh_seeds(store: Store) -> None:
    make_started_search(store, gain=0.05)
    means = best_point_rows(view(store, "started").results, "base")[0].set_index("cell")
    assert list(means["n"]) == [3, 3, 3, 6, 6]
    assert (means["low"] < means["mean"]).all()
    fresh = metric_summary(view(store, "started").results, "image_ap")
    assert means.loc["base #1 replicated", "mean"] == fresh[0].mean


@pytest.mark.parametrize("goals", [GOALS, "[{min: latency_ms}, {max: validation.image_ap}]"])
def test_the_front_of_several_objectives_is_drawn_with_its_points_on_fresh_seeds(
    goals: str, show: Show, store: Store
) -> None:
    plan = plan_study(parse_study(FRONT.replace(GOALS, goals), "hunt.yaml"), None, "cpu")
    write_front(store, plan)
    app = show("search", study="hunt")
    assert "Front: the points that no other beats" in texts_of(app)
    front = search_front(view(store, "hunt").results, "base")
    points = search_points(plan, view(store, "hunt").results.evaluated_points["base"])
    rows = front_rows(points.drawn, front)
    assert Counter(rows["what"]) == {"point": 2, "front": 3, "fresh seeds": 2}
    fresh = rows[rows["what"] == "fresh seeds"]
    assert (fresh["y_low"] < fresh["y"]).all()


def test_of_three_objectives_the_list_has_all_and_the_page_says_what_has_fewer(
    show: Show, store: Store
) -> None:
    goals = GOALS.replace("]", ", {min: latency_ratio}]")
    write_front(store, plan_study(parse_study(FRONT.replace(GOALS, goals), "hunt.yaml"), None, "cpu"))
    app = show("search", study="hunt")
    assert "The picture has the first two of 3 objectives, the list of points has all." in texts_of(app)
    points, table = view(store, "hunt").results.evaluated_points["base"], app.dataframe[0].value
    told = table.set_index("point")[["objective", "objective 2", "objective 3"]]
    assert {name: tuple(values) for name, *values in told.itertuples()} == {
        each.point.name: each.values for each in points
    }
