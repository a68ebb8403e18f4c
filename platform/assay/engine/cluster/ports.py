"""The ports that Ray's processes of this user listen on here, as the kernel lists them.

``assay doctor --ports`` prints them, so that a firewall's rules can be compared with what is open. A test
compares docs/cluster.md with them.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Port", "ray_ports"]

_LISTENS = "0A"
# Process, by what its command line holds; the first that fits.
_NAMES = (
    ("gcs_server", "/gcs/gcs_server"),
    ("raylet", "/raylet/raylet"),
    ("agent", "/dashboard/agent.py"),
    ("agent", "ray::DashboardAgent"),
    ("runtime_env agent", "/runtime_env/agent/main.py"),
    ("runtime_env agent", "ray::RuntimeEnvAgent"),
    ("dashboard", "/dashboard/dashboard.py"),
    ("dashboard", "ray-dashboard"),
    ("autoscaler", "/monitor.py"),
    ("client server", "ray.util.client.server"),
    ("worker", "ray::"),
    ("worker", "/default_worker.py"),
)


class Port(NamedTuple):
    """A socket that waits for connections."""

    process: str
    address: str  # * for all interfaces
    port: int


def ray_ports(pids: Collection[int] | None = None) -> list[Port]:
    """List what Ray's processes of this user listen on, by process and address; ``pids``: those alone."""
    sockets = {inode: place for table in ("tcp", "tcp6") for inode, place in _listening(table)}
    ports = {
        Port(name, *sockets[inode])
        for pid, name in _ray_processes()
        if pids is None or pid in pids
        for inode in _sockets_of(pid)
        if inode in sockets
    }
    return sorted(ports)


def _ray_processes() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid != os.getuid():
                continue
            command = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        # A raylet's own command holds those of its agents.
        head = " ".join(command.split(" ")[:4])
        name = next((name for name, mark in _NAMES if mark in head), None)
        if name is not None:
            yield int(entry.name), name


def _sockets_of(pid: int) -> Iterator[str]:
    """List the inodes of a process's sockets."""
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(descriptor)
            if target.startswith("socket:["):
                yield target[8:-1]
    except OSError:
        return


def _listening(table: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """List inode, address and port of each listening socket."""
    try:
        lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    except FileNotFoundError:  # a kernel without IPv6
        return
    for line in lines:
        parts = line.split()
        if parts[3] == _LISTENS:
            address, _, port = parts[1].partition(":")
            yield parts[9], (_readable(address), int(port, 16))


def _readable(address: str) -> str:
    """An address of /proc/net/tcp, whose words are in the machine's order."""
    words = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
    data = struct.pack(f"={len(words)}I", *words)
    if not any(data):
        return "*"
    if len(data) == 4:
        return socket.inet_ntop(socket.AF_INET, data)
    text = socket.inet_ntop(socket.AF_INET6, data)
    return text.removeprefix("::ffff:") if "." in text else text
