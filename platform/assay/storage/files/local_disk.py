"""A storage on a disk of this machine: changes that a power cut leaves done or undone, names, and its folder.

A file is written beside its place, forced to disk and moved onto it. Then its folder is forced to disk, too:
until then a power cut may undo the move, and with it a file that others already name. Folders that are newly
made are forced into theirs for the same reason. So whatever was written is there before the next is begun,
and a record that comes last is there only with its files.

All goes through functions of ``os``, so that a test can write down what is asked of the disk, and in which
order (`tests/storage/test_power_cuts.py`).
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from trainables.data.files.atomic import AWAY
from trainables.errors import InputError, StorageError

__all__ = [
    "KEPT",
    "UNFINISHED",
    "GoneError",
    "LocalRoot",
    "RefusedFileError",
    "address",
    "create",
    "folders",
    "linked",
    "make_folder",
    "move",
    "named_folder",
    "names",
    "remove",
    "replace",
    "size",
    "size_below",
    "stays_below",
]

UNFINISHED = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}\.partial")  # name of a file that is being written

# Of file systems on which a folder cannot be forced to disk (some of networks, and FUSE): they order renames.
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def replace(path: Path, data: bytes) -> None:
    """Put a file with this content at ``path``: a reader sees the old file or the new one."""
    partial = _written_beside(path, data)
    try:
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def create(path: Path, data: bytes) -> bool:
    """Put a file at ``path`` if there is none, by a hard link; False where there is one, which stays."""
    if path.exists():
        return False

    # A link is made only where nothing is, in one step, while a rename would replace what is there: of two
    # writers one wins.
    partial = _written_beside(path, data)
    try:
        os.link(partial, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.replace(partial, path)  # this file system has none: looked at above, then moved
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return True


def _written_beside(path: Path, data: bytes) -> Path:
    """Write a file beside ``path``, on disk when this returns."""
    make_folder(path.parent)

    # The file is written in the same folder, since a rename or a link does not lead from one file system to
    # another.
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            rest = memoryview(data)
            while rest:  # a write may take a part, of 2 GB and more it does
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial


def remove(path: Path) -> None:
    """Remove a file, or a folder with all in it; nothing happens where there is none.

    The files of a folder go before its folders, and are gone for good by then: a record before what it names.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            _remove_folder(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass  # somebody else was faster


def move(path: Path, target: Path) -> None:
    """Move a file or folder; what lies at ``target`` already is refused."""
    if target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    make_folder(target.parent)
    os.rename(path, target)
    _sync_folder(target.parent)
    _sync_folder(path.parent)


def _remove_folder(folder: Path) -> None:
    with os.scandir(folder) as entries:
        folders = {entry.path: entry.is_dir(follow_symlinks=False) for entry in entries}

    # Files of the folder itself go first, and for good: a record must be gone before what it names.
    for path, is_folder in folders.items():
        if not is_folder:
            os.unlink(path)
    if len(set(folders.values())) > 1:
        _sync_folder(folder)
    for path, is_folder in folders.items():
        if is_folder:
            _remove_folder(Path(path))
    os.rmdir(folder)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; nothing happens where there is one."""
    made: list[Path] = []
    for missing in (folder, *folder.parents):
        if missing.is_dir():
            break
        made.append(missing)

    # Folders are made from the top, each on the disk before what lies in it, so that a power cut leaves no
    # gap.
    for missing in reversed(made):
        try:
            os.mkdir(missing)
        except FileExistsError:
            if not missing.is_dir():
                raise
        _sync_folder(missing.parent)


def _sync_folder(folder: Path) -> None:
    try:
        # A new name outlives a power cut when its folder is on the disk, too. Some file systems sync no
        # folders.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


# Names and sizes ----------------------------------------------------------------------------------


def linked(root: str, parts: Sequence[str]) -> bool:
    """True where one of ``parts``, each a folder in the one before it, is a symbolic link."""
    paths = accumulate(parts, lambda path, part: f"{path}/{part}", initial=root.rstrip("/"))
    return any(os.path.islink(path) for path in islice(paths, 1, None))


def stays_below(root: str, parts: Sequence[str]) -> bool:
    """True where no symbolic link among ``parts`` leads out of ``root``, which is a real path.

    Where there is no link at all nothing is resolved: that took half of the time of reading a record.
    """
    if not linked(root, parts):
        return True
    top = root.rstrip("/")
    return f"{os.path.realpath('/'.join([top, *parts]))}/".startswith(f"{top}/")


def names(folder: str) -> list[str]:
    """Names in a folder, sorted; folders end with ``/``. Empty when there is none."""
    try:
        with os.scandir(folder) as entries:
            return sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def folders(folder: str) -> list[str]:
    """Names of the folders in a folder, sorted, without symbolic links. Empty when there is none."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def size(path: str) -> int:
    """Bytes of a file; 0 when there is none."""
    try:
        return os.stat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def size_below(path: str) -> int:
    """Bytes of a file, or of all files below a folder; a symbolic link counts itself."""
    try:
        with os.scandir(path) as entries:
            return sum(
                size_below(entry.path)
                if entry.is_dir(follow_symlinks=False)
                else entry.stat(follow_symlinks=False).st_size
                for entry in entries
            )
    except NotADirectoryError:
        return size(path)
    except FileNotFoundError:  # gone meanwhile
        return 0


# The folder of a storage --------------------------------------------------------------------------


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
                f"the URI of a folder has three slashes, as in file:///data/assay, found {text}. "
                "Write them, or the path alone."
            )
        if "?" in text or "#" in text:
            raise InputError(
                "the URI of a folder has neither query nor fragment: ? is written %3F there, and # is %23, "
                f"found {text}. Write them so, or the path alone."
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
                make_folder(self._path)
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

        # The folder now lies on the disk below the one that it was on, so that one was unmounted. Another
        # disk at the same place was mounted meanwhile, and counts.
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
