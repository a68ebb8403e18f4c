"""The time that a study still takes: steps that trials share count once, and nothing is made up."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from assay.analysis.results.watch import Watch
from assay.cli.live import LiveView
from assay.cli.status import status_now
from assay.forecast.forecast import Forecast, Left, Shape, StageCost, write_forecast
from assay.storage import Environment, Progress, Store
from assay.storage.plans import write_plan
from assay.storage.record import StageUse
from assay.storage.stage_store import begin_stage, end_stage
from assay.study import Plan, Trial, parse_study, plan_study
from assay.study.planning.stage_graph import stages_of
from tests.cli.small_study import finished, run_elsewhere
from tests.engine.staged_study import STAGED
from tests.helpers.waiting import wait_for

BASE, MAPS, OWN = 100.0, 20.0, 10.0  # seconds


@pytest.fixture
def plan() -> Plan:
    """Four trials of one base; two share maps without, and two maps with a sharpening."""
    text = STAGED.format(name="staged", epochs=3, seconds=0.0, workers=1, seeds=[0])
    return plan_study(parse_study(text, "staged.yaml"), None, "cpu")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A storage without results; somebody runs the study."""
    store = Store(tmp_path / "storage")
    run_elsewhere(store, "staged")
    return store


def make(store: Store, trial: Trial, stage: str, seconds: float, folder: Path) -> None:
    """A stage of ``trial``, as a worker leaves it."""
    key = {need.stage.name: need.key for need in stages_of(trial)}[stage]
    end_stage(
        store,
        begin_stage(key),
        folder,
        key=key,
        name=stage,
        trainable=trial.trainable,
        seconds=seconds,
        environment=Environment(host="here"),
    )


def beat(store: Store, trial: Trial, stage: str, seconds: float) -> None:
    """A heartbeat: 3 of 10 epochs of a step that takes ``seconds`` in all."""
    now = Progress.now(trial=trial.id, epoch=3, epochs=10, metrics={}, seconds_per_epoch=seconds / 10)
    store.write_progress(now.model_copy(update={"stage": stage}))


def left(store: Store, plan: Plan) -> Left:
    found = Watch(store, plan, stages_of=stages_of).take_snapshot().left
    assert found is not None
    return found


def shape_of(plan: Plan, **seconds: float) -> Shape:
    """The one shape of the plan's trials, none of which has ended."""
    cells = tuple(trial.cell for trial in plan.trials)
    trials = {"cells": cells, "trials": 4, "missing": 4, "memory_mb": 1, "source": "first steps", "seen": 5}
    return Shape.model_validate({**trials, **seconds})


def test_a_stage_counts_once_for_all_its_trials(store: Store, plan: Plan, tmp_path: Path) -> None:
    trial = plan.trials[0]
    make(store, trial, "base", BASE, tmp_path / "none")
    make(store, trial, "maps", MAPS, tmp_path / "none")
    beat(store, trial, "", OWN)
    seconds, least = left(store, plan)
    assert seconds == pytest.approx(0.7 * OWN + 3 * OWN + MAPS, abs=0.5)
    assert least, "what a trial loads and evaluates is not known before one has ended"


def test_a_stage_under_way_counts_with_what_is_left_of_it(store: Store, plan: Plan) -> None:
    beat(store, plan.trials[0], "base", BASE)
    assert left(store, plan).seconds == pytest.approx(0.7 * BASE, abs=0.5)


def test_a_kind_of_step_that_was_never_timed_makes_it_a_least(
    store: Store, plan: Plan, tmp_path: Path
) -> None:
    make(store, plan.trials[0], "base", BASE, tmp_path / "none")
    beat(store, plan.trials[0], "maps", MAPS)
    seconds, least = left(store, plan)
    assert seconds == pytest.approx(0.7 * MAPS + MAPS, abs=0.5)
    assert least, "how long a trial takes beside its stages is not known"


