"""Which records an MLflow store has seen: one small file per study and tracking URI, kept with the results.

It only saves questions to the server. A lost marker costs one question per record, and one that belongs to
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
    "Marker",
    "marker_path",
    "read_marker",
    "run_address",
    "runs_of",
    "sqlite_address",
    "study_address",
    "write_marker",
]

VIEW = "assay"  # name of the view of a study's table that the mirror keeps in the experiment
_MODEL_TRAINING = "?workflowType=machine_learning"  # MLflow 3 opens on pages for language models otherwise


def sqlite_address(path: Path) -> str:
    """Tracking URI of the SQLite file at ``path``.

    In a URI ``?`` begins a query and ``%41`` is an ``A``: a path with such signs is written with %3F and %25.
    """
    text = str(path)
    return f"sqlite:///{quote(text) if {'?', '%'} & set(text) else text}"


class Marker(BaseModel, extra="forbid"):
    """Note of what was mirrored into one experiment."""

    experiment: str = Field(description="Experiment id and its time of creation.")
    records: dict[str, str] = Field(default_factory=dict, description="Trial → sha256 of its record.")
    runs: dict[str, str] = Field(default_factory=dict, description="Trial → id of its run, for links.")
    stale: set[str] = Field(default_factory=set, description="Cells whose means are yet to be told.")
    view: str = Field(default="", description="Name of the table's view.")


def read_marker(store: Store, study: str, uri: str, experiment: str) -> Marker:
    """The marker of ``experiment``; an empty one when there is none, or one of another experiment."""
    marker = _read(store, marker_path(study, uri))
    return marker if marker and marker.experiment == experiment else Marker(experiment=experiment)


def write_marker(store: Store, study: str, uri: str, marker: Marker) -> None:
    """Write the marker over the last one."""
    store.write_bytes(marker_path(study, uri), marker.model_dump_json().encode())


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
    marker = _read(store, marker_path(study, uri))
    return marker.runs if marker else {}


def study_address(store: Store, study: str, uri: str | None = None) -> str | None:
    """Address of a study's runs, cell by cell, in the same pages; None where there are none.

    Of several tracking stores that of ``uri``, or the first by name.
    """
    marker = next(_markers(store, study), None) if uri is None else _read(store, marker_path(study, uri))
    if marker is None:
        return None
    return f"{_runs(marker)}{_MODEL_TRAINING}" + (f"&viewStateShareKey={marker.view}" if marker.view else "")


def marker_path(study: str, uri: str) -> str:
    """Path of a study's marker for a store or server; a hash, because a tracking URI may hold a password."""
    return f"{Store.study(study)}/mlflow-{hashlib.sha256(uri.encode()).hexdigest()[:12]}.json"


def _markers(store: Store, study: str) -> Iterator[Marker]:
    folder = Store.study(study)
    for name in sorted(store.list(folder)):
        if name.startswith("mlflow-") and name.endswith(".json"):
            marker = _read(store, f"{folder}/{name}")
            if marker is not None:
                yield marker


def _read(store: Store, path: str) -> Marker | None:
    """A marker; None where there is none, or it cannot be read: it saves no questions then."""
    try:
        return Marker.model_validate_json(store.read_bytes(path))
    except (FileNotFoundError, ValidationError):
        return None


def _runs(marker: Marker) -> str:
    return f"#/experiments/{marker.experiment.split()[0]}/runs"
