"""All trials of a study as one table for programs: what each is, how it ended, its scores and its costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from assay.analysis.later_metrics import measured_records
from assay.analysis.results import StudyResults
from assay.storage.progress import Running
from assay.storage.record import Record
from assay.study import Trial

__all__ = ["trial_table"]

_OF_RECORD: dict[str, Callable[[Record], Any]] = {  # in the order of the columns
    "reason": lambda record: record.reason,
    "epochs": lambda record: None if record.result is None else record.result.epochs,
    "n_train": lambda record: None if record.result is None else record.result.n_train,
    "n_test": lambda record: None if record.result is None else record.result.n_test,
    "seconds": lambda record: record.seconds,
    "attempts": lambda record: record.attempts,
    "host": lambda record: record.environment.host,
    "started": lambda record: record.started,
    "ended": lambda record: record.ended,
    "weights_hash": lambda record: None if record.result is None else record.result.weights_hash,
}


def trial_table(results: StudyResults, running: Iterable[Running] = ()) -> pd.DataFrame:
    """One row per trial of the plan, in its order; the index is the trial's id.

    Columns: ``cell``, ``factor:NAME``, ``seed``, ``fold``, ``method``, ``supervision``, settings that differ
    between cells (``config.lr``), ``status``, each metric on test images under its name and on validation as
    ``validation:NAME``, and what training was: ``seconds`` (shared stages included), ``epochs``, ``host`` and
    others. ``status`` is that of the record, or ``damaged``, ``running`` or ``planned`` where there is none.
    What there is none of is missing (NaN, None or NaT).
    """
    trials = results.plan.trials
    records = [measured_records(results).get(trial.id) for trial in trials]
    columns: dict[str, list[Any]] = {
        "cell": [trial.cell for trial in trials],
        **{f"factor:{f}": [trial.levels.get(f) for trial in trials] for f in results.plan.study.factors},
        "seed": [trial.seed for trial in trials],
        "fold": [trial.fold for trial in trials],
        "method": [trial.trainable for trial in trials],
        "supervision": [str(trial.supervision) for trial in trials],
        **_settings(trials),
        "status": _states(results, running),
        **_scores("", [None if r is None or r.result is None else r.result.metrics for r in records]),
        **_scores(
            "validation:", [None if r is None or r.result is None else r.result.validation for r in records]
        ),
    }
    for name, value_of in _OF_RECORD.items():
        columns[name] = [None if record is None else value_of(record) for record in records]
    table = pd.DataFrame(columns, index=pd.Index([trial.id for trial in trials], name="trial"))
    counts = ("fold", "epochs", "n_train", "n_test", "attempts")
    return table.astype({name: "Int64" for name in counts if name in table})


def _settings(trials: Iterable[Trial]) -> dict[str, list[Any]]:
    """Settings in which cells differ from the base, with the base's own value elsewhere."""
    of_trials = [trial.diff for trial in trials]
    base: dict[str, Any] = {}
    for diff in {id(diff): diff for diff in of_trials}.values():
        for path, (before, _) in diff.items():
            if path not in ("supervision", "trainable"):
                base.setdefault(path, before)
    return {
        path: [diff[path][1] if path in diff else value for diff in of_trials] for path, value in base.items()
    }


def _states(results: StudyResults, running: Iterable[Running]) -> list[str]:
    alive, damaged = {trial.trial.id for trial in running}, results.damaged
    states: list[str] = []
    for trial in results.plan.trials:
        record = results.records.get(trial.id)
        if record is not None:
            states.append(record.status)
        else:
            states.append("damaged" if trial.id in damaged else "running" if trial.id in alive else "planned")
    return states


def _scores(prefix: str, of_trials: list[Mapping[str, float] | None]) -> dict[str, list[float | None]]:
    """A column per metric that any trial has, in the order in which they come."""
    names = dict.fromkeys(name for scores in of_trials if scores is not None for name in scores)
    return {
        f"{prefix}{name}": [None if scores is None else scores.get(name) for scores in of_trials]
        for name in names
    }
