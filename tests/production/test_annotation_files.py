"""Files of outlines: whole, also where the prediction was interrupted."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from assay.production.annotation_files import annotation_writer
from assay.production.photos import find_photos
from assay.production.rows import PhotoRow
from trainables.data.annotations import Polygon


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
