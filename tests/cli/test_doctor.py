"""`assay doctor`: what it finds in order, and what it names; the same addresses given to `assay mlflow`."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from assay import __version__ as version
from assay.storage import Store
from tests.cli.small_study import Assay, run_elsewhere
from tests.helpers.mounting import in_own_mounts
from tests.helpers.s3_server import CREDENTIALS


def test_doctor_finds_this_machine_in_order(assay: Assay, tmp_path: Path) -> None:
    answer = assay("doctor", "--quick", "--storage", tmp_path / "storage")
    assert answer.code == 0, answer.out
    assert {"python", "ray", "machine", "storage", "tracking"} <= {
        line.split()[1] for line in answer.out.splitlines()
    }
    assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize("command", [("--version",), ("doctor", "--quick")], ids=" ".join)
def test_the_version_of_the_program_is_printed(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ASSAY_STORAGE", str(tmp_path / "storage"))
    answer = assay(*command)
    assert answer.code == 0, answer.out + answer.err
    assert answer.out.splitlines()[0].removeprefix("ok   ").split() == ["assay", version]


def test_doctor_names_a_storage_that_cannot_be(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    answer = assay("doctor", "--quick", "--storage", tmp_path / "file")
    assert answer.code == 1
    assert "BAD  storage" in answer.out


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
@pytest.mark.parametrize("command", [("doctor", "--quick"), ("stop", "small", "--force")], ids=" ".join)
def test_a_storage_without_file_locks_is_named(
    assay: Assay, store: Store, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    run_elsewhere(store)
    monkeypatch.setattr(fcntl, "flock", flock)
    answer = assay(*command, "--storage", store.uri)
    words = f"a storage lies where files can be locked, and those of {store.uri}"
    assert answer.code == (1 if command[0] == "doctor" else 2)
    assert words in answer.out + answer.err


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("RAY_ADDRESS=nonsense", "BAD  cluster   nobody answers at RAY_ADDRESS=nonsense (it is not host"),
        ("RAY_ADDRESS=127.0.0.1:1", "BAD  cluster   nobody answers at RAY_ADDRESS=127.0.0.1:1"),
        ("RAY_ADDRESS=127.0.0.1:99999", "(it is not host:port)"),
        ("RAY_ADDRESS=ray://127.0.0.1:10001", "ray:// is Ray Client's; the head's port is 6379"),
        ("MLFLOW_TRACKING_URI=nonsense://x", "BAD  tracking  nonsense://x: MLflow keeps runs on a server"),
        ("MLFLOW_TRACKING_URI=mysql+cymysql://u:hunter2@h/x", "driver is not installed (No module named"),
    ],
)
def test_doctor_names_a_cluster_or_tracking_address_that_cannot_work(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, words: str
) -> None:
    monkeypatch.setenv(*setting.split("="))
    answer = assay("doctor", "--quick", "--storage", tmp_path)
    assert answer.code == 1
    assert words in " ".join(answer.out.split("\n"))
    assert "hunter2" not in answer.out


@pytest.mark.parametrize(
    "uri",
    [
        "nonsense://me:hunter2@h",
        "mysql+cymysql://me:hunter2@h/x",
        "postgresql://me:hunter2@h:port/x",
        "mlruns",
        "databricks",
    ],
)
def test_mlflow_opens_no_pages_on_an_address_that_it_would_refuse(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    answer = assay("mlflow", "--storage", tmp_path)
    assert answer.code == 2
    assert answer.err.startswith("error: MLflow")
    assert "hunter2" not in answer.err


def test_a_study_is_not_trained_towards_an_address_that_mlflow_does_not_know(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "storage"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://me:hunter2@h")
    answer = assay("run", "quickstart", "--storage", storage)
    assert answer.code == 2
    assert "error: MLflow cannot open nonsense://***@h: MLflow keeps runs on a server" in answer.err
    assert not storage.exists()


@pytest.mark.parametrize("command", [("run", "quickstart"), ("mlflow", "--sync"), ("doctor", "--quick")])
def test_a_tracking_uri_that_is_typed_holds_no_credentials(
    assay: Assay, tmp_path: Path, command: tuple[str, ...]
) -> None:
    answer = assay(*command, "--storage", tmp_path / "new", "--tracking-uri", "http://me:hunter2@h")
    assert answer.code == 2
    assert "--tracking-uri holds no credentials, found http://***@h" in answer.err
    assert "MLFLOW_TRACKING_PASSWORD" in answer.err


def test_mlflow_has_its_tables_before_its_pages_open(assay: Assay, tmp_path: Path) -> None:
    """An end in the first seconds of the pages leaves nothing half made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = assay("mlflow", "--storage", tmp_path, "--port", str(taken.getsockname()[1]))
    assert answer.code == 2, answer.err
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("SELECT count(*) FROM experiments").fetchone() == (1,)


def test_doctor_names_a_read_only_folder_and_that_mlflow_has_no_place_there(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o ro tmpfs {tmp_path} && exec {sys.executable} -m assay doctor --quick"
    command = in_own_mounts(["bash", "-c", f"{mount} --storage {tmp_path}"])
    wide = {**os.environ, "COLUMNS": "400"}
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=wide).stdout
    for subject in ("storage ", "tracking"):
        assert f"BAD  {subject}  {tmp_path} cannot be written: {tmp_path} is read-only or" in said


def test_doctor_examines_the_folder_that_a_uri_means(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("x")
    answer = assay("doctor", "--quick", "--storage", f"file://{tmp_path}/a%20file")
    assert f"tracking {tmp_path}/a file cannot be written" in " ".join(answer.out.split())


def test_doctor_names_a_folder_whose_place_it_may_not_enter(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(0o600)
    command = [sys.executable, "-m", "assay", "doctor", "--quick", "--cache", str(locked / "cache")]
    if os.getuid() == 0:  # root may enter any, unless it gives that up
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "400"},
    )
    assert f"{locked}/cache cannot be written: {locked} is read-only or not yours" in done.stdout


def test_doctor_takes_a_relative_cache_and_prints_no_password(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://me:hunter2@head:10001")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
    answer = assay("doctor", "--quick", "--storage", tmp_path, "--cache", "no-such/folder")
    assert "ok   cache     no-such/folder" in answer.out
    assert "http://***@127.0.0.1:9 is away" in answer.out
    assert "hunter2" not in answer.out + answer.err


def test_a_store_that_cannot_be_read_is_not_written(assay: Assay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a silent one each request takes seconds."""
    methods = set[str]()

    class Refuses(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            methods.add(self.rfile.readline().decode().partition(" ")[0])
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.close_connection = True

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        endpoint = f"endpoint_override=127.0.0.1:{server.server_port}&scheme=http"
        answer = assay("doctor", "--quick", "--storage", f"s3://bucket/results?{endpoint}")
        server.shutdown()
        thread.join()
    assert answer.code == 1
    assert "refuses these credentials" in answer.out
    assert methods <= {"GET", "HEAD"}
