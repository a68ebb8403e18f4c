"""Names and sizes below a folder of this machine, told without leaving it through a symbolic link."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import accumulate, islice

__all__ = ["folders", "linked", "names", "size", "size_below", "stays_below"]


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
