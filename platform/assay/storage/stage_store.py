"""Stages on storage: steps of a method that several trials, or several runs, use.

::

    stages/<key>/   done.json  checkpoint.safetensors  <attempt>/…

As with trials, everything of an attempt goes under a fresh prefix, and ``done.json`` is one object, written
last, that names the files with their hashes: a stage exists or it does not. The key says what it is made of,
so two who make it at once write the same. The scores of its maps of test images lie beside them
(`engine/worker/stages.py`).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, Field, ValidationError

from assay.storage.files.checksum import without_checksum, write_checksummed
from assay.storage.files.files import read_parquet
from assay.storage.record import Environment
from assay.storage.store import Attempt, DamagedFileError, Store
from trainables.data.files.atomic import exclusive, new_folder

__all__ = [
    "STAGE_CURVE",
    "STAGE_KEY",
    "StageRecord",
    "begin_stage",
    "end_stage",
    "examine_stage",
    "fetch_stage",
    "made_stages",
    "read_stage",
    "stage_curve",
    "stage_folder",
    "stage_keys",
]

STAGE_KEY = re.compile(r"[0-9a-f]{16}")
STAGE_CURVE = "curve.parquet"  # a row per epoch, where making the stage logged any


class StageRecord(BaseModel, frozen=True, extra="forbid"):
    """A stage that was made."""

    key: str = Field(pattern=r"^[0-9a-f]{16}$")
    name: str
    trainable: str
    seconds: float = Field(description="That making it took, without the stages before it.")
    files: dict[str, str] = Field(description="sha256 by path, relative to the attempt.")
    attempt: str
    environment: Environment = Environment()
    ended: datetime


def stage_folder(key: str) -> str:
    """Folder of a stage."""
    return f"stages/{key}"


def stage_keys(store: Store) -> list[str]:
    """Keys of all stages that left anything; links, and folders of other names, are none."""
    return [name for name in store.folders("stages") if STAGE_KEY.fullmatch(name)]


def begin_stage(key: str) -> Attempt:
    """A prefix for the files of an attempt that no other attempt has."""
    name = f"001-{secrets.token_hex(4)}"
    return Attempt(1, name, f"{stage_folder(key)}/{name}")


def read_stage(store: Store, key: str) -> StageRecord | None:
    """The record of a stage; None when it has none yet, or a damaged one: it is made anew."""
    record = examine_stage(store, key)
    return record if isinstance(record, StageRecord) else None


def examine_stage(store: Store, key: str) -> StageRecord | str | None:
    """The record of a stage, or what is wrong with it; None when it has none."""
    try:
        content, checksum = without_checksum(store.read_bytes(f"{stage_folder(key)}/done.json"))
        record = StageRecord.model_validate_json(content)
    except FileNotFoundError:
        return None
    except (NotADirectoryError, ValidationError):
        return "cannot be read"
    if checksum == "wrong":
        return "was changed since it was written"
    return record if record.key == key else f"is that of stage {record.key}"


def made_stages(store: Store, keys: Iterable[str]) -> dict[str, StageRecord]:
    """Select those of ``keys`` that are made."""
    records = {key: read_stage(store, key) for key in keys}
    return {key: record for key, record in records.items() if record is not None}


def end_stage(
    store: Store, attempt: Attempt, folder: Path, *, key: str, name: str, trainable: str, seconds: float,
    environment: Environment,
) -> StageRecord:  # fmt: skip
    """Write the files in ``folder`` and then the record; the checkpoint is not needed any more."""
    # The record is written last: a stage without it was not made, whatever files lie there.
    files = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    record = StageRecord(
        key=key,
        name=name,
        trainable=trainable,
        seconds=round(seconds, 4),
        files={
            path: store.write_bytes(f"{attempt.prefix}/{path}", file.read_bytes())
            for path, file in files.items()
        },
        attempt=attempt.name,
        environment=environment,
        ended=datetime.now(UTC),
    )
    write_checksummed(store, f"{stage_folder(key)}/done.json", record)
    store.delete_tree(f"{stage_folder(key)}/checkpoint.safetensors")
    return record


def fetch_stage(store: Store, record: StageRecord, cache: Path) -> Path:
    """The folder with a stage's files on this machine: on a local storage where they lie, else a copy.

    Args:
        store: Where they lie.
        record: Of the stage.
        cache: Folder for copies; each is made whole or not at all.

    Raises:
        DamagedFileError: If a file is not the one that the record names.
        FileNotFoundError: If one is gone.
    """
    prefix = f"{stage_folder(record.key)}/{record.attempt}"
    target = cache / "stages" / record.key / record.attempt
    if store.local_path is None and target.is_dir():
        return target

    # On a disk the files are read to compare their checksums, and used where they lie. From elsewhere they
    # are copied once for all trials of this machine.
    local = store.local_file(prefix)
    content = {name: _read_file(store, record, name) for name in record.files}
    if local is not None:
        return local
    with exclusive(target):
        if not target.is_dir():
            with new_folder(target) as folder:
                for name, data in content.items():
                    path = folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
    return target


def stage_curve(store: Store, key: str) -> pa.Table | None:
    """A row per epoch of making a stage; None where it logged none, or the stage is no longer there.

    Raises:
        DamagedFileError: If the file is not the one that the record names.
        FileNotFoundError: If it is gone.
    """
    record = read_stage(store, key)
    if record is None or STAGE_CURVE not in record.files:
        return None
    return read_parquet(_read_file(store, record, STAGE_CURVE))


def _read_file(store: Store, record: StageRecord, name: str) -> bytes:
    path = f"{stage_folder(record.key)}/{record.attempt}/{name}"
    data = store.read_bytes(path)
    if hashlib.sha256(data).hexdigest() != record.files[name]:
        raise DamagedFileError(
            f"{path} is not the file that its record names (sha256 differs). Remove "
            f"{stage_folder(record.key)} from {store.uri} and run again: the stage is then made anew."
        )
    return data
