"""The program in a made world: runs and workers as they are, without Ray between them.

A run takes the lease, clears requests, makes batches and hands them to workers through the real searcher.
A worker reads its batch and trains it with the real worker code. Tune and Train, which start workers again
and carry an error from one to the other, are the loop in :meth:`Run._tune`. Training itself is that of the
toys on four grey images. A test image is never looked at: the objective is read from the weights.
"""

from __future__ import annotations

import tempfile
import types
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np

from assay.engine.durations import cell_seconds
from assay.engine.on_ray.searcher import STORAGE, BatchSearcher
from assay.engine.on_ray.tune_settings import HiddenCredentials
from assay.engine.options import EngineOptions
from assay.engine.order import RunBatches, TimeBudget, batches_on_demand, budget_batches
from assay.engine.run import _clear_stops, _forget_failed
from assay.engine.search.search_batches import search_batches
from assay.engine.trial_batch import BatchReader, missing_trials
from assay.engine.worker import train_trials as train_trials_module
from assay.engine.worker import trial as trial_module
from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.worker import BatchWorker
from assay.storage import Lease, Result
from assay.storage.lease import clear_stop, stop_requested
from assay.storage.plans import write_plan
from assay.storage.search_points import with_points
from assay.study import Plan, SearchPlan, parse_study, plan_study
from tests.simulation.world import Machine, Process, SimulatedStore, World
from trainables.data import open_manifest
from trainables.errors import StorageError

__all__ = ["STUDIES", "Run", "planned", "toy_training"]

SLOTS = 2
BUDGET_SECONDS = 72.0
_DATA = "{reader: synthetic, options: {images: 16, positives: 8, items: 8, size: [32, 32]}}"
_COMMON = f"""
data: {_DATA}
supervision: weak
metrics: {{primary: image_ap}}
resources: {{workers: 1, cpus: 1}}
keep: {{models: none, probes: 0}}
"""
STUDIES = {
    "stages": """
study: stages
trainable: staged
config: {epochs: 2, seconds: 5}
factors: {sharpen: {off: {config: {sharpen: false}}, on: {config: {sharpen: true}}}}
design: {full: all}
repeats: {seeds: [0, 1]}
""",
    "search": """
study: search
trainable: toy
config: {epochs: 2, seconds: 5, x: 0.9}
search: {sampler: random, points: 4, batch: 2, objective: {max: validation.image_ap}}
space: {config.x: {float: [0.0, 1.0]}}
replicate: {best: 1, seeds: [10]}
repeats: {seeds: [0]}
""",
    "budget": f"""
study: budget
trainable: toy
config: {{epochs: 2, seconds: 5}}
factors: {{pace: {{slow: {{}}, fast: {{config: {{lr: 0.2}}}}, wild: {{config: {{fault: diverge}}}}}}}}
design: {{full: all}}
repeats: {{seeds: [0, 1, 2]}}
budget: {{hours: {BUDGET_SECONDS / 3600}}}
""",
}


@cache
def planned(name: str) -> Plan:
    """The plan of one of :data:`STUDIES`."""
    text = STUDIES[name] + _COMMON
    with tempfile.TemporaryDirectory() as folder:
        return plan_study(
            parse_study(text, name), lambda spec: open_manifest(spec, None, Path(folder)), "cpu"
        )


_SAMPLES = [
    types.SimpleNamespace(id=f"{n}.png", label=n % 2, image=np.full((4, 4, 3), 60 * n, dtype=np.uint8))
    for n in range(4)
]
TRAINING: Any = types.SimpleNamespace(train=_SAMPLES, validation=None)
_cache = tempfile.TemporaryDirectory(prefix="assay-simulation-")


def _fit_and_score(
    trial: Any, worker: BatchWorker, attempt: Any, *, trial_log: Any, stages: Any, timer: Any, scratch: Path
) -> dict[str, Any]:
    """Train as the engine does; the objective is a function of the weights instead of images."""
    trial_log.note(f"trial {trial.id}")
    job = trial_module._job(trial, TRAINING, worker, scratch)
    with timer.part("train"), worker.trainer.train(job, cast(Any, None), trial_log) as trained:
        weights = trained.weights
    score = (int(weights[:2], 16) + 1) / 257
    curve = repr([(row["epoch"], sorted(row)) for row in trial_log.history]).encode()
    digest = worker.store.write_bytes(f"{attempt.prefix}/curve.parquet", curve)
    return {
        "status": "finished",
        "result": Result(
            metrics={"image_ap": score},
            validation={"image_ap": score},
            epochs=len(trial_log.history),
            weights_hash=weights,
            n_train=4, n_positives=2, n_masks=0, n_validation=4, n_test=4,
        ),
        "environment": worker.environment(),
        "files": {f"{attempt.name}/curve.parquet": digest},
    }  # fmt: skip


class _Data:
    images = None

    @classmethod
    def open(cls, *_: object) -> _Data:
        return cls()

    def training(self) -> Any:
        return TRAINING


@contextmanager
def toy_training() -> Generator[None]:
    """Within the block workers train on four grey images."""
    with (
        mock.patch.object(train_trials_module, "fit_and_evaluate", _fit_and_score),
        mock.patch.object(trial_module, "TrialData", _Data),
    ):
        yield


@dataclass
class _Busy:
    """A batch and the worker that trains it."""

    config: dict[str, Any]
    worker: Process
    starts: int = 1


