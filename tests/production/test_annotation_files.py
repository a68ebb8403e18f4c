"""Files of outlines: whole, also where the prediction was interrupted."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from assay.production.annotation_files import annotation_writer
from assay.production.photos import find_photos
from assay.production.rows import PhotoRow
from trainables.data.annotations import Polygon, outlines, parse_annotations, rasterise
from trainables.data.annotations.to_masks import MASKS, import_annotations


def test_an_interrupted_prediction_leaves_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (photo,) = find_photos([str(tmp_path)])
    row = PhotoRow(photo.name, 0.9, True, 1, 8, 8, None, None, None)
    with suppress(KeyboardInterrupt), annotation_writer("coco", tmp_path) as add:
        add(photo, row, [Polygon(((1, 1), (4, 1), (4, 4)))])
        raise KeyboardInterrupt
    content = json.loads((tmp_path / "annotations.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in content["images"]] == ["a.png"]
    assert len(content["annotations"]) == 1
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["labelme", "coco"])
def test_outlines_lie_on_a_photo_as_labelling_tools_show_it(
    form: str, orientation: int, tmp_path: Path
) -> None:
    stored = np.zeros((12, 16), np.uint8)
    stored[2:5, 3:11] = stored[2:9, 3:5] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "found").mkdir()
    Image.fromarray(stored).save(photos / "a.png", exif=exif)
    (photo,) = find_photos([str(photos)])
    row = PhotoRow(photo.name, 0.9, True, 1, 12, 16, None, None, None)
    with annotation_writer("labelme" if form == "labelme" else "coco", tmp_path / "found") as add:
        add(photo, row, list(outlines((stored > 0).astype(np.uint8))))
    (file,) = (path for path in (tmp_path / "found").rglob("*.json"))
    shown = np.array(ImageOps.exif_transpose(Image.open(photos / "a.png")))
    (image,) = parse_annotations(file.read_bytes())
    assert image.size == shown.shape
    np.testing.assert_array_equal(rasterise(image.shapes, *shown.shape), shown > 0)
    if orientation not in (2, 3, 4):  # which have one size either way, and are refused
        import_annotations(file, photos)
        mask = cv2.imread(str(photos / MASKS / "a.png.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, stored)
