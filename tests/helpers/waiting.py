"""Waiting for a state instead of for seconds, on a machine that others keep busy."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable

__all__ = ["slowness", "wait_for"]

_PATIENCE = 180.0  # seconds


def wait_for(
    condition: Callable[[], bool],
    process: subprocess.Popen[str] | None = None,
    said: Callable[[], str] = lambda: "it did not come to that",
    seconds: float = _PATIENCE,
) -> None:
    """Wait until ``condition`` holds, while ``process`` runs.

    Raises:
        AssertionError: With what was ``said``, after so many ``seconds``; with what a ``process`` said that
            ended.
    """
    until = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, said()
        time.sleep(0.05)


def slowness() -> float:
    """Return the factor on what an idle machine needs: 1, and the processes that wait for each core."""
    return 1.0 + os.getloadavg()[0] / (os.cpu_count() or 1)