class Run:
    """One `assay run` of a study, and the workers that it starts."""

    def __init__(
        self,
        world: World,
        machine: Machine,
        plan: Plan,
        *,
        retry_failed: bool = False,
        budget: float = BUDGET_SECONDS,
    ) -> None:
        self.world, self.plan, self.retry_failed, self.budget = world, plan, retry_failed, budget
        self.workers: list[Process] = []
        self.handed_out: list[tuple[float, Any]] = []  # seconds since the batches began, and a batch
        self.process = world.start("run", machine, self._run)

    def _run(self, process: Process) -> None:
        world, name = self.world, self.plan.study.study
        store = SimulatedStore(world)
        lease = Lease(store, name)
        lease.take()
        world.thread(process, lambda: self._beat(lease))
        try:
            store = store.for_run(lease.token)
            clear_stop(store, "study", name)
            write_plan(store, self.plan)
            plan = with_points(self.plan, store)
            if self.retry_failed:
                _forget_failed(plan, store)
            missing = missing_trials(plan.trials, store.records(trial.id for trial in plan.trials))
            _clear_stops(missing, store)
            self._train(plan, store, missing, lease)
            lease.refuse_if_lost()
        finally:
            with suppress(OSError):
                lease.give_back()

    def _beat(self, lease: Lease) -> None:
        while True:
            self.world.sleep(10.0)
            try:
                if not lease.renew():
                    return
            except OSError:
                continue

    def _train(self, plan: Plan, store: SimulatedStore, missing: list[Any], lease: Lease) -> None:
        in_flight: set[str] = set()
        options = EngineOptions(data_root=None, cache=Path(_cache.name))
        run = f"run-{self.process.pid}"
        work = RunBatches(plan, store, options, run, in_flight=in_flight, slots=lambda: SLOTS)
        if isinstance(plan, SearchPlan):
            batches = search_batches(plan, store, in_flight)
        elif plan.study.budget is not None:
            budget = TimeBudget(self.budget, work.slots, plan.study.resources.pack, lambda: self.world.now)
            ids = [trial.id for trial in plan.trials]
            known = lambda: cell_seconds(plan.trials, store.records(ids))  # noqa: E731
            batches = budget_batches(missing, budget, known, in_flight, lambda text: None)
        else:
            batches = batches_on_demand(missing, plan.study.resources.pack, work.slots)
        if not isinstance(plan, SearchPlan):
            batches = chain(work.stages_first(missing), batches)
        work.upcoming = batches
        searcher = BatchSearcher(work, HiddenCredentials())
        try:
            self._tune(searcher, store, lease)
        finally:
            with suppress(StorageError):
                store.delete_tree(work.folder)

    def _tune(self, searcher: BatchSearcher, store: SimulatedStore, lease: Lease) -> None:
        """Hand batches to workers, start those again that died, end with the first trouble of the storage."""
        busy: dict[str, _Busy] = {}
        batches = BatchReader(store)
        number, begun = 0, 0.0
        try:
            while not (lease.lost.is_set() or self._asked_to_stop(store)):
                for name, batch in list(busy.items()):
                    if batch.worker.alive:
                        continue
                    if (result := self._result(batch)) is not None:
                        searcher.on_trial_complete(name, result)
                        del busy[name]
                while not searcher.over and searcher.storage_trouble is None and len(busy) < SLOTS:
                    name, number = f"batch{number}", number + 1
                    asked = self.world.now
                    config = searcher.suggest(name)
                    begun = begun or self.world.now  # a budget counts from the first batch on
                    if not isinstance(config, dict) or "batch" not in config:
                        break
                    batch = batches.read(config["batch"])
                    self.handed_out.append((asked - begun, batch))
                    busy[name] = _Busy(config, self._worker(config))
                if not busy and (searcher.over or searcher.storage_trouble is not None):
                    break
                self.world.sleep(2.0)
        finally:
            for batch in busy.values():
                if self.process.alive:
                    self.world.kill(batch.worker)
        if searcher.storage_trouble is not None:
            raise StorageError(searcher.storage_trouble)

    def _asked_to_stop(self, store: SimulatedStore) -> bool:
        with suppress(OSError):
            return stop_requested(store, "study", self.plan.study.study)
        return False

    def _result(self, batch: _Busy) -> Mapping[str, Any] | None:
        """What Tune is told of a worker that has ended; None where it is started again."""
        error = batch.worker.error
        if isinstance(error, StorageError):
            return {STORAGE: str(error)}
        if error is None and batch.worker.what == "over":
            return {}
        if batch.starts > 40:
            raise AssertionError(f"a batch was begun {batch.starts} times: {error!r}")
        batch.starts += 1
        self.world.sleep(5.0)
        batch.worker = self._worker(batch.config)
        return None

    def _worker(self, config: dict[str, Any]) -> Process:
        machine = self.world.machines[len(self.workers) % len(self.world.machines)]
        worker = self.world.start("worker", machine, lambda process: self._work(process, config))
        self.workers.append(worker)
        return worker

    def _work(self, process: Process, config: dict[str, Any]) -> None:
        store = SimulatedStore(self.world)
        batch = BatchReader(store).read(config["batch"])
        node = process.machine.name
        store = store.for_run(batch.run.lease)
        train_trials(BatchWorker(batch, store, 0, 1, node, self.process.pid, "cpu"))
        process.what = "over"
