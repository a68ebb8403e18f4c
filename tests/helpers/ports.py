"""Ports for servers of the tests, which nobody else picks in the moment before a server has bound them."""

from __future__ import annotations

import os
import socket
from itertools import count

__all__ = ["free_port"]

# Below what the system picks for connections and for probes with port 0 (32768 on), and above Ray's workers.
_FIRST, _OF_A_PROCESS = 20_000, 2_000
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 6
_numbers = count(os.getpid())  # suites that run beside each other begin elsewhere


def free_port() -> int:
    """Pick a port of this machine that nobody listens on, another one in each process and each call."""
    for _ in range(_OF_A_PROCESS):
        port = _FIRST + _OF_A_PROCESS * _WORKER + next(_numbers) % _OF_A_PROCESS
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:  # somebody listens
                continue
        return port
    raise AssertionError(f"all {_OF_A_PROCESS} ports of this process are taken")
