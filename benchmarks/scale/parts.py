"""Parts of the simulation of a large study, each measured in a process of its own: see ``measure.py``."""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from mlflow.tracking import MlflowClient

from assay.analysis.results.reading import needed_plan, results_of_plan
from assay.analysis.results.results import StudyResults
from assay.analysis.results.watch import Watch
from assay.api.running import end_study
from assay.cli.mlflow_sync import SyncThread
from assay.engine import EngineOptions, hold_study, local, train_missing
from assay.engine.options import End
from assay.report.formats import FORMATS
from assay.storage import Lease, Progress, Store
from assay.storage.lease import stop_requested
from assay.study import Plan, parse_study, plan_study
from assay.study.planning.stage_graph import stages_of
from assay.tracking import MlflowSync
from benchmarks.scale.storage import CountedStore
from benchmarks.science import Size
from benchmarks.shared import timed
from tests.analysis.made_studies import make_record
from tests.simulation.one_slot import LATENCY_SECONDS, Training, simulate_batches
from trainables.data import open_manifest

__all__ = ["PARTS", "sync_lag"]

Figures = dict[str, Any]
_CELL_FACTORS = 3  # of ten levels: 1,000 cells
_SYNCED = 200
_BEAT_SECONDS = 10.0


def planned(trials: int, folder: str) -> Plan:
    """A factorial of 1,000 cells (100 where there are fewer trials) with as many seeds as make ``trials``."""
    factors = _CELL_FACTORS if trials >= 10**_CELL_FACTORS else _CELL_FACTORS - 1
    text = Size(factors, max(1, trials // 10**factors)).study()
    return plan_study(
        parse_study(text, "large.yaml"), lambda spec: open_manifest(spec, None, Path(folder)), "cpu"
    )


def resident_mb() -> float:
    """Memory of this process, MB."""
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


def plan_part(given: argparse.Namespace) -> Figures:
    """Seconds and memory of a plan."""
    with tempfile.TemporaryDirectory() as folder:
        planned(100, folder)  # imports, and the images
        before = resident_mb()
        plan, seconds = timed(partial(planned, given.trials[0], folder))
        return {"seconds": seconds.cpu, "trials": len(plan.trials), "mb": resident_mb() - before}


def trial_part(given: argparse.Namespace) -> Figures:
    """Costs of a trial in a batch of ten."""
    with tempfile.TemporaryDirectory() as folder:
        plan = planned(100, folder)
    training = Training(given.minutes * 60, given.epochs)
    return simulate_batches(plan, (10, 10), given.nodes, training)._asdict()


def study_part(given: argparse.Namespace) -> Figures:
    """Begin and end of a run, a look of its display, the report: requests, seconds and memory."""
    waited = 0.0

    def wait(share: float) -> None:
        nonlocal waited
        waited += share * LATENCY_SECONDS

    program_mb = resident_mb()
    with tempfile.TemporaryDirectory() as folder:
        plan = planned(given.trials[0], folder)
        store = CountedStore(wait)
        figures = _begin_and_end(plan, store, Path(folder), lambda: waited)
    lease = Lease(store, plan.study.study)
    lease.take()
    for trial in plan.trials[-given.nodes :]:
        store.delete_tree(f"{store.trial(trial.id)}/record.json")
        store.write_progress(Progress.now(trial.id, 1, given.epochs, {"loss": 0.5}, 1.0))
    figures["program_mb"] = program_mb
    watch = Watch(store, plan, stages_of=stages_of, needed=needed_plan)
    watch.take_snapshot()
    store.requests.clear()
    waited = 0.0
    snapshot, seconds = timed(watch.take_snapshot)
    assert len(snapshot.running) == min(given.nodes, len(plan.trials))
    figures |= {"look": dict(store.requests), "look_cpu": seconds.cpu, "look_waited": waited}
    lease.give_back()
    results = results_of_plan(plan, store, known=dict(watch.records))
    page, seconds = timed(partial(FORMATS["md"].study_files, results.without_predictions(), ""))
    assert page
    return figures | {"report": seconds.cpu, "second": _of_a_second(store, plan.study.study)}


def _begin_and_end(plan: Plan, store: CountedStore, folder: Path, waited: Callable[[], float]) -> Figures:
    """Requests of `assay run` before the first batch and after the last, of a study whose trials all end."""
    figures: Figures = {}
    began = time.process_time()

    def train(*_: object) -> End:
        figures["begin_seconds"] = time.process_time() - began + waited()
        figures["begin"] = dict(store.requests)
        for trial in plan.trials:
            path = f"{store.trial(trial.id)}/record.json"
            store.lay(path, make_record(trial, lambda _: _SCORES).file_bytes())
        before = resident_mb()
        records = store.records(trial.id for trial in plan.trials)
        figures["records_mb"] = resident_mb() - before
        assert len(records) == len(plan.trials)
        store.requests.clear()
        return End()

    with mock.patch.object(local, "train_locally", train):
        options = EngineOptions(data_root=None, cache=folder, local=True, processes=0)
        with hold_study(store, plan.study.study, options) as held:
            train_missing(plan, held, options)
    results, seconds = timed(partial(end_study, store, plan))
    assert len(results.records) == len(plan.trials)
    return figures | {"end": dict(store.requests), "read": seconds.cpu}


_SCORES = {"image_ap": 0.9, "fp": 1.0, "fn": 1.0, "pixel_iou": 0.5}


def _of_a_second(store: CountedStore, study: str) -> dict[str, float]:
    """Requests of a second in which a run does nothing but hold its lease and listen."""
    lease = Lease(store, study)
    lease.take()
    store.requests.clear()
    lease.renew()
    of_beats = {kind: number / _BEAT_SECONDS for kind, number in store.requests.items()}
    store.requests.clear()
    stop_requested(store, "study", study)
    return dict(Counter(of_beats) + Counter(store.requests))


def mlflow_part(given: argparse.Namespace) -> Figures:
    """MLflow's calls and seconds for a trial, in an SQLite file on this disk."""
    calls: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        plan = planned(1000, folder)
        store, root = Store(Path(folder) / "results"), Path(folder) / "results" / "trials"
        uri = f"sqlite:///{folder}/mlflow.db"
        MlflowSync(uri, store).sync(StudyResults(plan, {}, store=store))  # makes the database
        client, mlflow_sync = _Counted(MlflowClient(uri), calls), MlflowSync(uri, store)
        stack.enter_context(mock.patch.object(MlflowSync, "_api", return_value=client))
        seconds: list[float] = []
        records = {}
        for half in (0, 1):
            for trial in plan.trials[half * _SYNCED // 2 : (half + 1) * _SYNCED // 2]:
                records[trial.id] = make_record(trial, lambda _: _SCORES)
                (root / trial.id).mkdir(parents=True)
                (root / trial.id / "record.json").write_bytes(records[trial.id].file_bytes())
            results = StudyResults(plan, dict(records), store=store)
            report, taken = timed(partial(mlflow_sync.sync, results))
            assert report.complete
            seconds.append(taken.cpu / (_SYNCED // 2))
        _, known = timed(partial(mlflow_sync.sync, results))
    of_trial = {name: number / _SYNCED for name, number in calls.items()}
    return {"calls": of_trial, "seconds": seconds, "known": known.cpu / _SYNCED}


class _Counted:
    """A client that counts the calls of its methods."""

    def __init__(self, client: Any, calls: Counter[str]) -> None:
        self._client, self._calls = client, calls

    def __getattr__(self, name: str) -> Any:
        self._calls[name] += 1
        return getattr(self._client, name)


def sync_lag(rate: float, seconds: float, known: float, hours: float) -> float:
    """Seconds that MLflow needs after the last training of a study until it has all records.

    Args:
        rate: Records a second.
        seconds: Of a record that is new to MLflow.
        known: Of one that it has, at each delivery.
        hours: Length of the study.
    """
    now = delivered = 0.0
    end = 3600 * hours

    class Over:
        def wait(self, pause: float) -> bool:
            nonlocal now
            now += pause
            return now >= end

    def tell(_: object) -> None:
        nonlocal now, delivered
        ended = min(now, end)
        now += rate * ((ended - delivered) * seconds + ended * known)
        delivered = ended

    mlflow_sync: Any = SyncThread.__new__(SyncThread)
    mlflow_sync._over, mlflow_sync._open, mlflow_sync._tell = Over(), lambda: mlflow_sync, tell
    mlflow_sync._news = mock.MagicMock(is_set=lambda: True)
    with mock.patch("assay.cli.mlflow_sync.time", mock.MagicMock(monotonic=lambda: now)):
        mlflow_sync._deliver()
    return now - end


PARTS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "plan": plan_part,
    "trial": trial_part,
    "study": study_part,
    "mlflow": mlflow_part,
}
