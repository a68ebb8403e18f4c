"""A Train run in a process of its own: which starts are repeated, and what is left when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
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

_FOUR_STARTS_SECONDS = 400.0  # 25 on an idle machine, 120 with three other tests beside it

Start = Callable[..., tuple[TrainRun, TrialBatch]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a run of a study's trials by two workers; it is ended with the test, however that ends."""
    begun: list[TrainRun] = []

    def begin(study: ToyStudy, *, lies_there: bool = True) -> tuple[TrainRun, TrialBatch]:
        batch = make_batch(study.plan, study.plan.trials, cache=study.cache)
        if lies_there:
            lay_down(batch, study.store)
        run = TrainRun({"storage": study.store.uri, "scratch": str(tmp_path / "scratch")})
        begun.append(run)
        run.train(batch)
        return run, batch

    yield begin
    for run in begun:
        run.abort()


def _starts(scratch: Path) -> int:
    """How often Train began: each run has a folder of its own."""
    return len(list(scratch.glob("toy.*")))


def test_workers_that_cannot_begin_a_batch_are_not_started_again(
    start: Start, tmp_path: Path, cache_root: Path
) -> None:
    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), workers=2)
    run, _ = start(study, lies_there=False)
    wait_for(run.is_over)
    assert isinstance(run.error, TrainRunError)
    assert "does not see the storage" in str(run.error)
    assert _starts(tmp_path / "scratch") == 1


@pytest.mark.timeout(600)
def test_workers_that_die_whenever_they_start_are_not_started_without_end(
    start: Start, tmp_path: Path, cache_root: Path
) -> None:
    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), workers=2, epochs=1000, seconds=9.0)
    run, batch = start(study)
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.05):
            worker = find_process(psutil.Process().pid, "ray::RayTrainWorker")
            if worker is not None:
                worker.kill()

    threading.Thread(target=kill, daemon=True).start()
    try:
        wait_for(run.is_over, seconds=_FOUR_STARTS_SECONDS)
    finally:
        over.set()
    assert isinstance(run.error, TrainRunError)
    assert 4 <= _starts(tmp_path / "scratch") <= 4 * len(batch.trials) + 1


@pytest.mark.parametrize("kills", [False, True], ids=["asked", "killed"])
def test_a_run_that_is_ended_gives_back_its_cores_at_once(
    kills: bool, start: Start, tmp_path: Path, cache_root: Path
) -> None:
    import ray

    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), workers=2, epochs=1000, seconds=0.2)
    run, batch = start(study)
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
