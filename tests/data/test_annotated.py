"""Outlines beside images become masks of a data set."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.data.made_images import noise, write
from trainables.data import DataSpec, check_data
from trainables.data.files.sources import DataFolders
from trainables.data.readers.annotated import READER
from trainables.errors import InputError

SQUARE = [[4, 3], [7, 3], [7, 6], [4, 6]]


def annotate(image: Path, label: str = "hole", points: Sequence[Sequence[int]] = SQUARE) -> None:
    """Write a LabelMe file with one polygon beside an image."""
    drawn = {"label": label, "shape_type": "polygon", "points": points}
    image.with_suffix(".json").write_text(json.dumps({"imagePath": image.name, "shapes": [drawn]}))


def test_masks_follow_images_that_are_replaced_where_annotations_state_no_size(tmp_path: Path) -> None:
    root, spec = tmp_path / "parts", DataSpec(reader="annotated", splits="per_seed")
    for height, width in ((12, 16), (24, 32)):
        annotate(write(root / "a.png", noise(0, height, width)))
        report = check_data(spec, root, tmp_path / "cache")
        assert (report.with_mask, report.faults) == (1, ())


def test_an_image_that_the_chosen_classes_leave_normal_is_not_told_as_defective(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    for image, label in (("good/a.png", "dust"), ("good/b.png", "hole"), ("defect/c.png", "hole")):
        annotate(write(root / image, noise(len(label))), label)
    spec = DataSpec(reader="annotated", splits="per_seed", classes=("hole",), others="normal")
    listing = READER.read(spec, DataFolders(root, tmp_path / "cache"))
    (remark,) = listing.remarks
    assert remark.startswith("1 image in folders of normal images defective, by what is drawn: good/b.png.")


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("good", False),
        ("nOK", True),
        ("NIO", True),
        ("No-Defect", False),
        ("noDefect", False),
        ("DEFECT_FREE", False),
        ("not ok", True),
        ("NotGood", True),
    ],
)
def test_a_folder_says_what_its_unannotated_images_are_however_it_is_spelt(
    folder: str, label: bool, tmp_path: Path
) -> None:
    root = tmp_path / "parts"
    annotate(write(root / "others" / "a.png", noise(0)))
    write(root / folder / "b.png", noise(1))
    spec = DataSpec(reader="annotated", splits="per_seed", options={"unannotated": "left_out"})
    listing = READER.read(spec, DataFolders(root, tmp_path / "cache"))
    assert {entry.image: entry.label for entry in listing.entries}[f"{folder}/b.png"] is label


def test_a_listing_reads_no_image_again(tmp_path: Path) -> None:
    root, folders = tmp_path / "parts", DataFolders(tmp_path / "parts", tmp_path / "cache")
    spec = DataSpec(reader="annotated", splits="per_seed")
    image = write(root / "a.png", noise(0))
    annotate(image)
    first, stat = READER.read(spec, folders), image.stat()
    image.write_bytes(bytes(stat.st_size))  # no image any more, as a file it looks the same
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert READER.read(spec, folders).mask_root == first.mask_root


def test_all_outlines_that_mark_no_pixel_are_told_at_once(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    for number in range(6):
        image = write(root / f"{number}.png", noise(number))
        annotate(image, points=SQUARE if number == 5 else [[40, 30], [70, 30], [70, 60]])
    with pytest.raises(InputError, match=r"0.json: .*\n1.json: .*\n2.json: .*\n3.json: .*\n4.json: "):
        READER.read(DataSpec(reader="annotated", splits="per_seed"), DataFolders(root, tmp_path / "cache"))


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000], ids=["empty", "cut", "deep"])
def test_json_that_does_not_parse_is_named(content: str, tmp_path: Path) -> None:
    root = tmp_path / "parts"
    annotate(write(root / "a.png", noise(0)))
    (root / "b.json").write_text(content)
    with pytest.raises(InputError, match=r"1 damaged JSON file, .*b.json: no whole JSON in its"):
        READER.read(DataSpec(reader="annotated", splits="per_seed"), DataFolders(root, tmp_path / "cache"))
