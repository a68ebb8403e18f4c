"""The folder of a storage: made once, and not again where it vanishes while somebody writes into it."""

from __future__ import annotations

from pathlib import Path

from assay.storage import local_disk
from trainables.errors import StorageError

__all__ = ["KEPT", "GoneError", "LocalRoot"]

KEPT = "What is finished is kept: `assay run` then goes on from there."


class GoneError(StorageError):
    """A storage's folder that is not there any more."""


class LocalRoot:
    """The folder, as it was when this object first saw it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # None: there was none. Another one later means that it was unmounted.
        self._device = path.stat().st_dev if path.exists() else None

    def make(self) -> None:
        """Make the folder, if there was none.

        Raises:
            GoneError: If there was one, and it is not there any more.
        """
        self.refuse_if_gone()
        if self._device is None:
            local_disk.make_folder(self._path)
            self._device = self._path.stat().st_dev

    def refuse_if_gone(self) -> None:
        """See that a folder that was there still is.

        Raises:
            GoneError: If it was moved, deleted or unmounted, which leaves an empty one in its place.
        """
        if self._device is None:
            return
        try:
            if self._path.stat().st_dev == self._device:
                return
        except FileNotFoundError:
            raise GoneError(f"the storage {self._path} is gone. Bring it back. {KEPT}") from None
        raise GoneError(f"the storage {self._path} was unmounted. Mount it again. {KEPT}")
