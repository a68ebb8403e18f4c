"""Trials of a study for programs and charts: a table of all of them, and the curves of one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from assay.analysis.predictions import measured_records
from assay.analysis.results.results import StudyResults
from assay.storage.progress import Running
from assay.storage.record import Record
from assay.study import Trial
from trainables.evaluation.metrics import METRICS

__all__ = [
    "CLOCKS",
    "curves_of",
    "trial_table",
]

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

    # Whole numbers with gaps stay whole: pandas would otherwise turn a column with a missing one into floats.
    counts = ("fold", "epochs", "n_train", "n_test", "attempts")
    return table.astype({name: "Int64" for name in counts if name in table})


def _settings(trials: Iterable[Trial]) -> dict[str, list[Any]]:
    """Settings in which cells differ from the base, with the base's own value elsewhere."""
    # All trials of a cell share one object of its differences, so identity tells cells apart at no cost.
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
        # A record decides. Without one the order is damaged, running, planned: a trial that is trained
        # again after damage is still without a sound record.
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


# Curves of one trial -------------------------------------------------------------------------------------


CLOCKS = ("epoch", "seconds", "time")
_VALIDATION = "validation."
_SCORES = "Validation scores"
_NAMES = {"lambda": "λ, weight of the segmentation loss", "lr": "Learning rate"}


def curves_of(curve: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    """Title → unit and long table (``epoch`` from 1, ``what``, ``value``), for what shares an axis."""
    curve = curve.replace([math.inf, -math.inf], math.nan)  # of a loss on its way to diverge
    # Losses share an axis, and so do scores from 0 to 1; a learning rate beside them would be a flat line.
    groups: dict[str, list[str]] = {}
    for name in curve.columns:
        if name not in CLOCKS:
            groups.setdefault(_group(name)[0], []).append(name)
    tables: dict[str, tuple[str, pd.DataFrame]] = {}
    for title, names in groups.items():
        parts = [
            pd.DataFrame({"epoch": curve["epoch"] + 1, "what": _title(name), "value": curve[name]}).dropna(
                subset=["value"]
            )
            for name in names
        ]
        table = pd.concat(parts)
        if len(table):
            # An axis with one score is headed by its name, which says more than "Validation scores".
            only = f"Validation {_title(names[0])}" if title == _SCORES and len(names) == 1 else title
            tables[only] = _group(names[0])[1], table
    return tables


def _group(name: str) -> tuple[str, str]:
    """Title and unit of the axis of a column."""
    if name.startswith(_VALIDATION):
        metric = METRICS.get(name.removeprefix(_VALIDATION))
        unit = "0–1" if metric is None else metric.scale
        return (_SCORES if unit == "0–1" else f"Validation in {unit}"), unit
    return ("Loss" if "loss" in name else _NAMES.get(name, name)), ""


def _title(name: str) -> str:
    metric = METRICS.get(name.removeprefix(_VALIDATION))
    return name if metric is None else metric.title
