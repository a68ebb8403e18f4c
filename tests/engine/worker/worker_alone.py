"""A worker without Ray: trains the trials of a toy study in this process, one attempt after the other."""

from __future__ import annotations

from pathlib import Path

from assay.engine.worker.train_pack import train_trials
from assay.engine.worker.worker import PackWorker
from assay.storage import Store
from assay.study import Plan
from tests.engine.made_packs import make_pack

__all__ = ["train_here"]


def train_here(plan: Plan, store: Store, cache: Path) -> None:
    """Train what has no record of ``plan``, as one pack on one worker."""
    pack = make_pack(plan, plan.trials, cache=cache)
    train_trials(PackWorker(pack, store, 0, 1, "node", 0, "cpu"))
