"""A server of pages as a child of a command: one sentence when it cannot start, one when it is up."""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from functools import partial

import typer

from trainables.errors import InputError

__all__ = ["EVERYWHERE", "address_of", "only_here", "require_place", "serve"]

# The addresses that mean all of this machine → the one that its own browser opens.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_DIE_WITH_PARENT = 1  # prctl
_SLOW_START = 5.0  # seconds between two signs of life while the server starts


def require_place(host: str, port: int) -> None:
    """See that a server can listen on an address.

    Raises:
        InputError: Naming the option that is at fault.
    """
    elsewhere = InputError(
        f"--host is an address or a name of this machine, found {host!r}. Leave it out for this machine "
        "alone, or write 0.0.0.0 for all of its addresses."
    )
    if not host:
        raise elsewhere
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except UnicodeError:  # of what no name can be
        raise elsewhere from None
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise elsewhere from None
        why = os.strerror(error.errno)
        raise InputError(f"cannot listen on {host}:{port}: {why}. Choose another --port.") from None


def address_of(host: str, port: int) -> str:
    """The address to open in a browser, on this machine where the server listens everywhere."""
    shown = EVERYWHERE.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def only_here(host: str) -> bool:
    """True if nobody but this machine reaches ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    name: str,
    command: Sequence[str],
    host: str,
    port: int,
    *,
    health: str,
    takes: str,
    environment: Mapping[str, str],
    path: str = "",
) -> None:
    """Run a server until Ctrl-C, SIGTERM or its own end, and print its address once it answers.

    Args:
        name: Its name in messages.
        command: Program and arguments.
        host: Address that it listens on, as :func:`require_place` found it.
        port: Port that it listens on.
        health: Path that answers when it is up.
        takes: Time until then, in words.
        environment: Variables on top of this process's own.
        path: Rest of the address that is printed.

    Raises:
        typer.Exit: With 1, if the server ends with an error.
    """
    address = address_of(host, port)
    typer.echo(f"starting {name} on {address} (takes about {takes}; Ctrl-C ends it)")
    with_parent = None  # ended by the kernel where this process is killed: its port would stay taken
    if sys.platform == "linux":
        with_parent = partial(ctypes.CDLL(None).prctl, _DIE_WITH_PARENT, signal.SIGTERM, 0, 0, 0)
    server = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        preexec_fn=with_parent,  # noqa: PLW1509 - a system call that takes no lock
    )
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server must not outlive us
    try:
        _wait_until_up(server, name, address, health, path)
        code = server.wait()
    except KeyboardInterrupt:
        return
    finally:
        server.terminate()
        server.wait()
        signal.signal(signal.SIGTERM, before)
    raise typer.Exit(1 if code else 0)


def _wait_until_up(server: subprocess.Popen[bytes], name: str, address: str, health: str, path: str) -> None:
    spoke = time.monotonic()
    while server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}{health}", timeout=1):
                typer.echo(f"{name} is up: open {address}{path}")
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
        if time.monotonic() - spoke > _SLOW_START:
            spoke = time.monotonic()
            typer.echo("still starting")
