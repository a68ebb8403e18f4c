"""Files that exist whole or not at all, and work that one process does while the others wait."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from trainables.errors import StorageError, StorageFull

__all__ = [
    "AWAY",
    "FULL",
    "NO_LOCKS",
    "exclusive",
    "made_once",
    "nearest",
    "new_file",
    "new_folder",
    "why_unread",
    "why_unusable",
]

_REFUSED = {errno.EACCES, errno.EPERM}
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# Of network mounts.
AWAY = frozenset({errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.EIO})
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS})  # of a file system that has none


def nearest(path: Path) -> Path:
    """The file or folder, or the nearest folder above it that exists, as far as this user may look."""
    return next(above for above in (path, *path.parents) if os.path.exists(above))


def why_unusable(error: OSError, folder: Path) -> str | None:
    """Reason why ``folder`` cannot be used: ``is full (3 MB free)``; None: the folder is not at fault."""
    # Each cause has another remedy, and "No space left on device" alone names neither the folder nor the
    # user.
    if error.errno == errno.EDQUOT:
        return f"is full for user {os.getuid()} ({error.strerror})"
    if error.errno == errno.ENOSPC:
        return f"is full ({shutil.disk_usage(nearest(folder)).free / 1e6:.0f} MB free)"
    if error.errno == errno.EROFS:
        return "is read-only"
    if error.errno in _REFUSED:
        # The folder on the way that bars the rest is what a user can change.
        named = error.filename
        path = folder if not named or isinstance(named, int) else Path(os.fsdecode(named))
        existing = nearest(path)
        reading = os.R_OK | os.X_OK if existing.is_dir() else os.R_OK  # a folder is entered as well
        right = "written" if os.access(existing, reading) else "read"
        return f"may not be {right} by user {os.getuid()} ({error.strerror}: {path})"
    return f"does not answer ({error.strerror})" if error.errno in AWAY else None


def why_unread(error: OSError, path: Path, root: Path) -> str | None:
    """Reason why ``path`` below the data root cannot be read, and the way out; None: it is another one."""
    if error.errno in _REFUSED:
        # The first folder on the way that bars the rest; `os.path` takes what it may not look at for absent.
        barred = (
            above
            for above in reversed(path.parents)
            if os.path.isdir(above) and not os.access(above, os.X_OK)
        )
        place = next(barred, path)
        return (
            f"{place} may not be {'read' if place == path else 'entered'} by user {os.getuid()} "
            f"({error.strerror}). Give that user the right to all below {root}, or name other data"
        )
    if error.errno in AWAY:
        return f"{path} cannot be read, its disk does not answer ({error.strerror}). Mount it again"
    if not os.path.exists(root):
        return f"{root} is gone. Bring it back, or mount it again"
    return None


@contextmanager
def _plain_refusal(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        why = why_unusable(error, folder)
        if why is None or isinstance(error, StorageError):
            raise
        kind = StorageFull if error.errno in FULL else StorageError
        raise kind(
            f"the folder {folder} {why}. Make room or mend it, or name another folder (the cache: --cache), "
            "then run again: what is finished is kept."
        ) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        raise StorageError(
            f"the folder {folder} cannot be made ({error.strerror}: {error.filename}). Name another folder "
            "(the cache: --cache)."
        ) from error


@contextmanager
def exclusive(target: Path) -> Generator[None]:
    """Hold the lock of ``target``: processes that would make the same thing make it once.

    The operating system frees the lock of a killed process. Where the file system has no locks, work is
    done twice and stays right: :func:`new_file` and :func:`new_folder` never show a partial result.
    """
    with _plain_refusal(target.parent):
        _make(target.parent)
        lock = (target.parent / f"{target.name}.lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
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
    """A path to write; when the block ends well it becomes ``target``, else it is gone.

    Raises:
        StorageError: If the folder is full, read-only or not the user's.
    """
    with _plain_refusal(target.parent):
        _make(target.parent)
        # Written beside the target, on the same file system: only there is a rename one step for all readers.
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
    """A folder to fill; when the block ends well it becomes ``target`` (unless that exists by now).

    Raises:
        StorageError: If its place is full, read-only or not the user's.
    """
    with _plain_refusal(target.parent):
        _make(target.parent)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield partial
            try:
                partial.rename(target)
            except OSError as error:
                # Another process was quicker and made the same; its folder stays.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def made_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """``folder``, which ``fill`` makes where no process has made it yet.

    Raises:
        StorageError: If its place is full, read-only or not the user's.
    """
    if not folder.is_dir():
        with exclusive(folder):
            if not folder.is_dir():
                with new_folder(folder) as partial:
                    fill(partial)
    return folder
