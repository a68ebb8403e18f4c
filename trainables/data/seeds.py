"""Random order from a repeat and a purpose: the same in every cell, on every machine, in any file order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

__all__ = ["seed_for", "shuffled"]


def seed_for(seed: int, fold: int | None, purpose: str, *index: int) -> int:
    """A 64-bit seed that depends on repeat and purpose only, never on the cell: common random numbers."""
    text = json.dumps([seed, fold, purpose, *index])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def shuffled(names: Iterable[str], seed: int) -> list[str]:
    """``names`` in a random order that does not depend on the order they came in.

    Each name is placed by its own hash, so one more name leaves the order of the others as it was.
    """
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
