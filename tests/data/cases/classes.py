"""Classes, and defects alone"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.data.cases.case import Case
from tests.data.defects_alone import make_defects_alone, make_steel_folders
from tests.data.made_images import make_folder, noise, write

__all__ = ["CASES"]

_TABLE = {"reader": "table", "path": "images.csv"}
_INDEXED = {**_TABLE, "options": {"mask_classes": {1: "crack", 2: "pit", 3: "stain"}}}
_STEEL = {
    "reader": "folder",
    "splits": "published",
    "options": {
        "defect": "images",
        "masks": "annotations",
        "mask_classes": {1: "crack", 2: "pit", 3: "stain"},
    },
}
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


def _without_defects(root: Path) -> None:
    for number in (0, 3, 9):
        mask = next(
            (make_steel_folders(root) if number == 0 else root).glob(f"annotations/*/{number:02d}.png")
        )
        write(mask, np.zeros((64, 96), np.uint8))


def _without_a_mask(root: Path) -> None:
    (make_steel_folders(root) / "annotations" / "test" / "10.png").unlink()


def _divided_anew(root: Path) -> None:
    """``train/`` and ``test/``, each with ``images/`` and ``masks/``."""
    make_steel_folders(root)
    for path in sorted(root.glob("*/*/*.png")):
        kind, part = path.parts[-3:-1]
        target = root / part / {"annotations": "masks"}.get(kind, kind) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    for folder in sorted(root.glob("*/*")):
        if not any(folder.iterdir()):
            folder.rmdir()


def _two_classes(root: Path) -> None:
    """Three dents and two stains beside four normal images."""
    make_folder(root, good=4, defect=0)
    for index in range(5):
        write(root / "defect" / ("dent" if index < 3 else "stain") / f"{index}.png", noise(70 + index))


CASES = (
    Case(
        "defects alone, masks of 0 to 3, classes and a column `split` in a table, by `assay init`",
        make_defects_alone,
        None,
        "read",
        (
            'mask_classes: {"1": "crack", "2": "pit", "3": "stain"}',
            "image_weight: 0",
            "trainable: supervised",
            "primary: pixel_iou",
            "No normal and 15 defective",
            "splits: published",
        ),
    ),
    Case(
        "masks of values 0 to 3 in a table without names, by `assay init`",
        _unnamed,
        None,
        "read",
        ('mask_classes: {"1": "class_1", "2": "class_2", "3": "class_3"}',),
    ),
    Case(
        "`images/` and `annotations/`, each with `training/` and `test/`, by `assay init`",
        make_steel_folders,
        None,
        "read",
        (
            'options: {defect: "images", masks: "annotations", mask_classes: {"1": "class_1"',
            "splits: published",
            "image_weight: 0",
        ),
    ),
    Case(
        "`train/` and `test/`, each with `images/` and `masks/`, by `assay init`",
        _divided_anew,
        None,
        "read",
        ("splits: published", "No normal and 15 defective images, 15 of them with a mask"),
    ),
    Case(
        "`images/` and `annotations/`, and `mask_classes`",
        make_steel_folders,
        _STEEL,
        "warned",
        ("15 images of 15 items: 15 defective (15 with mask)", "train: 9, 9 defective", "crack+pit: 2"),
    ),
    Case(
        "`images/` of which some have an empty mask",
        _without_defects,
        _STEEL,
        "read",
        ("15 images of 15 items: 12 defective (12 with mask), 3 normal",),
    ),
    Case(
        "`images/` of which one has no mask",
        _without_a_mask,
        _STEEL,
        "refused",
        ("images/test/10.png has no mask: expected annotations/test/10.png. Add it",),
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
        "defects alone, some with several classes in one mask",
        make_defects_alone,
        _INDEXED,
        "warned",
        (
            "No image is normal",
            "methods learn from masks alone",
            "`assay init` writes such a study",
            "crack+pit: 2",
        ),
    ),
    Case(
        "a value that is no class of `mask_classes`",
        _with_another_value,
        _INDEXED,
        "refused",
        ("masks/04.png has the values 7, which are no class", "mask_classes (1: crack, 2: pit, 3: stain)"),
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
