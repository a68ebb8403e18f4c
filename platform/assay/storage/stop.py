"""Asking a running study to stop: an object on the storage that the engine looks for.

Whoever can write to the storage can ask, from any machine; a signal reaches one process only. For a study it
is what Ctrl-C is: the run ends within seconds, in the middle of an epoch. A trial ends by itself after the
epoch it is in, and the others go on. What is finished stays; what is not goes on from its checkpoint in the
next `assay run`, which clears all requests first.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from assay.storage.store import Store

__all__ = ["StopKind", "clear_stop", "request_stop", "stop_requested"]

StopKind = Literal["study", "trial"]


def request_stop(store: Store, kind: StopKind, name: str) -> None:
    """Ask for the end of a study (by name) or of one trial (by id); asking twice is asking once."""
    store.write_json(_path(store, kind, name), {"requested": datetime.now(UTC).isoformat()})


def stop_requested(store: Store, kind: StopKind, name: str) -> bool:
    """True once somebody asked. One request to the storage: cheap enough for each epoch, or each second."""
    try:
        store.read_bytes(_path(store, kind, name))
    except FileNotFoundError:
        return False
    return True


def clear_stop(store: Store, kind: StopKind, name: str) -> None:
    """Forget a request, if there is one."""
    store.delete_tree(_path(store, kind, name))


def _path(store: Store, kind: StopKind, name: str) -> str:
    return f"{store.study(name) if kind == 'study' else store.trial(name)}/stop.json"
