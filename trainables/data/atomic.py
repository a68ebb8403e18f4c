"""Files that exist whole or not at all, and work that one process does while the others wait."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["exclusive", "new_file", "new_folder"]


@contextmanager
def exclusive(target: Path) -> Generator[None]:
    """Hold the lock of ``target``: processes that would make the same thing make it once.

    The operating system frees the lock of a killed process. Where the file system has no locks, work is
    done twice and stays right: :func:`new_file` and :func:`new_folder` never show a partial result.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
        else:
            _sweep(target)
        yield


def _sweep(target: Path) -> None:
    """Remove what killed makers of ``target`` left; the lock says that nobody is at work on it."""
    for path in target.parent.iterdir():
        if path.name.startswith(f".{target.name}."):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def new_file(target: Path) -> Generator[Path]:
    """A path to write; when the block ends well it becomes ``target``, else it is gone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def new_folder(target: Path) -> Generator[Path]:
    """A folder to fill; when the block ends well it becomes ``target`` (unless that exists by now)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield partial
        try:
            partial.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
