"""The format of a storage: ``storage.json`` at its root, written before anything else.

::

    {"format": 1}

Every command reads it first. A storage of another format is refused, and so is one that holds studies and
states none: those who read plans, records and points know one format. Who changes what lies in a storage
raises :data:`FORMAT` and adds the step from the format before to :data:`UPGRADES`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError

from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.storage.files.files import Files

__all__ = [
    "FORMAT",
    "FORMAT_FILE",
    "UPGRADES",
    "OtherFormatError",
    "format_bytes",
    "refuse_other_format",
    "upgrade_storage",
]

FORMAT = 1
FORMAT_FILE = "storage.json"
# Format → the step to the next one, on bytes: today's types do not know it. Its last write states the next.
UPGRADES: Mapping[int, Callable[[Files], None]] = {}


class OtherFormatError(InputError):
    """A storage that this version of assay does not read; ``stated``: its format, or None."""

    def __init__(self, stated: int | None, place: str) -> None:
        found = "studies and no such file" if stated is None else f"format {stated}"
        way_out = "Use the version of assay that wrote it, or name a new storage with --storage."
        if stated in UPGRADES:
            way_out = "`assay check --upgrade` takes it to the format of this version."
        super().__init__(
            f"this version of assay reads storages of format {FORMAT}, which their {FORMAT_FILE} states; "
            f"found {found} in {place}. {way_out}"
        )
        self.stated = stated


class _Stated(BaseModel, frozen=True):
    """The content of the file; another format may have more to say."""

    format: int = Field(strict=True, ge=0)


def format_bytes() -> bytes:
    """The content of ``storage.json``."""
    return b'{"format": %d}\n' % FORMAT


def _stated_format(files: Files) -> int | None:
    """The format that a storage states; None where it has no ``storage.json``, or there is no storage.

    Raises:
        InputError: If the file cannot be read.
    """
    if files.local_path is not None and not os.path.isdir(files.local_path):
        return None  # also under a name that no disk takes: what reads or writes there says so
    try:
        return _Stated.model_validate_json(files.read_bytes(FORMAT_FILE)).format
    except FileNotFoundError:
        return None
    except (IsADirectoryError, ValidationError):
        raise InputError(
            f"{FORMAT_FILE} of a storage states its format, as {format_bytes().decode().strip()} does, and "
            f"that of {files.uri} cannot be read. Put it back from a copy, or write that into it if this "
            "version of assay wrote the storage."
        ) from None


def refuse_other_format(files: Files) -> int | None:
    """See that a storage can be read; nothing is written.

    Returns:
        Its format; None where it is new, and holds no study.

    Raises:
        OtherFormatError: If it has another format, or holds studies and states none.
        InputError: If the file that states it cannot be read.
    """
    if files.local_path is not None and not os.path.isdir(files.local_path):
        return None  # whoever needs it says that there is none, or that none can be made there
    stated = _stated_format(files)
    # A folder `studies` of somebody's own study files is no storage: no plans lie in it.
    if stated is None and any(
        files.exists(f"studies/{name}plan.parquet") for name in files.list("studies") if name.endswith("/")
    ):
        stated = _stated_format(files)  # a run that began meanwhile has stated it before its first study
        if stated is None:
            raise OtherFormatError(None, files.uri)

    # Those who read plans and records know one format: any other is refused as a whole, not read by half.
    if stated not in (None, FORMAT):
        raise OtherFormatError(stated, files.uri)
    return stated


def upgrade_storage(files: Files) -> None:
    """Take the steps that lead from the format of a storage to the current one, if it has another.

    Raises:
        OtherFormatError: If none leads on.
        InputError: If the file that states the format cannot be read.
    """
    while (stated := _stated_format(files)) is not None and stated in UPGRADES:
        UPGRADES[stated](files)
    refuse_other_format(files)
