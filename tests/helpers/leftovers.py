"""What a run of the tests started ends with it, however the run ends: also after Ctrl-C or ``kill -9``.

``end_with_this_process()`` marks the environment, which all that is started from then on inherits. It starts
a program that waits for this process's end and kills whatever still bears the mark. So nobody needs to know
what tests start: Ray's nodes, servers, daemons of Slurm and browsers have sessions and parents of their own.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from pathlib import Path

__all__ = ["end_with_this_process"]

_MARK = "ASSAY_TESTS_RUN"
_POLL_SECONDS = 0.5
_KILL_SECONDS = 10.0  # what is being started meanwhile inherits the mark, too


def end_with_this_process() -> None:
    """Have all that this process starts, and what that starts in turn, killed when it is gone."""
    mark = secrets.token_hex(8)
    unmarked = {name: value for name, value in os.environ.items() if name != _MARK}
    os.environ[_MARK] = mark
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", __file__, mark, str(os.getpid())],
        unmarked,
        file_actions=[(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in range(3)],
        setsid=True,  # Ctrl-C in the terminal is not for it
    )


def main(mark: str, run: int) -> None:
    """Wait for the end of ``run``, this process's parent, and kill what bears the mark."""
    while os.getppid() == run:
        time.sleep(_POLL_SECONDS)
    until = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < until:
        for pid in _family(mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(_POLL_SECONDS / 5)


def _family(mark: str) -> set[int]:
    """Processes that bear the mark, and those below them: one with a title has overwritten its own."""
    bears = f"{_MARK}={mark}".encode()
    parents: dict[int, int] = {}
    family: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if bears in (entry / "environ").read_bytes().split(b"\0"):
                family.add(int(entry.name))
        except (OSError, IndexError):  # it ended meanwhile, or is another user's
            continue
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family - {os.getpid()}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
