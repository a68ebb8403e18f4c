"""Joining a Ray cluster and leaving it, while this process's main thread goes on hearing signals.

Ray connects and disconnects in C++, where it waits for minutes when the other side is slow or gone. Both
happen in a thread of their own here. If this process wants to end while that thread still waits,
:func:`stuck` says so: an interpreter that ends in order would wait for it, so the program must leave at once.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from assay.engine.cluster import ray_head
from trainables.errors import InputError

__all__ = [
    "ConnectTimeoutError",
    "TokenRefusedError",
    "briefly",
    "connect",
    "disconnect",
    "environment_with",
    "last_line",
    "stuck",
    "using",
]

_NAMESPACE = "assay"
_POLL_SECONDS = 0.05
_CHECK_SECONDS = 1.0
_LEAVE_SECONDS = 8.0
_REFUSALS = ("AuthenticationError", "InvalidAuthToken", "Unauthenticated")  # in what Ray raises
_threads: list[threading.Thread] = []
_loaded_with: dict[str, str] = {}  # variables that this process's Ray was loaded with


class ConnectTimeoutError(Exception):
    """Nobody answered in time."""


class TokenRefusedError(Exception):
    """The cluster asks for a token, and this process has another one or none."""


def connect(
    address: str,
    seconds: float,
    *,
    runtime_env: Mapping[str, Any] | None = None,
    check: Callable[[], object] = bool,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Join the cluster at ``address`` as a driver.

    Args:
        address: ``host:port``, or ``auto``.
        seconds: Patience.
        runtime_env: Ray's runtime environment of the workers; None: that of their nodes.
        check: Called once a second until it is joined; what it raises ends the waiting.
        metadata: Of the job, which Ray shows.

    Raises:
        ConnectTimeoutError: If that takes longer.
        TokenRefusedError: If the cluster refuses this process's token.
        Exception: Whatever Ray raises.
    """
    given_up = threading.Event()
    begun = polled = time.monotonic()

    def join() -> None:
        # Ray gives up on a head that is busy before we do.
        while True:
            try:
                with _quietly():
                    _init(address, runtime_env, metadata)
                break
            except Exception as error:
                if any(mark in text for text in _chain(error) for mark in _REFUSALS):
                    raise TokenRefusedError("it refuses the token") from error
                over = given_up.is_set() or time.monotonic() - begun > seconds
                if over or not isinstance(error, ConnectionError):
                    raise

        # Nobody waits for it any more, so what was joined too late is left at once.
        if given_up.is_set():
            _leave()

    # Ray joins in a thread of its own. It waits in C++, where no signal is heard, while this thread stays in
    # Python.
    thread, errors = _begin(join, "assay-connect")
    try:
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
            _keep_sigterm()
            if time.monotonic() - begun > seconds:
                raise ConnectTimeoutError(f"no answer within {seconds:.0f} s")
            if time.monotonic() - polled > _CHECK_SECONDS:
                check()
                polled = time.monotonic()
    except BaseException:
        # A thread in Ray's C++ cannot be stopped: it is told to leave again when it has joined.
        given_up.set()
        raise
    _keep_sigterm()
    if errors:
        raise errors[0]


def _keep_sigterm() -> None:
    """Take SIGTERM back from Ray's C++, which sets a handler of its own, and none when it leaves."""
    handler = signal.getsignal(signal.SIGTERM)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _init(address: str, runtime_env: Mapping[str, Any] | None, metadata: Mapping[str, str]) -> None:
    import ray
    from ray.job_config import JobConfig

    ray.init(
        address=address,
        namespace=_NAMESPACE,
        job_config=JobConfig(metadata=dict(metadata)),
        runtime_env=dict(runtime_env) if runtime_env is not None else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=False,
    )


def _chain(error: BaseException | None) -> Iterator[str]:
    """Type and text of an error, and of those that led to it."""
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = error.__cause__ or error.__context__


def disconnect() -> None:
    """Leave the cluster, without waiting long for its answer.

    What refers to Ray's objects is dropped first: one that died while Ray leaves would ask it to remove
    something, and Ray would end the process without a word.
    """
    error = sys.exception()
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    briefly(_leave, _LEAVE_SECONDS)


def _leave() -> None:
    import ray

    # What can be collected is collected before, and nothing while Ray shuts down: it would ask Ray to remove
    # something.
    gc.collect()
    collects = gc.isenabled()
    gc.disable()
    try:
        ray.shutdown()  # which waits where the head is gone
    finally:
        if collects:
            gc.enable()


def briefly(what: Callable[[], object], seconds: float) -> None:
    """Do what asks Ray, and go on after ``seconds`` without an answer; errors are Ray's own affair then."""
    thread, _ = _begin(what, "assay-briefly")
    until = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < until:
        thread.join(_POLL_SECONDS)
        _keep_sigterm()
    _keep_sigterm()


def stuck() -> bool:
    """True while Ray waits in a thread for somebody who may never answer."""
    return any(thread.is_alive() for thread in _threads)


def _begin(what: Callable[[], object], name: str) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            what()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            errors.append(error)

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    _threads.append(thread)
    return thread, errors


def last_line(error: BaseException) -> str:
    """The last line of one of Ray's errors, which says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@contextmanager
def using(variables: Mapping[str, str]) -> Generator[None]:
    """Have Ray use ``variables`` in a ``with`` block, and then what the environment said before.

    Ray reads them when it is loaded, so the block comes before its first import. In a process that has loaded
    it before, as a notebook may, it has to be asked to read them again.

    Raises:
        InputError: If Ray was loaded with others, and this release cannot be asked.
    """
    try:
        with environment_with(variables):
            if "ray" not in sys.modules:
                _loaded_with.update(variables)
            elif not ray_head.read_environment() and _loaded_with != variables:
                raise InputError(
                    "Ray reads its token when it is loaded, found it loaded by this process before the study "
                    "runs. Run the study in a new process, or set RAY_ADDRESS to a Ray that is there."
                )
            yield
    finally:
        if "ray" in sys.modules:
            ray_head.read_environment()


@contextmanager
def environment_with(variables: Mapping[str, str]) -> Generator[None]:
    """Set variables of this process for a ``with`` block: a Ray that is started later must not meet them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _quietly() -> Generator[None]:
    """Keep what Ray says of joining out of the display; what it raises says what matters."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
