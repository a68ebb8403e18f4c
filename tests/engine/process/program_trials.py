"""The first trial of a study file, trained in a process of its own."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from assay.engine.durations import Limits
from assay.engine.process.fork_server import ForkServer
from assay.engine.worker.train_trials import train_trials, trainer_of
from assay.engine.worker.worker import BatchWorker
from assay.storage import Record, Store
from assay.storage.method_store import keep_methods
from tests.engine.made_batches import make_batch
from tests.program.made_program import plan_of

__all__ = ["train_study"]

_NONE = Limits(None, None)


def train_study(
    study: Path, cache: Path, server: ForkServer, limits: Limits = _NONE, data: Path | None = None
) -> tuple[Store, Record]:
    """Train the first trial into a storage beside the study; returns storage and record."""
    store = Store(study.parent / "storage")
    store.probe()
    plan = plan_of(study, cache, data)
    keep_methods(store, plan.trainables)
    root = None if data is None else str(data)
    batch = make_batch(plan, plan.trials[:1], cache=cache, limits=limits, data_root=root)
    train_trials(BatchWorker(batch, store, 0, 1, "node", 0, "cpu", trainer_of(batch, store, server, Event())))
    record = store.record(plan.trials[0].id)
    assert isinstance(record, Record)
    return store, record
