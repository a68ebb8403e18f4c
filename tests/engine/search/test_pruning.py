"""Whom a pruner compares: points of one search with each other, and never what has come to its end."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from assay.engine.on_ray.driver import BatchDriver
from assay.engine.on_ray.pruning import RecordingScheduler, RivalRules
from assay.storage import Progress, Record, Store
from tests.analysis.made_studies import make_plan
from tests.engine.made_batches import lay_down, make_batch
from tests.engine.search.search_study import ToySearch
from tests.engine.toy_study import ToyStudy


def test_points_of_one_search_are_not_measured_by_those_of_another(tmp_path: Path) -> None:
    batch = lay_down(make_batch(make_plan()), Store(tmp_path))
    rivals = RivalRules(lambda: AsyncHyperBandScheduler(time_attr="repeats", max_t=9, reduction_factor=2))
    scheduler = RecordingScheduler(rivals, Store(tmp_path), pytest.fail)
    scheduler.set_search_properties("value", "max")

    def decide(number: int, rivals: str, value: float) -> str:
        trial = SimpleNamespace(trial_id=str(number), config={"rivals": rivals, "batch": batch.path})
        scheduler.on_trial_add(None, trial)
        return scheduler.on_trial_result(None, trial, {"repeats": 1, "value": value})

    strong = [decide(number, "strong", 0.9 + number / 100) for number in range(4)]
    weak = [decide(10 + number, "weak", 0.5 + number / 100) for number in range(4)]
    assert strong == weak == [TrialScheduler.CONTINUE] * 4
    assert decide(20, "weak", 0.1) == TrialScheduler.STOP


PRUNED = ", pruner: {kind: median, min: 1}"


@pytest.mark.parametrize(
    ("size", "rivals"),
    [
        ("auto", {"base", "other, fold 0"}),  # repeats are counted
        ("1", {"base, seed 0, fold None", "base, seed 1, fold None"}),  # epochs are
    ],
)
def test_batches_compete_within_their_search_and_by_epochs_within_a_repeat(
    tmp_path: Path, cache_root: Path, size: str, rivals: set[str]
) -> None:
    plan = ToySearch(tmp_path, cache_root, pack=size, more=PRUNED).plan
    of_seed = {trial.seed: trial for trial in ToyStudy.make(tmp_path, cache_root, seeds=(0, 1)).plan.trials}
    cells = ("base #3", "base #12", "other, fold 0 #3") if size == "auto" else ("base #0", "base #12")
    batches = [
        make_batch(plan, [trial.model_copy(update={"cell": cell})])
        for trial in of_seed.values()
        for cell in cells
    ]
    assert {batch.rivals for batch in batches} == rivals


@pytest.mark.parametrize(("epoch", "seen"), [(8, True), (9, False)])
def test_a_trial_that_has_come_to_its_last_epoch_is_not_stopped_any_more(
    tmp_path: Path, cache_root: Path, epoch: int, seen: bool
) -> None:
    trial = ToyStudy.make(tmp_path, cache_root, seeds=(0,)).plan.trials[0]
    store = Store(tmp_path)
    batch = make_batch(ToySearch(tmp_path, cache_root, pack=1, more=PRUNED).plan, [trial])
    metrics = {"validation.image_ap": 0.5}
    store.write_progress(Progress.now(trial.id, epoch, 9, metrics))
    driver: Any = BatchDriver.__new__(BatchDriver)
    driver.setup({})
    driver._store, driver._batch = store, batch
    assert (driver._epoch_report() is not None) == seen


def test_what_the_pruner_of_another_study_stopped_is_trained(tmp_path: Path, cache_root: Path) -> None:
    study = ToyStudy.make(tmp_path, cache_root, seeds=(0,))
    now = datetime.now(UTC)
    study.store.write_record(
        Record(id=study.plan.trials[0].id, status="pruned", trial={}, study="search", started=now, ended=now)
    )
    assert study.run(local=True, processes=0).finished == 2


def test_a_search_without_a_pruner_trains_points_that_that_of_another_stopped(
    tmp_path: Path, cache_root: Path
) -> None:
    search = ToySearch(tmp_path, cache_root, points=1, seeds=[0], replicate="")
    search.run_made(batches=0)
    (trial,) = search.grown.trials
    now = datetime.now(UTC)
    search.store.write_record(
        Record(id=trial.id, status="pruned", trial={}, study="other", started=now, ended=now)
    )
    search.run_made()
    assert {record.status for record in search.records().values()} == {"finished"}
