"""MLflow, kept up to date while a study runs, without ever making the study wait.

A thread of its own delivers, because a server that is away costs seconds a question. Records that MLflow did
not get, for whatever reason, are replayed by the next `assay run` or by `assay mlflow --sync`.
"""

from __future__ import annotations

import queue
import textwrap
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from assay.analysis.results.followed import StudyState
    from assay.storage import Record, Store
    from assay.storage.progress import Progress
    from assay.study import Plan
    from assay.tracking import MlflowSync

__all__ = ["SyncThread"]

_PATIENCE = 2.0  # with the four seconds of an orderly stop before the process is ended
_MESSAGE_CHARACTERS = 300
_PAUSE = 3.0  # seconds between two deliveries; longer when one takes long


class SyncThread:
    """Delivers records and the epochs of what trains to MLflow from entering to leaving a ``with`` block.

    Args:
        plan: Whose records.
        store: Where they lie.
        uri: MLflow's tracking URI; None: the store's own SQLite, if it has a place for one.
        say: Shows a message to the user.
        patience: Seconds that the end of an interrupted run waits for MLflow.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        uri: str | None,
        say: Callable[[str], None],
        patience: float = _PATIENCE,
    ) -> None:
        self._plan, self._store, self._uri, self._say = plan, store, uri, say
        self._patience = patience
        self._news = threading.Event()
        self._news.set()  # records of earlier runs that MLflow has not seen
        self._over = threading.Event()
        self._beats: queue.SimpleQueue[Progress] = queue.SimpleQueue()  # of epochs that were not told
        self._epochs: dict[str, tuple[str, int]] = {}  # attempt and epoch of each trial's last heartbeat
        self._thread = threading.Thread(target=self._deliver, name="assay-mlflow", daemon=True)
        self._interrupted = False
        self._settled: dict[str, Record] = {}  # those that no run replaces: read once
        self._lacking: str | None = None  # why MLflow lacks something

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._say("telling MLflow")
        # Interrupted: what does not make it is replayed later.
        self._thread.join(timeout=self._patience if kind is not None or self._interrupted else None)

    @property
    def lacking(self) -> str | None:
        """Why MLflow lacks some results; None when it has everything. Asked after the ``with`` block."""
        if self._thread.is_alive():
            return self._lacking or f"it did not answer within {self._patience:g} s"
        return self._lacking

    def interrupt(self) -> None:
        """Say that the run was interrupted: leaving the block then waits a few seconds at most."""
        self._interrupted = True

    def see(self, state: StudyState) -> None:
        """Take note of a state of the study, of its new records and epochs; returns at once."""
        if state.snapshot.ended:
            self._news.set()
        for running in state.snapshot.running:
            beat = running.progress
            if beat is not None and self._epochs.get(beat.trial) != (beat.attempt, beat.epoch):
                self._epochs[beat.trial] = beat.attempt, beat.epoch
                self._beats.put(beat)

    def _deliver(self) -> None:
        try:
            from assay.tracking import MlflowSync, default_uri

            uri = self._uri or default_uri(self._store)
            if uri is None:
                return
            mlflow_sync = MlflowSync(uri, self._store)
        except Exception as error:  # noqa: BLE001 - said at the end; the study goes on
            self._lacking = _in_short(error)
            return
        pause = 0.0

        # Records are told when new ones were seen, and heartbeats each time. Those of a trial that MLflow
        # does not know mean that there is news.
        while not self._over.wait(pause):
            start = time.monotonic()
            if self._news.is_set():
                self._news.clear()
                self._tell(mlflow_sync)
            if not mlflow_sync.follow([self._beats.get() for _ in range(self._beats.qsize())]):
                self._news.set()
            # A fifth of a core at most, whatever the server takes for it.
            pause = max(_PAUSE, 5 * (time.monotonic() - start))

        # MLflow is told once more at the end, of what came since the last time.
        self._tell(mlflow_sync)
        mlflow_sync.leave()

    def _tell(self, mlflow_sync: MlflowSync) -> None:
        from assay.analysis.results.reading import results_of_plan

        try:
            results = results_of_plan(self._plan, self._store, known=self._settled)

            # A failed record may be replaced when its trial is tried again. All others stay, and are read
            # once.
            settled = (record for record in results.records.values() if record.status != "failed")
            self._settled = {record.id: record for record in settled}
            report = mlflow_sync.sync(results)
            for note in report.notes:
                self._say(note)
        except Exception as error:  # noqa: BLE001 - said at the end; the study goes on, the next try may do
            self._lacking = _in_short(error)
        else:
            why = report.away or "; ".join(report.failed[:3])
            named = (
                why if mlflow_sync.uri in why else f"{mlflow_sync.uri}: {why}"
            )  # a database does not name itself
            self._lacking = None if report.complete else named


def _in_short(error: Exception) -> str:
    from assay.storage.redaction import redact

    text = redact(f"{type(error).__name__}: {error}")
    return textwrap.shorten(text, _MESSAGE_CHARACTERS, placeholder=" …")
