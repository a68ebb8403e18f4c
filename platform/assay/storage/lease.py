"""One `assay run` of a study at a time: the second one sees who is at it, and is refused.

The lease is ``studies/<study>/lease.json``. Its holder renews it every few seconds; whoever finds it left
behind (its process gone on this machine, or no sign of life for 60 s) takes it over. Looking and taking are
one step: the file is replaced only if it still is what was read (``conditional.py``). Each lease has a number
that only grows. It stays in the file when the lease is given back, so that whatever an earlier holder writes
late is known to be late, and refused (``fence.py``).

No clock is trusted alone. A sign of life from the future, where a clock was set back or differs from ours,
is watched for a minute of our own time: a lease that is not renewed meanwhile is free. A file that cannot be
read is nobody's.
"""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from assay.storage.conditional import ChangedError, Swaps, Version
from assay.storage.fence import FenceNote
from assay.storage.lease_note import (
    STALE_SECONDS,
    LeaseNote,
    Standing,
    lease_path,
    next_epoch,
    process_start,
    read_note,
    this_machine,
)
from assay.storage.local_root import GoneError
from assay.storage.store import Store
from trainables.errors import InputError, StorageError

__all__ = ["Lease", "LeaseNote", "displace", "holder", "running_studies"]

BEAT_SECONDS = 10.0
_LOOK_SECONDS = 2.0  # between two looks at a lease that is watched
_TRIES = 10  # of taking a lease away that is renewed meanwhile

Say = Callable[[str], None]


def _quiet(text: str) -> None:
    pass


def holder(store: Store, study: str) -> LeaseNote | None:
    """Who runs ``study`` right now; None when nobody does."""
    note = read_note(store.swaps.read(lease_path(study)))
    return note if note is not None and note.standing(time.time()) in {"held", "ahead"} else None


def running_studies(store: Store) -> list[str]:
    """The names of the studies that somebody runs right now."""
    return [study for study in store.study_folders() if holder(store, study) is not None]


def displace(store: Store, study: str) -> LeaseNote:
    """Take the lease away from whoever holds it; what that run writes from now on is refused.

    Returns:
        The note of the holder that was displaced.

    Raises:
        InputError: If nobody holds it.
        StorageError: If it is renewed again and again meanwhile.
    """
    swaps = store.swaps
    for _ in range(_TRIES):
        version = swaps.read(lease_path(study))
        note = read_note(version)
        if note is None or note.standing(time.time()) not in {"held", "ahead"}:
            raise InputError(
                f"only a study that runs can be stopped, and nobody runs {study} in {store.uri} now."
            )
        try:
            swaps.write(lease_path(study), _freed(version, note, time.time()), over=version)
        except ChangedError:
            continue
        return note
    raise StorageError(
        f"the lease of study {study} in {store.uri} was renewed during each of {_TRIES} tries to take it "
        "away. Try again."
    )


