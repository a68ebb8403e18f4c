"""The meeting place of a trial's workers: torch's store, on the address of the first worker's node.

Ray's ``TorchConfig`` has torch open the store. Torch listens on all interfaces and asks nobody for a token,
on a Ray of this machine alone, too. Here the first worker opens it on its node's address, which is 127.0.0.1
on such a Ray. Uses Train's internals (2.60), as ``train.py`` does.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from datetime import timedelta
from typing import Any

import ray
import torch.distributed as dist
from ray.train.torch import TorchConfig
from ray.train.torch.config import (
    _set_torch_distributed_env_vars,  # pyright: ignore[reportPrivateUsage]
    _TorchBackend,  # pyright: ignore[reportPrivateUsage]
)
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

__all__ = ["Meeting"]

_WAIT = timedelta(minutes=30)  # torch's own
_open: list[TCPStore] = []  # of this worker, for as long as it lives


class Meeting(TorchConfig):
    """A group of workers over gloo, which carries words: training processes meet on their own."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        host, port = worker_group.execute_single(0, _open_store)
        worker_group.execute(_set_torch_distributed_env_vars)
        size = len(worker_group)
        ray.get(
            [worker_group.execute_single_async(rank, _join, host, port, rank, size) for rank in range(size)]
        )


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


def _join(host: str, port: int, rank: int, size: int) -> None:
    """Join the group in each worker, and note for its training processes where the store is."""
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = host, str(port)
    if ipaddress.ip_address(host).is_loopback:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # gloo takes the address of the machine's name otherwise
    store = TCPStore(host, port, is_master=False, timeout=_WAIT)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=_WAIT)
