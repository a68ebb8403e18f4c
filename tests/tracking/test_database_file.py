"""MLflow's SQLite file comes about whole; one that was cut short is quarantined and made anew."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from mlflow.tracking import MlflowClient

from assay.storage import Store
from assay.tracking import default_uri
from assay.tracking.database_file import complete_file
from assay.tracking.mlflow import MlflowSync, SyncReport
from tests.tracking.test_mlflow_sync import fill, results_of
from trainables.errors import StorageError

# Ends a process while the first table is changed, as a kill there does.
DIES_WHILE_BUILDING = """\
import os, sys, sqlalchemy
def end(cursor, statement, *rest):
    if "INSERT INTO _alembic_tmp_" in statement:
        os._exit(9)
sqlalchemy.event.listen(sqlalchemy.Engine, "do_execute", end)
"""


def dies(code: str, uri: str) -> None:
    done = subprocess.run([sys.executable, "-c", DIES_WHILE_BUILDING + code, uri], check=False)
    assert done.returncode == 9


@contextmanager
def at_each_statement(act: Callable[..., Any]) -> Iterator[None]:
    sqlalchemy.event.listen(sqlalchemy.Engine, "do_execute", act)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "do_execute", act)


def experiments(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM experiments").fetchone()[0])


def test_a_folder_is_not_made_again_in_the_letters_of_its_uri(tmp_path: Path) -> None:
    folder = tmp_path / "Prüfung 1"
    folder.mkdir()
    assert complete_file(f"sqlite:///{folder}/mlflow.db") is None
    assert experiments(folder / "mlflow.db") == 1
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["a?mode=ro", "%3F?#&=@:+ %41 ü"])
def test_the_file_of_a_storage_lies_in_its_folder_whatever_signs_the_name_has(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    for turn in ("made", "opened again"):
        store = Store(folder)
        if turn == "made":
            fill(store)
        uri = default_uri(store)
        assert uri is not None
        report = MlflowSync(uri, store).sync(results_of(store))
        assert (report.new, report.already) == ((8, 0) if turn == "made" else (0, 8)), report
    assert experiments(folder / "mlflow.db") == 2
    assert any((folder / "mlflow-artifacts").rglob("*.png"))
    assert list(tmp_path.iterdir()) == [folder]


def test_the_file_that_a_user_names_lies_where_the_uri_says(tmp_path: Path) -> None:
    (tmp_path / "my runs").mkdir()
    store = Store(tmp_path / "storage")
    fill(store)
    MlflowSync(f"sqlite:///{tmp_path}/my%20runs/mlflow.db", store).sync(results_of(store))
    assert experiments(tmp_path / "my runs" / "mlflow.db") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my runs", "storage"]


@pytest.fixture(scope="module")
def cut_short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that MLflow leaves when it is killed while it builds its tables in place."""
    path = tmp_path_factory.mktemp("cut") / "mlflow.db"
    dies("from mlflow.tracking import MlflowClient; MlflowClient(sys.argv[1])", f"sqlite:///{path}")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    fill(store)
    return store


def old_copy(source: Path, folder: Path) -> bytes:
    path = Path(shutil.copy(source, folder))
    os.utime(path, (time.time() - 60,) * 2)
    return path.read_bytes()


def test_a_database_that_was_cut_short_is_quarantined_and_replayed(
    cut_short: Path, store: Store, tmp_path: Path
) -> None:
    left = old_copy(cut_short, tmp_path)
    mlflow_sync = MlflowSync(f"sqlite:///{tmp_path}/mlflow.db", store)
    first, second = mlflow_sync.sync(results_of(store)), mlflow_sync.sync(results_of(store))
    (aside,) = tmp_path.glob("mlflow.db.half-built-*")
    assert aside.read_bytes() == left
    assert first.complete
    assert first.new == 8
    (note,) = first.notes
    assert str(aside) in note
    assert second == SyncReport(already=8), "said once"


def test_a_kill_while_tables_are_built_leaves_nothing_in_their_place(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    dies("from assay.tracking.database_file import complete_file; complete_file(sys.argv[1])", uri)
    assert not (tmp_path / "mlflow.db").exists()
    assert complete_file(uri) is None
    assert experiments(tmp_path / "mlflow.db") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_a_database_that_appears_while_another_is_built_stays(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with at_each_statement(lambda *_: path.write_text("somebody else's") and None):
        complete_file(f"sqlite:///{path}")
    assert path.read_text() == "somebody else's"


def test_a_database_that_somebody_builds_at_this_moment_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE experiments (experiment_id INTEGER)")

    def finish() -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute("INSERT INTO experiments VALUES (0)")
            database.commit()

    builder = threading.Timer(0.5, finish)
    builder.start()
    assert complete_file(f"sqlite:///{path}") is None
    builder.join()
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_whole_database_and_one_in_memory_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    MlflowClient(f"sqlite:///{path}")
    before = path.read_bytes()
    for uri in (f"sqlite:///{path}", "sqlite://", "sqlite:///:memory:", "http://127.0.0.1:9"):
        assert complete_file(uri) is None
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["runs.db"]


def test_ctrl_c_while_tables_are_built_stays_an_interrupt(store: Store, tmp_path: Path) -> None:
    def interrupt(cursor: Any, statement: str, *rest: Any) -> None:
        if "INSERT INTO _alembic_tmp_" in statement:
            raise KeyboardInterrupt

    mlflow_sync = MlflowSync(f"sqlite:///{tmp_path}/mlflow.db", store)
    with at_each_statement(interrupt), pytest.raises(KeyboardInterrupt):
        mlflow_sync.sync(results_of(store))
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".db", ".partial")]


def test_a_storage_that_was_moved_away_gets_no_database_in_its_place(tmp_path: Path) -> None:
    store = Store(tmp_path / "storage")
    fill(store)
    results = results_of(store)
    (tmp_path / "storage").rename(tmp_path / "away")
    report = MlflowSync(f"sqlite:///{store.uri}/mlflow.db", store).sync(results)
    assert "is gone. Bring it back" in (report.away or "")
    assert [path.name for path in tmp_path.iterdir()] == ["away"]


def test_a_folder_that_cannot_hold_the_database_is_named_with_the_option_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlflow.db"

    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(StorageError, match=rf"the folder {tmp_path} is read-only\. .*--tracking-uri") as said:
        complete_file(f"sqlite:///{path}")
    assert "--cache" not in str(said.value)


def test_tables_that_cannot_be_made_are_named_with_their_place(tmp_path: Path) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    path = tmp_path / "mlflow.db"
    with at_each_statement(full), pytest.raises(OSError, match=f"tables in {path}: .*disk is full"):
        complete_file(f"sqlite:///{path}")
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db.lock"]
