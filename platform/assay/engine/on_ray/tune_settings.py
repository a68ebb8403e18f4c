"""Tune's manners: what it prints and sends along, and the handlers that it leaves."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

__all__ = ["HiddenCredentials", "Unkept", "tune_signals_and_output"]

_SECRET = re.compile(r"AWS_.*(KEY|TOKEN)")


class Unkept:
    """A part of a Tuner: Tune pickles them into its scratch and never reads them, so nothing goes there."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class HiddenCredentials(Unkept, Callback):
    """Keeps the AWS keys of this process out of what Tune sends along with each driver.

    Ray logs what is sent in the clear. A Ray that is started here inherits the keys; nodes of another cluster
    need credentials of their own. Tune (2.60) reads them once, in the step in which its first driver is made.
    Until a driver runs it therefore sees a copy of the environment without them, and what is asked for the
    next batch meanwhile sees all (:meth:`shown`). The process's own variables, which Arrow reads, stay as
    they
    are: other threads go on using the storage.
    """

    def __init__(self) -> None:
        self._all, self._any_started = os.environ, False

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if not self._any_started:
            kept: Any = {name: value for name, value in self._all.items() if not _SECRET.match(name)}
            os.environ = kept  # noqa: B003 - a name of Python's, not the variables of the process

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        os.environ = self._all  # noqa: B003
        self._any_started = self._any_started or any(trial.status != Trial.PENDING for trial in trials)

    @contextmanager
    def shown(self) -> Generator[None]:
        """Show the whole environment within this block."""
        seen, os.environ = os.environ, self._all
        try:
            yield
        finally:
            os.environ = seen  # noqa: B003


@contextmanager
def tune_signals_and_output() -> Generator[None]:
    """Keep Tune quiet and its signal handlers in check, for the length of a run."""
    environment = os.environ
    try:
        with _quiet_tune(), _signals_of_tune():
            yield
    finally:
        os.environ = environment  # noqa: B003 - a step that was left in the midst has not put it back


@contextmanager
def _quiet_tune() -> Generator[None]:
    """Silence Tune, which logs to the terminal: what a user should know is in records and logs."""
    names = ("ray.tune", "ray.train", "ray")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _signals_of_tune() -> Generator[None]:
    """Put back the signal handlers that Tune replaces: its own would swallow the first Ctrl-C after it."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():  # elsewhere Tune has set none
            for number, handler in kept.items():
                if handler is not None:  # one that Python did not set it cannot set again
                    signal.signal(number, handler)
