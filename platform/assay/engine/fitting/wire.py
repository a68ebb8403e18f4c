"""Messages between a training in a process of its own and the worker that watches it.

The worker sends Python objects. What comes back is JSON and safetensors only: the method's code runs at that
end, and nothing that it sends is ever run here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from multiprocessing.connection import Connection
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import safetensors.numpy
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Message", "packed", "receive", "send"]

_MOST_TEXT = 16 * 2**20  # bytes of JSON in a message
_MOST_TENSORS = 16 * 2**30  # bytes of tensors in a message


class Message(NamedTuple):
    """One message of the training process."""

    kind: str
    values: dict[str, Any]  # JSON values
    data: bytes = b""  # tensors, as a file of safetensors

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The tensors, of types that NumPy has."""
        return safetensors.numpy.load(self.data)


_sending = Lock()  # a method may have threads of its own


def send(
    connection: Connection, kind: str, tensors: Mapping[str, Tensor] | None = None, **values: Any
) -> None:
    """Send a message; tensors are moved to the host."""
    parts = [json.dumps({"kind": kind, "tensors": tensors is not None, **values}).encode()]
    if tensors is not None:
        parts.append(packed(tensors))
    with _sending:
        for part in parts:
            connection.send_bytes(part)


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as a file of safetensors, which takes contiguous ones on the host that share no memory."""
    import safetensors.torch  # where a method trains: what only hands on needs no torch

    plain: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        on_host = tensor.detach().cpu().contiguous()
        storage = on_host.untyped_storage().data_ptr()
        plain[name] = on_host.clone() if storage in storages else on_host
        storages.add(storage)
    return safetensors.torch.save(plain)


def receive(connection: Connection) -> Message:
    """Wait for a message.

    Raises:
        EOFError: If the process ended.
        OSError: If a message is larger than any can be.
    """
    values = json.loads(connection.recv_bytes(_MOST_TEXT))
    kind = str(values.pop("kind"))
    data = connection.recv_bytes(_MOST_TENSORS) if values.pop("tensors") else b""
    return Message(kind, values, data)