def test_a_forecast_tells_of_the_kinds_that_were_never_timed(store: Store, plan: Plan) -> None:
    assert Watch(store, plan, stages_of=stages_of).take_snapshot().left is None
    shape = shape_of(plan, seconds=BASE + MAPS + OWN, stage_seconds=BASE + MAPS)
    stages = tuple(
        StageCost(name=name, missing=count, seconds=seconds)
        for name, count, seconds in (("base", 1, BASE), ("maps", 2, MAPS))
    )
    write_forecast(
        store,
        "staged",
        Forecast(shapes=(shape,), at_once=1, stages=stages, content_hash=plan.study.content_hash),
    )
    beat(store, plan.trials[0], "base", BASE)
    seconds, least = left(store, plan)
    assert seconds == pytest.approx(0.7 * BASE + 2 * MAPS + 4 * OWN, abs=0.5)
    assert not least


def test_what_trials_under_way_show_outweighs_a_forecast(store: Store, plan: Plan, tmp_path: Path) -> None:
    shape = shape_of(plan, seconds=36_000)
    maps = StageCost(name="maps", missing=2, seconds=36_000)
    write_forecast(
        store,
        "staged",
        Forecast(shapes=(shape,), at_once=1, stages=(maps,), content_hash=plan.study.content_hash),
    )
    make(store, plan.trials[0], "base", BASE, tmp_path / "none")
    make(store, plan.trials[0], "maps", MAPS, tmp_path / "none")
    beat(store, plan.trials[0], "", OWN)
    assert left(store, plan) == (pytest.approx(0.7 * OWN + 3 * OWN + MAPS, abs=0.5), True)


def test_what_stages_under_way_show_outweighs_a_forecast(store: Store, plan: Plan, tmp_path: Path) -> None:
    maps = StageCost(name="maps", missing=2, seconds=36_000)
    write_forecast(
        store, "staged", Forecast(shapes=(), at_once=1, stages=(maps,), content_hash=plan.study.content_hash)
    )
    make(store, plan.trials[0], "base", BASE, tmp_path / "none")
    beat(store, plan.trials[0], "maps", MAPS)
    assert left(store, plan).seconds == pytest.approx(0.7 * MAPS + MAPS, abs=0.5)


@pytest.mark.parametrize(
    ("of", "used"),
    [("this study", True), ("another study", False)],
)
def test_a_forecast_of_what_the_study_asked_before_is_ignored(
    store: Store, plan: Plan, of: str, used: bool
) -> None:
    stages = (StageCost(name="maps", missing=2, seconds=MAPS),)
    hashes = {"this study": plan.study.content_hash, "another study": "0" * 12}
    write_forecast(store, "staged", Forecast(shapes=(), at_once=1, stages=stages, content_hash=hashes[of]))
    beat(store, plan.trials[0], "base", BASE)
    assert left(store, plan).seconds == pytest.approx(0.7 * BASE + (2 * MAPS if used else 0), abs=0.5)


def test_in_the_first_epoch_its_steps_tell_what_the_others_take(
    store: Store, plan: Plan, tmp_path: Path
) -> None:
    for trial in plan.trials:
        for name in ("base", "maps"):
            make(store, trial, name, MAPS, tmp_path / "none")
    now = Progress.now(trial=plan.trials[0].id, epoch=0, epochs=6, metrics={})
    store.write_progress(now.model_copy(update={"step": 9, "steps": 54, "eta": 45.0}))
    assert left(store, plan) == (pytest.approx(45 + 3 * 54, abs=0.5), True)


def test_a_trial_after_its_last_epoch_still_evaluates(store: Store, plan: Plan, tmp_path: Path) -> None:
    for trial in plan.trials:
        for name in ("base", "maps"):
            make(store, trial, name, MAPS, tmp_path / "none")
    for trial in plan.trials[:3]:
        record = finished(trial, store)
        store.write_record(record.model_copy(update={"timings": {"finish": 4.0}}))
    now = Progress.now(trial=plan.trials[3].id, epoch=10, epochs=10, metrics={}, seconds_per_epoch=1.0)
    store.write_progress(now)
    assert left(store, plan) == (pytest.approx(4.0, abs=0.5), False)


