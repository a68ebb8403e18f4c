"""Batches as tests lay them down, without a run that hands them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.engine.durations import Limits
from assay.engine.trial_batch import BatchRun, StageTask, TrialBatch
from assay.storage import Store
from assay.storage.plans import write_plan
from assay.study import Plan, Trial

__all__ = ["lay_down", "make_batch"]

_NONE = Limits(None, None)


def make_batch(
    plan: Plan,
    trials: Sequence[Trial] = (),
    stages: Sequence[StageTask] = (),
    *,
    id: str = "0000",
    cache: Path | str = "",
    limits: Limits = _NONE,
    resources: Mapping[str, Any] | None = None,
    **run: Any,
) -> TrialBatch:
    """A batch of a plan; ``resources``: other ones than its study's; ``run``: further fields of its run."""
    if resources is not None:
        study = plan.study
        changed = study.resources.model_copy(update=dict(resources))
        plan = plan.model_copy(update={"study": study.model_copy(update={"resources": changed})})
    usual: dict[str, Any] = {"id": "here", "data_root": None}
    of_run = BatchRun(study=plan.study.study, cache=str(cache), **(usual | run))
    return TrialBatch(id, of_run, plan, tuple(trials), tuple(stages), limits)


def lay_down(batch: TrialBatch, store: Store) -> TrialBatch:
    """Write a batch, and what it is read with: the plan of its study, and its run."""
    write_plan(store, batch.plan)
    batch.run.write(store)
    batch.write(store)
    return batch
