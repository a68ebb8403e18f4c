"""Images are found by what annotations call them."""

from __future__ import annotations

import time
from pathlib import PurePosixPath

import pytest

from trainables.data.annotations.image_names import ImageNames
from trainables.errors import InputError


@pytest.mark.parametrize(
    ("images", "file", "name", "image"),
    [
        (["good/a.png", "defect/b.png"], "defect/ann.json", "good/a.png", "good/a.png"),
        (["good/a.png", "defect/b.png"], "defect/ann.json", "Good/a.png", "good/a.png"),
        (["good/a.png", "defect/b.png"], "defect/ann.json", "C:/set/good/a.png", "good/a.png"),
        (["images/a.png", "labels/preview.png"], "labels/ann.json", "images/a.png", "images/a.png"),
        (["images/a.png", "old/images/a.png"], "annotations/ann.json", "images/a.png", "images/a.png"),
        (["line1/x/0.png", "line2/x/0.png"], "line2/ann.json", "x/0.png", "line2/x/0.png"),
        (["line1/0.png", "line2/1.png", "line2/x/0.png"], "line2/ann.json", "0.png", "line2/x/0.png"),
        (["x/A.png", "y/a.png"], "ann.json", "A.png", "x/A.png"),
        (["x/A.png"], "ann.json", "a", "x/A.png"),
        (["x/-a.png", "x/b.png"], "ann.json", "-a.png", "x/-a.png"),
    ],
)
def test_image_is_found_by_its_path(images: list[str], file: str, name: str, image: str) -> None:
    assert ImageNames(images).find(name, PurePosixPath(file), alone=False) == PurePosixPath(image)


@pytest.mark.parametrize(
    ("images", "file", "name"),
    [
        (["good/g1.png", "defect/d1.png"], "defect/g1.json", "g1.png"),
        (["good/x/g1.png", "defect/d1.png"], "defect/g1.json", "x/g1.png"),
        (["line1/0.png"], "ann.json", "line2/0.png"),
        (["a.png"], "ann.json", "a.jpg"),
        (["a.png"], "ann.json", ".."),
    ],
)
def test_an_image_of_another_folder_or_name_is_not_found(images: list[str], file: str, name: str) -> None:
    assert ImageNames(images).find(name, PurePosixPath(file), alone=False) is None


@pytest.mark.parametrize("images", [["a.png", "images/a.png"], ["x/a.png", "y/a.png", "z/b.png"]])
def test_a_name_that_two_images_have_is_refused(images: list[str]) -> None:
    with pytest.raises(InputError, match=r"a.png may be .*a.png or .*a.png"):
        ImageNames(images).find("a.png", PurePosixPath("annotations/ann.json"), alone=False)


def test_one_name_in_thousands_of_folders_takes_no_longer() -> None:
    folders = [f"part_{number:05}" for number in range(5000)]
    start = time.process_time()
    names = ImageNames(f"{folder}/0.png" for folder in folders)
    for folder in folders:
        names.find(f"D:/set/{folder}/0.png", PurePosixPath("annotations/ann.json"), alone=False)
    assert time.process_time() - start < 5
