"""Pruning packs: a Tune scheduler that stops those that fall behind, and records what it stopped.

Tune tells a pruned trial from a finished one or from Ctrl-C in no reliable way, so the decision itself is
recorded, at once: what a search draws next depends on it. The resource of a pruner is repeats, or epochs
where packs are single trials; heartbeats carry no value and are not shown to it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from assay.engine.driver import COMPLETE
from assay.engine.packs import Pack, missing_trials
from assay.storage import Record, Store
from assay.study import Plan
from assay.study.search_rules import pruned_by

__all__ = ["RecordingScheduler", "pruner"]

_RIVALS = 2  # points with a value before the median means anything


def pruner(plan: Plan) -> TrialScheduler | None:
    """The Tune scheduler of a study's pruner, or None."""
    resource = pruned_by(plan.study)
    if resource is None:
        return None
    assert plan.study.search is not None
    assert plan.study.search.pruner is not None
    rule = plan.study.search.pruner
    if rule.kind == "median":
        return MedianStoppingRule(
            time_attr=resource, grace_period=rule.min, min_samples_required=_RIVALS, hard_stop=True
        )
    if resource == "repeats":
        largest = max(len(searched.repeats) for searched in plan.searched)
    else:
        largest = max(int(searched.cell.config.get("epochs", 1)) for searched in plan.searched)
    return AsyncHyperBandScheduler(
        time_attr=resource,
        grace_period=rule.min,
        reduction_factor=rule.factor,
        max_t=max(rule.min, largest),
        stop_last_trials=False,  # a pack that came to its end ends by itself
    )


class RecordingScheduler(FIFOScheduler):
    """Asks ``inner`` about results that carry a value, and records the trials of the packs that it stops."""

    def __init__(self, inner: TrialScheduler, store: Store) -> None:
        super().__init__()
        self.stopped = 0  # packs
        self._inner, self._store = inner, store

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its parts into its scratch and never reads them: nothing of ours goes there."""
        return {}

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return self._inner.set_search_properties(metric, mode, **spec)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._inner.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if "value" not in result or result.get(COMPLETE):
            return TrialScheduler.CONTINUE
        decision = self._inner.on_trial_result(tune_controller, trial, result)
        if decision == TrialScheduler.STOP:
            self.stopped += 1
            self._record_pruned(Pack.read(self._store, trial.config["pack"]), result)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if "value" in result:
            self._inner.on_trial_complete(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._inner.on_trial_error(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self._inner.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        return self._inner.choose_trial_to_run(tune_controller)

    def debug_string(self) -> str:
        return self._inner.debug_string()

    def _record_pruned(self, pack: Pack, result: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        records = self._store.records(trial.id for trial in pack.trials)
        spent = f"{len(records)} of {len(pack.trials)} repeats"
        if "epochs" in result:
            spent = f"{result['epochs']} epochs"
        for trial in missing_trials(pack.trials, records):
            self._store.write_record(
                Record(
                    id=trial.id,
                    status="pruned",
                    reason=f"stopped by the pruner after {spent}, at {result['value']:.4g}",
                    trial=trial.model_dump(mode="json"),
                    study=pack.study,
                    started=now,
                    ended=now,
                )
            )
