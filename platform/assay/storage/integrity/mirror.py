"""The database that mirrors records for MLflow's pages. It holds nothing that records do not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from assay.storage.integrity.damage import Damage
from assay.storage.mlflow_marker import mirrored_runs
from assay.storage.store import Store

__all__ = ["check_mirror"]

_DATABASE = "mlflow.db"
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite writes beside it
_COST = "MLflow's pages do not open; records stand"
_REPLAYED = "`assay mlflow --sync` replays the records into a new one"


def check_mirror(store: Store) -> Iterator[Damage]:
    """Ask SQLite whether the database is sound, and look whether it has the runs that were mirrored."""
    path = store.local_file(_DATABASE)
    if path is None or not path.exists():
        return
    aside = tuple(name for end in ("", *_BESIDE) if store.exists(name := _DATABASE + end))
    if not path.stat().st_size:
        yield Damage(_DATABASE, "is empty", _COST, _REPLAYED, aside)
        return
    try:
        trouble, runs = _look(path)
    except sqlite3.DatabaseError as error:
        yield Damage(_DATABASE, f"is no sound database ({error})", _COST, _REPLAYED, aside)
        return
    if trouble != "ok":
        text = f"is no sound database ({' '.join(trouble.split())[:100]})"
        yield Damage(_DATABASE, text, _COST, _REPLAYED, aside)
        return
    for study in store.studies():
        for marker, mirrored in mirrored_runs(store, study, f"sqlite:///{path}").items():
            missing = mirrored - runs
            if missing:
                text = f"lacks {len(missing)} of {len(mirrored)} runs of {study} that were mirrored"
                again = "`assay mlflow --sync` replays them"
                yield Damage(_DATABASE, text, "MLflow's pages lack them; records stand", again, (marker,))


def _look(path: Path) -> tuple[str, set[str]]:
    """Ask SQLite what it says of the database, and for the ids of its runs."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as database:
        (trouble,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if trouble != "ok":
            return trouble, set()
        return trouble, {run for (run,) in database.execute("SELECT run_uuid FROM runs")}
