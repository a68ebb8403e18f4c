"""Messages between a training in a process of its own and the worker that watches it.

The worker sends Python objects. What comes back is JSON and safetensors only: the method's code runs at that
end, and nothing that it sends is ever run here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any, NamedTuple

import safetensors.torch
from torch import Tensor

__all__ = ["Message", "receive", "send"]

_MOST_TEXT = 16 * 2**20  # bytes of JSON in a message
_MOST_TENSORS = 16 * 2**30  # bytes of tensors in a message


class Message(NamedTuple):
    """One message of the training process."""

    kind: str
    values: dict[str, Any]  # JSON values
    tensors: dict[str, Tensor]  # on the host


_sending = Lock()  # a method may have threads of its own


def send(
    connection: Connection, kind: str, tensors: Mapping[str, Tensor] | None = None, **values: Any
) -> None:
    """Send a message; tensors are moved to the host."""
    parts = [json.dumps({"kind": kind, "tensors": tensors is not None, **values}).encode()]
    if tensors is not None:
        parts.append(safetensors.torch.save(_plain(tensors)))
    with _sending:
        for part in parts:
            connection.send_bytes(part)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the host, no two of which share memory: safetensors refuses those."""
    plain: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        on_host = tensor.detach().cpu().contiguous()
        storage = on_host.untyped_storage().data_ptr()
        plain[name] = on_host.clone() if storage in storages else on_host
        storages.add(storage)
    return plain


def receive(connection: Connection) -> Message:
    """Wait for a message.

    Raises:
        EOFError: If the process ended.
        OSError: If a message is larger than any can be.
    """
    values = json.loads(connection.recv_bytes(_MOST_TEXT))
    kind = str(values.pop("kind"))
    tensors: dict[str, Tensor] = {}
    if values.pop("tensors"):
        tensors = safetensors.torch.load(connection.recv_bytes(_MOST_TENSORS))
    return Message(kind, values, tensors)
