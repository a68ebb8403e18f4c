"""A file that Label Studio 1.23.2 exported: its server packed and wrote what was sent to its interface.

Three tasks of 32 × 24 pixels were uploaded. The first has a shape of each kind, the second has none, and the
third is not annotated.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.made_images import noise, write
from trainables.data import DataSpec, open_manifest
from trainables.data.annotations import parse_annotations, rasterise
from trainables.data.annotations.label_studio import unlabelled
from trainables.data.annotations.to_masks import MASKS, import_annotations

EXPORT = Path(__file__).parent / "exports" / "label_studio_1.23.2.json"
NAMES = ("part_01.png", "part_02.png", "part_03.png")


def photos(root: Path) -> Path:
    for number, name in enumerate(NAMES):
        write(root / name, noise(number, 24, 32))
    return root


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("scratch", slice(4, 7), slice(5, 20)),
        ("pit", slice(10, 15), slice(22, 28)),
        ("stain", slice(12, 16), slice(3, 9)),
    ],
    ids=["brush", "polygon", "rectangle"],
)
def test_a_shape_of_the_export_is_read_to_the_pixel(name: str, rows: slice, columns: slice) -> None:
    first, _ = parse_annotations(EXPORT.read_bytes())
    expected = np.zeros((24, 32), np.uint8)
    expected[rows, columns] = 1
    shapes = tuple(shape for shape in first.shapes if shape.defect_class == name)
    np.testing.assert_array_equal(rasterise(shapes, 24, 32), expected)


def test_an_ellipse_of_the_export_fills_its_box() -> None:
    first, _ = parse_annotations(EXPORT.read_bytes())
    holes = tuple(shape for shape in first.shapes if shape.defect_class == "hole")
    rows, columns = np.nonzero(rasterise(holes, 24, 32))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 20, 13, 18)


def test_a_task_that_nobody_annotated_is_told() -> None:
    assert unlabelled(EXPORT.read_bytes()) == ("part_03.png",)


def test_an_export_as_coco_names_the_image_that_was_uploaded() -> None:
    """Its file names lead from the folder of the server's process to its uploads."""
    image = {"id": 0, "file_name": "../srv/media/upload/1/816d75d5-part_01.png", "width": 32, "height": 24}
    data = json.dumps({"images": [image], "annotations": [], "categories": []}).encode()
    (drawn,) = parse_annotations(data)
    assert drawn.names[-1] == "part_01.png"


def test_the_export_beside_its_photos_is_a_data_set(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    (root / EXPORT.name).write_bytes(EXPORT.read_bytes())
    spec = DataSpec(reader="annotated", splits="per_seed", options={"unannotated": "left_out"})
    manifest = open_manifest(spec, root, tmp_path / "cache")
    assert [(row.sample, row.label) for row in manifest.rows] == [("part_01", True), ("part_02", False)]
    assert manifest.rows[0].defect_class == "hole+pit+scratch+stain"


def test_the_export_becomes_masks(tmp_path: Path) -> None:
    imported = import_annotations(EXPORT, photos(tmp_path / "photos"))
    assert (imported.images, imported.masks) == (2, 1)
    assert "1 task of label_studio_1.23.2.json not finished" in "\n".join(imported.remarks)
    mask = cv2.imread(str(tmp_path / "photos" / MASKS / "part_01.png.png"), cv2.IMREAD_UNCHANGED)
    assert np.unique(mask).tolist() == [0, 1, 2, 3, 4]
