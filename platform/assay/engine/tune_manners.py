"""Tune's manners: what it prints and sends along, the handlers that it leaves, and which of its drivers'
deaths it takes for the end of a pack."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["Unkept", "manners", "no_variables_sent"]


class Unkept:
    """A part of a Tuner: Tune pickles them into its scratch and never reads them, so nothing goes there."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


@contextmanager
def manners(has_settings: bool) -> Generator[None]:
    """All that Tune is told for the length of a run; ``has_settings`` as of :func:`no_variables_sent`."""
    with _quiet_tune(), _signals_of_tune(), _resets_tried_again(), no_variables_sent(has_settings):
        yield


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
def _quiet_tune() -> Generator[None]:
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
def _signals_of_tune() -> Generator[None]:
    """Tune ends on Ctrl-C by handlers that it leaves in place: they would swallow the first one after it."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():  # elsewhere Tune has set none
            for number, handler in kept.items():
                if handler is not None:  # one that Python did not set it cannot set again
                    signal.signal(number, handler)


@contextmanager
def _resets_tried_again() -> Generator[None]:
    """Let Tune try a pack again whose driver dies, or raises, while it takes the pack on after another.

    Tune (2.60) requeues a driver that dies then, hears of the same death once more as the end of the reset,
    takes a trial that waits for one that cannot be tried again, and never forgets that it is being reset.
    """
    from ray.exceptions import RayActorError
    from ray.tune.execution import tune_controller
    from ray.tune.experiment import Trial

    tune: Any = tune_controller.TuneController
    fail = tune._trial_task_failure

    def fail_or_requeue(controller: Any, trial: Trial, exception: Exception) -> None:
        if trial in controller._resetting_trials and trial.status == Trial.PENDING:
            controller._resetting_trials.remove(trial)
            if isinstance(exception, RayActorError):
                return  # it is requeued already
            controller._set_trial_status(trial, Trial.RUNNING)  # as for one that fails while it is made
            controller._unstage_trial_with_resources(trial)
        fail(controller, trial, exception)

    tune._trial_task_failure = fail_or_requeue
    try:
        yield
    finally:
        tune._trial_task_failure = fail
