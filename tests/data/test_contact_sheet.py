"""The contact sheet shows the worst masks first, also of data that are refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.made_images import PER_SEED, dot, make_folder, write
from trainables.data.inspect.contact_sheet import write_contact_sheet
from trainables.data.inspect.mask_statistics import measure_mask
from trainables.errors import InputError


def _sheet(root: Path, cache: Path) -> np.ndarray:
    path = root / "sheet.png"
    assert write_contact_sheet(PER_SEED, root, cache, path)
    sheet = cv2.imread(str(path))
    assert sheet is not None
    return sheet


def test_masks_are_outlined_on_their_photos(tmp_path: Path) -> None:
    sheet = _sheet(make_folder(tmp_path / "own"), tmp_path / "cache")
    vermilion = (sheet == (0, 94, 213)).all(axis=2)
    assert vermilion.sum() > 200, "photos are grey: what has this colour is drawn"


def test_data_that_are_refused_have_a_sheet_too(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "own", masks=False)
    for number in range(6):
        write(root / "masks" / f"d{number}.png", 255 - dot())
    assert _sheet(root, tmp_path / "cache").shape[0] > 250


def test_one_photo_is_held_at_a_time(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "own", defect=0)
    side = 500
    for number in range(10):
        photo = np.full((side, side), number, np.uint8)
        write(root / "defect" / f"d{number}.png", photo)
        write(root / "masks" / f"d{number}.png", dot(side, side))
    tracemalloc.start()
    try:
        _sheet(root, tmp_path / "cache")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 10 * 3 * side**2, "of ten photos in colour"


def test_nothing_is_written_where_no_mask_is(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "own", masks=False)
    assert write_contact_sheet(PER_SEED, root, tmp_path / "cache", tmp_path / "sheet.png") == 0
    assert not (tmp_path / "sheet.png").exists()


def test_a_sheet_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "own")
    (tmp_path / "nowhere").write_text("a file")
    with pytest.raises(InputError, match="Choose another file"):
        write_contact_sheet(PER_SEED, root, tmp_path / "cache", tmp_path / "nowhere" / "sheet.png")


def test_a_line_break_in_a_name_stays_in_its_line(tmp_path: Path) -> None:
    sheets: list[np.ndarray] = []
    for folder, name in (("broken", "a\nb"), ("plain", r"a\nb")):
        root = make_folder(tmp_path / folder / "own")
        for place in ("defect", "masks"):
            (root / place / "d0.png").rename(root / place / f"{name}.png")
        sheets.append(_sheet(root, tmp_path / "cache"))
    assert (sheets[0] == sheets[1]).all()


@pytest.mark.parametrize("place", ["defect/d0.png", "masks/d0.png", "good/g0.png"])
def test_a_sheet_does_not_replace_an_image_or_mask(tmp_path: Path, place: str) -> None:
    root = make_folder(tmp_path / "own")
    before = (root / place).read_bytes()
    with pytest.raises(InputError, match="no place of an image or mask"):
        write_contact_sheet(PER_SEED, root, tmp_path / "cache", root / place)
    assert (root / place).read_bytes() == before


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (slice(3, 6), slice(4, 7), (9, 1, 0, False, 3.0)),
        (slice(3, 4), slice(4, 5), (1, 1, 1, False, 1.0)),
        (slice(0, 3), slice(4, 7), (9, 1, 0, True, 3.0)),
        (slice(9, 12), slice(4, 7), (9, 1, 0, True, 3.0)),
        (slice(3, 6), slice(13, 16), (9, 1, 0, True, 3.0)),
    ],
    ids=["inside", "one pixel", "top", "bottom", "right"],
)
def test_a_mask_is_measured(rows: slice, columns: slice, expected: tuple[float, ...]) -> None:
    mask = np.zeros((12, 16), np.uint8)
    mask[rows, columns] = 1
    measured = measure_mask(mask * 255, mask, is_jpeg=False, sample="a", mask="a.png", defect_class="hole")
    assert (measured.area, measured.regions, measured.strays, measured.at_border, measured.width) == expected
    assert measured.values == (0, 255)
