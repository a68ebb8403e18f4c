"""Names of files that systems write otherwise, and links that lead back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.data.cases.case import Case
from tests.data.made_images import dot, make_folder, noise, write

__all__ = ["CASES"]

FOLDER = {"reader": "folder"}


def _from_a_mac(root: Path, ending: str = "") -> None:
    """Masks called `ü` in two signs, u and two dots, of images called so in one."""
    make_folder(root)
    for number in range(6):
        (root / "defect" / f"d{number}.png").rename(root / "defect" / f"\u00fc{number}.png")
        (root / "masks" / f"d{number}.png").rename(root / "masks" / f"u\u0308{number}{ending}.png")


def _looped(link: str, target: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        make_folder(root)
        os.symlink(target, root / link, target_is_directory=True)

    return make


CASES = (
    Case(
        "masks whose names a Mac has written otherwise, `ü` as `u` and two dots",
        _from_a_mac,
        FOLDER,
        "read",
        ("6 defective (6 with mask)",),
    ),
    Case(
        "such masks called `ü0_mask.png`, seen by `assay init`",
        lambda root: _from_a_mac(root, "_mask"),
        None,
        "read",
        ("6 defective images, 6 of them with a mask",),
    ),
    Case(
        "images `d0.png` and `D0.png`, and a mask `d0.png`",
        lambda root: (make_folder(root, defect=4), write(root / "defect" / "D0.png", noise(99))),
        FOLDER,
        "warned",
        ("5 defective (4 with mask)", "masks/D0.png"),
    ),
    Case(
        "images called `ü` in one sign and in two, and a mask in one",
        lambda root: (
            make_folder(root, defect=4),
            [write(root / "defect" / f"{name}.png", noise(50 + len(name))) for name in ("\u00fc", "u\u0308")],
            write(root / "masks" / "\u00fc.png", dot()),
        ),
        FOLDER,
        "warned",
        ("6 defective (5 with mask)",),
    ),
    Case(
        "a link to a folder that holds the link",
        _looped("good/loop", ".."),
        FOLDER,
        "warned",
        (
            "1 file is not read: good/loop: a link to a folder is not followed.",
            "14 images of 14 items: 6 defective (6 with mask), 8 normal",
        ),
    ),
    Case(
        "an image that is a link to itself",
        _looped("good/self.png", "self.png"),
        FOLDER,
        "refused",
        ("good/self.png is a link that leads to itself; expected a file. Copy the file there.",),
    ),
    Case(
        "a mask that is a link to no file",
        lambda root: (_looped("masks/d9.png", "nowhere.png")(root), write(root / "defect/d9.png", noise(99))),
        FOLDER,
        "refused",
        ("masks/d9.png is a link to a file that is missing. Copy the file there, or remove the link.",),
    ),
)
