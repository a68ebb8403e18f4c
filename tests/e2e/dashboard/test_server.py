"""`assay dashboard` as a process: what outlives it."""

from __future__ import annotations

from pathlib import Path

from assay.storage import Store
from tests.e2e.dashboard.serving import serve


def test_a_server_ends_with_the_command_that_started_it(tmp_path: Path) -> None:
    Store(tmp_path).write_bytes("studies/.keep", b"")
    with serve(str(tmp_path)) as served:
        command = served.process.parent()
        assert command is not None
        command.terminate()
        served.process.wait(60)
    assert not served.process.is_running()
