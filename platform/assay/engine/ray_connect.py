"""Joining a Ray cluster and leaving it, while this process's main thread goes on hearing signals.

Ray connects and disconnects in C++, where it waits for minutes when the other side is slow or gone. Both
happen in a thread of their own here. If this process wants to end while that thread still waits,
:func:`stuck` says so: an interpreter that ends in order would wait for it, so the program must leave at once.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

__all__ = [
    "ConnectTimeoutError",
    "briefly",
    "connect",
    "disconnect",
    "environment_with",
    "last_line",
    "raylet_socket",
    "stuck",
    "using_token",
]

_NAMESPACE = "assay"
_POLL_SECONDS = 0.05
_LOOK_SECONDS = 1.0
_NODE_SECONDS = 10.0  # for the raylet of a node that has just been started
_LEAVE_SECONDS = 8.0
_TALKERS = ("ray._private.worker", "ray._private.authentication.authentication_token_setup")
_threads: list[threading.Thread] = []


class ConnectTimeoutError(Exception):
    """Nobody answered in time."""


def connect(
    address: str,
    seconds: float,
    *,
    runtime_env: Mapping[str, Any] | None = None,
    loopback: bool = False,
    look: Callable[[], object] = bool,
) -> None:
    """Join the cluster at ``address`` as a driver.

    Args:
        address: ``host:port``, or ``auto``.
        seconds: Patience.
        runtime_env: Ray's runtime environment of the workers; None: that of their nodes.
        loopback: The cluster listens on 127.0.0.1 alone.
        look: Called once a second until it is joined; what it raises ends the waiting.

    Raises:
        ConnectTimeoutError: If that takes longer.
        Exception: Whatever Ray raises.
    """
    given_up = threading.Event()

    def join() -> None:
        if not loopback and address != "auto":
            _ask_head(address)
        with _quietly(), _as_named() if loopback else nullcontext():
            _init(address, runtime_env)
        if given_up.is_set():
            _leave()

    thread, errors = _begin(join, "assay-connect")
    begun = looked = time.monotonic()
    try:
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
            _keep_sigterm()
            if time.monotonic() - begun > seconds:
                raise ConnectTimeoutError(f"no answer within {seconds:.0f} s")
            if time.monotonic() - looked > _LOOK_SECONDS:
                look()
                looked = time.monotonic()
    except BaseException:
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


def _ask_head(address: str) -> None:
    """Ask a head at ``host:port`` as Ray does, which would ask for 20 s and then not say what was refused.

    Raises:
        RayError: If it is no head, or refuses this process's token.
        ConnectionError: If no node of a cluster runs on this machine.
    """
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
    from ray._private.services import find_node_ids
    from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]

    ensure_token_if_auth_enabled(None, create_token_if_missing=False)
    head = GcsClient(address=address)
    until = time.monotonic() + _NODE_SECONDS
    while find_node_ids().isdisjoint(node.hex() for node in head.get_all_node_info(timeout=_NODE_SECONDS)):
        if time.monotonic() > until:
            raise ConnectionError(
                f"no node of it runs on this machine ({socket.gethostname()}), so start one here "
                "(`ray start --address`), or hand the study over with `assay submit`"
            )
        time.sleep(_LOOK_SECONDS)


def _init(address: str, runtime_env: Mapping[str, Any] | None) -> None:
    import ray

    ray.init(
        address=address,
        namespace=_NAMESPACE,
        runtime_env=dict(runtime_env) if runtime_env is not None else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=False,
    )


def _leave() -> None:
    import ray
    from ray._private import worker

    state = vars(worker.global_worker)
    if "core_worker" in state:
        state["core_worker"] = _Leaving(state["core_worker"])
    ray.shutdown()  # which waits where the head is gone


class _Leaving:
    """Ray's core worker while it is shut down.

    What dies meanwhile (an ObjectRef, a placement group) would ask it to remove something, and Ray would end
    the process without a word. The cluster removes by itself what a driver that left had.
    """

    def __init__(self, core_worker: Any) -> None:
        self._core_worker = core_worker

    def __getattr__(self, name: str) -> Any:
        return _silence if name.startswith("remove_") else getattr(self._core_worker, name)


def disconnect() -> None:
    """Leave the cluster, without waiting long for its answer."""
    briefly(_leave, _LEAVE_SECONDS)


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


def raylet_socket() -> str | None:
    """Path of the socket of the raylet that this process talks to."""
    from ray._private import worker

    node = worker._global_node  # pyright: ignore[reportPrivateUsage]
    return None if node is None else node.raylet_socket_name


@contextmanager
def using_token(token: str) -> Generator[None]:
    """Use ``token`` for the length of a ``with`` block, and then what the environment said before."""
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        # Longer than the end of a run whose gcs_server died: Ray would end the process without a word.
        "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
    }
    try:
        with environment_with(variables):
            _read_environment()
            yield
    finally:
        _read_environment()


@contextmanager
def environment_with(variables: Mapping[str, str]) -> Generator[None]:
    """Variables of this process as they shall be for a while: a Ray started later must not meet them."""
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


def _read_environment() -> None:
    """Ray's C++ keeps what it has read of the environment."""
    from ray._raylet import AuthenticationTokenLoader, Config  # pyright: ignore[reportAttributeAccessIssue]

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _quietly() -> Generator[None]:
    """Keep Ray from printing into the display: what matters of its processes comes with results."""
    from ray._private import worker

    for name in _TALKERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    listen, worker.listen_error_messages = worker.listen_error_messages, _silence
    try:
        yield
    finally:
        worker.listen_error_messages = listen


@contextmanager
def _as_named() -> Generator[None]:
    """Ray would look for 127.0.0.1 at the machine's other address."""
    from ray._private import services

    resolve, services.resolve_ip_for_localhost = services.resolve_ip_for_localhost, _unchanged
    try:
        yield
    finally:
        services.resolve_ip_for_localhost = resolve


def _silence(*_: object, **__: object) -> None:
    """Stand for what shall not happen: Ray's printing of messages, the requests of what dies late."""


def _unchanged(host: str) -> str:
    return host
