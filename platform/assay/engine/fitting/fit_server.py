"""Starts training processes from one that has loaded torch; this end of it does without."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Self

from assay.engine.fitting.died import DiedError
from assay.storage.redaction import holds_credentials
from trainables.device import CUBLAS_WORKSPACE

if TYPE_CHECKING:
    from assay.engine.fitting.process import TrainingProcess

__all__ = ["FILES", "PID", "READY", "FitServer"]

FILES = 3  # with each request to the server
PID = struct.Struct("<q")
READY = b"r"
_START_SECONDS = 600.0  # a busy machine takes its time to load torch
_END_SECONDS = 10.0
# Variables that open other doors: to the storage, to MLflow, to the cluster.
_SECRET = re.compile(
    r"(AWS|AZURE|GOOGLE|MLFLOW|RAY)_|.*(TOKEN|SECRET|PASSW|CREDENTIAL|WEBHOOK|_KEY$)", re.IGNORECASE
)


class FitServer:
    """Starts training processes from one that loads torch from now on. A context manager that ends it."""

    def __init__(self) -> None:
        self._lock, self._over = threading.Lock(), False
        self._begin()

    def __enter__(self) -> Self:
        return self

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        self._control, self._started = ours, False
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "assay.engine.fitting.server", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the worker, which ends it
                env=_environment(),
            )

    def stop(self) -> None:
        """Kill what was started; nothing can be started any more."""
        self._over = True
        with suppress(OSError):  # it was stopped before, or the server is gone
            self._control.shutdown(socket.SHUT_RDWR)  # a thread that waits for the server hears no `close`
        self._control.close()  # which tells the server to do so, and to end

    def __exit__(self, *_: object) -> None:
        self.stop()
        try:
            self._server.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def start(self) -> TrainingProcess:
        """A new process, which waits for its job. A server that was killed is started anew.

        Raises:
            DiedError: If there is no server.
        """
        from assay.engine.fitting.process import TrainingProcess

        connection, theirs = socket.socketpair()
        output, printed = os.pipe()
        status, ended = os.pipe()
        files = (theirs.fileno(), printed, ended)
        assert len(files) == FILES, "the server expects as many"
        try:
            with self._lock:
                if self._server.poll() is not None and not self._over:
                    self._control.close()
                    self._begin()
                self._await_start()
                with suppress(BrokenPipeError):  # the reading says that it is gone
                    socket.send_fds(self._control, [b"f"], files)
                pid = PID.unpack(self._read(PID.size))[0]
        except DiedError:
            connection.close()
            os.close(output)
            os.close(status)
            raise
        finally:
            theirs.close()
            os.close(printed)
            os.close(ended)
        return TrainingProcess(Connection(connection.detach()), pid, output, status)

    def _await_start(self) -> None:
        if not self._started:
            self._control.settimeout(_START_SECONDS)
            self._read(len(READY))
            self._control.settimeout(None)
            self._started = True

    def _read(self, size: int) -> bytes:
        try:
            data = self._control.recv(size, socket.MSG_WAITALL)
        except OSError as error:
            raise DiedError(f"no training process could be started: {error}") from None
        if len(data) < size:
            raise DiedError(
                "no training process could be started: what starts them ended (out of memory, killed, or "
                "torch cannot be loaded there)"
            )
        return data


def _environment() -> dict[str, str]:
    """This process's environment without what opens other doors, and as cuBLAS repeats itself."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not _SECRET.match(name) and not ("://" in value and holds_credentials(value))
    }
    return dict([CUBLAS_WORKSPACE]) | kept
