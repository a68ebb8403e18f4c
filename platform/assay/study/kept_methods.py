"""The copy of a method's file in a storage, for a study that lies there without the file it names.

::

    studies/<study>/study.yaml    `trainable: ./blur.py:TRAINABLE`, with no blur.py beside it
    studies/<study>/plan.parquet  the file that the last run named, and the versions that it trained
    methods/blur@3f9c…/blur.py    the code of one version

Only what that plan names is taken: a storage also keeps the code of other studies, under the same file names.
"""

from __future__ import annotations

import json
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
        None where the file lies beside the study, or no storage holds a copy that the study's plan names.

    Raises:
        InputError: If the plan names several files of one name, or the copy was changed.
    """
    path, _, attribute = reference.rpartition(":")
    folder = folder.resolve()
    if folder.parent.name != "studies" or (folder / path).exists():
        return None
    planned = _planned(folder / "plan.parquet")
    if json.dumps(f"{path}:").removesuffix('"').encode() not in planned:  # as its study wrote it
        return None
    file = PurePosixPath(path).name
    kept = (copy for copy in (folder.parents[1] / "methods").glob("*@*") if (copy / file).exists())
    copies = [copy for copy in kept if json.dumps(copy.name).encode() in planned]
    hashes = {copy.name.partition("@")[2] for copy in copies}  # several methods of one file have one
    if not copies:
        return None
    if len(hashes) > 1:
        raise InputError(
            "a study without its methods' files is planned with the copies in its storage where each has a "
            f"file name of its own, found of {file} {', '.join(sorted(copy.name for copy in copies))} in "
            f"{copies[0].parent}. Copy the right one to {folder / path}"
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
