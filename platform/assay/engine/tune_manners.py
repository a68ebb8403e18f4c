"""Tune's manners: what it prints and sends along, and the handlers that it leaves."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["no_variables_sent", "quiet_tune", "signals_of_tune"]


@contextmanager
def no_variables_sent(has_settings: bool) -> Generator[None]:
    """Send no variable of this process along with each driver.

    AWS keys would be among them, and Ray logs what is sent in the clear. A Ray that is started here inherits
    them; nodes of another cluster need credentials of their own. For an actor with variables Ray also starts
    two programs, one after the other, each of which imports Ray (half a second of CPU); an actor without
    takes one of the processes that wait for work.

    Args:
        has_settings: Ray's processes have the ``SETTINGS`` of ``shipping.py`` in their environment; if not, a
            driver is sent those of Ray Train.
    """
    from ray.tune.execution import class_cache

    names, defaults = class_cache.ENV_VARS_TO_PROPAGATE, class_cache.DEFAULT_ENV_VARS
    sent = set[str]() if has_settings else {name for name in names if not name.startswith("AWS_")}
    class_cache.ENV_VARS_TO_PROPAGATE, class_cache.DEFAULT_ENV_VARS = sent, {}  # the defaults: of Lightning
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE, class_cache.DEFAULT_ENV_VARS = names, defaults


@contextmanager
def quiet_tune() -> Generator[None]:
    """Tune and its callbacks log to the terminal; what a user should know is in records and logs."""
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
def signals_of_tune() -> Generator[None]:
    """Tune ends on Ctrl-C by handlers that it leaves in place: they would swallow the first one after it."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():  # elsewhere Tune has set none
            for number, handler in kept.items():
                if handler is not None:  # one that Python did not set it cannot set again
                    signal.signal(number, handler)
