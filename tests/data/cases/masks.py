"""Masks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.data.cases.case import Case
from tests.data.made_images import dot, make_folder, noise, write

__all__ = ["CASES"]

FOLDER = {"reader": "folder"}
TABLE = {"reader": "table", "path": "parts.csv"}
Drawn = Callable[[int], NDArray[np.uint8]]  # the mask of the image with this number


def _folder(root: Path, mask: Drawn, save: Callable[[Path, NDArray[np.uint8]], object] = write) -> None:
    make_folder(root, masks=False)
    for number in range(6):
        save(root / "masks" / f"d{number}.png", mask(number))


def _as_palette(path: Path, indices: NDArray[np.uint8], bits: int = 8) -> None:
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(indices, "P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    image.save(path, bits=bits)


def _as_full_palette(path: Path, indices: NDArray[np.uint8]) -> None:
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(indices, "P")
    image.putpalette(noise(0, 1, 768).ravel().tolist())
    image.save(path)


def _with_void(number: int) -> NDArray[np.uint8]:
    """A mask as exports of Pascal VOC are: class indices with a border of 255."""
    mask = np.zeros((12, 16), np.uint8)
    mask[2:7, 3:8] = 255
    mask[3:6, 4:7] = 1 + number % 2
    return mask


def _many_with_void(root: Path, save: Callable[[Path, NDArray[np.uint8]], object]) -> None:
    make_folder(root, defect=12, masks=False)
    for number in range(12):
        mask = _with_void(0)
        mask[mask == 1] = 1 + number
        save(root / "masks" / f"d{number}.png", mask)


def _two_pages(root: Path) -> None:
    write(root / "defect" / "d9.png", noise(99))
    second = Image.fromarray(dot()[::-1].copy())
    Image.fromarray(dot()).save(root / "masks" / "d9.tif", save_all=True, append_images=[second])


def _table(root: Path, mask: Drawn, suffix: str = ".png") -> None:
    rows = ["image,label,mask"]
    for number in range(6):
        write(root / f"good{number}.png", noise(number))
        write(root / f"bad{number}.png", noise(100 + number))
        write(root / f"mask{number}{suffix}", mask(number))
        rows += [f"good{number}.png,good,", f"bad{number}.png,defect,mask{number}{suffix}"]
    (root / "parts.csv").write_text("\n".join(rows) + "\n")


def _rectangle(value: int, inside: tuple[int, int, int], outside: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A colour picture, BGR, with a rectangle of one colour on another; ``value`` is its width."""
    picture = np.full((12, 16, 3), outside, np.uint8)
    picture[3:6, 4 : 4 + value] = inside
    return picture


def _inverted(_number: int) -> NDArray[np.uint8]:
    return 255 - dot()


def _grey(_number: int) -> NDArray[np.uint8]:
    """From 16 to 235, as video has black and white, with soft edges."""
    return np.asarray(16 + _soft(0).astype(np.float32) * (219 / 255), np.uint8)


def _full(_number: int) -> NDArray[np.uint8]:
    return np.full((12, 16), 255, np.uint8)


def _large(number: int) -> NDArray[np.uint8]:
    return _inverted(number) if number == 0 else dot()


def _red_on_white(_number: int) -> NDArray[np.uint8]:
    return _rectangle(5, (0, 0, 255), (255, 255, 255))


def _red_on_black(_number: int) -> NDArray[np.uint8]:
    return _rectangle(5, (0, 0, 255), (0, 0, 0))


def _two_colours(number: int) -> NDArray[np.uint8]:
    return _rectangle(5, (0, 0, 255) if number % 2 else (0, 255, 0), (0, 0, 0))


def _transparent(_number: int) -> NDArray[np.uint8]:
    return np.dstack([np.zeros((12, 16, 3), np.uint8), dot()])


def _classes(number: int) -> NDArray[np.uint8]:
    return dot(value=1 + number % 3)


def _shades(number: int) -> NDArray[np.uint8]:
    return dot(value=(64, 128, 255)[number % 3])


def _soft(_number: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(dot(24, 32), (5, 5), 0.8)[:12, :16], np.uint8)


def _dark(number: int) -> NDArray[np.uint8]:
    return np.asarray(_soft(number).astype(np.float32) * ((85 - number) / _soft(number).max()), np.uint8)


