"""One damage: where it is, what is wrong, what it costs, and what makes it whole.

Damage is set aside, never deleted: the next run makes again what is not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TypeVar

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from assay.storage.checksum import table_checksum
from assay.storage.files import LinkError
from assay.storage.lease import holder
from assay.storage.parquet import read_parquet
from assay.storage.store import Store
from trainables.errors import InputError, StorageError

__all__ = [
    "GONE",
    "LEAVES",
    "NO_FILE",
    "Damage",
    "aside_folder",
    "check_checkpoint",
    "check_named_files",
    "check_note",
    "read_table",
    "set_aside",
    "set_aside_since",
]

LEAVES = "leaves the storage through a symbolic link"
NO_FILE = "is a folder, and a file belongs there"
GONE = "is gone"  # what may stay out of a bundle by design, and is no damage then
_ASIDE = "damaged"
_NoteT = TypeVar("_NoteT", bound=BaseModel)

_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Damage:
    """A file or folder that is not what it should be."""

    path: str  # below the storage's root
    text: str  # what is wrong, as `GONE`
    cost: str  # what it costs, a clause
    again: str  # what makes it whole, a clause
    aside: tuple[str, ...] = ()  # files and folders that go aside for it; empty: nothing makes it again
    trial: str | None = None  # whose it is
    waits: bool = False  # it was set aside, and nothing is left to do but to make it again

    def __str__(self) -> str:
        return f"{self.path} {self.text}"


def aside_folder(moment: datetime) -> str:
    """Folder for what is set aside at this moment; later ones come later by name."""
    return f"{_ASIDE}/{moment.astimezone(UTC):%Y-%m-%dT%H-%M-%S-%f}"


def set_aside(store: Store, damages: Iterable[Damage]) -> dict[str, str]:
    """Move what is damaged below ``damaged/``, under the time of this call.

    Returns:
        Path → where it lies now.

    Raises:
        InputError: If a study of the storage is being trained, and may need what is moved.
    """
    for name in store.study_folders():
        note = holder(store, name)
        if note is not None:
            raise InputError(
                f"a storage is repaired while nobody trains, and process {note.pid} on {note.host} runs "
                f"{name}. Wait for its end, or end it with `assay stop {name}`."
            )
    paths = {PurePosixPath(path) for damage in damages for path in damage.aside}
    # What lies behind a symbolic link is somebody else's; the link itself may go aside.
    paths = {path for path in paths if not store.linked(str(path.parent))}
    whole = sorted(path for path in paths if not any(parent in paths for parent in path.parents))
    folder = aside_folder(datetime.now(UTC))
    moved = {str(path): f"{folder}/{path}" for path in whole}
    for path, target in moved.items():
        store.move(path, target)
    return moved


def set_aside_since(store: Store, path: str, witness: str) -> bool:
    """Tell what was set aside from what is gone: it lies there since after the witness of it was written."""
    stamp = store.stamp(witness)
    since = aside_folder(datetime.fromtimestamp(stamp[0] / 1e9, UTC)) if stamp is not None else ""
    folders = (f"{_ASIDE}/{name.removesuffix('/')}" for name in store.list(_ASIDE))
    return any(folder > since and store.exists(f"{folder}/{path}") for folder in folders)


def check_named_files(store: Store, folder: str, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Path and trouble of each file below ``folder`` that is not the one of its sha256."""
    for name, digest in files.items():
        path = f"{folder}/{name}"
        try:
            data = store.read_bytes(path)
        except FileNotFoundError:
            yield path, GONE
            continue
        except StorageError:
            raise
        except OSError as error:
            yield path, f"cannot be read ({error.strerror or error})"
            continue
        if hashlib.sha256(data).hexdigest() != digest:
            yield path, "is not the file that was written (sha256 differs)" if data else "is empty"


def check_note(
    store: Store,
    path: str,
    kind: type[_NoteT],
    right: Callable[[_NoteT], bool] = lambda _: True,
    otherwise: str = "belongs to another",
) -> str | None:
    """Say what is wrong with a small file that holds one object; None where it is right, or there is none."""
    try:
        note = kind.model_validate_json(store.read_bytes(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError:
        return "cannot be read"
    return None if right(note) else otherwise


def read_table(store: Store, path: str) -> tuple[pa.Table | None, str | None]:
    """A Parquet file, and what is wrong with it; None twice where there is none."""
    try:
        data = store.read_bytes(path)
    except FileNotFoundError:
        return None, None
    except (LinkError, IsADirectoryError) as error:
        return None, LEAVES if isinstance(error, LinkError) else NO_FILE
    if not data:
        return None, "is empty"
    try:
        table = read_parquet(data)
    except (OSError, pa.ArrowException) as error:
        return None, f"is no table that can be read ({' '.join(str(error).split())[:100]})"
    if table_checksum(table) == "wrong":
        return None, "was changed since it was written"
    return table, None


def check_checkpoint(store: Store, path: str) -> str | None:
    """Say what is wrong with a checkpoint by its header, which tells how long the file is; None: nothing is.

    Tensors that were changed in place are not noticed.
    """
    try:
        data = store.read_bytes(path)
    except FileNotFoundError:
        return None
    if not data:
        return "is empty"
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        json.loads(header["__metadata__"]["history"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "is no checkpoint"
    return None if len(data) == 8 + size + max(ends, default=0) else "is cut short, or longer than it was"
