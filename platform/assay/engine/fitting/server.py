"""A process that has loaded torch and forks: a training starts in milliseconds instead of seconds.

Run as ``python -m assay.engine.fitting.server SOCKET``, the number of an inherited Unix socket. Each request
on it carries three files: the child's connection, its output, and where the server writes how it ended
(``-9``: by signal 9; else the exit code). The reply is its pid. The server trains nothing and starts no
thread, so its forks are whole. When the socket's other end is closed, it kills what it started and ends.
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
from multiprocessing.connection import Connection

from assay.engine.fitting.child import run_child
from assay.engine.fitting.fit_server import FILES, PID, READY

__all__ = ["serve"]

_DIE_WITH_PARENT = 1  # prctl
_PARENT_IS_GONE = 3


def serve(control: socket.socket) -> None:
    """Answer requests until nobody can send one."""
    statuses: dict[
        int, tuple[int, int]
    ] = {}  # file that watches a child → its pid, where to say how it ended
    control.sendall(READY)
    while True:
        readable, _, _ = select.select([control, *statuses], [], [])
        for watched in statuses.keys() & set(readable):
            _bury(watched, *statuses.pop(watched))
        if control not in readable:
            continue
        request, files, _, _ = socket.recv_fds(control, 1, FILES)
        if not request:
            break
        connection, output, status = files
        pid = os.fork()
        if pid == 0:
            control.close()
            os.close(status)
            for watched, (_, other) in statuses.items():
                os.close(watched)
                os.close(other)
            _become_child(connection, output)
        os.close(connection)
        os.close(output)
        statuses[os.pidfd_open(pid)] = (pid, status)
        control.sendall(PID.pack(pid))
    for pid, _ in statuses.values():
        os.killpg(pid, signal.SIGKILL)


def _bury(watched: int, pid: int, status: int) -> None:
    _, ended = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(ended)
    os.close(watched)
    with suppress(BrokenPipeError):  # nobody wants to know any more
        os.write(status, str(code).encode())
    os.close(status)


def _become_child(connection: int, output: int) -> None:
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
        run_child(Connection(connection))
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who started it: they end it
    control = socket.socket(fileno=int(sys.argv[1]))
    gc.freeze()  # torch and all else that is loaded: pages that are never collected are never copied
    serve(control)
