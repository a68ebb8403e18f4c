"""Changes of a local disk that a power cut leaves done or undone, and never in between.

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
from pathlib import Path

__all__ = ["UNFINISHED", "create", "make_folder", "move", "remove", "replace"]

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
    for missing in reversed(made):
        try:
            os.mkdir(missing)
        except FileExistsError:
            if not missing.is_dir():
                raise
        _sync_folder(missing.parent)


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
