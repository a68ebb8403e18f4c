"""Asking a running study to stop: an object on the storage that the engine looks for.

Whoever can write to the storage can ask, from any machine; a signal reaches one process only. For a study it
is what Ctrl-C is: the run ends within seconds, in the middle of an epoch. A trial ends by itself after the
epoch it is in, and the others go on. What is finished stays; what is not goes on from its checkpoint in the
next `assay run`, which clears all requests first.

A request names the lease of the run that it is meant for: one that comes while that run still begins is not
cleared by it, and one that was left behind, or arrives late, ends no other.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Literal

from assay.storage.store import Store

__all__ = ["StopKind", "clear_stop", "request_stop", "stop_requested"]

StopKind = Literal["study", "trial"]


def request_stop(store: Store, kind: StopKind, name: str, lease: str = "") -> None:
    """Ask for the end of a study (by name) or of one trial (by id); asking twice is asking once.

    Args:
        store: Where it runs.
        kind: Of what is to end.
        name: Of the study, or the trial's id.
        lease: Token of the run that is meant; empty: whichever is at work.
    """
    store.write_json(_path(store, kind, name), {"requested": datetime.now(UTC).isoformat(), "lease": lease})


def stop_requested(store: Store, kind: StopKind, name: str, lease: str = "") -> bool:
    """True once somebody asked. One request to the storage: cheap enough for each epoch, or each second.

    ``lease``: token of the run that would stop; empty: that of the store, without one any.
    """
    meant = _requested_lease(store, kind, name)
    token = lease or store.lease
    return meant is not None and (not token or meant in {"", token})


def clear_stop(store: Store, kind: StopKind, name: str) -> None:
    """Forget a request to an earlier run, if there is one; one that names this run's lease stays."""
    lease = _requested_lease(store, kind, name)
    if lease is None or (store.lease and lease == store.lease):
        return
    store.delete_tree(_path(store, kind, name))


def _requested_lease(store: Store, kind: StopKind, name: str) -> str | None:
    """Token of the run that is asked to stop, empty for any; None: nobody asked."""
    try:
        data = store.read_bytes(_path(store, kind, name))
    except FileNotFoundError:
        return None
    try:
        request = json.loads(data)
    except (ValueError, RecursionError):
        return ""  # one that was damaged is a request all the same
    return str(request.get("lease", "")) if isinstance(request, dict) else ""


def _path(store: Store, kind: StopKind, name: str) -> str:
    return f"{store.study(name) if kind == 'study' else store.trial(name)}/stop.json"
