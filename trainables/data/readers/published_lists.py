"""Lists of training images and masks as the authors of "Mixed supervision" publish them for four data sets.

Layout: the folder ``splits`` of their repository, laid below the data root as it is::

    splits/KSDD/split_33_5.pyb       KolektorSDD: 33 training items, 5 of them with masks; for each fold
    splits/KSDD2/split_16.pyb        KolektorSDD2: 16 training images with masks
    splits/DAGM/split_15.pyb         DAGM: 15 training images with masks; for each texture
    splits/STEEL/split_300_10.pyb    Severstal: 300 defective training images, 10 of them with masks

A file holds the training part and the test part (Severstal: and validation) as pairs of a name and True where
the mask may be read. They are pickles, and read as data: nothing in them is run.

Licence: CC BY-NC-SA 4.0. Cite: Božič, Tabernik, Skočaj 2021, doi:10.1016/j.compind.2021.103459;
github.com/vicoslab/mixed-segdec-net-comind2021.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from trainables.data.files.pickles import read_plain_pickle
from trainables.data.files.sources import DataFolders
from trainables.errors import InputError, validation_message

__all__ = ["Listed", "find_lists", "has_masks", "place_of_lists", "read_lists"]

Listed = list[tuple[str, bool]]  # name, and whether its mask may be read
PartsT = TypeVar("PartsT")

_REPOSITORY = "github.com/vicoslab/mixed-segdec-net-comind2021"


def place_of_lists(files: str) -> str:
    """Where lists lie and whose they are, for messages: ``files`` as ``KSDD/split_33_*.pyb``."""
    return f"splits/{files} below the data root, of {_REPOSITORY}"


def find_lists(folder: str, numbers: int, folders: DataFolders, *nearby: Path) -> dict[tuple[int, ...], Path]:
    """The authors' files by the numbers in their names, ``{(33, 5): …}``.

    Args:
        folder: Theirs, such as ``KSDD``.
        numbers: How many there are in a name.
        folders: The data root, which is looked into first.
        nearby: Further folders that ``splits`` may lie in.

    Returns:
        Those of the first place that has any; empty if none has.
    """
    for root in nearby if folders.root is None else (folders.root, *nearby):
        files = {
            tuple(map(int, name.groups())): path
            for path in sorted((root / "splits" / folder).glob("split_*.pyb"))
            if (name := re.fullmatch("split" + r"_(\d+)" * numbers, path.stem))
        }
        if files:
            return files
    return {}


def read_lists(path: Path, parts: TypeAdapter[PartsT], shape: str) -> PartsT:
    """The parts that a file holds.

    Args:
        path: Of the file.
        parts: Type of its content.
        shape: The same in words.

    Raises:
        InputError: If it is no such file.
    """
    try:
        return parts.validate_python(read_plain_pickle(path.read_bytes(), str(path)))
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        raise InputError(
            f"{path}: {'.'.join(map(str, fault['loc']))}: {validation_message(fault)}. Expected {shape}; "
            f"fetch the file again from {_REPOSITORY}."
        ) from error


def has_masks(listed: Listed) -> frozenset[str]:
    """The names whose masks may be read."""
    return frozenset(name for name, has_mask in listed if has_mask)
