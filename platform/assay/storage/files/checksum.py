"""A checksum inside the file that it is of: the first line of a JSON object, or the last of many.

An object that the program writes (a record, what a stage is made of, the looks at a study) opens with it::

    {
     "checksum": "9f86d081884c7d65…",
     "attempt": "001-3b5b45fe",

It is the sha256 of the same canonical JSON without that line, so that checking it costs one hash of the
bytes that were read. A file that somebody laid out anew with the same content is as good. Lines of JSON end
with a line that holds nothing else, and a table has it in its metadata. A file that has lost it is damaged.

It finds what disks, copies and editors do. Who means to deceive can compute it anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from assay.storage.files.files import Files, json_bytes
from trainables.errors import InputError

__all__ = [
    "Checksum",
    "Checksummed",
    "lines_with_checksum",
    "read_checksummed",
    "table_checksum",
    "table_with_checksum",
    "with_checksum",
    "without_checksum",
    "without_last_line",
    "write_checksummed",
]

Model = TypeVar("Model", bound=BaseModel)
Checksum = Literal["right", "wrong"]  # wrong: of other content, or it is gone

_OPENING = b'{\n "checksum": "'
_CLOSING = b'",'
_DIGITS = 64
_BEGIN, _END = len(_OPENING), len(_OPENING) + _DIGITS
_REST = _END + len(_CLOSING)
_LINE = b'{"checksum": "'
_METADATA = b"assay.checksum"
_COLUMNS = b"assay.checksum.columns"


class Checksummed(NamedTuple):
    """Content of a file, and what its checksum says of it."""

    content: bytes  # without the checksum
    checksum: Checksum


def with_checksum(content: bytes) -> bytes:
    """Open canonical JSON of an object (:func:`~assay.storage.files.files.json_bytes`) with its checksum."""
    assert content.startswith(b"{\n "), "canonical JSON of an object that has keys"
    return _OPENING + _digest(content) + _CLOSING + content[1:]


def without_checksum(data: bytes) -> Checksummed:
    """The content of a file that :func:`with_checksum` made."""
    if data.startswith(_OPENING):
        content = b"{" + data[_REST:]
        if _digest(content) == data[_BEGIN:_END]:
            return Checksummed(content, "right")

    # The file does not begin as this program writes it, or the bytes differ. A person may have formatted it
    # anew: what counts is then its content, written in the one form that was hashed.
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError):  # no JSON, or nested so deep that nobody wrote it
        return Checksummed(data, "wrong")
    if not isinstance(value, dict) or "checksum" not in value:
        return Checksummed(data, "wrong")
    digest = str(value.pop("checksum"))
    try:
        content = json_bytes(value)
    except (ValueError, RecursionError):  # NaN, Infinity or such depth, which nobody wrote
        return Checksummed(data, "wrong")
    return Checksummed(content, "right" if _digest(content).decode() == digest else "wrong")


def lines_with_checksum(lines: bytes) -> bytes:
    """Add to ``lines``, each of which is ended, one more with their checksum."""
    return lines + _LINE + _digest(lines) + b'"}\n'


def without_last_line(data: bytes) -> Checksummed:
    """The lines before the checksum's, or all where there is none."""
    lines, mark, last = data.rpartition(_LINE)
    if not mark or (lines and not lines.endswith(b"\n")):
        return Checksummed(data, "wrong")
    return Checksummed(lines, "right" if last == _digest(lines) + b'"}\n' else "wrong")


def table_with_checksum(table: pa.Table, columns: Sequence[str] | None = None) -> pa.Table:
    """Add to ``table`` the checksum of its metadata and of some columns (default: of all)."""
    names = table.column_names if columns is None else columns
    metadata = {**(table.schema.metadata or {}), _COLUMNS: json.dumps(names).encode()}
    described = table.replace_schema_metadata(metadata)
    return table.replace_schema_metadata({**metadata, _METADATA: _table_digest(described, names)})


def table_checksum(table: pa.Table) -> Checksum | Literal["none"]:
    """Tell whether a table is as :func:`table_with_checksum` made it; summaries are written without one."""
    metadata = table.schema.metadata or {}
    if _METADATA not in metadata:
        return "none"
    try:
        digest = _table_digest(table, json.loads(metadata.get(_COLUMNS, b"[]")))
    except (ValueError, KeyError):
        return "wrong"
    return "right" if digest == metadata[_METADATA] else "wrong"


def _table_digest(table: pa.Table, columns: Sequence[str]) -> bytes:
    digest = hashlib.sha256()
    for key, value in sorted((table.schema.metadata or {}).items()):
        if key != _METADATA:
            digest.update(key + b"=" + value + b"\n")
    for name in columns:
        digest.update("\n".join(map(repr, table[name].to_pylist())).encode())
    return digest.hexdigest().encode()


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def read_checksummed(store: Files, path: str, model: type[Model], *, says: str, way_out: str) -> Model | None:
    """Read what :func:`write_checksummed` wrote; None where there is no such file.

    Args:
        store: Where the file lies.
        path: The file, relative to the store.
        model: What it holds.
        says: What the file is there for, as in "counts how often the study was analysed".
        way_out: What to do where it is damaged, as a sentence.

    Raises:
        InputError: If the file cannot be read, or was changed by hand.
    """
    damage = "was changed since it was written"
    try:
        content, checksum = without_checksum(store.read_bytes(path))
        value = model.model_validate_json(content)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        checksum, damage = "wrong", f"cannot be read ({error.errors()[0]['msg']})"
        value = None

    # A wrong checksum is told before a shape that fits: a number that was edited by hand has the right shape.
    if checksum == "wrong":
        raise InputError(f"{path} in {store.uri} {says} and {damage}. {way_out}")
    return value


def write_checksummed(store: Files, path: str, value: BaseModel) -> None:
    """Write a model as canonical JSON with its checksum."""
    store.write_bytes(path, with_checksum(json_bytes(value.model_dump(mode="json"))))
