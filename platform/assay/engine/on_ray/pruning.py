"""Pruning packs: a Tune scheduler that stops those that fall behind, and records what it stopped.

Tune tells a pruned trial from a finished one or from Ctrl-C in no reliable way, so the decision itself is
recorded, at once: what a search draws next depends on it. The resource of a pruner is repeats, or epochs
where packs are single trials; heartbeats carry no value and are not shown to it. ``assay run --local`` asks
the same rules, without Tune.
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
from assay.engine.packs import Pack, PackReader, missing_trials
from assay.storage import Record, Store
from assay.study import Plan, SearchPlan
from assay.study.search.spec import Pruner
from trainables.errors import StorageError

__all__ = ["Contests", "LocalPruner", "RecordingScheduler", "pruner"]

_RIVALS = 2  # points with a value before the median means anything


class Contests:
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

    def of(self, contest: str) -> TrialScheduler:
        """The rule of packs with this :attr:`Pack.contest`."""
        if contest not in self._rules:
            self._rules[contest] = self._make()
            self._rules[contest].set_search_properties(*self._goal)
        return self._rules[contest]


def pruner(plan: Plan) -> Contests | None:
    """The Tune schedulers of a search's pruner; None where nothing is pruned."""
    if not isinstance(plan, SearchPlan) or plan.search.pruner is None or plan.pruned_by is None:
        return None
    return Contests(partial(_rule, plan, plan.search.pruner, plan.pruned_by))


def _rule(plan: SearchPlan, rule: Pruner, resource: str) -> TrialScheduler:
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


class _NoController:
    """All that the rules ask of Tune's controller: no pack is paused for one that waits.

    The median's rule would do so until it has rivals to compare, and a paused driver's training is lost time.
    """

    def get_live_trials(self) -> list[Any]:
        return []


class RecordingScheduler(Unkept, FIFOScheduler):
    """Asks ``rules`` about results that carry a value, and records the trials of the packs that they stop."""

    def __init__(self, rules: Contests, store: Store, give_up: Callable[[str], None]) -> None:
        """``give_up`` is told why the storage could not be used."""
        super().__init__()
        self.stopped = 0  # packs
        self._rules, self._store, self._give_up = rules, store, give_up
        self._packs = PackReader(store)

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        assert metric is not None
        assert mode is not None, "the Tuner has both"
        self._rules.set_goal(metric, mode)
        return True

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._rule_of(trial).on_trial_add(tune_controller, trial)

    def _rule_of(self, trial: Any) -> TrialScheduler:
        return self._rules.of(trial.config["contest"])

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if "value" not in result or result.get(COMPLETE):
            return TrialScheduler.CONTINUE
        alone: Any = _NoController()
        decision = self._rule_of(trial).on_trial_result(alone, trial, result)
        if decision == TrialScheduler.STOP:
            self.stopped += 1
            try:
                _record_pruned(self._store, self._packs.read(trial.config["pack"]), result)
            except StorageError as error:
                self._give_up(str(error))
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if "value" in result:
            self._rule_of(trial).on_trial_complete(tune_controller, trial, result)


@dataclass(frozen=True)
class _PackTrial:
    """A pack as Tune's schedulers know a trial."""

    trial_id: str


class LocalPruner:
    """A pruner that counts repeats, for packs that train without Tune. Its threads ask one at a time."""

    def __init__(self, rules: Contests, mode: str, store: Store) -> None:
        """``mode``: ``max`` where a higher objective is better, ``min`` where a lower one is."""
        rules.set_goal("value", mode)
        self._rules, self._store = rules, store
        self._trials: dict[str, Any] = {}
        self._controller: Any = _NoController()
        self._lock = threading.Lock()

    def stops(self, pack: Pack) -> bool:
        """Stop what is left of ``pack`` if its repeats so far fell behind: recorded as pruned, and True."""
        records = self._store.records(trial.id for trial in pack.trials)
        value = pack.objective_mean(records.values())
        if pack.pruned_by != "repeats" or value is None or len(records) == len(pack.trials):
            return False
        result = {"repeats": len(records), "value": value}
        with self._lock:
            rule = self._rules.of(pack.contest)
            if pack.id not in self._trials:
                self._trials[pack.id] = _PackTrial(pack.id)
                rule.on_trial_add(self._controller, self._trials[pack.id])
            decision = rule.on_trial_result(self._controller, self._trials[pack.id], result)
        if decision == TrialScheduler.STOP:
            _record_pruned(self._store, pack, result)
        return decision == TrialScheduler.STOP


def _record_pruned(store: Store, pack: Pack, result: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    records = store.records(trial.id for trial in pack.trials)
    spent = f"{len(records)} of {len(pack.trials)} repeats"
    if "epochs" in result:
        spent = f"{result['epochs']} epochs"
    for trial in missing_trials(pack.trials, records):
        store.create_record(
            Record(
                id=trial.id,
                status="pruned",
                reason=f"stopped by the pruner after {spent}, at {result['value']:.4g}",
                trial=trial.model_dump(mode="json"),
                study=pack.run.study,
                started=now,
                ended=now,
            )
        )