def test_steps_side_by_side_divide_the_time(store: Store, plan: Plan, tmp_path: Path) -> None:
    make(store, plan.trials[0], "base", BASE, tmp_path / "none")
    for stage_of in (plan.trials[0], plan.trials[-1]):
        beat(store, stage_of, "maps", MAPS)
    assert left(store, plan).seconds == pytest.approx(0.7 * MAPS, abs=0.5)


def test_what_a_finished_trial_took_is_known_without_the_stages_it_made(
    store: Store, plan: Plan, tmp_path: Path
) -> None:
    make(store, plan.trials[0], "base", BASE, tmp_path / "none")
    for trial in plan.trials:
        make(store, trial, "maps", MAPS, tmp_path / "none")
    finished(plan.trials[0], store)  # 10 s on the clock
    beat(store, plan.trials[1], "", 1000.0)
    assert left(store, plan).seconds == pytest.approx(0.7 * 1000 + 2 * OWN, abs=0.5)


def test_who_does_not_know_the_stages_says_what_it_takes_at_least(store: Store, plan: Plan) -> None:
    beat(store, plan.trials[0], "base", BASE)
    seconds, least = unknowing(store, plan)
    assert (seconds, least) == (pytest.approx(0.7 * BASE, abs=0.5), True)
    record = finished(plan.trials[0], store)  # 10 s on the clock
    beat(store, plan.trials[1], "", OWN)
    assert not unknowing(store, plan).least, "nothing tells of stages"
    used = StageUse(name="base", key="0" * 16, seconds=BASE, reused=True)
    store.write_record(record.model_copy(update={"stages": (used,)}))
    seconds, least = unknowing(store, plan)
    assert (seconds, least) == (pytest.approx(0.7 * OWN + 2 * OWN, abs=0.5), True)


def unknowing(store: Store, plan: Plan) -> Left:
    """The time left for who has no methods loaded, as the dashboard."""
    found = Watch(store, plan).take_snapshot().left
    assert found is not None
    return found


def test_the_display_says_how_many_stages_are_made(store: Store, plan: Plan, tmp_path: Path) -> None:
    make(store, plan.trials[0], "base", BASE, tmp_path / "none")
    out = io.StringIO()
    with LiveView(Console(file=out, width=200), line_every=0.3) as view:
        view.follow(plan, store)
        beat(store, plan.trials[0], "maps", MAPS)
        wait_for(lambda: "0/4 done · 1/3 stages made · at least " in out.getvalue(), said=out.getvalue)


def test_status_counts_the_stages_of_a_study_that_runs(store: Store, plan: Plan, tmp_path: Path) -> None:
    write_plan(store, plan)
    beat(store, plan.trials[0], "base", BASE)
    forecast = Forecast(
        shapes=(),
        at_once=1,
        stages=(StageCost(name="maps", missing=2, seconds=MAPS),),
        content_hash=plan.study.content_hash,
    )
    write_forecast(store, "staged", forecast)
    status = status_now(store, "staged")
    assert (status.seconds_left, status.seconds_left_at_least) == (
        pytest.approx(0.7 * BASE + 2 * MAPS, abs=0.5),
        True,
    )


@pytest.mark.parametrize(
    "unlike", [{"trainable": "no-such-method"}, {"config": {"no_such_setting": 1}}], ids=["method", "Config"]
)
def test_status_of_a_method_that_is_another_here_knows_no_stages(
    store: Store, plan: Plan, unlike: dict[str, Any]
) -> None:
    *trials, last = plan.trials
    plan = plan.model_copy(update={"trials": (*trials, last.model_copy(update=unlike))})
    write_plan(store, plan)
    beat(store, trials[0], "base", BASE)
    status = status_now(store, "staged")
    assert (status.seconds_left, status.seconds_left_at_least) == (pytest.approx(0.7 * BASE, abs=0.5), True)
    assert Watch(store, plan, stages_of=stages_of).take_snapshot().stages == (0, 0), (
        "some would look like all"
    )
