"""Which records an MLflow store has seen: one small file per study and tracking URI, kept with the results.

It only saves questions to the server. A lost one costs one question per record, and one that belongs to
another experiment (the database was deleted and made anew) is not believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from assay.storage.store import Store

__all__ = [
    "VIEW",
    "SyncState",
    "read_sync_state",
    "run_address",
    "runs_of",
    "sqlite_address",
    "study_address",
    "sync_state_path",
    "write_sync_state",
]

VIEW = "assay"  # name of the view of a study's table that the MLflow sync keeps in the experiment
_MODEL_TRAINING = "?workflowType=machine_learning"  # MLflow 3 opens on pages for language models otherwise


def sqlite_address(path: Path) -> str:
    """Tracking URI of the SQLite file at ``path``.

    In a URI ``?`` begins a query and ``%41`` is an ``A``: a path with such signs is written with %3F and %25.
    """
    text = str(path)
    return f"sqlite:///{quote(text) if {'?', '%'} & set(text) else text}"


class SyncState(BaseModel, extra="forbid"):
    """State of what was synced into one experiment."""

    experiment: str = Field(description="Experiment id and its time of creation.")
    records: dict[str, str] = Field(default_factory=dict, description="Trial → sha256 of its record.")
    runs: dict[str, str] = Field(default_factory=dict, description="Trial → id of its run, for links.")
    stale: set[str] = Field(default_factory=set, description="Cells whose means are yet to be told.")
    view: str = Field(default="", description="Name of the table's view.")


def read_sync_state(store: Store, study: str, uri: str, experiment: str) -> SyncState:
    """The state of ``experiment``; an empty one when there is none, or one of another experiment."""
    state = _read(store, sync_state_path(study, uri))
    return state if state and state.experiment == experiment else SyncState(experiment=experiment)


def write_sync_state(store: Store, study: str, uri: str, state: SyncState) -> None:
    """Write the sync state over the last one."""
    store.write_bytes(sync_state_path(study, uri), state.model_dump_json().encode())


def run_address(store: Store, study: str, trial: str) -> str | None:
    """Address of a trial's run in MLflow's pages, below their root; None where no sync state names it.

    Of several tracking stores the first by name counts.
    """
    for state in _states(store, study):
        if trial in state.runs:
            return f"{_runs(state)}/{state.runs[trial]}{_MODEL_TRAINING}"
    return None


def runs_of(store: Store, study: str, uri: str) -> dict[str, str]:
    """Trial → id of its run in the store or server ``uri``; empty where that was told of none."""
    state = _read(store, sync_state_path(study, uri))
    return state.runs if state else {}


def study_address(store: Store, study: str, uri: str | None = None) -> str | None:
    """Address of a study's runs, cell by cell, in the same pages; None where there are none.

    Of several tracking stores that of ``uri``, or the first by name.
    """
    state = next(_states(store, study), None) if uri is None else _read(store, sync_state_path(study, uri))
    if state is None:
        return None
    return f"{_runs(state)}{_MODEL_TRAINING}" + (f"&viewStateShareKey={state.view}" if state.view else "")


def sync_state_path(study: str, uri: str) -> str:
    """Path of a study's sync state for a store or server; a hash, because a tracking URI may hold a
    password."""
    return f"{Store.study(study)}/mlflow-{hashlib.sha256(uri.encode()).hexdigest()[:12]}.json"


def _states(store: Store, study: str) -> Iterator[SyncState]:
    folder = Store.study(study)
    for name in sorted(store.list(folder)):
        if name.startswith("mlflow-") and name.endswith(".json"):
            state = _read(store, f"{folder}/{name}")
            if state is not None:
                yield state


def _read(store: Store, path: str) -> SyncState | None:
    """A sync state; None where there is none, or it cannot be read: it saves no questions then."""
    try:
        return SyncState.model_validate_json(store.read_bytes(path))
    except (FileNotFoundError, ValidationError):
        return None


def _runs(state: SyncState) -> str:
    return f"#/experiments/{state.experiment.split()[0]}/runs"
