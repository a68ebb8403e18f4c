"""Pages follow what happens on the storage, and say what cannot be read; the whole frame is run here."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from assay.storage import Environment, Progress, Store
from assay.storage.lease import Lease, StopKind, request_stop, stop_requested
from assay.study import Plan, Trial, parse_study, plan_study
from assay_dashboard import study_view
from assay_dashboard.study_view import StudyView, studies
from tests.cli.small_study import STUDY, finished, run_elsewhere
from tests.dashboard.conftest import Open, Show, put, texts_of
from trainables.errors import StorageError


@pytest.fixture
def other(store: Store) -> Plan:
    """A second study, of which nothing is trained."""
    text = STUDY.replace("study: small", "study: other").replace(
        "channel_scale: 0.125", "channel_scale: 0.25"
    )
    plan = plan_study(parse_study(text, "other.yaml"), None, "cpu")
    put(store, plan, {})
    return plan


def test_a_page_without_a_study_is_not_run_again_for_the_one_of_the_page_before(
    open_page: Open, store: Store, plan: Plan
) -> None:
    """It would never have seen the new record, and be run for it without end."""
    open_page("table")
    finished(plan.trials[3], store)
    assert "4 of 4 finished" in texts_of(open_page("studies"))


def test_a_record_that_lands_while_the_page_is_made_is_on_it_in_the_end(
    open_page: Open, store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = iter([True])

    def count_line(*_: object) -> str:
        if next(landing, False):
            finished(plan.trials[3], store)
        return "counted"

    monkeypatch.setattr("assay_dashboard.layout.count_line", count_line)
    app = open_page("table")
    assert list(app.dataframe[0].value["n"]) == ["2", "2"]


@pytest.mark.parametrize("old_views", [1, 2, 3])
def test_a_trial_page_shows_the_record_whichever_of_its_looks_finds_it_first(
    open_page: Open, store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch, old_views: int
) -> None:
    trial = plan.trials[3]
    app = open_page("trial")
    app.selectbox(key="cell").set_value(trial.cell).run()
    app.selectbox(key="repeat").set_value("seed 1").run()
    assert "This trial has no record yet" in texts_of(app)
    before = study_view.view(store, "small")
    finished(trial, store, image_ap=0.97)
    after, views = study_view.view(store, "small"), iter([before] * old_views)

    def view(store: Store, name: str) -> StudyView:
        return next(views, after)

    monkeypatch.setattr("assay_dashboard.study_view.view", view)
    app.run()
    assert "This trial has no record yet" not in texts_of(app)
    assert app.metric[0].value == "0.9700"


def test_what_cannot_be_read_is_said_in_its_place() -> None:
    def page() -> None:
        from assay_dashboard.layout import errors_shown
        from trainables.errors import StorageError

        with errors_shown():
            raise StorageError("the bucket is away")

    app = AppTest.from_function(page).run()
    assert not app.exception
    assert "The bucket is away" in texts_of(app)


def test_the_list_of_studies_says_itself_that_the_storage_is_away(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Store) -> None:
        raise StorageError("the bucket is away")

    monkeypatch.setattr("assay_dashboard.study_view.studies", away)
    app = show("studies", study=None)
    assert not app.exception
    assert "The bucket is away" in texts_of(app)


def test_a_running_trial_says_itself_that_the_storage_is_away(
    show: Show, store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, views = study_view.view(store, "small"), iter("ab")  # those of the page

    def view(*_: object) -> StudyView:
        if next(views, None) is None:
            raise StorageError("the bucket is away")
        return now

    monkeypatch.setattr("assay_dashboard.study_view.view", view)
    app = show("trial", cell=plan.trials[3].cell, repeat="seed 1")
    assert not app.exception
    assert "The bucket is away" in texts_of(app)


@pytest.fixture
def running(store: Store, plan: Plan) -> Iterator[Trial]:
    """The trial that is not finished, while somebody runs the study."""
    trial = plan.trials[3]
    with Lease(store, "small"):
        attempt = store.begin_attempt(trial.id, Environment())
        store.write_bytes(f"{attempt.prefix}/log.txt", b"12:00:00  epoch 1 of 2: loss 0.5\n")
        store.write_progress(Progress.now(trial.id, 1, 2, {"loss": 0.5}, 30.0, attempt.name))
        yield trial


def test_a_running_trial_stands_on_the_first_page_with_its_numbers(open_page: Open, running: Trial) -> None:
    app = open_page("answer")
    assert f"Runs now: {running.cell}, seed 1: epoch 1 of 2 · loss 0.500 · about " in texts_of(app)
    assert "Log" in [link.label for link in app.page_link]


def test_the_trial_page_opens_on_what_runs(show: Show, running: Trial) -> None:
    app = show("trial")
    assert (app.selectbox(key="cell").value, app.selectbox(key="repeat").value) == (running.cell, "seed 1")


def test_the_trial_page_opens_on_the_first_finished_trial_of_the_best_cell(show: Show) -> None:
    """`balance` has 0.95, `all off` 0.81 on the mean of two."""
    app = show("trial")
    assert (app.selectbox(key="cell").value, app.selectbox(key="repeat").value) == ("balance", "seed 0")
    assert "0.9500" in {metric.value for metric in app.metric}
    app.selectbox(key="cell").set_value("all off").run()
    assert app.selectbox(key="cell").value == "all off", "the reader's choice stays"


def test_the_page_of_a_running_trial_ends_with_its_log(show: Show, running: Trial) -> None:
    app = show("trial", cell=running.cell, repeat="seed 1")
    assert app.code[0].value == "12:00:00  epoch 1 of 2: loss 0.5"


def test_a_trial_whose_run_has_ended_does_not_run(show: Show, store: Store, running: Trial) -> None:
    run_elsewhere(store, silent=61.0)
    text = texts_of(show("trial", cell=running.cell, repeat="seed 1"))
    assert "This trial has no record yet and is not running." in text


def test_a_trial_that_gives_no_sign_of_life_says_so_instead_of_a_time(
    show: Show, store: Store, plan: Plan
) -> None:
    run_elsewhere(store)
    beat = Progress.now(plan.trials[3].id, 1, 2, {"loss": 0.5}, 30.0, "001-gone")
    store.write_progress(beat.model_copy(update={"time": beat.time - 1020}))
    app = show("trial", cell=plan.trials[3].cell, repeat="seed 1")
    (bar,) = app.get("progress")
    assert bar.proto.text == "epoch 1 of 2 · no sign of life for 17 min"


def test_a_trial_before_its_first_epoch_starts(show: Show, store: Store, plan: Plan) -> None:
    run_elsewhere(store)
    store.begin_attempt(plan.trials[3].id, Environment())
    assert "This trial has no record yet: it starts." in texts_of(show("trial"))


@pytest.mark.parametrize("kind", ["study", "trial"])
def test_a_button_asks_to_stop_and_the_next_one_takes_it_back(
    show: Show, open_page: Open, store: Store, running: Trial, kind: StopKind
) -> None:
    name = {"study": "small", "trial": running.id}[kind]
    of_trial = kind == "trial"
    app = show("trial", cell=running.cell, repeat="seed 1") if of_trial else open_page("answer")
    app.button(key=f"stop-{kind}").click().run()
    assert stop_requested(store, kind, name)
    assert "Asked to stop" in texts_of(app)
    assert app.button(key=f"go-on-{kind}").label == "Go on"
    app.button(key=f"go-on-{kind}").click().run()
    assert not stop_requested(store, kind, name)


def test_a_request_to_an_earlier_run_is_none_to_this_one(show: Show, store: Store, running: Trial) -> None:
    request_stop(store, "trial", running.id, "the lease of another run")
    assert "Asked to stop" not in texts_of(show("trial", cell=running.cell, repeat="seed 1"))


def test_a_study_that_nobody_runs_has_no_button(open_page: Open) -> None:
    assert not open_page("answer").button


def test_pages_that_are_read_only_have_no_button(
    show: Show, running: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = show("trial", cell=running.cell, repeat="seed 1")
    assert app.button
    monkeypatch.setattr("sys.argv", [*sys.argv, "--read-only"])
    assert not app.run().button


def test_all_studies_of_a_page_are_followed(open_page: Open, other: Plan) -> None:
    app = open_page("compare")
    app.selectbox(key="other").set_value("other").run()
    assert set(app.session_state["_seen"]) == {None, "small", "other"}


def test_a_study_that_was_just_started_stands_at_the_top(store: Store, other: Plan) -> None:
    assert [entry.name for entry in studies(store)] == ["other", "small"]


def test_a_heartbeat_counts_as_a_change_of_a_study(store: Store, plan: Plan, other: Plan) -> None:
    run_elsewhere(store)
    store.begin_attempt(plan.trials[3].id, Environment())
    store.write_progress(Progress.now(plan.trials[3].id, 1, 2, {"loss": 0.5}))
    assert [entry.name for entry in studies(store)] == ["small", "other"]


def test_studies_keep_their_places_while_the_reader_looks(
    open_page: Open, store: Store, other: Plan, plan: Plan
) -> None:
    def listed() -> list[str]:
        links = (link.label.strip("*") for link in open_page("studies").page_link)
        return [name for name in links if name in ("small", "other", "third")]

    assert listed() == ["other", "small"]
    finished(plan.trials[3], store)
    put(store, other.model_copy(update={"study": other.study.model_copy(update={"study": "third"})}), {})
    assert listed() == ["third", "other", "small"]
