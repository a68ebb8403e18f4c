"""Pruning batches: a Tune scheduler that stops those that fall behind, and records what it stopped.

Tune tells a pruned trial from a finished one or from Ctrl-C in no reliable way, so the decision itself is
recorded, at once: what a search draws next depends on it. The resource of a pruner is repeats, or epochs
where batches are single trials; answers without news carry no value and are not shown to it.
``assay run --local`` asks the same rules, without Tune.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from assay.engine.on_ray.driver import COMPLETE
from assay.engine.on_ray.tune_settings import Unkept
from assay.engine.trial_batch import BatchReader, TrialBatch, missing_trials
from assay.storage import Record, Store
from assay.study import Plan, SearchPlan
from assay.study.search.spec import Pruner
from trainables.errors import StorageError

__all__ = ["LocalPruner", "RecordingScheduler", "RivalRules", "pruner"]

_RIVALS = 2  # points with a value before the median means anything


class RivalRules:
    """The rules of a study's pruner: one for each search, whose points are compared with each other alone.

    Points of another method or on another fold are no rivals: they may differ by more than settings do.
    """

    def __init__(self, make: Callable[[], TrialScheduler]) -> None:
        """``make`` gives a rule that has seen nothing."""
        self._make, self._goal = make, ("value", "max")
        self._rules: dict[str, TrialScheduler] = {}

    def set_goal(self, metric: str, mode: str) -> None:
        """``mode``: ``max`` where a higher value is better, ``min`` where a lower one is."""
        self._goal = (metric, mode)

    def of(self, rivals: str) -> TrialScheduler:
        """The rule of batches with this :attr:`TrialBatch.rivals`."""
        if rivals not in self._rules:
            self._rules[rivals] = self._make()
            self._rules[rivals].set_search_properties(*self._goal)
        return self._rules[rivals]


def pruner(plan: Plan) -> RivalRules | None:
    """The Tune schedulers of a search's pruner; None where nothing is pruned."""
    if not isinstance(plan, SearchPlan) or plan.search.pruner is None or plan.pruned_by is None:
        return None
    return RivalRules(partial(_rule, plan, plan.search.pruner, plan.pruned_by))


def _rule(plan: SearchPlan, rule: Pruner, resource: str) -> TrialScheduler:
    if rule.kind == "median":
        return MedianStoppingRule(
            time_attr=resource, grace_period=rule.min, min_samples_required=_RIVALS, hard_stop=True
        )

    # Hyperband lays its rungs up to the largest step that a batch can reach.
    if resource == "repeats":
        largest = max(len(searched.repeats) for searched in plan.searched)
    else:
        largest = max(int(searched.cell.config.get("epochs", 1)) for searched in plan.searched)
    return AsyncHyperBandScheduler(
        time_attr=resource,
        grace_period=rule.min,
        reduction_factor=rule.factor,
        max_t=max(rule.min, largest),
        stop_last_trials=False,  # a batch that came to its end ends by itself
    )


class _NoController:
    """Stand-in for Tune's controller, with all that the rules ask: no batch is paused for one that waits.

    The median's rule would do so until it has rivals to compare, and a paused driver's training is lost time.
    """

    def get_live_trials(self) -> list[Any]:
        return []


class RecordingScheduler(Unkept, FIFOScheduler):
    """Asks ``rules`` about results that carry a value, and records the trials of the batches that they
    stop."""

    def __init__(self, rules: RivalRules, store: Store, give_up: Callable[[str], None]) -> None:
        """``give_up`` is told why the storage could not be used."""
        super().__init__()
        self.stopped = 0  # batches
        self._rules, self._store, self._give_up = rules, store, give_up
        self._batches = BatchReader(store)

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        assert metric is not None
        assert mode is not None, "the Tuner has both"
        self._rules.set_goal(metric, mode)
        return True

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._rule_of(trial).on_trial_add(tune_controller, trial)

    def _rule_of(self, trial: Any) -> TrialScheduler:
        return self._rules.of(trial.config["rivals"])

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        # An answer without news says nothing about the batch, and one that ended by itself cannot be stopped.
        if "value" not in result or result.get(COMPLETE):
            return TrialScheduler.CONTINUE
        alone: Any = _NoController()
        decision = self._rule_of(trial).on_trial_result(alone, trial, result)

        # The decision is recorded at once, since Tune does not say later whether a batch was pruned, ended or
        # was interrupted.
        if decision == TrialScheduler.STOP:
            self.stopped += 1
            try:
                _record_pruned(self._store, self._batches.read(trial.config["batch"]), result)
            except StorageError as error:
                self._give_up(str(error))
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if "value" in result:
            self._rule_of(trial).on_trial_complete(tune_controller, trial, result)


@dataclass(frozen=True)
class _BatchTrial:
    """A batch as Tune's schedulers know a trial."""

    trial_id: str


class LocalPruner:
    """A pruner that counts repeats, for batches that train without Tune. Its threads ask one at a time."""

    def __init__(self, rules: RivalRules, mode: str, store: Store) -> None:
        """``mode``: ``max`` where a higher objective is better, ``min`` where a lower one is."""
        rules.set_goal("value", mode)
        self._rules, self._store = rules, store
        self._trials: dict[str, Any] = {}
        self._controller: Any = _NoController()
        self._lock = threading.Lock()

    def stops(self, batch: TrialBatch) -> bool:
        """Stop what is left of ``batch`` if its repeats so far fell behind: recorded as pruned, and True."""
        records = self._store.records(trial.id for trial in batch.trials)
        value = batch.objective_mean(records.values())
        if batch.pruned_by != "repeats" or value is None or len(records) == len(batch.trials):
            return False
        result = {"repeats": len(records), "value": value}

        # Ray's rule is made for one thread; here those of all slots ask it.
        with self._lock:
            rule = self._rules.of(batch.rivals)
            if batch.id not in self._trials:
                self._trials[batch.id] = _BatchTrial(batch.id)
                rule.on_trial_add(self._controller, self._trials[batch.id])
            decision = rule.on_trial_result(self._controller, self._trials[batch.id], result)
        if decision == TrialScheduler.STOP:
            _record_pruned(self._store, batch, result)
        return decision == TrialScheduler.STOP


def _record_pruned(store: Store, batch: TrialBatch, result: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    records = store.records(trial.id for trial in batch.trials)
    spent = f"{len(records)} of {len(batch.trials)} repeats"
    if "epochs" in result:
        spent = f"{result['epochs']} epochs"
    for trial in missing_trials(batch.trials, records):
        store.create_record(
            Record(
                id=trial.id,
                status="pruned",
                reason=f"stopped by the pruner after {spent}, at {result['value']:.4g}",
                trial=trial.model_dump(mode="json"),
                study=batch.run.study,
                started=now,
                ended=now,
            )
        )
