"""A Train run in a process of its own: which starts are repeated, and what is left when it ends."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from assay.engine.on_ray.train import TrainRun, TrainRunError
from assay.engine.trial_batch import TrialBatch
from tests.engine.made_batches import lay_down, make_batch
from tests.engine.run.killing import find_process
from tests.engine.toy_study import ToyStudy
from tests.helpers.waiting import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("free_cluster")]


def _start(study: ToyStudy, scratch: Path, *, lies_there: bool = True) -> tuple[TrainRun, TrialBatch]:
    """Start a run of the study's trials by two workers."""
    batch = make_batch(study.plan, study.plan.trials, cache=study.cache)
    if lies_there:
        lay_down(batch, study.store)
    run = TrainRun({"storage": study.store.uri, "scratch": str(scratch)})
    run.train(batch)
    return run, batch


def _starts(scratch: Path) -> int:
    """How often Train began: each run has a folder of its own."""
    return len(list(scratch.glob("toy.*")))


def test_workers_that_cannot_begin_a_batch_are_not_started_again(tmp_path: Path, cache_root: Path) -> None:
    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), workers=2)
    run, _ = _start(study, tmp_path / "scratch", lies_there=False)
    wait_for(run.is_over)
    assert isinstance(run.error, TrainRunError)
    assert "does not see the storage" in str(run.error)
    assert _starts(tmp_path / "scratch") == 1


def test_workers_that_die_whenever_they_start_are_not_started_without_end(
    tmp_path: Path, cache_root: Path
) -> None:
    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), workers=2, epochs=1000, seconds=9.0)
    run, batch = _start(study, tmp_path / "scratch")
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.05):
            worker = find_process(psutil.Process().pid, "ray::RayTrainWorker")
            if worker is not None:
                worker.kill()

    threading.Thread(target=kill, daemon=True).start()
    try:
        wait_for(run.is_over)
    finally:
        over.set()
    assert isinstance(run.error, TrainRunError)
    assert 4 <= _starts(tmp_path / "scratch") <= 4 * len(batch.trials) + 1


@pytest.mark.parametrize("kills", [False, True], ids=["asked", "killed"])
def test_a_run_that_is_ended_gives_back_its_cores_at_once(
    kills: bool, tmp_path: Path, cache_root: Path
) -> None:
    import ray

    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), workers=2, epochs=1000, seconds=0.2)
    run, batch = _start(study, tmp_path / "scratch")
    wait_for(lambda: study.store.exists(batch.begun))
    assert ray.available_resources().get("CPU", 0) == 0
    began = time.monotonic()
    if kills:
        process: Any = find_process(psutil.Process().pid, "assay.engine.on_ray.train_run")
        process.kill()
    else:
        run.abort()
    wait_for(lambda: ray.available_resources().get("CPU", 0) == 2)
    assert time.monotonic() - began < 15
    assert run.is_over()
