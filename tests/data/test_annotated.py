"""Outlines beside images become masks of a data set."""

from __future__ import annotations

import json
from pathlib import Path

from tests.data.made_images import noise, write
from trainables.data import DataSpec, check_data

SQUARE = [[4, 3], [7, 3], [7, 6], [4, 6]]


def test_masks_follow_images_that_are_replaced_where_annotations_state_no_size(tmp_path: Path) -> None:
    root, spec = tmp_path / "parts", DataSpec(reader="annotated", splits="per_seed")
    drawn = {"label": "hole", "shape_type": "polygon", "points": SQUARE}
    for height, width in ((12, 16), (24, 32)):
        image = write(root / "a.png", noise(0, height, width))
        image.with_suffix(".json").write_text(json.dumps({"imagePath": image.name, "shapes": [drawn]}))
        report = check_data(spec, root, tmp_path / "cache")
        assert (report.with_mask, report.faults) == (1, ())
