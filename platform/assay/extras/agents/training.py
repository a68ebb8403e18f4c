"""``python -m assay.extras.agents.training``: a run that `assay mcp` began, as an order on stdin says.

It ends when its seconds are over, whatever trains, and notes the seconds that it took.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from types import FrameType
from typing import Any

import assay
from assay.extras.agents.requests import end_request
from assay.storage import Store
from assay.study import parse_study

__all__ = ["train"]

_RETRY_SECONDS = 0.05
_GRACE_SECONDS = 30.0  # after the time is over, for an orderly end
_INTERRUPTED = "it was interrupted, or its time was over; what is finished is kept"


def train(order: dict[str, Any]) -> str:
    """Train what an order says; returns why it did not come to its end, or nothing.

    A run that is interrupted raises KeyboardInterrupt.

    Args:
        order: The study's text, places and options of :func:`assay.run`, who asks, and seconds.
    """
    options = ("storage", "data", "cache", "local", "processes", "cpus", "asked_by")
    try:
        study = parse_study(order["study"], order["origin"])
        hours = order["seconds"] / 3600 if study.search is None else None  # the alarm ends a search
        assay.run(study, **{name: order[name] for name in options}, hours=hours)
    except (ValueError, OSError, RuntimeError) as error:
        from assay.storage.redaction import redact

        return redact(str(error))
    return ""


def _out_of_time(number: int, frame: FrameType | None) -> None:
    """Interrupt the run, once it imports nothing, and end the process where that takes too long."""
    if _imports(frame):  # torch's C++ ends the process when Python interrupts what it loads
        signal.setitimer(signal.ITIMER_REAL, _RETRY_SECONDS)
        return
    signal.signal(signal.SIGALRM, _end_process)
    signal.setitimer(signal.ITIMER_REAL, _GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGINT)


def _imports(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _end_process(number: int, frame: FrameType | None) -> None:
    os._exit(1)


def main() -> None:
    """Read the order and follow it."""
    order = json.load(sys.stdin)
    warnings.simplefilter("ignore")  # nobody reads them here; plan and report have them

    # When the hours are over, a timer interrupts the run as Ctrl-C would: what is finished is kept.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGALRM, _out_of_time)
    begun, error = time.monotonic(), "it crashed"
    signal.setitimer(signal.ITIMER_REAL, order["seconds"])
    try:
        try:
            error = train(order)
            if error and time.monotonic() - begun >= order["seconds"]:
                error = _INTERRUPTED  # pydantic makes an error of its own of what interrupts it
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what follows is short, and is to be written
    except KeyboardInterrupt:  # also one that came while the run was ending by itself
        error = _INTERRUPTED
        # If it came within an `exec` (imports have some), Python would end by SIGINT although it was caught:
        # it remembers the last one that ended so.
        exec("")
    finally:
        end_request(Store(order["storage"]), order["request"], time.monotonic() - begun, error)


if __name__ == "__main__":
    main()