class Lease:
    """The right to run a study, for the length of a ``with`` block.

    ``lease.lost`` is set when another run has taken over (after this process was asleep for a minute),
    somebody took it away, or the storage is gone: its holder must stop then. :attr:`fence` is what its
    workers carry.

    Args:
        store: Where the study lies.
        study: Its name.
        say: Called with what was found about an earlier holder or the storage, where a user should know.

    Raises:
        InputError: On entering, if another run of the study is alive.
    """

    def __init__(self, store: Store, study: str, say: Say = _quiet) -> None:
        self._store, self._study, self._say = store, study, say
        self._note: LeaseNote | None = None
        self._version: Version | None = None  # of the file, as this run wrote it last
        self._swaps: Swaps = store.swaps
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = threading.Event()

    def __enter__(self) -> Self:
        self.take()
        self._thread = threading.Thread(target=self._renew, name=f"lease of {self._study}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(OSError):  # a storage that is full or away keeps the note, which goes stale by itself
            self.give_back()

    @property
    def fence(self) -> FenceNote:
        """The lease as workers know it."""
        note = self._held()
        return FenceNote(study=self._study, token=note.token, epoch=note.epoch)

    def take(self) -> None:
        """Take the lease, without a thread that renews it.

        Raises:
            InputError: If another run of the study is alive.
        """
        path = lease_path(self._study)
        self._swaps.prove()
        self._store.state_format()  # before the lock beside the lease makes the study's folder
        version = self._swaps.read(path)
        _refuse_if_alive(self._store, self._study, version, self._say)
        now = time.time()
        note = LeaseNote(
            token=secrets.token_hex(8),
            host=socket.gethostname(),
            pid=os.getpid(),
            started=now,
            beat=now,
            epoch=next_epoch(version, now),
            machine=this_machine(),
            process=process_start(os.getpid()),
        )
        try:
            self._version = self._swaps.write(path, _bytes(note), over=version)
        except ChangedError:
            _refuse_if_alive(self._store, self._study, self._swaps.read(path), self._say)
            raise InputError(
                f"another run of study {self._study} began and ended just now. Run it again."
            ) from None
        self._note = note

    def renew(self) -> bool:
        """Give a sign of life; False, and :attr:`lost` is set, where the lease is another's by now."""
        path = lease_path(self._study)
        note = self._held().model_copy(update={"beat": time.time()})
        try:
            self._version = self._swaps.write(path, _bytes(note), over=self._version)
        except ChangedError:
            self._version = self._swaps.read(path)
            current = read_note(self._version)
            if current is None or not current.held or current.token != note.token:
                self.lost.set()
                return False
        return True

    def give_back(self) -> None:
        """Say that the run is over; the number of the lease stays. Another's lease is left alone."""
        if self.lost.is_set():
            return
        note = self._held().model_copy(update={"beat": time.time(), "held": False})
        for _ in range(2):  # an earlier sign of life may have arrived although its answer was lost
            with suppress(ChangedError):
                self._swaps.write(lease_path(self._study), _bytes(note), over=self._version)
                return
            self._version = self._swaps.read(lease_path(self._study))
            current = read_note(self._version)
            if current is None or current.token != note.token:
                return

    def refuse_if_lost(self) -> None:
        """See that this run still has the lease, and say who has it otherwise; one request.

        Raises:
            GoneError: If the storage was moved, deleted or unmounted.
            DisplacedError: If another run has taken over, or the lease was taken away or is gone.
        """
        self._store.refuse_if_gone()
        self.fence.refuse_if_over(read_note(self._swaps.read(lease_path(self._study))))

    def _renew(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                if not self.renew():
                    return
            except GoneError:
                self.lost.set()
                return
            except OSError:
                # The storage is away for a moment: the next beat tries again; 60 s without one are allowed.
                continue

    def _held(self) -> LeaseNote:
        assert self._note is not None, "the lease was not entered"
        return self._note


def _refuse_if_alive(store: Store, study: str, version: Version | None, say: Say) -> None:
    """Refuse a study that another run is at; say what was found where its lease is odd."""
    note = read_note(version)
    if note is None:
        if version is not None:
            say(f"{lease_path(study)} in {store.uri} cannot be read, and so is nobody's: it is written anew.")
        return
    standing = note.standing(time.time())
    if standing == "ahead" and version is not None:
        ahead = note.beat - time.time()
        say(
            f"the last sign of life of {note} is {ahead:.0f} s in the future: a clock was set back, or the "
            f"clocks of two machines differ. Watching for {STALE_SECONDS:.0f} s whether another one comes: "
            "if not, this run takes over."
        )
        standing = _watched(store, study, version)
    if standing != "held":
        return
    target = f"{study} --storage {shlex.quote(store.uri)}"
    raise InputError(
        f"study {study} is run by one process at a time, by {note}. Watch it with `assay status {target}`, "
        f"or end it with `assay stop {target}` (with --force if that process no longer answers)."
    )


def _watched(store: Store, study: str, version: Version) -> Standing:
    """``held`` if a lease with a sign of life from the future is renewed within a minute, else ``stale``."""
    until = time.monotonic() + STALE_SECONDS
    while time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
        current = store.swaps.read(lease_path(study))
        if current is None or current.data != version.data:
            later = read_note(current)
            return "held" if later is not None and later.held else "free"
    return "stale"


def _freed(version: Version | None, note: LeaseNote, now: float) -> bytes:
    """A note that says: nobody's, and later than ``note``."""
    return _bytes(
        note.model_copy(
            update={
                "token": secrets.token_hex(8),
                "held": False,
                "beat": now,
                "epoch": next_epoch(version, now),
            }
        )
    )


def _bytes(note: LeaseNote) -> bytes:
    return note.model_dump_json().encode()
