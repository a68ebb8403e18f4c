"""Asking a running study to stop: an object on the storage that the engine looks for.

Whoever can write to the storage can ask, from any machine; a signal reaches one process only. The engine
ends the trials at the next epoch, keeps what is finished and clears the request; a request that nobody
was there to see is cleared by the next `assay run`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from assay.results.store import Store

__all__ = ["StopKind", "clear_stop", "request_stop", "stop_requested"]

StopKind = Literal["study", "trial"]


def request_stop(store: Store, kind: StopKind, name: str) -> None:
    """Ask for the end of a study (by name) or of one trial (by id); asking twice is asking once."""
    store.write_json(_path(store, kind, name), {"requested": datetime.now(UTC).isoformat()})


def stop_requested(store: Store, kind: StopKind, name: str) -> bool:
    """Whether somebody asked. One look at the storage: cheap enough for each epoch, or each second."""
    return store.exists(_path(store, kind, name))


def clear_stop(store: Store, kind: StopKind, name: str) -> None:
    """Forget a request, if there is one."""
    store.delete_tree(_path(store, kind, name))


def _path(store: Store, kind: StopKind, name: str) -> str:
    return f"{store.study(name) if kind == 'study' else store.trial(name)}/stop.json"
