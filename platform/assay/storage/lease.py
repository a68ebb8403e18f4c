"""One `assay run` of a study at a time: the second one sees who is at it, and is refused.

The lease is ``studies/<study>/lease.json``. Its holder renews it every few seconds; whoever finds it left
behind (its process gone on this machine, or no sign of life for 60 s) takes it over. Locally a lock on a
file beside it makes looking and taking one step. Object stores have no such step: there the taker waits a
moment and reads back what it wrote, so that of several that start at once the last to write goes on. A holder
that finds another's name in its lease, at its next beat, knows that it is no longer its own, and stops.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Self

from pydantic import BaseModel, ValidationError

from assay.storage.store import Store
from trainables.errors import InputError

__all__ = ["Lease", "LeaseNote", "holder", "refuse_if_held"]

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
SETTLE_SECONDS = 1.0  # of an object store: who looked before our note was there has written by then


class LeaseNote(BaseModel, frozen=True, extra="forbid"):
    """Who runs a study: what a second run reads."""

    token: str  # of one lease, so that one process cannot hold two
    host: str
    pid: int
    started: float  # Unix time
    beat: float  # Unix time of the last sign of life

    def alive(self, now: float) -> bool:
        """True while the holder may still be at work."""
        if now - self.beat > STALE_SECONDS:
            return False
        return self.host != socket.gethostname() or _process_exists(self.pid)


def holder(store: Store, study: str) -> LeaseNote | None:
    """Who runs ``study`` right now; None when nobody does."""
    note = _read(store, study)
    return note if note is not None and note.alive(time.time()) else None


def refuse_if_held(store: Store, study: str) -> None:
    """Say early what entering a :class:`Lease` would say.

    Raises:
        InputError: If a run of the study is alive.
    """
    _refuse_if_alive(store, study, _read(store, study))


class Lease:
    """The right to run a study, for the length of a ``with`` block.

    ``lease.lost`` is set when another run has taken over (after this process was asleep for a minute):
    its holder must stop then.

    Raises:
        InputError: On entering, if another run of the study is alive.
    """

    def __init__(self, store: Store, study: str, beat_seconds: float = BEAT_SECONDS) -> None:
        self._store, self._study, self._beat_seconds = store, study, beat_seconds
        self._note: LeaseNote | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = threading.Event()

    def __enter__(self) -> Self:
        now = time.time()
        note = LeaseNote(
            token=secrets.token_hex(8), host=socket.gethostname(), pid=os.getpid(), started=now, beat=now
        )
        with _one_at_a_time(self._store, self._study):
            _refuse_if_alive(self._store, self._study, _read(self._store, self._study))
            self._write(note)
        if self._store.local_path is None:
            time.sleep(SETTLE_SECONDS)
        other = _read(self._store, self._study)
        if other is None or other.token != note.token:
            _refuse_if_alive(self._store, self._study, other)
            raise InputError(f"another run of study {self._study} began and ended just now. Run it again.")
        self._note = note
        self._thread = threading.Thread(target=self._renew, name=f"lease of {self._study}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        # A storage that is full or away keeps the note, which goes stale by itself.
        with suppress(OSError), _one_at_a_time(self._store, self._study):
            if self._is_ours():
                self._store.delete_tree(_path(self._study))

    def _renew(self) -> None:
        while not self._stop.wait(self._beat_seconds):
            try:
                with _one_at_a_time(self._store, self._study):
                    if not self._is_ours():
                        self.lost.set()
                        return
                    self._write(self._held().model_copy(update={"beat": time.time()}))
            except OSError:
                # The storage is away for a moment: the next beat tries again; 60 s without one are allowed.
                continue

    def _is_ours(self) -> bool:
        note = _read(self._store, self._study)
        return note is not None and note.token == self._held().token

    def _held(self) -> LeaseNote:
        assert self._note is not None, "the lease was not entered"
        return self._note

    def _write(self, note: LeaseNote) -> None:
        self._store.write_bytes(_path(self._study), note.model_dump_json().encode())


def _refuse_if_alive(store: Store, study: str, note: LeaseNote | None) -> None:
    if note is None or not note.alive(time.time()):
        return
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(note.started))
    target = f"{study} --storage {shlex.quote(store.uri)}"
    raise InputError(
        f"study {study} is run by one process at a time, and process {note.pid} on {note.host} runs it since "
        f"{since}. Watch it with `assay status {target}`, or end it with `assay stop {target}`."
    )


def _path(study: str) -> str:
    return f"{Store.study(study)}/lease.json"


def _read(store: Store, study: str) -> LeaseNote | None:
    """The note that lies there; one that cannot be parsed belongs to nobody."""
    try:
        return LeaseNote.model_validate_json(store.read_bytes(_path(study)))
    except (FileNotFoundError, ValidationError):
        return None


@contextmanager
def _one_at_a_time(store: Store, study: str) -> Generator[None]:
    """Keep other processes of this machine out while the lease is looked at and written."""
    path = store.local_file(f"{Store.study(study)}/.lease.lock")
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
