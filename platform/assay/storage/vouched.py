"""Small JSON files of a study that hold a pydantic model under its checksum."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from assay.storage.checksum import with_checksum, without_checksum
from assay.storage.files import json_bytes
from assay.storage.store import Store
from trainables.errors import InputError

__all__ = ["read_vouched", "write_vouched"]

Model = TypeVar("Model", bound=BaseModel)


def read_vouched(store: Store, path: str, model: type[Model], *, says: str, way_out: str) -> Model | None:
    """Read what :func:`write_vouched` wrote; None where there is no such file.

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
    if checksum == "wrong":
        raise InputError(f"{path} in {store.uri} {says} and {damage}. {way_out}")
    return value


def write_vouched(store: Store, path: str, value: BaseModel) -> None:
    """Write a model as canonical JSON with its checksum."""
    store.write_bytes(path, with_checksum(json_bytes(value.model_dump(mode="json"))))
