"""Classes, and defects alone"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.data.cases.case import Case
from tests.data.defects_alone import make_defects_alone
from tests.data.made_images import make_folder, noise, write

__all__ = ["CASES"]

_TABLE = {"reader": "table", "path": "images.csv"}
_INDEXED = {**_TABLE, "options": {"mask_classes": {1: "crack", 2: "pit", 3: "stain"}}}
_FOLDER = {"reader": "folder", "classes": ["dent"]}


def _unnamed(root: Path) -> None:
    make_defects_alone(root, named=False)


def _edited(root: Path, old: str, new: str) -> None:
    table = make_defects_alone(root) / "images.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def _with_another_value(root: Path) -> None:
    make_defects_alone(root)
    mask = np.zeros((64, 96), np.uint8)
    mask[8:20, 8:20] = 7
    write(root / "masks" / "04.png", mask)


def _two_classes(root: Path) -> None:
    """Three dents and two stains beside four normal images."""
    make_folder(root, good=4, defect=0)
    for index in range(5):
        write(root / "defect" / ("dent" if index < 3 else "stain") / f"{index}.png", noise(70 + index))


CASES = (
    Case(
        "defects alone, with masks, by `assay init`",
        make_defects_alone,
        None,
        "read",
        ("image_weight: 0", "trainable: supervised", "primary: pixel_iou", "No normal and 15 defective"),
    ),
    Case(
        "masks of values 0 to 3 in a table that names classes, by `assay init`",
        make_defects_alone,
        None,
        "read",
        ('mask_classes: {"1": "crack", "2": "pit", "3": "stain"}',),
    ),
    Case(
        "masks of values 0 to 3 in a table without names, by `assay init`",
        _unnamed,
        None,
        "read",
        ('mask_classes: {"1": "class_1", "2": "class_2", "3": "class_3"}',),
    ),
    Case(
        "a column `split`, by `assay init`",
        make_defects_alone,
        None,
        "read",
        ("splits: published",),
    ),
    Case(
        "defects alone, and a mask is missing, by `assay init`",
        lambda root: _edited(root, "masks/03.png", ""),
        None,
        "refused",
        ("has no normal image, and masks of 14 of 15 images",),
    ),
    Case(
        "two normal images, by `assay init`",
        lambda root: make_folder(root, good=2),
        None,
        "refused",
        ("a study needs 3 normal images or more",),
    ),
    Case(
        "defects alone",
        make_defects_alone,
        _INDEXED,
        "warned",
        ("No image is normal", "methods learn from masks alone", "`assay init` writes such a study"),
    ),
    Case(
        "several classes in one mask",
        make_defects_alone,
        _INDEXED,
        "warned",
        ("crack+pit: 2",),
    ),
    Case(
        "a value that is no class of `mask_classes`",
        _with_another_value,
        _INDEXED,
        "refused",
        ("masks/04.png has the values 7, which are no class",),
    ),
    Case(
        "one class of index masks, the others left out",
        make_defects_alone,
        {**_INDEXED, "classes": ["crack"]},
        "warned",
        ("6 images of 6 items: 6 defective",),
    ),
    Case(
        "one class of index masks, the others normal",
        make_defects_alone,
        {**_INDEXED, "classes": ["crack"], "others": "normal"},
        "read",
        ("15 images of 15 items: 6 defective (6 with mask), 9 normal",),
    ),
    Case(
        "one class of folders, the others left out",
        _two_classes,
        _FOLDER,
        "warned",
        ("7 images of 7 items: 3 defective (0 with mask), 4 normal",),
    ),
    Case(
        "one class of folders, the others normal",
        _two_classes,
        {**_FOLDER, "others": "normal"},
        "warned",
        ("9 images of 9 items: 3 defective (0 with mask), 6 normal",),
    ),
    Case(
        "a class that the data do not have",
        make_defects_alone,
        {**_INDEXED, "classes": ["rust"]},
        "refused",
        ("unknown class rust. This data set has: crack, pit, stain",),
    ),
)
