"""The database that mirrors records for MLflow's pages. It holds nothing that records do not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from assay.storage.integrity.damage import Damage
from assay.storage.mlflow_marker import marker_path, runs_of, sqlite_address
from assay.storage.store import Store

__all__ = ["BESIDE", "check_mirror", "half_built"]

BESIDE = ("-wal", "-shm", "-journal")  # what SQLite writes beside a database
_DATABASE = "mlflow.db"
_COST = "MLflow's pages do not open; records stand"
_REPLAYED = "`assay mlflow --sync` replays the records into a new one"


def check_mirror(store: Store) -> Iterator[Damage]:
    """Ask SQLite whether the database is sound, and look whether it has the runs that were mirrored."""
    path = store.local_file(_DATABASE)
    if path is None or not path.exists():
        return
    aside = tuple(name for end in ("", *BESIDE) if store.exists(name := _DATABASE + end))
    if not path.stat().st_size:
        yield Damage(_DATABASE, "is empty", _COST, _REPLAYED, aside)
        return
    try:
        text, runs = _look(path)
    except sqlite3.DatabaseError as error:
        text, runs = f"is no sound database ({error})", set[str]()
    if text is not None:
        yield Damage(_DATABASE, text, _COST, _REPLAYED, aside)
        return
    uri = sqlite_address(path)
    for study in store.study_folders():
        mirrored = {*runs_of(store, study, uri).values()}
        missing = mirrored - runs
        if missing:
            text = f"lacks {len(missing)} of {len(mirrored)} runs of {study} that were mirrored"
            cost, again = "MLflow's pages lack them; records stand", "`assay mlflow --sync` replays them"
            yield Damage(_DATABASE, text, cost, again, (marker_path(study, uri),))


def half_built(database: sqlite3.Connection) -> bool:
    """True where the making of MLflow's tables has begun and has not ended.

    Its last step makes the first experiment, so without one there are no runs either. A table that begins
    with ``_alembic_tmp_`` is there while another is changed, also in a database that had been complete.
    """
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if any(name.startswith("_alembic_tmp_") for name in tables):
        return True
    if "experiments" in tables:
        return database.execute("SELECT 1 FROM experiments LIMIT 1").fetchone() is None
    return not tables


def _look(path: Path) -> tuple[str | None, set[str]]:
    """The fault of the database as a whole, by SQLite and by its tables, and the ids of its runs."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as database:
        (trouble,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if trouble != "ok":
            return f"is no sound database ({' '.join(trouble.split())[:100]})", set()
        if half_built(database):
            return "has MLflow's tables half built", set()
        return None, {run for (run,) in database.execute("SELECT run_uuid FROM runs")}
