"""Folders, names and tables."""

from __future__ import annotations

from pathlib import Path

from tests.data.cases.case import Case
from tests.data.made_images import dot, make_folder, noise, write

__all__ = ["CASES"]

FOLDER = {"reader": "folder"}
TABLE = {"reader": "table", "path": "parts.csv"}


def _upper_case(root: Path) -> None:
    for number in range(6):
        write(root / "OK" / f"a{number}.png", noise(number))
        write(root / "NG" / f"b{number}.png", noise(100 + number))
        write(root / "Mask" / f"b{number}.png", dot())


def _misspelt_column(root: Path) -> None:
    write(root / "a.png", noise(0))
    (root / "parts.csv").write_text("image,lable\na.png,1\n")


CASES = (
    Case(
        "`good/`, `defect/` and `masks/`",
        make_folder,
        FOLDER,
        "read",
        ("14 images of 14 items: 6 defective (6 with mask), 8 normal",),
    ),
    Case(
        "`OK/`, `NG/` and `Mask/`",
        _upper_case,
        None,
        "read",
        ("6 normal and 6 defective images, 6 of them with a mask",),
    ),
    Case(
        "a CSV with a misspelt column",
        _misspelt_column,
        TABLE,
        "refused",
        ("columns missing: label; unknown: lable",),
    ),
)
