"""Damage is set aside, never deleted: the next run makes again what is not there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import PurePosixPath

from assay.storage.integrity.damage import Damage, aside_folder
from assay.storage.lease import holder
from assay.storage.store import Store
from trainables.errors import InputError

__all__ = ["set_aside"]


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
