"""The progress display: what it reads from the storage, and that it is never silent."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from assay.analysis.results.followed import StudyState
from assay.analysis.results.results import StudyResults
from assay.analysis.results.watch import Snapshot, Watch, score
from assay.cli.live import Curves, LiveView, render, sparks
from assay.cli.output import duration, size
from assay.storage import Environment, Progress, Store
from assay.storage.files.files import KEPT
from assay.storage.plans import write_plan
from assay.storage.progress import Running
from assay.study import Plan, Trial
from tests.cli.small_study import Assay, finished, run_elsewhere
from tests.helpers.waiting import wait_for
from trainables.errors import StorageAway, StorageError
from trainables.evaluation.metrics import METRICS


def beat(store: Store, trial: str, age: float = 0.0) -> None:
    """A heartbeat of a trial that has done 3 of 10 epochs of two seconds."""
    now = Progress.now(
        trial=trial, epoch=3, epochs=10, metrics={"validation.image_ap": 0.75}, seconds_per_epoch=2.0
    )
    store.write_progress(now.model_copy(update={"time": now.time - age}))


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    """A storage without results; somebody runs the study, for an hour by now."""
    store = Store(tmp_path / "storage")
    run_elsewhere(store)
    return store


def test_running_trials_are_known_by_their_heartbeat(empty: Store, plan: Plan) -> None:
    beat(empty, plan.trials[1].id)
    seen = Watch(empty, plan).take_snapshot()
    assert [one.trial.id for one in seen.running] == [plan.trials[1].id]
    assert (seen.total, seen.done, seen.planned) == (4, 0, 3)
    assert seen.running[0].left == pytest.approx(14, abs=1)
    assert seen.left is not None
    assert seen.left.seconds == pytest.approx(14 + 3 * 20, abs=1)
    assert seen.left.least, "none has ended: what they load and evaluate is not known"


def test_a_trial_before_its_first_epoch_is_shown(empty: Store, plan: Plan) -> None:
    empty.begin_attempt(plan.trials[0].id, Environment(host="here"))
    (one,) = Watch(empty, plan).take_snapshot().running
    assert one.progress is None


def test_a_silent_trial_tells_no_time_and_is_counted_once(empty: Store, plan: Plan) -> None:
    beat(empty, plan.trials[0].id, age=600)
    seen = Watch(empty, plan).take_snapshot()
    assert seen.running[0].silent == pytest.approx(600, abs=1)
    assert (len(seen.running), seen.planned, seen.left) == (1, 3, None)
    assert "0/4 trials · 1 running · 3 planned" in shown(plan, seen, Curves("image_ap"))


@pytest.mark.parametrize("ahead", [0.0, 3600.0])
def test_a_clock_that_is_ahead_adds_no_time(empty: Store, plan: Plan, ahead: float) -> None:
    beat(empty, plan.trials[0].id, age=-ahead)
    assert Watch(empty, plan).take_snapshot().running[0].left == pytest.approx(14, abs=1)


def test_of_a_clock_that_is_ahead_silence_counts_from_when_it_was_seen(
    empty: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.analysis.results.watch._SILENT_AFTER", 0.2)
    now = Progress.now(plan.trials[0].id, 3, 10, {}, seconds_per_epoch=0.01)
    empty.write_progress(now.model_copy(update={"time": now.time + 3600}))
    watch = Watch(empty, plan)
    assert watch.take_snapshot().running[0].silent is None
    time.sleep(0.3)
    assert watch.take_snapshot().running[0].silent == pytest.approx(0.3, abs=0.2)


@pytest.mark.parametrize("change", [{"since": 0.0}, {"silent": 61.0}, None])
def test_what_no_run_of_now_trains_does_not_run(
    empty: Store, plan: Plan, change: dict[str, float] | None
) -> None:
    """Of an earlier run than that of now, of one that gives no sign of life, of one that has ended."""
    beat(empty, plan.trials[0].id, age=5)
    empty.begin_attempt(plan.trials[1].id, Environment(host="here"))
    if change is None:
        empty.delete_tree("studies/small/lease.json")
    else:
        time.sleep(0.01)
        run_elsewhere(empty, **change)
    seen = Watch(empty, plan).take_snapshot()
    assert (seen.running, seen.planned, seen.left) == ((), 4, None)


def test_heartbeats_from_before_a_display_are_not_shown(empty: Store, plan: Plan) -> None:
    beat(empty, plan.trials[0].id, age=5)
    assert Watch(empty, plan, since=time.time()).take_snapshot().running == ()


def test_a_record_ends_a_trial_once(empty: Store, plan: Plan) -> None:
    finished(plan.trials[0], empty)
    watch = Watch(empty, plan)
    assert watch.take_snapshot().ended == ()  # it was there before
    beat(empty, plan.trials[1].id)
    watch.take_snapshot()
    finished(plan.trials[1], empty)
    assert [record.id for record in watch.take_snapshot().ended] == [plan.trials[1].id]
    last = watch.take_snapshot()
    assert (last.ended, last.done, last.running) == ((), 2, ())


def test_a_failed_trial_can_be_trained_again(store: Store, plan: Plan) -> None:
    watch = Watch(store, plan)
    assert watch.take_snapshot().counts == {"finished": 2, "failed": 1}
    store.delete_tree(f"trials/{plan.trials[2].id}/record.json")
    assert watch.take_snapshot().counts == {"finished": 2}
    finished(plan.trials[2], store)
    assert watch.take_snapshot().counts == {"finished": 3}


@pytest.mark.parametrize("harm", [lambda record: record.unlink(), lambda record: record.write_text("{")])
def test_a_record_that_is_gone_or_damaged_later_counts_no_more(
    store: Store, plan: Plan, harm: Callable[[Path], object]
) -> None:
    watch = Watch(store, plan)
    assert watch.take_snapshot().counts == {"finished": 2, "failed": 1}
    assert store.local_path is not None
    harm(store.local_path / f"trials/{plan.trials[0].id}/record.json")
    after = watch.take_snapshot()
    assert (after.counts, after.ended) == ({"finished": 1, "failed": 1}, ())


def test_of_many_records_a_look_reads_a_few_again_until_all_had_their_turn(
    empty: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.analysis.results.watch.READERS", 3)
    for trial in plan.trials:
        finished(trial, empty)
    watch = Watch(empty, plan)
    watch.take_snapshot()
    read: list[str] = []
    record = Store.record
    monkeypatch.setattr(Store, "record", lambda store, id_: read.append(id_) or record(store, id_))
    watch.take_snapshot()
    assert len(read) == 3
    watch.take_snapshot()
    assert sorted(read) == sorted(trial.id for trial in plan.trials)


def test_results_of_a_storage_that_is_gone_are_not_said_to_be_missing(
    store: Store, plan: Plan, tmp_path: Path
) -> None:
    watch = Watch(Store(store.uri), plan)  # which writes nothing, as `assay status`
    assert watch.take_snapshot().done == 3
    (tmp_path / "storage").rename(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"is gone\. Bring it back"):
        watch.take_snapshot()


def test_off_a_terminal_there_is_a_line_for_each_message_and_trial(empty: Store, plan: Plan) -> None:
    out, told = io.StringIO(), []
    with LiveView(Console(file=out, width=200)) as view:
        view.message("opening the data")
        view.follow(plan, empty, lambda state: told.extend(state.snapshot.ended))
        finished(plan.trials[0], empty, image_ap=0.8125)
        wait_for(lambda: "AP 0.812" in out.getvalue(), said=out.getvalue)
    lines = out.getvalue().splitlines()
    assert "opening the data" in lines[0]
    ended = f"1/4 {plan.trials[0].id[:8]} no balance, seed 0 finished: AP 0.812"
    assert any(line.endswith(ended) for line in lines)
    assert [record.id for record in told] == [plan.trials[0].id]


def test_off_a_terminal_a_line_comes_although_nothing_happens(empty: Store, plan: Plan) -> None:
    out = io.StringIO()
    with LiveView(Console(file=out, width=200), line_every=0.3) as view:
        view.message("starting Ray")
        wait_for(lambda: out.getvalue().count("starting Ray") >= 3, said=out.getvalue)
        beat(empty, plan.trials[0].id)
        view.follow(plan, empty)
        ahead = "no balance, seed 0: epoch 3/10, validation AP 0.750, "
        wait_for(lambda: ahead in out.getvalue(), said=out.getvalue)


def test_a_store_that_does_not_answer_for_a_while_is_said_once_and_asked_again(
    empty: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, out = [], io.StringIO()
    original = Watch.take_snapshot

    def away_at_first(watch: Watch, begun: None = None) -> Snapshot:
        looks.append(1)
        if 2 < len(looks) < 7:
            raise StorageAway(f"the storage s3://b does not answer (refused {len(looks)}). {KEPT}")
        return original(watch)

    monkeypatch.setattr(Watch, "take_snapshot", away_at_first)
    with LiveView(Console(file=out, width=200), line_every=0.1) as view:
        view.follow(plan, empty)
        wait_for(lambda: len(looks) > 8, said=out.getvalue)
    text = out.getvalue()
    assert text.count("does not answer (refused") == 1
    assert "It is asked again. A run ends when that lasts 60 s." in text
    assert KEPT not in text
    assert "the storage cannot be read yet" in text
    assert "0/4 done" in text.rpartition("cannot be read yet")[2]


def test_lines_go_on_while_a_look_waits_for_a_silent_storage(
    empty: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, answers, looks = io.StringIO(), threading.Event(), []
    original = Watch.take_snapshot

    def late(watch: Watch, begun: None = None) -> Snapshot:
        looks.append(1)
        if len(looks) > 1:  # the first comes before anything trains
            answers.wait()
        return original(watch)

    monkeypatch.setattr(Watch, "take_snapshot", late)
    with LiveView(Console(file=out, width=200), line_every=0.2) as view:
        view.follow(plan, empty)
        try:
            wait_for(lambda: out.getvalue().count("waiting for the storage for") > 1, said=out.getvalue)
        finally:
            answers.set()
        wait_for(lambda: "0/4 done" in out.getvalue().rpartition("waiting")[2], said=out.getvalue)


def test_who_listens_is_told_although_the_log_has_no_room(empty: Store, plan: Plan) -> None:
    states = []
    with (
        suppress(OSError),  # closing it says so once more
        open("/dev/full", "w") as full,
        LiveView(Console(file=full, width=200), line_every=0.1) as view,
    ):
        view.message("opening the data")
        view.follow(plan, empty, states.append)
        time.sleep(0.5)  # lines that nothing caused
        finished(plan.trials[0], empty)
        wait_for(lambda: any(state.snapshot.ended for state in states), said=lambda: "nothing of the record")
    assert [record.id for state in states for record in state.snapshot.ended] == [plan.trials[0].id]


def test_when_all_trials_have_ended_none_are_said_to_be_left(empty: Store, plan: Plan) -> None:
    out = io.StringIO()
    with LiveView(Console(file=out, width=200), line_every=0.1) as view:
        view.message("4 of 4 trials to train")
        view.follow(plan, empty)
        wait_for(lambda: "0/4 done · 4 of 4 trials to train" in out.getvalue(), said=out.getvalue)
        for trial in plan.trials:
            finished(trial, empty)
        wait_for(lambda: out.getvalue().count("4/4 done") > 1, said=out.getvalue)
        view.message("telling MLflow")
        wait_for(lambda: "4/4 done · telling MLflow" in out.getvalue(), said=out.getvalue)
    text = out.getvalue()
    assert "4/4 done · all trials have ended" in text
    assert "4/4 done · 4 of 4" not in text


def test_on_a_terminal_the_running_trials_are_a_table(empty: Store, plan: Plan) -> None:
    out = io.StringIO()
    with LiveView(Console(file=out, width=120, force_terminal=True)) as view:
        beat(empty, plan.trials[0].id)
        view.follow(plan, empty)
        wait_for(lambda: plan.trials[0].id[:8] in out.getvalue(), said=out.getvalue)
    assert "0/4 trials" in out.getvalue()


def test_a_terminal_keeps_the_first_trials_without_a_result_and_no_others(
    empty: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.cli.live._LATEST", 1)
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with LiveView(console) as view:
        view.follow(plan, empty)
        kept: list[str] = []
        monkeypatch.setattr(view, "_print", lambda text, **_: kept.append(text.plain))
        for number, status in enumerate(("finished", "failed", "diverged")):
            record = finished(plan.trials[number], empty)
            if status != "finished":
                lost = record.model_copy(update={"status": status, "result": None, "reason": "it broke"})
                empty.delete_tree(f"trials/{record.id}/record.json")
                empty.write_record(lost)
    assert kept == [f"{plan.trials[1].id[:8]} balance, seed 0 failed: it broke"]


def seen(
    trial: Trial, *beats: tuple[int, dict[str, float | None], float], primary: str = "image_ap"
) -> Curves:
    """What was seen of a trial: epochs done, the metrics of the last one, seconds for each."""
    curves = Curves(primary)
    for epoch, metrics, seconds in beats:
        beat = Progress.now(trial.id, epoch, 10, {}, seconds).model_copy(update={"metrics": metrics})
        curves.see([Running(trial, beat)])
    return curves


def shown(plan: Plan, snapshot: Snapshot, curves: Curves, width: int = 120) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(render(StudyState(snapshot, StudyResults(plan, {})), curves))
    return out.getvalue()


def test_a_running_trial_shows_its_validations_as_sparks(plan: Plan) -> None:
    trial = plan.trials[0]
    curves = seen(
        trial,
        (1, {"loss": 2.0, "validation.image_ap": 0.2}, 1.0),
        (1, {"loss": 2.0, "validation.image_ap": 0.2}, 1.0),  # the same epoch, looked at twice
        (2, {"loss": 1.0}, 1.0),  # without a validation
        (3, {"loss": 0.5, "validation.image_ap": 0.5}, 1.0),
        (4, {"loss": 0.4, "validation.image_ap": 0.9}, 1.0),
    )
    beat = Progress.now(trial.id, 4, 10, {}, 1.0)
    text = shown(plan, Snapshot(4, {}, (Running(trial, beat),), (), None), curves)
    assert "validation AP" in text
    assert "no balance" in text
    assert re.search(r"4/10 +0\.900 ▁▄█", text)


def test_the_loss_is_drawn_where_nothing_is_validated(plan: Plan) -> None:
    trial = plan.trials[0]
    curves = seen(trial, *((epoch, {"loss": 1.0 / epoch}, 1.0) for epoch in range(1, 13)))
    curve = curves.of(Progress.now(trial.id, 12, 30, {}))
    assert curve is not None
    assert (curve.name, len(curve.values)) == ("loss", 10)
    assert str(curve).startswith("0.083 █")


def test_another_attempt_begins_another_curve(plan: Plan) -> None:
    trial, curves = plan.trials[0], Curves("image_ap")
    curves.see([Running(trial, Progress.now(trial.id, 5, 10, {"loss": 0.5}, attempt="a0"))])
    again = Progress.now(trial.id, 1, 10, {"loss": 2.0}, attempt="a1")
    curves.see([Running(trial, again)])
    assert curves.of(again) == ("loss", (2.0,))


@pytest.mark.parametrize(
    ("values", "bars"),
    [((), ""), ((0.5,), ""), ((0.5, 0.5), "▅▅"), ((0.0, 0.5, 1.0), "▁▅█"), ((3.0, 1.0), "█▁")],
)
def test_a_spark_lies_between_the_least_and_the_largest(values: tuple[float, ...], bars: str) -> None:
    assert sparks(values) == bars


@pytest.mark.parametrize(
    ("paces", "load", "cores", "text"),
    [
        ((2.0, 6.2), 16.2, 2, "slow: load 16 on 2 cores, epochs take 3.1 times their fastest"),
        ((2.0, 6.2), 3.0, 1, "slow: load 3 on 1 core, epochs take 3.1 times their fastest"),
        ((2.0, 6.2), 2.9, 2, ""),  # slow for another reason: so much wants to run of a study alone
        ((2.0, 3.0), 16.0, 2, ""),  # not much slower
        ((6.2, 2.0), 16.0, 2, ""),  # slow no more
        ((), 16.0, 2, ""),
    ],
)
def test_the_load_is_named_where_it_is_the_cause(
    plan: Plan, paces: tuple[float, ...], load: float, cores: int, text: str
) -> None:
    curves = seen(plan.trials[0], *((epoch, {}, pace) for epoch, pace in enumerate(paces, 1)))
    assert curves.slow(load, cores) == text


def test_the_load_of_this_machine_slows_no_trial_of_another(plan: Plan) -> None:
    trial, curves = plan.trials[0], Curves("image_ap")
    for epoch, pace in ((1, 2.0), (2, 9.0)):
        beat = Progress.now(trial.id, epoch, 10, {}, pace)
        curves.see([Running(trial, beat.model_copy(update={"host": "elsewhere"}))])
    assert curves.slow(16.0, 2) == ""


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "0/9 trials · 1 running · 8 wait for a free place"),
        ({"undrawn": 7}, "0/9 trials · 1 running · 1 waits for a free place · 7 not drawn yet"),
        ({"total": 1}, "0/1 trials · 1 running"),
        ({"running": ()}, "0/9 trials · 0 running · 9 planned"),
    ],
)
def test_what_waits_says_for_what(plan: Plan, changes: dict[str, Any], text: str) -> None:
    running = Running(plan.trials[0], Progress.now(plan.trials[0].id, 1, 10, {}))
    now = replace(Snapshot(9, {}, (running,), (), None), **changes)
    assert [line.strip() for line in shown(plan, now, Curves("image_ap")).splitlines()][1] == text


def test_trials_wait_for_stages_while_only_stages_are_made(plan: Plan) -> None:
    beat = Progress.now(plan.trials[0].id, 1, 10, {}).model_copy(update={"stage": "classifier"})
    now = Snapshot(4, {}, (Running(plan.trials[0], beat),), (), None, (1, 3))
    assert "3 wait for stages that trials share · 1/3 stages made" in shown(plan, now, Curves("image_ap"))


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ({"image_ap": 0.5, "loss": 1.0}, "AP 0.500"),
        ({"validation.image_ap": 0.25, "loss": 1.0}, "validation AP 0.250"),
        ({"loss": 1.0}, "loss 1.000"),
        ({"image_ap": None}, ""),
    ],
)
def test_the_score_is_the_primary_metric_else_the_loss(metrics: dict[str, float | None], text: str) -> None:
    assert score(metrics, METRICS["image_ap"]) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (8.4, "8 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_are_read_at_a_glance(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (740_000, "740 kB"), (1.4e9, "1.4 GB")])
def test_sizes_are_read_at_a_glance(count: float, text: str) -> None:
    assert size(count) == text


def test_the_clock_of_a_command_goes_on_in_its_second_view() -> None:
    out = io.StringIO()
    with LiveView(Console(file=out, width=80), start=time.monotonic() - 7) as view:
        view.message("timing the first steps")
    assert "[7 s] timing the first steps" in out.getvalue()


@pytest.mark.parametrize("study", ["small", None])
def test_a_study_without_a_question_is_named_alone(
    assay: Assay, store: Store, plan: Plan, study: str | None
) -> None:
    bare = plan.model_copy(update={"study": plan.study.model_copy(update={"question": ""})})
    write_plan(store, bare)
    first, *rest = assay("status", *filter(None, [study]), "--storage", store.uri).out.splitlines()
    assert (first == "small") if study else any(re.fullmatch(r" *small( +\d+)+ *", line) for line in rest)
