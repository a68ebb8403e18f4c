"""The bounds that a person set for agents, and the error of a request beyond them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from assay.storage import Store
from trainables.errors import InputError

__all__ = ["OutOfBoundsError", "Terms"]


class OutOfBoundsError(InputError):
    """A request that no agent is granted."""


@dataclass(frozen=True)
class Terms:
    """Bounds and places, as the person set them who started the server."""

    studies: Path
    store: Store
    budget_hours: float
    data: Path | None
    cache: Path
    local: bool = False
    processes: int | None = None
    cpus: int | None = None
