"""The folder of a storage: made once, and not again where it vanishes while somebody writes into it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from assay.storage import local_disk
from assay.storage.redaction import redact
from trainables.data.atomic import AWAY
from trainables.errors import InputError, StorageError

__all__ = [
    "KEPT",
    "GoneError",
    "LocalRoot",
    "RefusedFileError",
    "address",
    "named_folder",
]

_OF_THE_READER = {
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    # EIO may be the file's own, which a disk has lost, and ESTALE that of one that was just replaced.
    *(AWAY - {errno.EIO, errno.ESTALE}),
}
KEPT = "What is finished is kept: `assay run` then goes on from there."


class GoneError(StorageError):
    """A storage's folder that is not there any more."""


class RefusedFileError(StorageError):
    """A file that cannot be read here and now: nothing is known of it, and it may be in order."""

    @staticmethod
    def fits(error: OSError) -> bool:
        """True where user, process or mount keep a file from being read."""
        return error.errno in _OF_THE_READER


def address(uri: object) -> str:
    """The path or URI of a storage as text.

    Raises:
        InputError: If it is neither, or empty, which Python takes for the current folder.
    """
    text = os.fspath(uri) if isinstance(uri, str | os.PathLike) else ""
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(
            f"a storage is a folder or a URI (s3://bucket/assay), found {uri!r}. Name one (. is this folder)."
        )
    return text


def named_folder(text: str) -> Path:
    """The folder that a path or a URI (``file:///data/assay``) names, with links followed.

    A path is taken to the letter. In a URI ``%41`` is an ``A``, as ``Path.as_uri`` writes it.

    Raises:
        InputError: If the URI names none of this machine, or the path is a link that leads to itself.
    """
    path = text
    if text.startswith("file:"):
        parts = urlsplit(text)
        if parts.netloc not in {"", "localhost"} or not text.startswith("file://") or not parts.path:
            raise InputError(
                f"the URI of a folder has three slashes, as in file:///data/assay, found {redact(text)}. "
                "Write them, or the path alone."
            )
        if "?" in text or "#" in text:
            raise InputError(
                "the URI of a folder has neither query nor fragment: ? is written %3F there, and # is %23, "
                f"found {redact(text)}. Write them so, or the path alone."
            )
        path = unquote(parts.path)
    try:
        return Path(os.path.expanduser(path)).resolve()  # the `~` of nobody's home is a name
    except RuntimeError:
        raise InputError(f"{text} is a link that leads to itself. Name a folder.") from None


class LocalRoot:
    """The folder, and the disk that it lay on when this object last looked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._disk = _Disk.of(path) if os.path.exists(path) else None  # None: there was no folder

    def make(self) -> None:
        """Make the folder, if there was none.

        Raises:
            GoneError: If there was one, and it is not there any more.
            StorageError: If no folder can be made there, as below a file.
        """
        self.refuse_if_gone()
        if self._disk is None:
            try:
                local_disk.make_folder(self._path)
            except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
                raise StorageError(
                    f"the storage {self._path} cannot be made ({error.strerror}: {error.filename}). "
                    "Name another with --storage."
                ) from error
            self._disk = _Disk.of(self._path)

    def refuse_if_gone(self) -> None:
        """See that a folder that was there still is, on the disk that it was on or on one mounted since.

        A disk that is mounted over it counts as the storage, whatever is on it.

        Raises:
            GoneError: If it was moved, deleted or unmounted, which leaves an empty one in its place.
        """
        if self._disk is None:
            return
        try:
            if self._path.stat().st_dev == self._disk.device:  # each writing asks: a walk takes long
                return
            disk = _Disk.of(self._path)
        except FileNotFoundError:
            raise GoneError(f"the storage {self._path} is gone. Bring it back. {KEPT}") from None
        if disk.mount in self._disk.mount.parents:
            raise GoneError(f"the storage {self._path} was unmounted. Mount it again. {KEPT}")
        self._disk = disk


class _Disk(NamedTuple):
    device: int
    mount: Path

    @classmethod
    def of(cls, folder: Path) -> _Disk:
        """The disk that a folder lies on: its number, and the place where it is mounted."""
        mount = next(path for path in (folder, *folder.parents) if os.path.ismount(path))
        return cls(folder.stat().st_dev, mount)
