"""Findings: what a user should know about a data set, one sentence for all files that it is about."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from trainables.data.files.formats import Trait

__all__ = [
    "Fault",
    "Finding",
    "FindingKind",
    "ImageRow",
    "counted",
    "first_lines",
    "sum_up",
    "summarise",
]

FindingKind = Literal[
    "duplicate",
    "near_copy",
    "missing_mask",
    "empty_mask",
    "covered_mask",
    "soft_mask",
    "stray_pixels",
    "pixels",
    "unread",
    "turned",
]


_LISTED = 3  # faults of a kind; more are summed up
_SPECIFIC = re.compile(r"\S*[\d/.]\S*")


class Finding(BaseModel, frozen=True):
    """Something a user should know that does not stop a study: a sentence, and the samples it is about."""

    model_config = ConfigDict(extra="forbid")
    kind: FindingKind
    text: str
    samples: tuple[str, ...]
    files: tuple[str, ...] = ()  # missing_mask: where each sample's mask is expected


class Fault(NamedTuple):
    """A sentence that refuses a data set, and the file, id or item that it is about."""

    name: str
    text: str


def summarise(names: Sequence[str], shown: int = 3, separator: str = ", ") -> str:
    """The first names, and how many more there are: ``a, b, c and 4 more``."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return separator.join(names[:shown]) + more


def first_lines(faults: Sequence[str], shown: int = 20) -> str:
    """The first faults, one a line, and how many more there are."""
    more = [f"… and {len(faults) - shown} more"] if len(faults) > shown else []
    return "\n".join([*faults[:shown], *more])


def counted(number: int, noun: str) -> str:
    """``1 image``, ``3 images``, ``2 batches``."""
    ending = "" if number == 1 else "es" if noun.endswith(("ch", "sh", "s", "x")) else "s"
    return f"{number} {noun}{ending}"


def sum_up(faults: Iterable[Fault]) -> Iterator[str]:
    """Faults, of which more than three of one kind become one: the first, and the count of the others.

    A kind is a sentence without its file names and numbers.
    """
    by_kind: defaultdict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        by_kind[_SPECIFIC.sub("#", fault.text.replace(fault.name, "#"))].append(fault)
    for alike in by_kind.values():
        if len(alike) <= _LISTED:
            yield from (fault.text for fault in alike)
        else:
            names = ", ".join(fault.name for fault in alike[1:_LISTED])
            yield f"{alike[0].text}. The same of {len(alike) - 1} more, such as {names}"


# Rows of the manifest -----------------------------------------------------------------------------
# One image of a data set, as its inspection found it: all that splits and loading read of it.


class ImageRow(BaseModel, frozen=True):
    """One image of the manifest; paths are relative to its root, or for a mask to its mask root."""

    model_config = ConfigDict(extra="forbid")
    sample: str  # id
    image: str
    label: bool  # True: defective
    mask: str | None  # of a defective image; None: unknown, or normal
    defect_class: str | None  # None: normal
    group: str  # physical item, never divided between parts
    split: str | None  # "train", "validation" or "test", where the makers publish one split
    fold: int | None  # fold in which the sample is test, where they publish folds
    image_hash: str  # sha256 of the file
    mask_hash: str | None
    width: int  # pixels, as stored
    height: int
    samples: str = "uint8"  # type of the file's samples: uint8, uint16 or float
    peak: float = 255  # greatest value of any channel
    traits: tuple[Trait, ...] = ()
    shows_others: bool = False  # its mask has pixels of classes that the study does not ask for
    copy_of: str | None = None  # first id of images of several items that show the same, in other bytes
