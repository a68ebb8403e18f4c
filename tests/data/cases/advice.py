"""Faults and findings, and the way out."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from tests.data.cases.case import Case
from tests.data.made_images import dot, make_folder, noise, write

__all__ = ["CASES"]

FOLDER = {"reader": "folder"}


def turn(path: Path, orientation: int) -> None:
    """Give a JPEG an EXIF orientation."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])


def _turned(root: Path, height: int, width: int) -> None:
    make_folder(root, masks=False)
    for number in range(6):
        (root / "defect" / f"d{number}.png").unlink()
        turn(write(root / "defect" / f"d{number}.jpg", noise(60 + number)), 6)
        write(root / "masks" / f"d{number}.png", dot(height, width))


def _all_truncated(root: Path) -> None:
    make_folder(root, good=40)
    for path in (root / "good").iterdir():
        path.write_bytes(path.read_bytes()[:-8])


def _small_masks(root: Path) -> None:
    make_folder(root)
    for number in range(6):
        (root / "defect" / f"d{number}.png").rename(root / "defect" / f"part {number}.png")
        write(root / "masks" / f"part {number}.png", dot(6))
        (root / "masks" / f"d{number}.png").unlink()


def _one_truncated(root: Path) -> None:
    image = make_folder(root) / "defect" / "d0.png"
    image.write_bytes(image.read_bytes()[:-8])


def _copies(root: Path, count: int) -> None:
    make_folder(root)
    for number in range(count):
        shutil.copy(root / "good" / f"g{number}.png", root / "good" / f"again{number}.png")


def _copies_in_parts(root: Path) -> None:
    for place, part in enumerate(("train", "test")):
        make_folder(root / part)
        for number, path in enumerate(sorted((root / part).glob("[gd]*/*.png"))):
            write(path, noise(1000 * place + number))
    shutil.copy(root / "test" / "good" / "g0.png", root / "train" / "good" / "g0.png")


def _both_labels(root: Path) -> None:
    make_folder(root)
    shutil.copy(root / "defect" / "d0.png", root / "good" / "same.png")


CASES = (
    Case(
        "40 truncated files",
        _all_truncated,
        FOLDER,
        "refused",
        ("The same of 39 more, such as good/g1.png, good/g10.png.", "1 fault:"),
    ),
    Case(
        "a truncated image that has a mask",
        _one_truncated,
        FOLDER,
        "refused",
        ("13 images of 13 items: 5 defective (5 with mask), 8 normal", "  defect  5      9"),
    ),
    Case(
        "masks of another size, with spaces in their names",
        _small_masks,
        FOLDER,
        "refused",
        ("The same of 5 more, such as masks/part 1.png, masks/part 2.png.", "1 fault:"),
    ),
    Case(
        "photos with an EXIF orientation, and masks drawn in a viewer that turns them",
        lambda root: _turned(root, 16, 12),
        FOLDER,
        "refused",
        ("Its EXIF orientation 6 turns it in viewers only: turn the image itself, as",),
    ),
    Case(
        "photos with an EXIF orientation, and masks of the size as stored",
        lambda root: _turned(root, 12, 16),
        FOLDER,
        "warned",
        ("6 images with an EXIF orientation, which viewers turn and which are read as stored",),
    ),
    Case(
        "masks turned by a quarter",
        lambda root: (make_folder(root), write(root / "masks" / "d0.png", dot(16, 12))),
        FOLDER,
        "refused",
        ("The mask fits when one of the two is turned by a quarter. Turn it.",),
    ),
    Case(
        "an image that is there twice",
        lambda root: _copies(root, 1),
        FOLDER,
        "warned",
        ("again0 and good/g0: 1 image is there more than once, byte for byte (good/again0 = good/g0).",),
    ),
    Case(
        "eight images that are there twice",
        lambda root: _copies(root, 8),
        FOLDER,
        "warned",
        ("8 images are identical byte for byte (good/again0 = good/g0, good/again1 = good/g1 and 6 more).",),
    ),
    Case(
        "a test image that is in the training part too",
        _copies_in_parts,
        {**FOLDER, "splits": "published"},
        "warned",
        (
            "in different parts (test, train). `splits: deduplicated` leaves training copies of test images "
            "out.",
        ),
    ),
    Case(
        "an image that is good and defective",
        _both_labels,
        FOLDER,
        "warned",
        ("(defect/d0 = good/same); one is labelled defective, another normal.",),
    ),
)
