"""Files that a command leaves: there whole or not at all, and named where they cannot be written.

A file that may be written in a folder where none may be put, or that is mounted alone, is written in place.
"""

from __future__ import annotations

import errno
import os
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from trainables.errors import InputError, StorageError

__all__ = ["check_output", "check_picture", "create_file", "replace_file", "writing"]

# Of a folder that is another's or read-only, of one where others' files stay, and of a file mounted alone.
_NO_MOVE = {errno.EACCES, errno.EROFS, errno.EPERM, errno.EBUSY}


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Name ``path`` where the system refuses what is written: of a full disk it says no file.

    Raises:
        InputError: In place of an error of the system; one of a storage passes.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        why = textwrap.shorten(error.strerror or str(error), 200, placeholder=" …")
        raise InputError(f"{path} cannot be written: {why}. Mend that, or name another place.") from error


def check_output(output: Path | None, *read: str | Path | None) -> None:
    """See, before a command works for it, that a file can be written, and is none that the command reads.

    Its folder is made later, with the file.

    Raises:
        InputError: If there is no way to write ``output``, or it is one of the files in ``read``.
    """
    if output is None:
        return
    with writing(output):
        _require_place(output)
    if not output.is_file():
        return
    for file in (os.path.expanduser(str(each)) for each in read if each):
        if os.path.exists(file) and output.samefile(file):
            raise InputError(f"what is read is not written over, found {output} as both. Name another file.")


def _require_place(path: Path) -> None:
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe or a device
        return
    folder = next(folder for folder in path.resolve().parents if folder.exists())
    fault = 0
    if path.is_dir():
        fault = errno.EISDIR
    elif not folder.is_dir():
        fault = errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK) and not os.access(path, os.W_OK):
        fault = errno.EACCES
    if fault:
        raise OSError(fault, os.strerror(fault))


def check_picture(option: str, file: Path | None) -> None:
    """See, before a command works for it, that a picture can be written.

    Raises:
        InputError: If its name ends with anything but .png, or there is no way to write it.
    """
    if file is not None and file.suffix.lower() != ".png":
        raise InputError(f"{option} writes a PNG, found {file}. Name a file that ends with .png.")
    check_output(file)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, over an older one if there is one, and make its folder where there is none.

    Raises:
        InputError: If it cannot be written; an older one is left as it was, unless it is written in place.
    """
    from assay.storage import local_disk

    with writing(path):
        if path.exists() and not path.is_file():  # a pipe or a device, such as /dev/stdout
            path.write_bytes(content)
            return
        try:
            local_disk.replace(path.resolve(), content)
        except OSError as error:
            if error.errno not in _NO_MOVE or not os.access(path, os.W_OK):
                raise
            path.write_bytes(content)


def create_file(path: Path, content: bytes) -> None:
    """Write a new file.

    Raises:
        InputError: If there is one, or it cannot be written.
    """
    from assay.storage import local_disk

    with writing(path):
        if not local_disk.create(path, content):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
