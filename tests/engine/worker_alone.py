"""A worker without Ray: trains the trials of a toy study in this process, one attempt after the other."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch

from assay.engine.packs import Pack
from assay.engine.trial import Place
from assay.engine.worker import train_trials
from assay.results import Store
from assay.study import Plan

__all__ = ["train_here"]


def train_here(plan: Plan, store: Store, cache: Path) -> None:
    """Train what has no record of ``plan``, as one pack on one worker."""
    keep = plan.study.keep
    pack = Pack(
        id="0000",
        study=plan.study.study,
        run="here",
        started=datetime.now(UTC),
        trials=plan.trials,
        workers=1,
        cpus=1,
        gpus=0,
        keep_models=keep.models != "none",
        probes=keep.probes,
        primary=plan.study.metrics.primary,
        objective=plan.study.metrics.primary,
        resource="none",
        data_root=None,
        cache=str(cache),
    )
    train_trials(Place(pack, store, 0, 1, "node", 0, torch.device("cpu")))
