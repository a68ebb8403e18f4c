"""The SQLite file of a tracking URI: with all of MLflow's tables, or not there.

MLflow builds its tables in some hundred steps, each of which is kept at once, and cannot go on where one was
cut short. So a new file is built in a folder beside its place, and moved there when it is complete. A file
that was cut short is quarantined, never deleted: it may hold runs that no record has.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from assay.storage.files import local_disk
from assay.tracking.addresses import as_opened, in_short
from trainables.data.files.atomic import exclusive, why_unusable
from trainables.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["complete_file", "quiet_mlflow"]

_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite writes beside a database
_QUIET_SECONDS = 5.0  # a file that nobody wrote for so long is not being built


def complete_file(uri: str) -> str | None:
    """See that the SQLite file of ``uri`` is there with all of its tables; servers are left alone.

    Returns:
        A sentence for the user where a file that was cut short was quarantined; else None.

    Raises:
        OSError: If MLflow cannot build its tables there.
    """
    from sqlalchemy import make_url

    url = make_url(uri) if uri.startswith("sqlite") else None
    if url is None or not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return None
    path, aside = Path(url.database).resolve(), None
    if path.exists() and not _cut_short(path):
        return None

    # MLflow needs seconds to make its tables, and cannot go on with a file in which that was cut short. So a
    # process that makes them is waited for, and half a file is begun anew.
    try:
        with exclusive(path):  # another process may have built it meanwhile
            if not path.exists() or _cut_short(path):
                aside = _quarantine(path)
                _build(url, path)
    except StorageError as error:  # of the lock, with advice for caches
        cause = error.__cause__
        why = why_unusable(cause, path.parent) if isinstance(cause, OSError) else None
        raise StorageError(
            f"MLflow's database {path} cannot be made: the folder {path.parent} {why or cause}. Mend that, "
            "or name another place for it: --tracking-uri sqlite:////FOLDER/mlflow.db."
        ) from error
    if aside is None:
        return None
    return (
        f"the making of MLflow's tables in {path} was cut short, and MLflow cannot go on with them. The file "
        f"lies in {aside} now, and a new one is filled from the records."
    )


def _half_built(database: sqlite3.Connection) -> bool:
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


def quiet_mlflow() -> None:
    """Keep MLflow's log from the terminal: its news are none of the user's, and its errors are raised, too.

    To be called once MLflow is loaded, which sets levels of its own.
    """
    for name in ("mlflow", "alembic", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _cut_short(path: Path) -> bool:
    """True where the building of tables has begun and nobody goes on with it."""
    try:
        with closing(sqlite3.connect(path, timeout=30)) as database:
            while _half_built(database):
                # A young file may still be in the making, by MLflow's server: it is waited for until nobody
                # has written it for a while.
                pause = _QUIET_SECONDS - (time.time() - path.stat().st_mtime)
                if pause <= 0:
                    return True
                time.sleep(min(pause, _QUIET_SECONDS))  # MLflow's server may be at it
    except sqlite3.Error:
        pass  # MLflow says what is wrong with it
    return False


def _quarantine(path: Path) -> Path | None:
    """Give the file, with what SQLite wrote beside it, a name that says what it is; None: there is none."""
    there = path.exists()
    aside = path.with_name(f"{path.name}.half-built-{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}")
    for end in (*_BESIDE, ""):  # a journal of the old file would be played back into the new one
        if (old := path.with_name(path.name + end)).exists():
            local_disk.move(old, aside.with_name(aside.name + end))
    return aside if there else None


def _build(url: URL, path: Path) -> None:
    """Put a new file at ``path``; one that somebody else has put there meanwhile stays."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    quiet_mlflow()

    # It is built beside its place, on the same disk, and linked there when all tables are in it: nobody sees
    # half of it.
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".partial", dir=path.parent) as folder:
        new = Path(folder) / path.name
        uri = url.set(database=str(new)).render_as_string(hide_password=False)
        try:
            MlflowClient(as_opened(uri))
        except (MlflowException, SQLAlchemyError) as error:
            raise OSError(f"MLflow cannot make its tables in {path}: {in_short(error)}") from error
        try:
            os.link(new, path)
        except OSError:  # this file system has no links, or the file is there
            if not path.exists():
                local_disk.move(new, path)
