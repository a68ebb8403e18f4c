"""`assay dashboard` as a process: what outlives it."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from assay.storage import Store
from tests.e2e.dashboard.serving import serve
from tests.helpers.ports import free_port


def _alone() -> list[str]:
    """What gives a command a network of its own, where nobody reaches it; empty where none may be made."""
    network = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    return network if subprocess.run([*network, "true"], check=False).returncode == 0 else []


@pytest.mark.parametrize(
    ("options", "buttons"),
    [
        ([], "Buttons that stop trainings are off."),
        (["--no-read-only"], "They can stop trainings: leave out --no-read-only"),
    ],
)
def test_who_lets_others_read_the_pages_is_told_their_address_and_the_risk(
    tmp_path: Path, options: list[str], buttons: str
) -> None:
    Store(tmp_path).write_bytes("studies/.keep", b"")
    port = free_port()
    command = [
        *_alone(),
        sys.executable,
        "-m",
        "assay",
        "dashboard",
        "--host",
        "0.0.0.0",
        "--port",
        str(port),
    ]
    with subprocess.Popen(
        [*command, "--storage", str(tmp_path), *options], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        up = f"the dashboard is up: open http://127.0.0.1:{port}\n"
        risk, *_ = iter(server.stdout.readline, up)
        server.terminate()
    assert risk.startswith(
        f"--host 0.0.0.0: everybody who reaches http://{socket.gethostname()}:{port} reads"
    )
    assert "no accounts, and nothing is encrypted" in risk
    assert buttons in risk


def test_each_file_comes_at_once_over_a_kept_connection_and_the_server_ends_with_its_command(
    tmp_path: Path,
) -> None:
    """Where small writes are joined, the second half of each answer waits 40 ms for the browser's word."""
    Store(tmp_path).write_bytes("studies/.keep", b"")
    seconds: list[float] = []
    with serve(str(tmp_path)) as served:
        connection = HTTPConnection(served.url.removeprefix("http://"))
        for _ in range(30):
            start = time.perf_counter()
            connection.request("GET", "/favicon.png")
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.read()
            seconds.append(time.perf_counter() - start)
        connection.close()
        command = served.process.parent()
        assert command is not None
        command.terminate()
        served.process.wait(60)
    assert not served.process.is_running()
    assert statistics.median(seconds) < 0.03
