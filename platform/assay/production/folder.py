"""The folder of a command's results: new or empty, so that nothing is replaced or mixed up."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from trainables.errors import InputError

__all__ = ["new_folder", "refuse_used_folder", "write_inside"]


def refuse_used_folder(path: Path) -> None:
    """Refuse a path that holds something already.

    Raises:
        InputError: If it is a file, or a folder with anything in it.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"--output is a new or empty folder, found {path}. Choose another, or remove it.")


@contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """A folder beside ``path`` that becomes it when the block ends well, and is removed when it does not.

    Raises:
        InputError: If ``path`` is in use.
    """
    refuse_used_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)

    # The folder is made beside its place, on the same disk, so that a rename is enough at the end.
    with tempfile.TemporaryDirectory(
        prefix=f".{path.name}-", dir=path.parent, ignore_cleanup_errors=True
    ) as beside:
        unfinished = Path(beside) / "folder"  # the one around it is for its owner alone
        unfinished.mkdir()
        yield unfinished
        if path.exists():
            path.rmdir()
        unfinished.rename(path)


def write_inside(path: Path, content: bytes) -> None:
    """Write a file of a new folder, and the folders above it; one that does not fit is not left in part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise
