"""Training processes are forked from one that has loaded torch: in milliseconds instead of seconds.

:class:`ForkServer` is the worker's end and does without torch. The other end runs as ``python -m
assay.engine.process.fork_server SOCKET``, the number of an inherited Unix socket. Each request on it carries
three files: the child's connection, its output, and where the server writes how it ended (``-9``: by signal
9; else the exit code). The reply is its pid. The server trains nothing and starts no thread, so its forks
are whole. When the socket's other end is closed, it kills what it started and ends. What a training starts
in a session of its own becomes the server's when its parent ends. It is killed when no training runs, at the
latest at the end.

A training whose optimiser loads torch's compiler, a second of CPU, says so. The server loads it too, while
the training's model is scored: the next ones find it there.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, Self

from assay.engine.errors import DiedError
from assay.storage.redaction import holds_credentials
from trainables.runtime.device import CUBLAS_WORKSPACE

__all__ = ["ForkServer", "Forked"]

_FILES = 3  # with each request to the server
_PID = struct.Struct("<q")
_READY = b"r"
_START_SECONDS = 600.0  # a busy machine takes its time to load torch
_END_SECONDS = 10.0
# Variables that open other doors: to the storage, to MLflow, to the cluster.
_SECRET = re.compile(
    r"(AWS|AZURE|GOOGLE|MLFLOW|RAY)_|.*(TOKEN|SECRET|PASSW|CREDENTIAL|WEBHOOK|_KEY$)", re.IGNORECASE
)
_DIE_WITH_PARENT = 1  # prctl
_ADOPT_ORPHANS = 36  # prctl, PR_SET_CHILD_SUBREAPER
_PARENT_IS_GONE = 3
_COMPILER = "torch._dynamo"

_Statuses = dict[int, tuple[int, int]]  # file that watches a child → its pid, where to say how it ended
_Run = Callable[[Connection, Callable[[], None]], None]  # of a child: `run_child`


class Forked(NamedTuple):
    """A process that was started, and waits for its job."""

    connection: Connection
    pid: int
    output: int  # file of what it prints
    status: int  # file in which the server writes how it ended


class ForkServer:
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
                [sys.executable, "-m", "assay.engine.process.fork_server", str(theirs.fileno())],
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

    def start(self) -> Forked:
        """A new process, which waits for its job. A server that was killed is started anew.

        Raises:
            DiedError: If there is no server.
        """
        # The child gets three channels: a connection for its job and what it says, a pipe for what it prints,
        # and one for its exit status, which only the server learns, as its parent.
        connection, theirs = socket.socketpair()
        output, printed = os.pipe()
        status, ended = os.pipe()
        files = (theirs.fileno(), printed, ended)
        assert len(files) == _FILES, "the server expects as many"
        try:
            # One request at a time: the server answers with a bare process id, which must be that of this
            # request.
            with self._lock:
                if self._server.poll() is not None and not self._over:
                    self._control.close()
                    self._begin()
                self._await_start()
                with suppress(BrokenPipeError):  # the reading says that it is gone
                    socket.send_fds(self._control, [b"f"], files)
                pid = _PID.unpack(self._read(_PID.size))[0]
        except DiedError:
            connection.close()
            os.close(output)
            os.close(status)
            raise
        finally:
            # The child's ends stay open in the child alone. With a copy here its end would never be heard.
            theirs.close()
            os.close(printed)
            os.close(ended)
        return Forked(Connection(connection.detach()), pid, output, status)

    def _await_start(self) -> None:
        if not self._started:
            self._control.settimeout(_START_SECONDS)
            self._read(len(_READY))
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


def _serve(control: socket.socket, run_child: _Run) -> None:
    """Answer requests until nobody can send one, and kill what is left then."""
    # What a training leaves behind becomes a child of this process, which can then find and end it.
    ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)
    statuses: _Statuses = {}
    with suppress(ConnectionError):  # closed before its end had read what was said to it
        _answer(control, statuses, run_child)
    for pid, _ in statuses.values():
        with suppress(ProcessLookupError):  # it has no session yet
            os.killpg(pid, signal.SIGKILL)
    _end_children()


def _answer(control: socket.socket, statuses: _Statuses, run_child: _Run) -> None:
    news, tell = os.pipe()  # a byte from each child that loaded the compiler
    control.sendall(_READY)
    while True:
        readable, _, _ = select.select([control, news, *statuses], [], [])
        if news in readable:
            os.read(news, select.PIPE_BUF)
            import_module(_COMPILER)
            gc.freeze()  # pages that are never collected are never copied
        ended = statuses.keys() & set(readable)
        for watched in ended:
            _bury(watched, *statuses.pop(watched))

        # When no training is left, whatever still runs below this process was left behind by one.
        if ended and not statuses:
            _end_children()
        if control not in readable:
            continue
        request, files, _, _ = socket.recv_fds(control, 1, _FILES)
        if not request:
            return
        connection, output, status = files
        pid = os.fork()
        if pid == 0:
            # The child lets go of what belongs to its siblings. With its copies of their pipes open, nobody
            # would hear when the server dies.
            control.close()
            os.close(status)
            for watched, (_, other) in statuses.items():
                os.close(watched)
                os.close(other)
            os.close(news)
            _become_child(connection, output, tell, run_child)
        os.close(connection)
        os.close(output)
        statuses[os.pidfd_open(pid)] = (pid, status)
        control.sendall(_PID.pack(pid))


def _end_children() -> None:
    """Kill what is left below this process; what a child leaves behind becomes its own child."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    with suppress(FileNotFoundError):  # a kernel without this list
        while children := listed.read_text().split():
            for pid in map(int, children):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _bury(watched: int, pid: int, status: int) -> None:
    _, ended = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(ended)
    os.close(watched)
    with suppress(BrokenPipeError):  # nobody wants to know any more
        os.write(status, str(code).encode())
    os.close(status)


def _become_child(connection: int, output: int, tell: int, run_child: _Run) -> None:
    """Train what the connection says; never returns."""
    code = 1
    try:
        os.setsid()  # what it starts can be killed with it
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)

        # The server may have died before the kernel was asked to pass its end on.
        if os.getppid() == 1:
            os._exit(_PARENT_IS_GONE)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        run_child(Connection(connection), partial(_tell_news, tell, _COMPILER in sys.modules))
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tell_news(tell: int, known: bool) -> None:
    """Tell the server that the training loaded the compiler, unless it was ``known``."""
    if not known and _COMPILER in sys.modules:
        os.write(tell, b"\n")
    os.close(tell)


def _main() -> None:
    from assay.engine.process.child import run_child  # loads torch, which only this end needs
    from trainables.plugins.catalogue import TRAINABLES

    # What is installed is listed here, and not by each child: a tenth of a second of a trial.
    TRAINABLES.plugin("")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who started it: they end it
    control = socket.socket(fileno=int(sys.argv[1]))
    gc.freeze()  # torch and all else that is loaded: pages that are never collected are never copied
    _serve(control, run_child)


if __name__ == "__main__":
    _main()
