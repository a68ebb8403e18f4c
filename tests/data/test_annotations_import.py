"""Annotations come back as masks that the readers read, or nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.made_images import dot, make_folder, noise, write
from tests.data.test_annotations import (
    CORNERS,
    label_studio,
    labelme,
    labelme_shape,
)
from trainables.data import DataSpec, check_data, open_manifest
from trainables.data.annotations.labelme import file_of
from trainables.data.annotations.shapes import ImageAnnotation, Shape, outlines
from trainables.data.annotations.to_masks import MASKS, TABLE, import_annotations
from trainables.errors import InputError

SIZE = (12, 16)


def drawn(image: str, mask: np.ndarray, name: str = "scratch") -> bytes:
    shapes = tuple(Shape(name, polygon) for polygon in outlines(mask))
    return json.dumps(file_of(ImageAnnotation(image, SIZE, shapes))).encode()


def line(image: str) -> bytes:
    shape = {"label": "crack", "shape_type": "line", "points": [[1, 1], [9, 9]]}
    return json.dumps({"imagePath": image, "shapes": [shape]}).encode()


def photos(root: Path, count: int = 4) -> Path:
    for number in range(count):
        write(root / f"p{number}.png", noise(number))
    return root


def test_corrected_predictions_become_a_table_that_can_be_trained_on(tmp_path: Path) -> None:
    folder, annotations = photos(tmp_path / "photos"), tmp_path / "labelme"
    annotations.mkdir()
    for number in range(3):
        mask = dot() if number else np.zeros(SIZE, np.uint8)
        (annotations / f"p{number}.json").write_bytes(drawn(f"../photos/p{number}.png", mask))
    imported = import_annotations(annotations, folder)
    assert (imported.images, imported.masks, imported.table) == (3, 2, folder / TABLE)
    assert imported.remarks == (f"1 image of {folder} not annotated, left out, such as p3.png.",)
    manifest = open_manifest(
        DataSpec(reader="table", path=TABLE, splits="per_seed"), folder, tmp_path / "cache"
    )
    assert [row.label for row in manifest.rows] == [False, True, True]
    np.testing.assert_array_equal(cv2.imread(str(folder / MASKS / "p1.png.png"), 0), dot())


def test_masks_of_a_folder_data_set_go_to_their_place(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data", masks=False)
    (tmp_path / "d1.json").write_bytes(drawn("d1.png", dot()))
    imported = import_annotations(tmp_path / "d1.json", folder)
    assert imported.table is None
    report = check_data(DataSpec(reader="folder", splits="per_seed"), folder, tmp_path / "cache")
    assert (report.with_mask, report.defective) == (1, 6)


def two_classes(image: str) -> bytes:
    shapes = (
        *(Shape("scratch", p) for p in outlines(dot())),
        *(Shape("hole", p) for p in outlines(dot()[::-1])),
    )
    return json.dumps(file_of(ImageAnnotation(image, SIZE, shapes))).encode()


def test_folders_of_other_usual_names_get_their_masks(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for number in range(2):
        write(folder / "OK" / f"g{number}.png", noise(number))
        write(folder / "NG" / "lot1" / f"d{number}.png", noise(50 + number))
    write(folder / "Mask" / "lot1" / "d0.png", dot())
    (tmp_path / "d1.json").write_bytes(drawn("d1.png", dot()))
    assert import_annotations(tmp_path / "d1.json", folder).table is None
    np.testing.assert_array_equal(cv2.imread(str(folder / "Mask" / "lot1" / "d1.png"), 0), dot())


def test_several_classes_in_folders_are_indices_that_reader_folder_reads(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data", masks=False)
    (tmp_path / "d1.json").write_bytes(two_classes("d1.png"))
    imported = import_annotations(tmp_path / "d1.json", folder)
    options = {"mask_classes": imported.classes}
    report = check_data(
        DataSpec(reader="folder", splits="per_seed", options=options), folder, tmp_path / "cache"
    )
    assert (report.with_mask, report.by_class["hole+scratch"]) == (1, 1)


def test_masks_of_another_import_are_not_left_beside_numbered_classes(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    (tmp_path / "d1.json").write_bytes(two_classes("d1.png"))
    with pytest.raises(
        InputError, match=r"masks/d0.png \(of 5 masks\) stays, and its classes may be numbered"
    ):
        import_annotations(tmp_path / "d1.json", folder, replace=True)


def test_an_image_without_a_shape_is_a_normal_one(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data", masks=False)
    (tmp_path / "g1.json").write_bytes(drawn("g1.png", 0 * dot()))
    imported = import_annotations(tmp_path / "g1.json", folder)
    assert (imported.images, imported.masks) == (1, 0)


def test_an_image_with_a_line_alone_is_defective_without_a_mask(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 1)
    (tmp_path / "p0.json").write_bytes(line("p0.png"))
    assert import_annotations(tmp_path / "p0.json", folder).masks == 0
    assert (folder / TABLE).read_text().splitlines()[1] == "p0.png,1,,"


def test_several_classes_become_indices_of_the_table_reader(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 1)
    (tmp_path / "a.json").write_bytes(two_classes("p0.png"))
    imported = import_annotations(tmp_path / "a.json", folder)
    assert imported.classes == {1: "hole", 2: "scratch"}
    mask = cv2.imread(str(folder / MASKS / "p0.png.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, np.maximum(dot(value=2), dot(value=1)[::-1]))
    assert (folder / TABLE).read_text().splitlines()[1] == f"p0.png,1,{MASKS}/p0.png.png,hole+scratch"


def test_what_is_passed_over_is_told(tmp_path: Path) -> None:
    folder, annotations = photos(tmp_path / "photos", 1), tmp_path / "in"
    write(folder / "a.png", noise(9, 6, 8))
    write(folder / "b.png", noise(8, 6, 8))
    annotations.mkdir()
    (annotations / "a.json").write_bytes(
        labelme(labelme_shape("line", CORNERS[:2]), labelme_shape("rectangle", [CORNERS[0], CORNERS[2]]))
    )
    (annotations / "tasks.json").write_bytes(label_studio(annotations=[]))
    (annotations / "notes.json").write_text("{}")
    remarks = "\n".join(import_annotations(annotations, folder).remarks)
    for part in (
        "1 task of tasks.json not finished, left out, such as a.png",
        "1 file of no known format left out, such as notes.json",
        "left out: 1 of line",
        "1 shape drawn as a box",
        "2 images of",
    ):
        assert part in remarks


def test_files_of_the_system_are_passed_over(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data", masks=False)
    for place in ("d1.json", "._d1.json", "__MACOSX/d1.json"):
        path = folder / "defect" / place
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(drawn("d1.png", dot()) if place == "d1.json" else b"\0\5\x16\7")
    (folder / "defect" / "._d1.png").write_bytes(b"\0\5\x16\7")
    write(folder / "contact_sheet.png", noise(9))
    imported = import_annotations(folder, folder)
    assert (imported.images, imported.masks) == (1, 1)
    assert imported.remarks == (f"13 images of {folder} not annotated, left out, such as defect/d0.png.",)


WRONG = {
    "no such image": ({"x.json": drawn("x.png", dot())}, "no image below .* is called x.png"),
    "an image of another folder": (
        {"1.json": drawn("test/d1.png", dot())},
        "no image below .* is called test/d1.png",
    ),
    "two of one name": ({"g0.json": drawn("g0.png", dot())}, r"g0.png may be .*g0.png or .*g0.png"),
    "annotated twice": (
        {"1.json": drawn("d1.png", dot()), "2.json": drawn("d1.png", dot())},
        "d1.png is annotated in 1.json too",
    ),
    "another size": ({"d1.json": drawn("d1.png", dot(24, 32))}, "has 16 × 12 pixels, and was annotated at"),
    "a normal image": ({"g1.json": drawn("g1.png", dot())}, "g1.png has 1 shape; expected it below defect/"),
    "a line on a normal image": ({"g1.json": line("g1.png")}, "g1.png has 1 shape; expected it below"),
    "an existing mask": ({"d2.json": drawn("d2.png", dot())}, "masks/d2.png exists .*--replace"),
    "a stale mask": ({"d2.json": drawn("d2.png", 0 * dot())}, "shows no defect, and masks/d2.png exists"),
    "a mask of a line": (
        {"d2.json": line("d2.png")},
        "shows lines or points, and masks/d2.png exists",
    ),
    "a damaged file": ({"d1.json": labelme(labelme_shape("polygon", CORNERS[:1]))}, "has 1 points"),
    "a truncated file": ({"d1.json": drawn("d1.png", dot())[:-9]}, "d1.json: no whole JSON in its"),
    "nothing": ({}, "annotates 0 images"),
}


@pytest.mark.parametrize(("files", "text"), WRONG.values(), ids=WRONG)
def test_a_fault_is_named_and_nothing_is_written(files: dict[str, bytes], text: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data", masks=False)
    write(folder / "defect" / "scratch" / "g0.png", noise(77))
    write(folder / "masks" / "d2.png", dot())
    if "16 × 12" in text:
        files = {
            name: data.replace(b'"imageHeight": 12', b'"imageHeight": 24') for name, data in files.items()
        }
    (tmp_path / "in").mkdir()
    for name, data in {**files, **({} if not files else {"d0.json": drawn("d0.png", dot())})}.items():
        (tmp_path / "in" / name).write_bytes(data)
    with pytest.raises(InputError, match=text):
        import_annotations(tmp_path / "in", folder)
    assert not (folder / "masks" / "d0.png").exists()


def test_a_mask_is_replaced_where_that_is_asked_for(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    (tmp_path / "d1.json").write_bytes(drawn("d1.png", dot()[::-1]))
    import_annotations(tmp_path / "d1.json", folder, replace=True)
    np.testing.assert_array_equal(cv2.imread(str(folder / "masks" / "d1.png"), 0), dot()[::-1])
