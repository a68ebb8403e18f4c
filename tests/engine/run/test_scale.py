"""Work that must not grow with the size of a study: requests, results for Tune, looks at records."""

from __future__ import annotations

from argparse import Namespace
from datetime import timedelta
from pathlib import Path

import pytest

from assay.analysis.results.reading import results_of_plan
from assay.engine.options import EngineOptions
from assay.engine.order import RunBatches
from assay.storage import Store
from assay.study import Plan
from benchmarks.scale.parts import study_part
from benchmarks.scale.storage import PAGE, CountedStore
from tests.analysis.made_studies import START, make_plan, make_record
from tests.simulation.one_slot import Training, TrialCosts, simulate_batches

PLAN: Plan = make_plan()


def _costs(*batches: int, slots: int = 2) -> TrialCosts:
    return simulate_batches(PLAN, batches, slots, Training(seconds=60, epochs=6))


@pytest.mark.parametrize("batches", [(4,), (2, 2), (4, 4)])
def test_a_trial_costs_as_many_requests_in_every_batch(batches: tuple[int, ...]) -> None:
    alone, beside = _costs(1), _costs(*batches)
    assert beside.worker == alone.worker
    assert sum(beside.driver.values()) <= sum(alone.driver.values()) <= 13


@pytest.mark.parametrize(("slots", "results"), [(2, 30), (200, 30), (1000, 6)])
def test_drivers_answer_tune_a_hundred_times_a_second_at_most(slots: int, results: int) -> None:
    assert _costs(1, slots=slots).results == pytest.approx(results, abs=2)


def test_of_more_trials_than_a_page_those_that_left_nothing_are_not_asked_for() -> None:
    store = CountedStore()
    record = make_record(PLAN.trials[0])
    store.write_record(record)
    store.requests.clear()
    assert store.records([record.id, *(f"{number:016x}" for number in range(PAGE))]) == {record.id: record}
    assert store.requests == {"LIST": 1, "HEAD": 2, "GET": 1}


def test_a_record_that_is_known_is_not_read_again() -> None:
    store, records = CountedStore(), {trial.id: make_record(trial) for trial in PLAN.trials}
    for record in records.values():
        store.write_record(record)
    store.requests.clear()
    assert results_of_plan(PLAN, store, known=records).records == records
    assert not store.requests


def test_a_simulated_study_begins_is_looked_at_and_reported() -> None:
    figures = study_part(Namespace(trials=[100], nodes=10, epochs=2))
    assert figures["look"]["LIST"] == 1
    assert figures["report"] > 0


def test_limits_follow_the_trainings_that_batches_have_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, trials = Store(tmp_path), PLAN.trials[:4]
    batches = RunBatches(PLAN, store, EngineOptions(None, tmp_path), "run", slots=lambda: 1)
    assert batches.make_batch(trials).limits.hours is None
    for hours, trial in enumerate(trials[:3], start=1):
        train = {"train": timedelta(hours=hours).total_seconds()}
        store.write_record(make_record(trial, timings=train, started=START))
    monkeypatch.setattr("assay.engine.durations._POLL_SECONDS", 0.0)  # a minute later
    assert batches.make_batch(trials[3:]).limits.hours == 30
