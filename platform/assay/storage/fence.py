"""Fence of a run: what it writes is refused once another run has taken its study over.

A run that sleeps past its lease (a suspended laptop, a stopped container) wakes up and goes on as if nothing
had happened. Its workers carry the token of the lease, and look whether it is still the one in force before
they begin an attempt or write a record, a pack or the points of a search: one request each, none for
heartbeats and checkpoints. On a folder nobody can take the lease between that look and the write. An object
store has no such block: there a record is written only where none is, so that one that slips through in the
moment between two requests adds the trial's result and replaces none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel

from assay.storage.conditional import ChangedError, Swaps
from assay.storage.lease_note import LeaseNote, lease_path, read_note
from trainables.errors import StorageError

if TYPE_CHECKING:
    from assay.storage.files import Files

__all__ = ["DisplacedError", "Fence", "FenceNote"]

_TRIES = 5  # of a file that others of the same run write too


class DisplacedError(StorageError):
    """Another run has taken the study over: nothing more of this one is written."""


class FenceNote(BaseModel, frozen=True, extra="forbid"):
    """The lease under which a run works, as its workers are told."""

    study: str
    token: str
    epoch: int

    def refuse_if_over(self, note: LeaseNote | None) -> None:
        """Refuse to go on under a lease that is not in force.

        Raises:
            DisplacedError: If ``note``, the one that lies there now, is another's or was given back.
        """
        if note is not None and note.held and note.token == self.token:
            return
        if note is None:
            now = "its lease file is gone or cannot be read"
        elif note.held:
            now = f"{note} (lease {note.epoch}, this run's was {self.epoch})"
        elif note.token == self.token:
            now = "this run has given it back"
        else:
            now = f"`assay stop --force` took it away (lease {note.epoch}, this run's was {self.epoch})"
        raise DisplacedError(
            f"study {self.study} is no longer this run's: {now}. Nothing more of this run is recorded. What "
            "is finished is kept, and `assay run` goes on from there once nobody runs it."
        )


class Fence:
    """Conditional writes under a lease."""

    def __init__(self, files: Files, swaps: Swaps, note: FenceNote) -> None:
        self.note = note
        self._files = files
        self._swaps = swaps
        self._lease = lease_path(note.study)

    def check(self) -> None:
        """See that the lease is still in force; one request.

        Raises:
            DisplacedError: If it is not.
        """
        self.note.refuse_if_over(read_note(self._swaps.read(self._lease)))

    def write_first(self, path: str, data: bytes, stays: Callable[[], bool]) -> bool:
        """Write a file that no other may replace.

        Args:
            path: Of the file.
            data: Its content.
            stays: Tells whether the file that is there already is worth keeping.

        Returns:
            False where there was one, which stays.

        Raises:
            DisplacedError: If the lease is not in force any more.
        """
        with self._swaps.unmoved(self._lease):
            self.check()
            if self._swaps.create(path, data):
                return True
            if stays():
                return False
            self._files.write_bytes(path, data)
            return True

    def delete(self, path: str) -> None:
        """Remove a file.

        Raises:
            DisplacedError: If the lease is not in force any more.
        """
        with self._swaps.unmoved(self._lease):
            self.check()
            self._files.delete_tree(path)

    def write(self, path: str, data: bytes) -> None:
        """Write a file over the one that is there.

        Raises:
            DisplacedError: If the lease is not in force any more.
        """
        with self._swaps.unmoved(self._lease):
            if self._swaps.locks:
                self.check()
                self._files.write_bytes(path, data)
                return
            for _ in range(_TRIES):
                current = self._swaps.read(path)
                self.check()
                try:
                    self._swaps.write(path, data, over=current)
                except ChangedError:
                    continue
                return
        raise StorageError(f"{path} was replaced by others during each of {_TRIES} tries to write it")
