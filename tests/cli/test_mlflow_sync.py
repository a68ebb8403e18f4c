"""The thread that tells MLflow: whatever goes wrong is said at the end, and nobody waits for long."""

from __future__ import annotations

import logging
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from assay.cli.mlflow_sync import SyncThread
from assay.cli.options import in_use
from assay.storage import Store
from assay.study import Plan
from assay.tracking import complete_file
from tests.helpers.waiting import slowness


def silent(text: str) -> None:
    """The display of a test."""


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("nonsense://me:hunter2@somewhere", "nonsense"),
        ("mysql+cymysql://me:hunter2@127.0.0.1:9/runs", "cymysql"),  # its driver is not installed
    ],
)
def test_whatever_keeps_results_from_mlflow_is_said(store: Store, plan: Plan, uri: str, reason: str) -> None:
    with SyncThread(plan, store, uri, silent) as mlflow_sync:
        pass
    assert mlflow_sync.lacking is not None
    assert reason in mlflow_sync.lacking
    assert "hunter2" not in mlflow_sync.lacking


def test_a_database_that_cannot_be_written_is_named_and_no_traceback_is_shown(
    store: Store, plan: Plan, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    complete_file(uri)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON experiment_tags "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
        database.commit()
    with SyncThread(plan, store, uri, silent) as mlflow_sync:
        pass
    assert f"{uri}: (sqlite3" in (mlflow_sync.lacking or "")
    assert "disk is full" in (mlflow_sync.lacking or "")
    assert not logging.getLogger("mlflow.store.db.utils").isEnabledFor(logging.ERROR)  # its traceback


def test_a_sync_state_that_cannot_be_read_is_said(store: Store, plan: Plan) -> None:
    with SyncThread(plan, store, None, silent) as mlflow_sync:
        pass
    assert mlflow_sync.lacking is None
    (state,) = (name for name in store.list("studies/small") if name.startswith("mlflow-"))
    store.delete_tree(f"studies/small/{state}")
    store.write_bytes(f"studies/small/{state}/x", b"a folder in its place")
    with SyncThread(plan, store, None, silent) as mlflow_sync:
        pass
    assert mlflow_sync.lacking is not None
    assert state in mlflow_sync.lacking


def test_an_interrupted_run_does_not_wait_for_a_server_that_never_answers(
    store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "100")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        uri = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with SyncThread(plan, store, uri, silent, patience=0.3) as mlflow_sync:
            mlflow_sync.interrupt()
            start = time.monotonic()
        assert time.monotonic() - start < 20 * slowness()
        assert mlflow_sync.lacking == "it did not answer within 0.3 s"


SECRET_URI = "http://me:hunter2@tracking"


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({}, "assay mlflow"),
        ({"storage": "a b"}, "assay mlflow --storage 'a b'"),
        ({"tracking_uri": SECRET_URI}, "assay mlflow --tracking-uri 'http://***@tracking'"),
    ],
    ids=["none", "storage", "tracking uri"],
)
def test_printed_commands_name_the_options_in_use(options: dict[str, str], command: str) -> None:
    assert in_use("assay mlflow", **options) == command


def test_printed_commands_leave_out_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SECRET_URI)
    assert in_use("assay mlflow", tracking_uri=SECRET_URI) == "assay mlflow"
