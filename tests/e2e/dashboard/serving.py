"""`assay dashboard`, `assay demo` and `assay mlflow` as a user starts them."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

import psutil

from tests.helpers.ports import free_port

__all__ = ["Served", "serve"]

_START_SECONDS = 300
_HEALTH = {"dashboard": "/_stcore/health", "demo": "/_stcore/health", "mlflow": "/health"}


class Served(NamedTuple):
    """A server that answers."""

    url: str
    process: psutil.Process  # of the server, not of the command


@contextmanager
def serve(storage: str | None, command: str = "dashboard", *options: str) -> Generator[Served]:
    """``assay dashboard`` or ``assay mlflow`` of ``storage`` on a free port; None: ``demo`` has its own."""
    port = free_port()
    program = [sys.executable, "-m", "assay", command, "--port", str(port)]
    program += [*options, *(["--storage", storage] if storage is not None else [])]
    started = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{url}{_HEALTH[command]}", started)
        yield Served(url, psutil.Process(started.pid).children()[0])
    finally:
        for child in psutil.Process(started.pid).children():
            child.kill()  # asked to end, it would wait for what browsers hold open
        started.wait(240)  # a machine that trains meanwhile is slow


def _wait(health: str, command: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and command.poll() is None:
        try:
            urllib.request.urlopen(health, timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"the server ended with {command.poll()} or did not answer in {_START_SECONDS} s")
