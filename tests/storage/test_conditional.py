"""Compare-and-swap: on folders, on servers that compare for us, and what is said where none does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.storage import Lease, Store
from assay.storage.files import conditional
from assay.storage.files.conditional import ChangedError, Swaps
from assay.storage.files.object_client import KeysOutOfReachError, object_client
from assay.storage.lease import holder
from tests.helpers.mounting import in_own_mounts
from tests.storage.conditional_server import Conditions, object_server
from trainables.errors import StorageError

S3 = "s3://bucket/results?endpoint_override=127.0.0.1:{port}&scheme=http"
GCS = "gs://bucket/results?endpoint_override=127.0.0.1:{port}&scheme=http"
AZURE = (
    "abfs://acc.blob.core.windows.net/bucket/results?blob_storage_authority=127.0.0.1:{port}&enable_tls=false"
)


@pytest.fixture(autouse=True)
def _credentials(credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "of-the-tests")
    monkeypatch.setenv("AZURE_SKIP_SIGNATURE", "true")


@pytest.fixture(params=["folder", S3, GCS, AZURE], ids=["folder", "s3", "gs", "abfs"])
def swaps(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Swaps]:
    """Of a folder, and of each kind of object store on a server that keeps conditions."""
    if request.param == "folder":
        yield Store(tmp_path).swaps
        return
    kind = {"s3:": "s3", "gs:": "gcs", "abf": "abfs"}[request.param[:3]]
    with object_server() as server:
        client = object_client(kind, request.param.format(port=server.port), "bucket/results", None)
        yield conditional.ObjectSwaps(client, lambda action: action())


def test_a_file_is_created_once(swaps: Swaps) -> None:
    assert swaps.read("studies/s/x") is None
    assert swaps.create("studies/s/x", b"first")
    assert not swaps.create("studies/s/x", b"second")
    assert swaps.read("studies/s/x").data == b"first"  # type: ignore[union-attr]


@pytest.mark.parametrize("meanwhile", [b"other", None], ids=["written", "not there"])
def test_a_file_is_replaced_only_as_it_was_read(swaps: Swaps, meanwhile: bytes | None) -> None:
    swaps.create("studies/s/x", b"first")
    first = swaps.read("studies/s/x")
    assert swaps.write("studies/s/x", b"second", over=first).data == b"second"
    path = "studies/s/x" if meanwhile else "studies/s/never"
    with pytest.raises(ChangedError):
        swaps.write(path, b"third", over=first)
    assert swaps.read("studies/s/x").data == b"second"  # type: ignore[union-attr]


def test_what_a_write_returns_is_what_the_next_one_goes_over(swaps: Swaps) -> None:
    version = None
    for content in (b"1", b"2", b"3"):
        version = swaps.write("studies/s/x", content, over=version)
    assert swaps.read("studies/s/x") == version


def test_a_store_that_compares_is_proved(swaps: Swaps) -> None:
    swaps.prove()
    assert swaps.create("studies/s/x", b"first")


def test_of_many_writers_over_one_version_exactly_one_succeeds(swaps: Swaps) -> None:
    swaps.create("studies/s/x", b"first")
    first = swaps.read("studies/s/x")
    begin, done = threading.Barrier(8), []

    def swap(number: int) -> None:
        begin.wait()
        try:
            swaps.write("studies/s/x", b"%d" % number, over=first)
        except ChangedError:
            return
        done.append(b"%d" % number)

    threads = [threading.Thread(target=swap, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [swaps.read("studies/s/x").data]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("conditions", "named"),
    [
        ("ignored", "in spite of If-None-Match"),
        ("If-Match ignored", "in spite of If-Match"),
        ("unknown", "does not know If-None-Match"),
    ],
)
def test_a_server_without_conditional_writes_is_refused_by_name(conditions: Conditions, named: str) -> None:
    with object_server(conditions) as server:
        store = Store(S3.format(port=server.port))
        with pytest.raises(StorageError, match=named), Lease(store, "s"):
            pass
        assert set(server.objects) <= {"/bucket/results/.conditions"}


def test_a_storage_without_conditional_writes_is_read_and_holds_no_run() -> None:
    store = Store("mock:///bucket/results")
    assert holder(store, "s") is None
    with (
        pytest.raises(StorageError, match="this one has none: mock offers none"),
        Lease(store, "s"),
    ):
        pass


def test_a_write_whose_answer_was_lost_counts_when_it_is_sent_again() -> None:
    with object_server() as server:
        store = Store(S3.format(port=server.port))
        server.objects["/bucket/results/studies/s/x"] = (b"mine", 1)  # the first request came through
        assert store.swaps.write("studies/s/x", b"mine", over=None).data == b"mine"


@pytest.mark.parametrize("option", ["environment", "uri"])
def test_the_server_is_the_one_that_pyarrow_talks_to(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with object_server() as server:
        uri = S3.format(port=server.port)
        if option == "environment":
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
            uri = "s3://bucket/results?region=us-east-1"
        object_client("s3", uri, "bucket/results", "us-east-1").put("x", b"1")
        assert list(server.objects) == ["/bucket/results/x"]


@pytest.mark.parametrize("file", ["credentials", "config"])
def test_keys_come_from_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    key = f"key-of-{file}"
    script = tmp_path / "keys.py"
    script.write_text(
        f'print(\'{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "s"}}\')', encoding="utf-8"
    )
    (tmp_path / ".aws").mkdir()
    text = (
        f"[work]\naws_access_key_id = {key}\naws_secret_access_key = s\n"
        if file == "credentials"
        else f"[profile work]\ncredential_process = {sys.executable} {script}\n"
    )
    (tmp_path / ".aws" / file).write_text(text, encoding="utf-8")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_PROFILE", "work")
    client = object_client("s3", S3.format(port=1), "bucket/results", "us-east-1")
    assert client.credential_provider()["access_key_id"] == key


def test_keys_that_only_pyarrow_finds_are_named_and_hold_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[profile work]\nsso_session = us\n", encoding="utf-8")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    with pytest.raises(KeysOutOfReachError, match="takes its keys from sso_session"):
        object_client("s3", S3.format(port=1), "bucket/results", "us-east-1")
    with pytest.raises(StorageError, match="export-credentials"):
        Store(S3.format(port=1)).swaps.prove()


HOLDS = """
import sys
from assay.storage import Store
with Store(sys.argv[1]).swaps.locked("studies/s/x"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_the_lock_of_a_stopped_process_is_named_and_that_of_a_killed_one_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: signal.Signals
) -> None:
    monkeypatch.setattr(conditional, "LOCK_SECONDS", 0.3)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"  # type: ignore[union-attr]
        os.kill(holder.pid, end)
        time.sleep(0.2)
        swaps = Store(tmp_path).swaps
        if end == signal.SIGKILL:
            assert swaps.write("studies/s/x", b"1", over=None).data == b"1"
        else:
            with pytest.raises(StorageError, match=f"locked by process {holder.pid} on .*is stopped"):
                swaps.write("studies/s/x", b"1", over=None)
    finally:
        holder.kill()
        holder.communicate()


READ_ONLY = """
import subprocess, sys
from assay.storage import Store
from trainables.errors import StorageError
folder = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
swaps = Store(folder).swaps
first = swaps.write("studies/s/x", b"1", over=None)
subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
try:
    swaps.write("studies/s/x", b"2", over=first)
except StorageError as error:
    print(error)
"""


def test_a_lock_that_cannot_be_taken_is_the_storages_trouble(tmp_path: Path) -> None:
    command = in_own_mounts([sys.executable, "-c", READ_ONLY, str(tmp_path)])
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"the storage {tmp_path} is read-only. Mend that")


def test_a_folder_without_hard_links_creates_files_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    swaps = Store(tmp_path).swaps
    assert swaps.create("x", b"1")
    assert not swaps.create("x", b"2")
    assert {path.name for path in tmp_path.iterdir()} == {"x", "storage.json"}


def test_a_server_that_is_away_is_said_in_plain_words() -> None:
    with pytest.raises(StorageError, match="does not answer"):
        Store(S3.format(port=1)).swaps.read("x")
