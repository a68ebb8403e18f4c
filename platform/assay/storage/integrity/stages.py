"""Stages that trials share, what they show of test images, and the code of methods that are files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.storage.integrity.damage import (
    GONE,
    Damage,
    check_checkpoint,
    check_named_files,
    read_table,
    set_aside_since,
)
from assay.storage.method_store import read_method
from assay.storage.stage_store import StageRecord, examine_stage, stage_folder
from assay.storage.store import Store
from trainables.errors import InputError

__all__ = ["check_method", "check_stage"]

_SHOWN = re.compile(r"judged-[0-9a-f]{16}\.parquet")
_MADE_AGAIN = "`assay run` makes it again where a trial needs it"
_COST = "a trial that needs the stage would end at it; scores of those that used it stand"


def check_stage(store: Store, key: str, *, used: bool, running: bool) -> Iterator[Damage]:
    """All damages of one stage.

    Args:
        store: The results.
        key: Name of its folder.
        used: A record says that its trial used the stage, so that it was made.
        running: A study is being trained, and the stage may be in the making.
    """
    folder = stage_folder(key)
    record = examine_stage(store, key)
    if isinstance(record, str):
        yield Damage(f"{folder}/done.json", record, _COST, _MADE_AGAIN, (folder,))
    elif record is None and used and not running:
        yield Damage(f"{folder}/done.json", GONE, "the stage counts as not made", _MADE_AGAIN, (folder,))
    elif isinstance(record, StageRecord):
        for path, text in check_named_files(store, f"{folder}/{record.attempt}", record.files):
            yield Damage(path, text, _COST, _MADE_AGAIN, (folder,))
    for name in store.list(folder):
        if _SHOWN.fullmatch(name):
            path = f"{folder}/{name}"
            _, text = read_table(store, path)
            if text is not None:
                cost = "trials to come would take its scores of the stage"
                yield Damage(path, text, cost, "the next trial evaluates the stage again", (path,))
    path = f"{folder}/checkpoint.safetensors"
    text = check_checkpoint(store, path) if record is None and not running else None
    if text is not None:
        yield Damage(path, text, "making the stage would fail", "`assay run` begins it anew", (path,))


def check_method(store: Store, name: str, *, used: bool) -> Iterator[Damage]:
    """The code of a method that is a file, against the hash in its name.

    Of one that no record used (``used``) the code may be half there: the run that begins with it writes it.
    """
    folder = f"methods/{name}"
    try:
        read_method(store, name)
    except InputError:
        gone = not store.exists(folder)
        if not used:
            return
        waits = gone and set_aside_since(store, folder, folder)
        text = "was set aside" if waits else "is not the code that its name says"
        cost = "its models neither predict nor are exported; scores of its trials stand"
        again = "`assay run` with the file as it was writes it again, and trains nothing"
        yield Damage(folder, text, cost, again, () if gone else (folder,), waits=waits)
