"""The cluster that others started, watched while a study runs on it: its head, and its nodes.

Ray itself ends a process whose head is away for a minute, without a word, and waits for its own node's raylet
for ever.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from assay.engine.cluster.ray_head import is_alive
from assay.engine.interrupts import Ending

__all__ = ["any_raylet", "refuse_silent_address", "refuse_web_server", "watching"]

_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 1.0
_AWAY_SECONDS = 20.0  # that the head may be away: one that is restarted comes back
# Of HTTP/2, which heads speak (RFC 9113, 3.4), with empty settings.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def refuse_silent_address(address: str) -> None:
    """See whether anybody listens at ``host:port``: Ray itself would try for a minute.

    Raises:
        OSError: If nobody does, or it is no such address.
    """
    if address.startswith("ray://"):
        raise OSError("ray:// is Ray Client's; the head's port is 6379 if none was chosen")
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) >= 2**16 or "/" in host or "@" in host:
        raise OSError("it is not host:port")  # which may hold a password: it is not shown
    socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()


def refuse_web_server(address: str) -> None:
    """Knock, and see that no web server listens there, as the dashboard: Ray itself would wait for minutes.

    Raises:
        OSError: If nobody listens, a web server does, or it is no such address.
    """
    refuse_silent_address(address)
    host, _, port = address.rpartition(":")
    answer = b""  # as of one that is busy
    connection = socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS)
    with connection, suppress(TimeoutError, ConnectionError):
        connection.sendall(_PREFACE)
        answer = connection.recv(len(b"HTTP/"))
    if answer == b"HTTP/":
        raise OSError("a web server does, as the dashboard's; the head's port is 6379 if none was chosen")


@contextmanager
def watching(ending: Ending) -> Generator[None]:
    """Tell ``ending`` when the head or this node's raylet is gone, for the length of a ``with`` block."""
    import ray

    head = str(ray.get_runtime_context().gcs_address)
    raylet = _raylet()
    over = threading.Event()

    # A thread asks, since the main one may be waiting in Ray's C++ for a head that is dead. A raylet that is
    # gone is seen at once on this machine; a head is lost when it has been silent for a while.
    def watch() -> None:
        seen = time.monotonic()
        while not over.wait(_POLL_SECONDS):
            if raylet is not None and not is_alive(raylet):
                ending.lose("the raylet of this process's node ended (killed, failed or drained)")
                return
            try:
                refuse_silent_address(head)
                seen = time.monotonic()
            except OSError as error:
                if time.monotonic() - seen > _AWAY_SECONDS:
                    ending.lose(f"the cluster's head at {head} does not answer any more ({error})")
                    return

    thread = threading.Thread(target=watch, name="assay-cluster", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def any_raylet(address: str) -> bool:
    """Tell whether a node of the cluster at ``address`` runs on this machine, and in this container.

    A head has several names, but one port. ``auto`` stands for any cluster.
    """
    port = address.rpartition(":")[2].encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "comm").read_text() != "raylet\n" or not is_alive(int(entry.name)):
                continue
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            heads = {part.rpartition(b":")[2] for part in arguments if part.startswith(b"--gcs-address=")}
            if address == "auto" or port in heads:
                return True
    return False


def _raylet() -> int | None:
    """Process id of the raylet that this process talks to; None where it runs in another container."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    sockets = [node["RayletSocketName"] for node in ray.nodes() if node["NodeID"] == here]
    marks = {f"--raylet_socket_name={socket}".encode() for socket in sockets}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if not marks.isdisjoint((entry / "cmdline").read_bytes().split(b"\0")):
                return int(entry.name)
        except OSError:
            continue
    return None
