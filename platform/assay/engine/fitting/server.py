"""A process that has loaded torch and forks: a training starts in milliseconds instead of seconds.

Run as ``python -m assay.engine.fitting.server SOCKET``, the number of an inherited Unix socket. Each request
on it carries three files: the child's connection, its output, and where the server writes how it ended
(``-9``: by signal 9; else the exit code). The reply is its pid. The server trains nothing and starts no
thread, so its forks are whole. When the socket's other end is closed, it kills what it started and ends.
What a training starts in a session of its own becomes the server's when its parent ends. It is killed when
no training runs, at the latest at the end.

A training whose optimiser loads torch's compiler, a second of CPU, says so. The server loads it too, while
the training's model is scored: the next ones find it there.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

from assay.engine.fitting.child import run_child
from assay.engine.fitting.fit_server import FILES, PID, READY

__all__ = ["serve"]

_DIE_WITH_PARENT = 1  # prctl
_ADOPT_ORPHANS = 36  # prctl, PR_SET_CHILD_SUBREAPER
_PARENT_IS_GONE = 3
_COMPILER = "torch._dynamo"

_Statuses = dict[int, tuple[int, int]]  # file that watches a child → its pid, where to say how it ended


def serve(control: socket.socket) -> None:
    """Answer requests until nobody can send one, and kill what is left then."""
    ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)
    statuses: _Statuses = {}
    with suppress(ConnectionError):  # closed before its end had read what was said to it
        _answer(control, statuses)
    for pid, _ in statuses.values():
        with suppress(ProcessLookupError):  # it has no session yet
            os.killpg(pid, signal.SIGKILL)
    _end_children()


def _answer(control: socket.socket, statuses: _Statuses) -> None:
    news, tell = os.pipe()  # a byte from each child that loaded the compiler
    control.sendall(READY)
    while True:
        readable, _, _ = select.select([control, news, *statuses], [], [])
        if news in readable:
            os.read(news, select.PIPE_BUF)
            import_module(_COMPILER)
            gc.freeze()  # pages that are never collected are never copied
        ended = statuses.keys() & set(readable)
        for watched in ended:
            _bury(watched, *statuses.pop(watched))
        if ended and not statuses:
            _end_children()
        if control not in readable:
            continue
        request, files, _, _ = socket.recv_fds(control, 1, FILES)
        if not request:
            return
        connection, output, status = files
        pid = os.fork()
        if pid == 0:
            control.close()
            os.close(status)
            for watched, (_, other) in statuses.items():
                os.close(watched)
                os.close(other)
            os.close(news)
            _become_child(connection, output, tell)
        os.close(connection)
        os.close(output)
        statuses[os.pidfd_open(pid)] = (pid, status)
        control.sendall(PID.pack(pid))


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


def _become_child(connection: int, output: int, tell: int) -> None:
    """Train what the connection says; never returns."""
    code = 1
    try:
        os.setsid()  # what it starts can be killed with it
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == 1:
            os._exit(_PARENT_IS_GONE)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        run_child(Connection(connection), trained=partial(_tell_news, tell, _COMPILER in sys.modules))
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


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who started it: they end it
    control = socket.socket(fileno=int(sys.argv[1]))
    gc.freeze()  # torch and all else that is loaded: pages that are never collected are never copied
    serve(control)
