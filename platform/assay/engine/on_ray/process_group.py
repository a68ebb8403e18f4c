"""The meeting place of a trial's workers: torch's store, on the address of the first worker's node.

Ray's ``TorchConfig`` has torch open the store. Torch listens on all interfaces and asks nobody for a token,
on a Ray of this machine alone, too. Here the first worker opens it on its node's address, which is 127.0.0.1
on such a Ray, and Train tells the others.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from datetime import timedelta
from typing import Any

import ray
import torch.distributed as dist
from ray.train.collective import broadcast_from_rank_zero
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

__all__ = ["meet"]

_WAIT = timedelta(minutes=30)  # torch's own
_open: list[TCPStore] = []  # of this worker, for as long as it lives


def meet(rank: int, world_size: int) -> None:
    """Join the trial's workers over gloo, which carries words: training processes meet on their own.

    ``MASTER_ADDR`` and ``MASTER_PORT`` say afterwards where the store is.
    """
    address: Any = broadcast_from_rank_zero(_open_store() if rank == 0 else None)
    host, port = address
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = host, str(port)
    if ipaddress.ip_address(host).is_loopback:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # gloo takes the address of the machine's name otherwise
    store = TCPStore(host, port, is_master=False, timeout=_WAIT)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=_WAIT)


def _open_store() -> tuple[str, int]:
    """Open the store in the first worker; returns its address."""
    host = ray.util.get_node_ip_address()
    listening = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    port = int(listening.getsockname()[1])
    # The store has the socket from here on, and closes it.
    store = TCPStore(
        host, port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach(), timeout=_WAIT
    )
    _open.append(store)
    return host, port
