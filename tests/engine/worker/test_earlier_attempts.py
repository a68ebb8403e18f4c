"""Attempts of earlier runs are no attempts of this one, whatever the clocks say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from assay.analysis.results.reading import results_of_plan
from assay.engine.retries import MAX_ATTEMPTS
from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.worker import BatchWorker
from assay.report.tables.footnotes import footnotes
from assay.storage import AttemptStart, Environment, Lease
from assay.storage.lease import request_stop
from tests.engine.made_batches import make_batch
from tests.engine.toy_study import ToyStudy


@pytest.mark.parametrize(
    ("lease", "ahead", "status"),
    [
        ("an earlier run's", timedelta(days=1), "finished"),  # the clock was set back since
        ("an earlier run's", timedelta(days=-1), "finished"),
        ("this run's", timedelta(days=-1), "failed"),  # the worker's clock is behind
    ],
)
def test_attempts_count_for_the_run_that_made_them(
    tmp_path: Path, cache_root: Path, lease: str, ahead: timedelta, status: str
) -> None:
    study = ToyStudy.make(tmp_path, cache_root, seeds=(0,))
    trial = study.plan.trials[0]
    with Lease(study.store, "toy") as held:
        token = held.token if lease == "this run's" else lease
        for number in range(MAX_ATTEMPTS):
            start = AttemptStart(
                attempt=f"00{number}-aa",
                started=datetime.now(UTC) + ahead,
                node="n",
                host="h",
                pid=1,
                lease=token,
            )
            path = f"trials/{trial.id}/attempts/{start.attempt}.json"
            study.store.write_json(path, start.model_dump(mode="json"))
        batch = make_batch(study.plan, [trial], lease=held.token, cache=cache_root)
        store = study.store.for_run(held.token)
        train_trials(BatchWorker(batch, store, 0, 1, "node", 0, "cpu"))
    assert study.records()[trial.id].status == status


def test_a_trial_that_was_asked_to_stop_is_not_begun_again_in_the_same_run(
    tmp_path: Path, cache_root: Path
) -> None:
    study = ToyStudy.make(tmp_path, cache_root, seeds=(0,))
    stopped, other = study.plan.trials
    request_stop(study.store, "trial", stopped.id)
    batch = make_batch(study.plan, study.plan.trials, cache=cache_root)
    for _ in range(MAX_ATTEMPTS + 1):  # as workers do that are started again
        train_trials(BatchWorker(batch, study.store, 0, 1, "node", 0, "cpu"))
    assert study.records().keys() == {other.id}
    assert study.store.attempts(stopped.id) == []
    assert study.run(local=True, processes=0).finished == 2, "the next run goes on with it"


def test_a_record_and_a_footnote_say_that_the_number_of_workers_changed(
    tmp_path: Path, cache_root: Path
) -> None:
    study = ToyStudy.make(tmp_path, cache_root, seeds=(0,))
    first, second = study.plan.trials
    for trial, workers in ((first, 2), (second, 1)):
        study.store.begin_attempt(trial.id, Environment(world_size=workers))
    batch = make_batch(study.plan, study.plan.trials, cache=cache_root)
    train_trials(BatchWorker(batch, study.store, 0, 1, "node", 0, "cpu"))
    sizes = {id_: record.environment.earlier_world_sizes for id_, record in study.records().items()}
    assert sizes == {first.id: (2,), second.id: ()}
    notes = footnotes(results_of_plan(study.plan, study.store))
    said = "The number of workers of 1 trial changed on the way (2, then 1)"
    assert any(note.startswith(said) for note in notes)


@pytest.mark.parametrize("mixed", ["threads", "instructions", "device", "nothing"])
def test_a_footnote_says_once_which_trials_another_device_or_other_threads_or_instructions_computed(
    mixed: str, tmp_path: Path, cache_root: Path
) -> None:
    study = ToyStudy.make(tmp_path, cache_root, seeds=(0, 1))
    *rest, last = study.plan.trials
    before = torch.get_num_threads()
    try:
        for trials, cpus in ((rest, 1), ([last], 2 if mixed == "threads" else 1)):
            batch = make_batch(study.plan, trials, cache=cache_root, resources={"cpus": cpus})
            train_trials(BatchWorker(batch, study.store, 0, 1, "node", 0, "cpu"))
    finally:
        torch.set_num_threads(before)
    here = torch.backends.cpu.get_cpu_capability()
    assert {record.environment.instructions for record in study.records().values()} == {here}
    changes = {"instructions": {"instructions": "NEON"}, "device": {"device": "cuda:0"}}
    if mixed in changes:  # as a machine of another kind would have written it
        record = study.records()[last.id]
        elsewhere = record.environment.model_copy(update=changes[mixed])
        changed = record.model_copy(update={"environment": elsewhere})
        study.store.write_bytes(f"trials/{last.id}/record.json", changed.file_bytes())
    notes = footnotes(results_of_plan(study.plan, study.store))
    starts = ("CPUs did not compute all trials alike", "Devices of several kinds computed the trials")
    found = [note for note in notes if note.startswith(starts)]
    cpu = f" with 1 thread on {here}"
    most, other = {
        "threads": (cpu, f"with 2 threads on {here}"),
        "instructions": (cpu, "with 1 thread on NEON"),
        "device": (" on cpu", "on cuda"),
        "nothing": ("", ""),
    }[mixed]
    expected = f": 3 trials{most}, 1 trial {other} ({last.cell}, seed {last.seed})."
    assert [expected in note for note in found] == ([True] if other else [])
