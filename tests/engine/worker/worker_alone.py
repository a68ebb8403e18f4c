"""A worker without Ray: trains the trials of a toy study in this process, one attempt after the other."""

from __future__ import annotations

from pathlib import Path

from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.worker import BatchWorker
from assay.storage import Store
from assay.study import Plan
from tests.engine.made_batches import make_batch

__all__ = ["train_here"]


def train_here(plan: Plan, store: Store, cache: Path) -> None:
    """Train what has no record of ``plan``, as one batch on one worker."""
    batch = make_batch(plan, plan.trials, cache=cache)
    train_trials(BatchWorker(batch, store, 0, 1, "node", 0, "cpu"))
