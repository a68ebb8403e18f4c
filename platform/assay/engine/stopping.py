"""Requests to stop a study, and leases that another run took over, as what Ctrl-C does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

from assay.storage import Lease, Store
from assay.storage.lease import stop_requested

__all__ = ["stop_on_request"]

_POLL_SECONDS = 1.0


@contextmanager
def stop_on_request(store: Store, study: str, lease: Lease) -> Generator[None]:
    """Turn a stop request on the storage, or a lease that another run took over, into what Ctrl-C does."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_POLL_SECONDS):
            try:
                stopping = stop_requested(store, "study", study)
            except OSError:
                stopping = False  # the storage is away for a moment: the next look will tell
            if stopping or lease.lost.is_set():
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
