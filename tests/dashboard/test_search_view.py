"""The page of a search: its list follows brushes and keeps the point that was clicked."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from assay.analysis.search_front import search_front
from assay.storage import DamagedRecord, Record, Store
from assay.storage.search_points import with_points
from assay.storage.watch import Watch
from assay.study import Plan, parse_study, plan_study
from assay_dashboard.front_chart import front_rows
from assay_dashboard.study_view import view
from tests.cli.small_front import FRONT, write_front
from tests.cli.small_search import DRAWN, SEARCH, draw, write_search
from tests.dashboard.conftest import Open, Show, texts_of


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
    watch.look()
    plan, records = watch.plan, dict(watch.records)
    watch.look()
    assert watch.plan is plan
    assert watch.records == records


@pytest.mark.usefixtures("hunt")
def test_points_are_listed_best_first(show: Show) -> None:
    assert listed(show("search", study="hunt")) == ["base #1", "base #3", "base #0", "base #2", "base #4"]


@pytest.mark.usefixtures("hunt")
def test_brushes_of_the_url_filter_the_list_and_start_the_axes(show: Show) -> None:
    app = show("search", study="hunt", brush=["config.lr:0.5:1", "config.balance:0:0.25", "config.gone:0:1"])
    assert listed(app) == ["base #0", "base #4"], "lr from 0.1 on, on a log scale, and no balance"
    assert sent(app)["brushes"] == {"config.lr": [0.5, 1.0], "config.balance": [0.0, 0.25]}
    assert "2 of 5 points, inside the brushes" in texts_of(app)


@pytest.mark.usefixtures("hunt")
def test_another_study_begins_without_the_brushes_of_the_one_before(show: Show, store: Store) -> None:
    second = plan_study(parse_study(SEARCH.replace("study: hunt", "study: again"), "again.yaml"), None, "cpu")
    store.write_table("studies/again/plan.parquet", second.to_table())
    draw(store, second, DRAWN)
    app = show("search", study="hunt", brush="config.lr:0.5:1")
    app.session_state["study"] = "again"
    app.run()
    assert len(listed(app)) == 5
    assert "brush" not in app.query_params


def test_the_point_that_was_clicked_stays_chosen_when_better_ones_come(
    hunt: Plan, open_page: Open, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay_dashboard.study_view._FRESH", 0.0)
    app = open_page("search", "hunt")
    app.session_state["_points of hunt base"] = "base #3"  # as a click leaves it
    app.run()
    assert (marked(app), app.page_link[0].label) == ([1], r"Open base \#3, seed 0")
    draw(store, hunt, [*DRAWN[:4], (0.01, "none", None)])
    app.run()
    assert listed(app)[:3] == ["base #4", "base #1", "base #3"]
    assert (marked(app), app.page_link[0].label) == ([2], r"Open base \#3, seed 0")


def test_the_front_of_several_objectives_is_drawn_with_its_points_on_fresh_seeds(
    show: Show, store: Store
) -> None:
    plan = plan_study(parse_study(FRONT, "hunt.yaml"), None, "cpu")
    write_front(store, plan)
    app = show("search", study="hunt")
    assert "Front: the points that no other beats" in texts_of(app)
    front = search_front(view(store, "hunt").results, "base")
    rows = front_rows(view(store, "hunt").results.evaluated_points["base"], front)
    assert Counter(rows["what"]) == {"point": 2, "front": 3, "fresh seeds": 2}
    fresh = rows[rows["what"] == "fresh seeds"]
    assert (fresh["y_low"] < fresh["y"]).all()
