"""Turns on a GPU that trials share: many beside each other, or one alone.

A GPU has two files on its machine, which processes lock. The kernel frees the locks of a process that dies,
so nothing is left to tidy up. Who wants to be alone keeps the queue while it waits: nobody overtakes it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["gpu_turn"]

_LOOK_SECONDS = 0.2
_SIGN_SECONDS = 10.0


@contextmanager
def gpu_turn(alone: bool, stop: threading.Event, waits: Callable[[], None]) -> Generator[bool]:
    """Within this block this process's GPU is its own (``alone``), or shared with others but nobody alone.

    Args:
        alone: Whether nobody else may use it meanwhile.
        stop: Ends the wait when it is set.
        waits: Called every ten seconds while others have their turn.

    Yields:
        False if ``stop`` was set before its turn came.
    """
    name = os.environ.get("CUDA_VISIBLE_DEVICES", "0").replace("/", "_")
    path = Path(tempfile.gettempdir()) / f"assay-gpu-{os.getuid()}-{name}"
    with ExitStack() as held, ExitStack() as queue:
        mine = _lock(Path(f"{path}.queue"), fcntl.LOCK_EX, stop, waits, queue) and _lock(
            Path(f"{path}.gpu"), fcntl.LOCK_EX if alone else fcntl.LOCK_SH, stop, waits, held
        )
        queue.close()
        yield mine


def _lock(path: Path, kind: int, stop: threading.Event, waits: Callable[[], None], held: ExitStack) -> bool:
    """Lock a file until ``held`` closes; False if ``stop`` was set first."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    held.callback(os.close, file)  # which frees the lock
    due = 0.0
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= due:
                waits()
                due = time.monotonic() + _SIGN_SECONDS
            if stop.wait(_LOOK_SECONDS):
                return False
        else:
            return True
