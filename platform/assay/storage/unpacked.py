"""The storage inside an unpacked bundle: what is not in it, by design (:mod:`assay.bundle`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from assay.storage.store import Store

__all__ = ["LEFT_OUT", "OF_OTHERS", "is_left_out", "left_out"]

LEFT_OUT = "left_out.json"  # beside the storage: path below it → bytes, of files of trials that are not there
OF_OTHERS = ("registered.json", "summary.parquet")  # what is there of other studies in the ledger


def left_out(store: Store) -> Mapping[str, Any] | None:
    """Files of trials that the bundle lacks, by path; None for a storage that comes from no bundle."""
    if store.local_path is None:
        return None
    try:
        files = json.loads((store.local_path.parent / LEFT_OUT).read_bytes())
    except (OSError, ValueError):
        return None
    return files if isinstance(files, dict) else None  # pyright: ignore[reportUnknownVariableType]


def is_left_out(store: Store, path: str, files: Mapping[str, Any] | None) -> bool:
    """Tell a file that the bundle lacks by design from one that is gone; ``files``: of :func:`left_out`."""
    if files is None:
        return False
    folder, _, name = path.rpartition("/")
    return path in files or (name == "plan.parquet" and {*OF_OTHERS}.issuperset(store.list(folder)))
