"""`assay dashboard` as a process: what outlives it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from assay.storage import Store
from tests.e2e.dashboard.serving import serve
from tests.ports import free_port


def test_a_server_ends_with_the_command_that_started_it(tmp_path: Path) -> None:
    Store(tmp_path).write_bytes("studies/.keep", b"")
    with serve(str(tmp_path)) as served:
        command = served.process.parent()
        assert command is not None
        command.terminate()
        served.process.wait(60)
    assert not served.process.is_running()


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
    command = [sys.executable, "-m", "assay", "dashboard", "--host", "0.0.0.0", "--port", str(port)]
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