def _deep(number: int) -> NDArray[np.uint16]:
    return np.asarray(_soft(number).astype(np.uint16) * (65535 // int(_soft(number).max())), np.uint16)


def _soft_inverted(number: int) -> NDArray[np.uint8]:
    return np.asarray(255 - (_deep(number) >> 8), np.uint8)


def _stray(number: int) -> NDArray[np.uint8]:
    mask = dot()
    mask[10, 14] = 255 if number == 0 else 0
    return mask


def _empty(number: int) -> NDArray[np.uint8]:
    return np.zeros((12, 16), np.uint8) if number == 0 else dot()


def _photographed(number: int) -> NDArray[np.uint8]:
    """The photo itself, with a red outline."""
    picture = np.dstack([noise(1000 + number) // 2 + 60] * 3)
    picture[3:6, 4:7] = (0, 0, 255)
    return np.asarray(picture, np.uint8)


CASES = (
    Case(
        "inverted masks",
        partial(_folder, mask=_inverted),
        FOLDER,
        "refused",
        ("every mask covers over half of its image (95.3 % or more)", "Invert them"),
    ),
    Case(
        "inverted masks of which the study says that they are meant so",
        partial(_folder, mask=_inverted),
        {**FOLDER, "options": {"mask_above": 0}},
        "warned",
        ("6 masks cover over half of the image (up to 95.3 %)",),
    ),
    Case(
        "one inverted mask of six",
        partial(_folder, mask=_large),
        None,
        "warned",
        ("1 mask covers over half of the image (up to 95.3 %): masks/d0.png",),
    ),
    Case(
        "masks of which each covers its whole image",
        partial(_folder, mask=_full),
        None,
        "refused",
        ("every mask covers all of its image, so nothing is outlined",),
    ),
    Case(
        "masks from 16 to 235, as video has black and white",
        partial(_folder, mask=_grey),
        FOLDER,
        "refused",
        (
            "every mask covers all of its image, so nothing is outlined",
            "or mask_above: 127 if their background is grey",
        ),
    ),
    Case(
        "masks in red on white",
        partial(_folder, mask=_red_on_white),
        FOLDER,
        "refused",
        (
            "6 masks are drawn in colour on white, and white counts as defect",
            "Save them with the defect white",
        ),
    ),
    Case(
        "masks in red on black",
        partial(_folder, mask=_red_on_black),
        FOLDER,
        "read",
        ("6 defective (6 with mask)", "defect  6      15"),
    ),
    Case(
        "masks in red and in green",
        partial(_folder, mask=_two_colours),
        FOLDER,
        "refused",
        ("masks hold 2 colours beside black", "classes, or shades of one defect?"),
    ),
    Case(
        "masks painted into a copy of the photo",
        partial(_folder, mask=_photographed),
        FOLDER,
        "refused",
        ("every mask covers all of its image, so nothing is outlined",),
    ),
    Case(
        "masks painted into a copy of the photo, by `assay init`",
        partial(_folder, mask=_photographed),
        None,
        "refused",
        ("every mask covers all of its image, so nothing is outlined",),
    ),
    Case(
        "masks in the alpha channel alone",
        partial(_folder, mask=_transparent),
        FOLDER,
        "refused",
        ("6 masks are drawn in transparency alone, which is not read", "Save the alpha channel as grey"),
    ),
    Case(
        "masks with the values 0, 1, 2 and 3",
        partial(_folder, mask=_classes),
        FOLDER,
        "refused",
        (
            "masks hold the values 1, 2, 3 beside 0",
            "mask_classes: {1: name, 2: name, 3: name}.",
            "mask_above: 0 counts them all",
        ),
    ),
    Case(
        "masks with the values 0, 1, 2 and 3, by `assay init`",
        partial(_folder, mask=_classes),
        None,
        "read",
        ('mask_classes: {"1": "class_1", "2": "class_2", "3": "class_3"}',),
    ),
    Case(
        "masks with the indices 0, 1, 2 and 3 of a palette",
        partial(_folder, mask=_classes, save=_as_palette),
        FOLDER,
        "refused",
        (
            "masks hold the indices 1, 2, 3 of a palette",
            "mask_classes: {1: name, 2: name, 3: name}.",
        ),
    ),
    Case(
        "masks with the indices 0, 1, 2 and 3 of a palette, and `mask_classes`",
        partial(_folder, mask=_classes, save=_as_palette),
        {**FOLDER, "options": {"mask_classes": {1: "scratch", 2: "hole", 3: "dent"}}},
        "read",
        ("14 images of 14 items: 6 defective (6 with mask)", "dent: 2"),
    ),
    Case(
        "masks with the indices of a palette of four colours, by `assay init`",
        partial(_folder, mask=_classes, save=partial(_as_palette, bits=2)),
        None,
        "read",
        ('mask_classes: {"1": "class_1", "2": "class_2", "3": "class_3"}',),
    ),
    Case(
        "masks with the values 0, 1, 2 and 3, and `mask_classes`",
        partial(_table, mask=_classes),
        {**TABLE, "options": {"mask_classes": {1: "scratch", 2: "hole", 3: "dent"}}},
        "read",
        (
            "12 images of 12 items: 6 defective (6 with mask)",
            "hole     2      9        3         4.7         1        0 %        0 2",
        ),
    ),
    Case(
        "masks with the values 0, 64, 128 and 255",
        partial(_table, mask=_shades),
        TABLE,
        "refused",
        (
            "masks hold the values 64, 128, 255 beside 0",
            "mask_classes: {64: name, 128: name, 255: name}.",
            "mask_above: 128 counts 255 alone",
        ),
    ),
    Case(
        "masks with the values 0, 64, 128 and 255, and `mask_above: 127`",
        partial(_table, mask=_shades),
        {**TABLE, "options": {"mask_above": 127}},
        "warned",
        ("2 defective images have a mask without defect pixels (values above 127)",),
    ),
    Case(
        "masks with soft edges, found by `init`",
        partial(_folder, mask=_soft),
        None,
        "read",
        ("mask_above: 127",),
    ),
    Case(
        "inverted masks with soft edges, by `assay init`",
        partial(_folder, mask=_soft_inverted),
        None,
        "refused",
        ("every mask covers over half of its image", "Invert them"),
    ),
    Case(
        "masks with soft edges in a table",
        partial(_table, mask=_soft),
        TABLE,
        "warned",
        ("6 masks have soft edges",),
    ),
    Case(
        "dark masks with soft edges",
        partial(_folder, mask=_dark),
        FOLDER,
        "warned",
        ("Write mask_above: 42 in data.options to cut there.",),
    ),
    Case(
        "dark masks with soft edges, and `mask_above: 127`",
        partial(_folder, mask=_dark),
        {**FOLDER, "options": {"mask_above": 127}},
        "refused",
        ("no mask has a pixel above 127, found values up to 85",),
    ),
    Case(
        "masks of 16 bits with soft edges, by `assay init`",
        partial(_folder, mask=_deep),
        None,
        "read",
        ("mask_above: 32712",),
    ),
    Case(
        "JPEG masks in a table",
        partial(_table, mask=_soft, suffix=".jpg"),
        TABLE,
        "refused",
        ("6 masks are JPEG, with values around defects that nobody drew", "mask_above: 127"),
    ),
    Case(
        "JPEG masks in a table, and `mask_above: 127`",
        partial(_table, mask=_soft, suffix=".jpg"),
        {**TABLE, "options": {"mask_above": 127}},
        "read",
        ("6 defective (6 with mask)",),
    ),
    Case(
        "masks of Pascal VOC, with the indices 1 and 2 and a border of 255",
        partial(_folder, mask=_with_void, save=_as_full_palette),
        None,
        "refused",
        ("(if 255 is VOC's void, neither defect nor background: name it void, and write the others in",),
    ),
    Case(
        "masks of twelve classes and a border of 255",
        partial(_many_with_void, save=write),
        None,
        "refused",
        ("masks hold the values 1, 2, 3, 4, 5, 6, 7, 8 and 5 more beside 0", "(if 255 is VOC's void"),
    ),
    Case(
        "masks of twelve classes and a border of 255, with a palette",
        partial(_many_with_void, save=_as_full_palette),
        FOLDER,
        "refused",
        ("masks hold the indices 1, 2, 3, 4, 5, 6, 7, 8 and 5 more of a palette", "(if 255 is VOC's void"),
    ),
    Case(
        "masks of Pascal VOC, and `mask_classes` without 255",
        partial(_folder, mask=_with_void, save=_as_full_palette),
        {**FOLDER, "options": {"mask_classes": {1: "scratch", 2: "hole"}}},
        "refused",
        ("(VOC's void, 255: void, with data.classes: [scratch, hole] and data.others: ignore)",),
    ),
    Case(
        "masks of Pascal VOC, and a class `void` that would count as a defect",
        partial(_folder, mask=_with_void, save=_as_full_palette),
        {**FOLDER, "options": {"mask_classes": {1: "scratch", 2: "hole", 255: "void"}}},
        "refused",
        ("void is no defect by its name, and without data.classes every class is one.",),
    ),
    Case(
        "masks of Pascal VOC, `classes` without void, and `others: ignore`",
        partial(_folder, mask=_with_void, save=_as_full_palette),
        {
            **FOLDER,
            "options": {"mask_classes": {1: "scratch", 2: "hole", 255: "void"}},
            "classes": ["scratch", "hole"],
            "others": "ignore",
        },
        "read",
        ("14 images of 14 items: 6 defective (6 with mask), 8 normal", "hole     3      9 "),
    ),
    Case(
        "one mask of six with two values",
        lambda root: _folder(root, lambda number: np.maximum(dot(), dot(value=9)[::-1] * (number == 3))),
        FOLDER,
        "refused",
        ("masks hold the values 9, 255 beside 0 (masks/d3.png): classes, or shades of one defect?",),
    ),
    Case(
        "a mask that is a TIFF of two pages",
        lambda root: (make_folder(root, defect=5), _two_pages(root)),
        FOLDER,
        "warned",
        ("Of several pages of a mask the first is read (merge them): 1 mask, masks/d9.tif.",),
    ),
    Case(
        "a stray pixel in a mask",
        partial(_folder, mask=_stray),
        None,
        "warned",
        ("1 mask has a region of 1 or 2 pixels: masks/d0.png",),
    ),
    Case(
        "an empty mask of a defective image",
        partial(_folder, mask=_empty),
        FOLDER,
        "warned",
        ("1 defective image has a mask without defect pixels (values above 0)", "6, 1 empty"),
    ),
)
