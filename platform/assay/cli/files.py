"""Files that a command leaves: there whole or not at all, and named where they cannot be written."""

from __future__ import annotations

import errno
import os
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["create_file", "refuse_input", "replace_file", "writing"]


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Name ``path`` where the system refuses what is written: of a full disk it says no file.

    Raises:
        InputError: In place of an error of the system; one of a storage passes.
    """
    from trainables.errors import InputError, StorageError

    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        why = textwrap.shorten(error.strerror or str(error), 200, placeholder=" …")
        raise InputError(
            f"{path} cannot be written: {why}. Mend that, or choose another --output."
        ) from error


def refuse_input(output: Path | None, *read: str | Path | None) -> None:
    """See that a command does not write over what it reads.

    Raises:
        InputError: If ``output`` is one of the files in ``read``.
    """
    from trainables.errors import InputError

    if output is None or not output.is_file():
        return
    for file in map(os.path.expanduser, filter(None, read)):
        if os.path.exists(file) and output.samefile(file):
            raise InputError(f"what is read is not written over, found {output} as both. Name another file.")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, over an older one if there is one.

    Raises:
        InputError: If it cannot be written; an older one is left as it was.
    """
    from assay.storage import local_disk

    with writing(path):
        if path.exists() and not path.is_file():  # a pipe or a device, such as /dev/stdout
            path.write_bytes(content)
        else:
            local_disk.replace(path.resolve(), content)


def create_file(path: Path, content: bytes) -> None:
    """Write a new file.

    Raises:
        InputError: If there is one, or it cannot be written.
    """
    from assay.storage import local_disk

    with writing(path):
        if not local_disk.create(path, content):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
