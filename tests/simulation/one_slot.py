"""Batches of one slot, in a time of their own: requests of a trial's worker and driver, and results for
Tune.

The real driver asks, the real worker trains; each is a coroutine that goes on when the made clock says so. A
training is a list of epochs that take their time, log, and keep a checkpoint.
"""

from __future__ import annotations

import heapq
import tempfile
import types
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pyarrow as pa
import torch
from greenlet import getcurrent, greenlet

from assay.engine.on_ray import driver
from assay.engine.options import EngineOptions
from assay.engine.order import RunBatches
from assay.engine.worker import checkpoints, trial, trial_log
from assay.engine.worker import train_trials as train_trials_module
from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.trial_log import packed
from assay.engine.worker.worker import BatchWorker
from assay.storage import Lease, Result, progress
from assay.storage.plans import write_plan
from assay.study import Plan
from benchmarks.scale.storage import CountedStore

__all__ = ["LATENCY_SECONDS", "Training", "TrialCosts", "simulate_batches"]

LATENCY_SECONDS = 0.03  # of a request
_CHECKPOINT = packed({"weights": torch.zeros(1000)})
_STEPS = 20  # that an epoch tells of
_METRICS = {"loss": 0.5, "seg": 0.3, "cls": 0.2, "validation.image_ap": 0.9}


class Training(NamedTuple):
    """Length of a training, and what it logs."""

    seconds: float = 600.0
    epochs: int = 60


class TrialCosts(NamedTuple):
    """Costs of one trial: requests of each process by kind, and what Tune is told."""

    worker: dict[str, float]
    driver: dict[str, float]
    run: dict[str, float]  # of the process of `assay run`, when it hands the trial's batch out
    results: float  # that Tune takes in
    seconds: float  # from one trial to the next


class _Clock:
    """Time that passes when everybody sleeps."""

    def __init__(self) -> None:
        self.now = 1e9
        self._waiting: list[tuple[float, int, greenlet]] = []
        self._count, self._main = 0, getcurrent()

    def start(self, function: Callable[[], object]) -> None:
        self._wait(0.0, greenlet(function, parent=self._main))

    def sleep(self, seconds: float) -> None:
        if getcurrent() is self._main:
            self.now += seconds
        else:
            self._wait(seconds, getcurrent())
            self._main.switch()

    def run(self) -> None:
        while self._waiting:
            self.now, _, thread = heapq.heappop(self._waiting)
            thread.switch()

    def _wait(self, seconds: float, thread: greenlet) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (self.now + seconds, self._count, thread))


class _Slot:
    """Trains batches beside the driver, as a thread of its process does."""

    def __init__(self, clock: _Clock, store: CountedStore) -> None:
        self.error: BaseException | None = None
        self.running = False
        self._clock, self._store = clock, store

    def train(self, batch: Any) -> None:
        self.running = True
        self._clock.start(lambda: self._train(batch))

    def is_over(self) -> bool:
        return not self.running

    def _train(self, batch: Any) -> None:
        worker = BatchWorker(batch, self._store.for_run(batch.run.lease), 0, 1, "node", 1, "cpu")
        try:
            train_trials(worker)
        except BaseException as error:  # noqa: BLE001 - the driver raises it
            self.error = error
        self.running = False


def simulate_batches(plan: Plan, batches: Sequence[int], slots: int, training: Training) -> TrialCosts:
    """Train batches of the plan's first trials one after the other; returns the costs of a trial.

    Args:
        plan: With at least as many trials as the batches take.
        batches: Trials in each.
        slots: That train at once in the whole study: how often a driver answers Tune depends on it.
        training: Of each trial.
    """
    clock = _Clock()
    run_store = CountedStore(lambda share: clock.sleep(LATENCY_SECONDS * share))
    driver_store, worker_store = run_store.of_another(), run_store.of_another()
    time = types.SimpleNamespace(time=lambda: clock.now, monotonic=lambda: clock.now, sleep=clock.sleep)
    results = 0

    def train_all(work: RunBatches) -> None:
        nonlocal results
        trials = iter(plan.trials)
        for size in batches:
            tune_trial: Any = driver.BatchDriver.__new__(driver.BatchDriver)
            tune_trial.config = work.write_folder([next(trials) for _ in range(size)])
            tune_trial.setup(tune_trial.config)
            while not tune_trial.step().get("done"):
                results += 1
            results += 1

    replaced: list[tuple[Any, str, Any]] = [
        (driver, "Store", lambda *_: driver_store),
        (driver, "_training", lambda *_: _Slot(clock, worker_store)),
        (train_trials_module, "fit_and_evaluate", partial(_fit, training, clock)),
        *((module, "time", time) for module in (driver, trial_log, checkpoints, trial, progress)),
    ]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as patches:
        for module, name, new in replaced:
            patches.enter_context(mock.patch.object(module, name, new))
        lease = Lease(run_store, plan.study.study)
        lease.take()
        write_plan(run_store, plan)
        options = EngineOptions(data_root=None, cache=Path(folder))
        store = run_store.for_run(lease.token)
        work = RunBatches(plan, store, options, "run", slots=lambda: slots)
        run_store.requests.clear()
        began = clock.now
        clock.start(lambda: train_all(work))
        clock.run()
    count = sum(batches)
    each = [
        {kind: number / count for kind, number in store.requests.items()}
        for store in (worker_store, driver_store, run_store)
    ]
    assert len(run_store.records(planned.id for planned in plan.trials[:count])) == count
    return TrialCosts(*each, results=results / count, seconds=(clock.now - began) / count)


def _fit(training: Training, clock: _Clock, planned: Any, worker: Any, attempt: Any, **given: Any) -> Any:
    """Epochs that take their time; the attempt's files are those of the program, with empty tables."""
    trial_log, timer, scratch = given["trial_log"], given["timer"], given["scratch"]
    trial_log.note(f"trial {planned.id}")
    steps, seconds = training.epochs * _STEPS, training.seconds / training.epochs / _STEPS
    with timer.part("train"):
        for epoch in range(training.epochs):
            for step in range(_STEPS):
                clock.sleep(seconds)
                trial_log.step(epoch * _STEPS + step + 1, steps, training.epochs)
            trial_log.log(epoch, _METRICS, training.epochs)
            if trial_log.wants_checkpoint:
                trial_log.keep_checkpoint(epoch + 1, _CHECKPOINT, {})
    model = scratch / "model"
    model.mkdir()
    for name in ("model.safetensors", "config.json"):
        (model / name).write_bytes(b"{}")
    empty = pa.table({})
    report: Any = types.SimpleNamespace(predictions=empty, regions=empty, maps=empty, stage_maps=None)
    result = Result(
        metrics={worker.batch.study.metrics.primary: 0.9},
        validation={worker.batch.study.metrics.primary: 0.9},
        epochs=training.epochs,
        weights_hash="0",
        n_train=1, n_positives=1, n_masks=1, n_validation=1, n_test=1,
    )  # fmt: skip
    return {
        "status": "finished",
        "result": result,
        "environment": worker.environment(),
        "files": trial._write_files(worker, attempt, trial_log, report, model),
    }
