"""The zip archive of a bundle: written in one way, and read within bounds.

Nothing is compressed. An archive that says otherwise, names a place outside of itself or a file twice is
refused before a byte of a file is read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from trainables.errors import InputError

__all__ = ["MOST_BYTES", "MOST_FILES", "Archive", "archive_bytes", "read_archive"]

MOST_BYTES = 2 << 30
MOST_FILES = 200_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can hold
_PLAIN_FILE = 0o100644 << 16
_UNIX = 3


class Archive(NamedTuple):
    """Files of an archive."""

    files: dict[str, bytes]
    unreadable: dict[str, str]  # path → why; their bytes are not those that were written
    as_written: bool  # the archive has the very bytes that `archive_bytes` makes of its files


def archive_bytes(files: Mapping[str, bytes]) -> bytes:
    """Write a zip archive: sorted, uncompressed, every file of one date.

    Raises:
        InputError: If it would be larger than :func:`read_archive` takes.
    """
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        # Neither the order nor the dates of this machine enter the archive: equal files make equal bytes.
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = _UNIX, _PLAIN_FILE
            archive.writestr(entry, files[name])
    content = sink.getvalue()
    if len(files) > MOST_FILES or len(content) > MOST_BYTES:
        raise InputError(
            f"a bundle has at most {MOST_FILES:,} files and {MOST_BYTES:,} bytes, found {len(files):,} files "
            f"and {len(content):,} bytes. Hand over the storage itself instead."
        )
    return content


def read_archive(path: Path) -> Archive:
    """Read all files of an archive into memory.

    Raises:
        InputError: If it is no zip archive, is larger than 2 GiB, has more than 200,000 files, or an entry
            that no bundle has.
    """
    # Bundles come from strangers, so that bounds are checked before anything is unpacked.
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(
            f"a bundle has at most {MOST_BYTES:,} bytes, found {size:,} in {path}. Name a bundle."
        )
    data = path.read_bytes()
    files: dict[str, bytes] = {}
    unreadable: dict[str, str] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _refuse_strange(path, entries, size)
            for entry in entries:
                try:
                    files[entry.filename] = archive.read(entry)
                except (zipfile.BadZipFile, EOFError) as error:
                    unreadable[entry.filename] = str(error)
    except InputError:  # a ValueError, which says what to do
        raise
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise InputError(f"{path} is no zip archive that can be read: {error}. Fetch it again.") from None
    return Archive(files, unreadable, not unreadable and archive_bytes(files) == data)


def _refuse_strange(path: Path, entries: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse what `assay bundle` never writes.

    Raises:
        InputError: Naming the first such entry.
    """
    if len(entries) > MOST_FILES:
        raise InputError(f"a bundle has at most {MOST_FILES:,} files, found {len(entries):,} in {path}.")
    names: set[str] = set()
    for entry in entries:
        name = entry.filename
        pure = PurePosixPath(name)
        if name != str(pure) or pure.is_absolute() or ".." in pure.parts or set(name) & set("\\:\0"):
            raise InputError(f"a file of a bundle lies inside of it, found {name!r} in {path}.")
        if name in names:
            raise InputError(f"a bundle has each file once, found {name!r} twice in {path}.")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise InputError(
                f"files of a bundle are neither compressed nor encrypted, found {name!r} in {path}. If "
                "it was packed anew, fetch the bundle as `assay bundle` wrote it."
            )
        names.add(name)

    # Entries of a zip archive may share bytes, and so unfold to far more than it holds.
    if sum(entry.file_size for entry in entries) > size:
        raise InputError(f"files of a bundle do not overlap, found more bytes in them than in {path}.")
