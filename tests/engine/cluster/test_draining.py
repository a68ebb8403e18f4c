"""A worker whose node is to be taken away: a spot machine, told some minutes before."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from assay.engine.cluster import capacity as room
from assay.engine.cluster.capacity import DrainNotice
from assay.engine.errors import DrainedError
from assay.engine.retries import MAX_ATTEMPTS
from assay.engine.trial_batch import TrialBatch
from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.worker import BatchWorker
from tests.engine.made_batches import make_batch
from tests.engine.staged_study import StagedStudy
from tests.engine.toy_study import ToyStudy


def test_a_drained_node_keeps_the_state_of_its_trial_and_uses_up_no_attempt(
    tmp_path: Path, cache_root: Path
) -> None:
    weights: list[list[float]] = []
    for drains in (MAX_ATTEMPTS, 0):
        study = ToyStudy.make(tmp_path / str(drains), cache_root, seeds=(0,), epochs=MAX_ATTEMPTS + 2)
        trial = study.plan.trials[0]
        batch = make_batch(study.plan, [trial], cache=cache_root)
        worker = BatchWorker(batch, study.store, 0, 1, "node", 0, "cpu")
        for epoch in range(1, drains + 1):
            with pytest.raises(DrainedError, match=f"goes on elsewhere after epoch {epoch}"):
                train_trials(replace(worker, draining=lambda: True))
        train_trials(worker)
        assert study.records()[trial.id].status == "finished"
        weights.append(study.weights(trial.id))
    assert weights[0] == weights[1]


def test_the_log_of_a_trial_that_goes_on_elsewhere_says_so_without_a_traceback(
    tmp_path: Path, cache_root: Path
) -> None:
    study = ToyStudy.make(tmp_path, cache_root, seeds=(0,))
    trial = study.plan.trials[0]
    _train_on_a_drained_node(study, make_batch(study.plan, [trial], cache=cache_root))
    _says_so_in_a_line(tmp_path / "trials" / trial.id)


def test_the_log_of_a_stage_that_goes_on_elsewhere_says_so_without_a_traceback(
    tmp_path: Path, cache_root: Path
) -> None:
    study = StagedStudy.of(tmp_path, cache_root, seeds=(0,))
    _train_on_a_drained_node(study, make_batch(study.plan, stages=study.stages()[0], cache=cache_root))
    _says_so_in_a_line(tmp_path / "stages")


def _train_on_a_drained_node(study: ToyStudy, batch: TrialBatch) -> None:
    with pytest.raises(DrainedError):
        train_trials(BatchWorker(batch, study.store, 0, 1, "node", 0, "cpu", draining=lambda: True))


def _says_so_in_a_line(folder: Path) -> None:
    (log,) = folder.rglob("log.txt")
    assert "a node of the trial is drained: it goes on elsewhere after epoch 1\n" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_trial_hears_that_its_node_is_drained_and_asks_the_head_of_many_nodes_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states, asked, now = dict.fromkeys(map(str, range(100)), "IDLE"), [0], [0.0]

    def look() -> dict[str, str]:
        asked[0] += 1
        return states

    monkeypatch.setattr(room, "_states", look)
    monkeypatch.setattr("assay.engine.cluster.capacity.time.monotonic", lambda: now[0])
    notice = DrainNotice(["7"])
    answers: set[bool] = set()
    for second in range(30):
        now[0] = float(second)
        answers.add(notice())
    assert (answers, asked[0]) == ({False}, 3)
    states["7"], now[0] = "DRAINING", 30.0
    assert notice()


def test_a_ray_without_the_sdk_of_the_autoscaler_names_no_node_that_is_drained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray.autoscaler.v2.sdk", None)
    assert room._states() == {}
