"""A server of pages as a child of a command: one sentence when it cannot start, one when it is up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

import typer

from trainables.errors import InputError

__all__ = ["EVERYWHERE", "serve"]

EVERYWHERE = "0.0.0.0"
_HERE = "127.0.0.1"
_SLOW_START = 5.0  # seconds between two signs of life while the server starts


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
        host: Address that it listens on.
        port: Port that it listens on.
        health: Path that answers when it is up.
        takes: Time until then, in words.
        environment: Variables on top of this process's own.
        path: Rest of the address that is printed.

    Raises:
        InputError: If the address cannot be had.
        typer.Exit: With 1, if the server ends with an error.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port."
            ) from None
    address = f"http://{_HERE if host == EVERYWHERE else host}:{port}"
    typer.echo(f"starting {name} on {address} (takes about {takes}; Ctrl-C ends it)")
    server = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
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
