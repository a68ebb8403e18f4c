"""The same trials as other programs keep them: an Optuna study and an MLflow experiment, both in SQLite.

One trial is written by the program itself, which makes its tables; the others are copies of its rows with
numbers of their own, straight into the database: ten thousand through MLflow's client take many minutes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

__all__ = ["TrackedTrial", "write_mlflow", "write_optuna"]

_METRIC = "image_ap"


class TrackedTrial(NamedTuple):
    """Trial as the three pages show it."""

    name: str
    parameters: dict[str, float]
    value: float


def write_optuna(path: Path, study: str, trials: Sequence[TrackedTrial]) -> str:
    """An Optuna study in ``path``; returns its storage's URI."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    uri = f"sqlite:///{path}"
    made = optuna.create_study(storage=uri, study_name=study, direction="maximize")
    made.add_trial(
        optuna.trial.create_trial(
            params=trials[0].parameters,
            distributions={
                name: optuna.distributions.FloatDistribution(0, 100) for name in trials[0].parameters
            },
            value=trials[0].value,
        )
    )
    with closing(sqlite3.connect(path)) as database, database:
        first = _row(database, "trials")
        parameter = _row(database, "trial_params")
        value = _row(database, "trial_values")
        for number, trial in enumerate(trials[1:], start=1):
            new = {"trial_id": number + 1}
            _insert(database, "trials", first | new | {"number": number})
            _insert(database, "trial_values", value | new | {"trial_value_id": None, "value": trial.value})
            for name, set_to in trial.parameters.items():
                parameters = {"param_id": None, "param_name": name, "param_value": set_to}
                _insert(database, "trial_params", parameter | new | parameters)
    return uri


def write_mlflow(path: Path, experiment: str, trials: Sequence[TrackedTrial]) -> str:
    """An MLflow experiment in ``path``; returns the URI of its store."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{path}"
    client = MlflowClient(uri)
    number = client.create_experiment(experiment, artifact_location=(path.parent / "artifacts").as_uri())
    run = client.create_run(number, run_name=trials[0].name).info.run_id
    client.log_metric(run, _METRIC, trials[0].value)
    for name, set_to in trials[0].parameters.items():
        client.log_param(run, name, set_to)
    client.set_terminated(run)
    with closing(sqlite3.connect(path)) as database, database:
        rows = {
            name: _row(database, name) for name in ("runs", "metrics", "latest_metrics", "params", "tags")
        }
        for index, trial in enumerate(trials[1:], start=1):
            new = {"run_uuid": f"{index:032x}"}
            _insert(database, "runs", rows["runs"] | new | {"name": trial.name})
            for table in ("metrics", "latest_metrics"):
                _insert(database, table, rows[table] | new | {"value": trial.value})
            _insert(database, "tags", rows["tags"] | new | {"key": "mlflow.runName", "value": trial.name})
            for name, set_to in trial.parameters.items():
                _insert(database, "params", rows["params"] | new | {"key": name, "value": f"{set_to:g}"})
    return uri


def _row(database: sqlite3.Connection, table: str) -> dict[str, object]:
    rows = database.execute(f"select * from {table} limit 1")
    return dict(zip((column[0] for column in rows.description), rows.fetchone(), strict=True))


def _insert(database: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    marks = ", ".join("?" * len(row))
    database.execute(f"insert into {table} ({', '.join(row)}) values ({marks})", list(row.values()))
