"""`assay dashboard` as a user starts it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil

__all__ = ["Served", "serve"]

_START_SECONDS = 300


class Served(NamedTuple):
    """A dashboard that answers."""

    url: str
    process: psutil.Process  # of the server, not of the command


@contextmanager
def serve(storage: str) -> Iterator[Served]:
    """A dashboard of ``storage`` on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = [sys.executable, "-m", "assay", "dashboard", "--storage", storage, "--port", str(port)]
    command = subprocess.Popen(program, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{url}/_stcore/health", command)
        yield Served(url, psutil.Process(command.pid).children()[0])
    finally:
        for child in psutil.Process(command.pid).children():
            child.terminate()
        command.wait(20)


def _wait(health: str, command: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and command.poll() is None:
        try:
            urllib.request.urlopen(health, timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"the dashboard ended with {command.poll()} or did not answer in {_START_SECONDS} s")
