"""A real S3 server of the tests' own: moto's, in a process of its own, on a free port of this machine."""

from __future__ import annotations

import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.helpers.ports import free_port

__all__ = ["CREDENTIALS", "S3Server", "relay"]

# What a user would have in the environment; the secret is looked for where it must not be.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "the-key-of-the-tests",
    "AWS_SECRET_ACCESS_KEY": "hunter2-is-no-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_REQUEST = re.compile(r"(GET|PUT|POST|HEAD|DELETE) (\S+) HTTP")
_START_SECONDS = 60.0


class S3Server:
    """Runs within a ``with`` block, with one bucket called ``bucket``.

    Args:
        folder: Where the server's log goes.
        port: Where it listens; None: a free one.
        open_requests: Requests that need no credentials; afterwards unknown keys are refused.
    """

    def __init__(self, folder: Path, port: int | None = None, open_requests: int | None = None) -> None:
        self.port = port or free_port()
        self._log = folder / f"s3-{self.port}-{time.monotonic_ns()}.log"
        self._open_requests = open_requests
        self._process: subprocess.Popen[bytes] | None = None

    def uri(self, path: str = "bucket/results") -> str:
        """The storage that a user would name."""
        return f"s3://{path}?endpoint_override=127.0.0.1:{self.port}&scheme=http"

    def __enter__(self) -> Self:
        environment = dict(os.environ)
        if self._open_requests is not None:
            environment["INITIAL_NO_AUTH_ACTION_COUNT"] = str(self._open_requests)
        command = [sys.executable, "-m", "tests.helpers.atomic_moto", "-H", "127.0.0.1", "-p", str(self.port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        until = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < until, "the S3 server did not start"
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None, "started by entering"
        self._process.kill()
        self._process.wait()

    def requests(self, containing: str = "") -> list[str]:
        """All requests so far, ``PUT /bucket/…``."""
        found = (f"{method} {path}" for method, path in _REQUEST.findall(self._log.read_text()))
        return [request for request in found if containing in request]

    def _answers(self) -> bool:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/bucket", method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=10):
                return True
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def relay(port: int, server: int) -> Iterator[None]:
    """Within the block, what comes to ``port`` of this machine reaches the one on ``server``."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", server)) as other:
                up = threading.Thread(target=_copy, args=(self.request, other), daemon=True)
                up.start()
                _copy(other, self.request)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Server(("127.0.0.1", port), Connection) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield
        listening.shutdown()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until one side closes."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
