"""The copy of a method's file in a storage, for a study that lies there without the file it names.

::

    studies/<study>/study.yaml    `trainable: ./blur.py:TRAINABLE`, with no blur.py beside it
    studies/<study>/plan.parquet  the versions that the last run trained
    methods/blur@3f9c…/blur.py    the code of one version
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.errors import InputError
from trainables.method_files import MethodSource

__all__ = ["kept_copy"]


def kept_copy(reference: str, folder: Path) -> tuple[str, Path] | None:
    """The reference to the copy of a method's file, and the folder that it is seen from.

    Args:
        reference: As it stands in the study.
        folder: Of the study.

    Returns:
        None where the file lies beside the study, or no storage holds a copy.

    Raises:
        InputError: If several versions are kept, and the study's plan does not tell which, or the copy was
            changed.
    """
    path, _, attribute = reference.rpartition(":")
    folder = folder.resolve()
    if folder.parent.name != "studies" or (folder / path).exists():
        return None
    file = PurePosixPath(path).name
    kept = [copy for copy in (folder.parents[1] / "methods").glob("*@*") if (copy / file).exists()]
    planned = _planned(folder / "plan.parquet")
    copies = [copy for copy in kept if f'"{copy.name}"'.encode() in planned] or kept
    hashes = {copy.name.partition("@")[2] for copy in copies}  # several methods of one file have one
    if not copies:
        return None
    if len(hashes) > 1:
        raise InputError(
            f"a storage keeps the file of its study in one version, or the plan tells which, found of {file} "
            f"{', '.join(sorted(copy.name for copy in copies))} in {copies[0].parent}. Copy the right one to "
            f"{folder / path}"
        )
    of_code = MethodSource.read(copies[0] / file).hash
    if of_code not in hashes:
        raise InputError(f"the code in {copies[0]} has the hash that its name says, found {of_code}")
    return f"./{file}:{attribute}", copies[0]


def _planned(plan: Path) -> bytes:
    """The metadata of a plan, which name its methods; nothing where it is gone or damaged."""
    try:
        return b"".join((pq.read_schema(plan).metadata or {}).values())
    except (OSError, pa.ArrowException):
        return b""
