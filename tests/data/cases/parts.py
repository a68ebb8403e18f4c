"""Parts with several views."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tests.data.cases.case import Case
from tests.data.made_images import dot, make_folder, noise, write

__all__ = ["CASES", "VIEWS", "make_parts"]

VIEWS = ("back", "front", "left", "right")
FOLDER = {"reader": "folder", "item": "{part}_{view}"}


def make_parts(root: Path, separator: str = "_") -> Path:
    """Twelve parts with four views; of every third the first view is bad."""
    for number in range(12):
        for at, view in enumerate(VIEWS):
            bad = number % 3 == 0 and at == 0
            name = f"part_{number:02}{separator}{view}"
            write(root / ("defect" if bad else "good") / f"{name}.png", noise(10 * number + at))
            if bad:
                write(root / "masks" / f"{name}.png", dot())
    return root


def _with_another_name(root: Path) -> None:
    make_parts(root)
    write(root / "good" / "overview.png", noise(999))


def _divided(root: Path) -> None:
    for part, first in (("train", 0), ("test", 6)):
        for number in range(first, first + 7):
            for kind in ("good", "defect"):
                view = f"p{number}_{part}_{kind}.png"
                write(
                    root / part / kind / view, noise(100 * number + (part == "test") + 2 * (kind == "good"))
                )


def _grouped_table(root: Path) -> None:
    rows = [f"p{number}_{view}.png,{int(number < 4)},p{number}" for number in range(8) for view in VIEWS]
    for at, row in enumerate(rows):
        write(root / row.partition(",")[0], noise(at))
    (root / "parts.csv").write_text("\n".join(["image,label,group", *rows]))


def _brighter_copy(root: Path) -> None:
    make_folder(root)
    copy = cv2.convertScaleAbs(noise(3), alpha=0.9, beta=20)
    write(root / "good" / "again.png", np.ascontiguousarray(copy[:, ::-1]))


def _turned_copy_in_training(root: Path) -> None:
    for at, part in enumerate(("train", "test")):
        make_folder(root / part)
        for number in range(8):
            write(root / part / "good" / f"g{number}.png", noise(2000 + 10 * at + number))
        for number in range(6):
            write(root / part / "defect" / f"d{number}.png", noise(3000 + 10 * at + number))
    write(root / "train" / "good" / "again.png", np.rot90(noise(2010)))


CASES = (
    Case(
        'four views of each part, `item: "{part}_{view}"`',
        make_parts,
        FOLDER,
        "read",
        ("48 images of 12 items: 4 defective (4 with mask), 44 normal",),
    ),
    Case(
        "four views of each part, by `assay init`",
        make_parts,
        None,
        "read",
        ("12 parts with 4 images each, by their names", 'item: "{part}_{view}"'),
    ),
    Case(
        "views after a hyphen, by `assay init`",
        lambda root: make_parts(root, "-"),
        None,
        "read",
        ('item: "{part}-{view}"',),
    ),
    Case(
        "one image whose name is not of the pattern",
        _with_another_name,
        FOLDER,
        "refused",
        ("found 1 of 49 that it does not match: good/overview.png",),
    ),
    Case(
        "views of a part in both published parts",
        _divided,
        {**FOLDER, "item": "{part}_{split}_{view}", "splits": "published"},
        "refused",
        ("item p6 is divided between published parts",),
    ),
    Case(
        "a pattern beside a column `group`",
        _grouped_table,
        {"reader": "table", "path": "parts.csv", "item": "{part}_{view}"},
        "refused",
        ("data.item: the data say themselves which item an image shows, found p0 for p0_back.png",),
    ),
    Case(
        "views of a part by the column `group`",
        _grouped_table,
        {"reader": "table", "path": "parts.csv"},
        "warned",
        ("32 images of 8 items",),
    ),
    Case(
        "a good image that is there twice, once brighter and mirrored",
        _brighter_copy,
        {"reader": "folder"},
        "warned",
        ("good/again and good/g3: 1 image is there more than once, in other bytes (good/again ~ good/g3)",),
    ),
    Case(
        "a test image of which the training part has a turned copy",
        _turned_copy_in_training,
        {"reader": "folder", "splits": "published"},
        "warned",
        (
            "in other bytes (test/good/g0 ~ train/good/again), in different parts (test, train)",
            "`splits: deduplicated` leaves training copies of test images out.",
        ),
    ),
)
