"""Large images."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

from tests.data.cases.case import Case
from tests.data.made_images import make_folder, write

__all__ = ["CASES", "make_line_scans"]


def make_line_scans(root: Path, *, masks: bool = True, height: int = 300) -> None:
    """Six normal and six defective images of 3,000 pixels' width."""
    for number in range(6):
        for kind, offset in (("good", 0), ("defect", 100)):
            picture = np.full((height, 3000), 90 + number, np.uint8)
            picture[20:30, 40:80] = 200 - offset
            write(root / kind / f"{kind[0]}{number}.png", picture)
        if masks:
            write(root / "masks" / f"d{number}.png", (picture == 100).astype(np.uint8) * 255)


def _without_masks(root: Path) -> None:
    make_line_scans(root, masks=False)


def _low(root: Path) -> None:
    make_line_scans(root, height=60)


def _too_large(root: Path) -> None:
    make_folder(root)
    path = root / "good" / "g0.png"
    data = bytearray(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())
    data[16:24] = struct.pack(">II", 60_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(bytes(data))


CASES = (
    Case(
        "line-scan images of 3,000 × 300 pixels with masks",
        make_line_scans,
        None,
        "read",
        ("tiles: {height: 512, width: 512, overlap: 64}", "image_size: [512, 512]"),
    ),
    Case(
        "line-scan images without masks: the labels of tiles would be unknown",
        _without_masks,
        None,
        "warned",
        ("supervision: weak", "the median image has 300 × 3000"),
    ),
    Case(
        "images lower than a tile",
        _low,
        {"reader": "folder", "tiles": {"height": 512, "width": 512, "overlap": 64}},
        "read",
        ("12 images of 12 items: 6 defective (6 with mask), 6 normal",),
    ),
    Case(
        "an image of more than 134 million pixels",
        _too_large,
        {"reader": "folder"},
        "refused",
        ("60000 × 20000 pixels; expected 1 to 134217728 pixels in all",),
    ),
)
