"""Checkpoints of a training: when another one is due, and how it lies on the storage.

A file of safetensors whose metadata hold the epoch, the method's own values and the history so far: one write
keeps them together. The last one is replaced; a record makes it superfluous.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from assay.storage import Store

__all__ = ["Checkpoints", "PackedState"]

_SHARE = 0.05  # of the training time may go into writing checkpoints


class PackedState(NamedTuple):
    """A checkpoint whose tensors are a file of safetensors: what hands it on needs no torch."""

    epoch: int
    data: bytes
    meta: dict[str, Any]


class Checkpoints:
    """The checkpoints of one trial, or of one stage, on the worker that writes them."""

    def __init__(self, store: Store, folder: str) -> None:
        """``folder``: of the trial or the stage; the next attempt finds them there."""
        self._store, self._path = store, f"{folder}/checkpoint.safetensors"
        self._written, self._cost = time.monotonic(), 0.0

    @property
    def due(self) -> bool:
        """True where another one would not take too large a share of the time."""
        return self._cost <= _SHARE * (time.monotonic() - self._written)

    def keep(
        self, epoch: int, tensors: bytes, meta: Mapping[str, Any], history: Sequence[Mapping[str, float]]
    ) -> None:
        """Write the state after ``epoch`` finished epochs; ``tensors`` is a file of safetensors."""
        header = {"epoch": str(epoch), "meta": json.dumps(dict(meta)), "history": json.dumps(history)}
        start = time.monotonic()
        self._store.write_bytes(self._path, _with_metadata(tensors, header))
        self._written = time.monotonic()
        self._cost = self._written - start

    def read(self) -> tuple[PackedState, list[dict[str, float]]] | None:
        """The state to go on from, and the history until there; None where there is none."""
        try:
            data = self._store.read_bytes(self._path)
        except FileNotFoundError:
            return None
        header = _header(data)[0]["__metadata__"]
        state = PackedState(int(header["epoch"]), data, json.loads(header["meta"]))
        return state, json.loads(header["history"])


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header of a file of safetensors, JSON after eight bytes of length, and where its tensors begin."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), end


def _with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """A file of safetensors with other metadata; tensors begin at a multiple of eight bytes."""
    header, end = _header(data)
    text = json.dumps({**header, "__metadata__": dict(metadata)}).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, memoryview(data)[end:]])
