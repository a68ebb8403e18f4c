"""Keeps MLflow up to date while a study runs, without ever making the study wait.

A thread of its own, because a server that is away costs ten seconds a question. Records that it cannot
deliver are replayed by the next `assay run` or by `assay mlflow --sync`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from assay.results import Store
    from assay.study import Plan
    from assay.tracking.mlflow import SyncReport

__all__ = ["Mirror"]

_PATIENCE = 5.0  # seconds that a Ctrl-C waits for MLflow
_PAUSE = 3.0  # seconds between two deliveries; longer when one takes long


class Mirror:
    """Delivers records to MLflow from entering to leaving a ``with`` block.

    Args:
        plan: Whose records.
        store: Where they lie.
        uri: MLflow's tracking URI; None: the store's own SQLite, if it has a place for one.
        say: Told what the user should know.
    """

    def __init__(self, plan: Plan, store: Store, uri: str | None, say: Callable[[str], None]) -> None:
        self._plan, self._store, self._uri, self._say = plan, store, uri, say
        self._news = threading.Event()
        self._news.set()  # records of earlier runs that MLflow has not seen
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="assay-mlflow", daemon=True)
        self._report: SyncReport | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if kind is None:
            self._say("telling MLflow")
            self._thread.join()
        else:  # interrupted: what does not make it is replayed later
            self._thread.join(timeout=_PATIENCE)

    @property
    def complaint(self) -> str | None:
        """What MLflow still lacks, in a sentence; None when it has everything."""
        if self._report is None or self._report.complete:
            return None
        reason = self._report.away or "; ".join(self._report.failed[:3])
        return f"MLflow lacks some results ({reason}). Nothing is lost: `assay mlflow --sync` replays them."

    def notify(self) -> None:
        """Say that there are new records; returns at once."""
        self._news.set()

    def _deliver(self) -> None:
        from assay.tracking import MlflowMirror, default_uri

        uri = self._uri or default_uri(self._store)
        if uri is None:
            return
        mirror = MlflowMirror(uri, self._store)
        pause = 0.0
        while not self._over.wait(pause):
            if self._news.is_set():
                self._news.clear()
                start = time.monotonic()
                self._report = mirror.sync(self._plan)
                pause = max(_PAUSE, 5 * (time.monotonic() - start))
            else:
                pause = _PAUSE
        self._report = mirror.sync(self._plan)
