"""Which records an MLflow store has seen: one small file per study and tracking URI, kept with the results.

It only saves questions to the server. A lost marker costs one question per record, and one that belongs to
another experiment (the database was deleted and made anew) is not believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pydantic import BaseModel, Field, ValidationError

from assay.storage.store import Store

__all__ = [
    "VIEW",
    "Marker",
    "mirrored_runs",
    "read_marker",
    "run_address",
    "runs_of",
    "study_address",
    "write_marker",
]

VIEW = "assay"  # name of the view of a study's table that the mirror keeps in the experiment
_MODEL_TRAINING = "?workflowType=machine_learning"  # MLflow 3 opens on pages for language models otherwise


class Marker(BaseModel, extra="forbid"):
    """Note of what was mirrored into one experiment."""

    experiment: str = Field(description="Experiment id and its time of creation.")
    records: dict[str, str] = Field(default_factory=dict, description="Trial → sha256 of its record.")
    runs: dict[str, str] = Field(default_factory=dict, description="Trial → id of its run, for links.")
    stale: set[str] = Field(default_factory=set, description="Cells whose means are yet to be told.")
    view: str = Field(default="", description="Name of the table's view; empty before there was one.")


def read_marker(store: Store, study: str, uri: str, experiment: str) -> Marker:
    """The marker of ``experiment``; an empty one when there is none, or one of another experiment."""
    try:
        marker = Marker.model_validate_json(store.read_bytes(_path(study, uri)))
    except (FileNotFoundError, ValidationError):
        return Marker(experiment=experiment)
    return marker if marker.experiment == experiment else Marker(experiment=experiment)


def write_marker(store: Store, study: str, uri: str, marker: Marker) -> None:
    """Write the marker over the last one."""
    store.write_bytes(_path(study, uri), marker.model_dump_json().encode())


def run_address(store: Store, study: str, trial: str) -> str | None:
    """Address of a trial's run in MLflow's pages, below their root; None where no marker names it.

    Of several tracking stores the first by name counts.
    """
    for marker in _markers(store, study):
        if trial in marker.runs:
            return f"{_runs(marker)}/{marker.runs[trial]}{_MODEL_TRAINING}"
    return None


def runs_of(store: Store, study: str, uri: str) -> dict[str, str]:
    """Trial → id of its run in the store or server ``uri``; empty where that was told of none."""
    try:
        return Marker.model_validate_json(store.read_bytes(_path(study, uri))).runs
    except (FileNotFoundError, ValidationError):
        return {}


def mirrored_runs(store: Store, study: str, uri: str) -> dict[str, set[str]]:
    """Map the marker's path of a store or server to the runs it names; empty where there is none."""
    runs = runs_of(store, study, uri)
    return {_path(study, uri): set(runs.values())} if runs else {}


def study_address(store: Store, study: str, uri: str | None = None) -> str | None:
    """Address of a study's runs, cell by cell, in the same pages; None where there are none.

    Of several tracking stores that of ``uri``, or the first by name.
    """
    marker = next(_markers(store, study, uri), None)
    if marker is None:
        return None
    return f"{_runs(marker)}{_MODEL_TRAINING}" + (f"&viewStateShareKey={marker.view}" if marker.view else "")


def _markers(store: Store, study: str, uri: str | None = None) -> Iterator[Marker]:
    folder = Store.study(study)
    names = sorted(store.list(folder)) if uri is None else [_path(study, uri).rpartition("/")[2]]
    for name in (name for name in names if name.startswith("mlflow-") and name.endswith(".json")):
        try:
            yield Marker.model_validate_json(store.read_bytes(f"{folder}/{name}"))
        except (FileNotFoundError, ValidationError):
            continue  # written anew at this moment, or by another version: it gives no link then


def _runs(marker: Marker) -> str:
    return f"#/experiments/{marker.experiment.split()[0]}/runs"


def _path(study: str, uri: str) -> str:
    # A hash, because a tracking URI may hold a password.
    return f"{Store.study(study)}/mlflow-{hashlib.sha256(uri.encode()).hexdigest()[:12]}.json"
