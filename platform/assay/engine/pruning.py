"""Pruning packs: any Tune scheduler, plus a note of which packs it stopped.

Tune tells a pruned trial from a finished one or from Ctrl-C in no reliable way, so the decision itself is
noted. The resource of a pruner is repeats (``time_attr="repeats"``); heartbeats carry no value and are not
shown to it.
"""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from assay.engine.driver import COMPLETE

__all__ = ["NotingScheduler"]


class NotingScheduler(FIFOScheduler):
    """Asks ``inner`` about results that carry a value, and notes what it stops.

    Attributes:
        stopped: Paths of the packs that were stopped before all of their trials had a record.
    """

    def __init__(self, inner: TrialScheduler) -> None:
        super().__init__()
        self.stopped: set[str] = set()
        self._inner = inner

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return self._inner.set_search_properties(metric, mode, **spec)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._inner.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if "value" not in result or result.get(COMPLETE):
            return TrialScheduler.CONTINUE
        decision = self._inner.on_trial_result(tune_controller, trial, result)
        if decision == TrialScheduler.STOP:
            self.stopped.add(trial.config["pack"])
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
