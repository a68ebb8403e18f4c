"""Data sets of a bundle: a plan on them is that on the images."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.extras.bundle.manifests import manifest_files, manifest_opener
from tests.data.test_masks import make_table
from tests.study.toy import plan, study_with
from trainables.data import DataSpec, Manifest, open_manifest


@pytest.mark.parametrize("others", ["leave_out", "ignore"])
def test_masks_with_classes_that_are_not_asked_for_are_drawn_as_on_the_images(
    others: str, tmp_path: Path
) -> None:
    root = make_table(tmp_path / "root", {f"{i:02d}": () if i >= 16 else (1, 1 + i % 3) for i in range(24)})
    data = {
        "reader": "table",
        "path": "parts.csv",
        "splits": "per_seed",
        "classes": ["scratch"],
        "others": others,
        "options": {"mask_classes": {1: "scratch", 2: "hole", 3: "stain"}},
    }
    study = study_with(data=data, supervision={"mixed": 2}, factors={}, design=None)

    def opener(spec: DataSpec) -> Manifest:
        return open_manifest(spec, root, tmp_path / "cache")

    on_images = plan(study, open_manifest=opener)
    files = manifest_files(on_images, opener)
    assert (b'"shows_others": []' in next(iter(files.values()))) == (others != "ignore")
    assert plan(study, open_manifest=manifest_opener(files)).trials == on_images.trials
