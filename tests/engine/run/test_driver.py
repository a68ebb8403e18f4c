"""What drivers and their scheduler do with batches; trouble with a storage is told, and not tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, MedianStoppingRule, TrialScheduler

from assay.engine.on_ray.driver import BatchDriver
from assay.engine.on_ray.pruning import RecordingScheduler, RivalRules
from assay.engine.on_ray.searcher import STORAGE
from assay.engine.trial_batch import BatchReader, TrialBatch
from assay.storage import Store
from tests.engine.made_batches import make_batch
from tests.engine.toy_study import ToyStudy
from trainables.errors import StorageError

AWAY = "the storage is away"


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(batches: BatchReader, path: str) -> TrialBatch:
        raise StorageError(AWAY)

    monkeypatch.setattr(BatchReader, "read", read)


@pytest.mark.usefixtures("away")
def test_a_storage_that_is_away_when_a_batch_is_taken_on_is_a_result(tmp_path: Path) -> None:
    driver = BatchDriver.__new__(BatchDriver)  # Tune's own constructor asks Ray
    driver.config = {"storage": str(tmp_path), "batch": "0", "watched": False, "answer_seconds": 1.0}
    driver.setup(driver.config)
    assert driver.step() == {"repeats": 0, "done": True, STORAGE: AWAY}


def test_an_object_store_is_asked_every_two_seconds_whether_a_batch_is_over(
    tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[None] = []
    training = SimpleNamespace(running=True, error=None, is_over=lambda: looks.append(None), train=print)
    monkeypatch.setattr("assay.engine.on_ray.driver._training", lambda *_: training)
    batch = make_batch(ToyStudy.make(tmp_path, cache_root).plan)
    monkeypatch.setattr(BatchReader, "read", lambda *_: batch)
    monkeypatch.setattr("assay.engine.on_ray.driver.Store", lambda *_: SimpleNamespace(local_path=None))
    driver = BatchDriver.__new__(BatchDriver)
    driver.config = {"storage": str(tmp_path), "batch": "0", "watched": False, "answer_seconds": 1.0}
    driver.setup(driver.config)
    driver.step()
    assert len(looks) == 1


@pytest.mark.usefixtures("away")
def test_a_pruned_batch_that_cannot_be_recorded_is_trouble_with_the_storage(tmp_path: Path) -> None:
    class Stops(FIFOScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            return TrialScheduler.STOP

    told: list[str] = []
    scheduler = RecordingScheduler(RivalRules(Stops), Store(tmp_path), told.append)
    trial = SimpleNamespace(config={"batch": "0", "rivals": "base"})
    assert scheduler.on_trial_result(None, trial, {"value": 0.5}) == TrialScheduler.STOP
    assert told == [AWAY]


def test_a_batch_is_not_paused_for_one_that_waits_for_room(tmp_path: Path) -> None:
    rule = MedianStoppingRule(time_attr="repeats", grace_period=1, metric="value", mode="max")
    controller = SimpleNamespace(get_live_trials=lambda: [SimpleNamespace(status=Trial.PENDING)])
    scheduler = RecordingScheduler(RivalRules(lambda: rule), Store(tmp_path), pytest.fail)
    trial, result = Trial("toy", config={"rivals": "base"}, stub=True), {"repeats": 1, "value": 0.5}
    assert rule.on_trial_result(controller, trial, result) == TrialScheduler.PAUSE
    assert scheduler.on_trial_result(controller, trial, result) == TrialScheduler.CONTINUE


class _InTheWayOfTheFirst(BatchDriver):
    """Its first batch has trouble with the folder of a node."""

    def step(self) -> dict[str, Any]:
        if self.config["batch"].endswith("/0000.json"):
            return {"repeats": 0, "done": True, STORAGE: AWAY}
        return super().step()


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
def test_a_study_ends_with_the_first_batch_that_has_trouble_with_the_storage(
    toy: Callable[..., ToyStudy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.engine.on_ray.driver.BatchDriver", _InTheWayOfTheFirst)
    study = toy(seeds=(0,), pack="1", epochs=1000, seconds=1.0)
    began = time.monotonic()
    with pytest.raises(StorageError, match=AWAY):
        study.run()
    assert time.monotonic() - began < 60
