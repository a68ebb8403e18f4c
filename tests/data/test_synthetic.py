from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.conftest import ROOT
from trainables.data import DataSpec, Manifest, open_images, open_manifest
from trainables.data.files.sources import decode_mask, read_bytes
from trainables.data.synthesis import DEFECTS, TEXTURES, Surface, add_defect, paint_surface
from trainables.errors import InputError

SMALL = {"images": 40, "positives": 16, "items": 20, "size": (64, 48)}


def synthetic(cache: Path, **options: Any) -> Manifest:
    return open_manifest(DataSpec(reader="synthetic", options={**SMALL, **options}), None, cache)


def test_options_decide_every_pixel(tmp_path: Path) -> None:
    first, second = synthetic(tmp_path / "a"), synthetic(tmp_path / "b")
    assert first.hash == second.hash
    assert synthetic(tmp_path / "a", seed=1).hash != first.hash


def test_processors_that_round_differently_render_the_same_bytes(tmp_path: Path) -> None:
    """Nodes of a cluster compare manifests: an older processor has fewer vector instructions."""
    options = {"images": 60, "positives": 45, "items": 15, "size": (128, 128)}
    code = f"""
from pathlib import Path
from trainables.data import DataSpec, open_manifest
spec = DataSpec(reader="synthetic", options={options!r})
print(open_manifest(spec, None, Path({str(tmp_path / "older")!r})).hash)
"""
    older = {
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "OPENCV_CPU_DISABLE": "AVX2,FP16,AVX512-SKX",
    }
    environment = {**os.environ, **older}
    command = [sys.executable, "-W", "ignore", "-c", code]
    output = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == synthetic(tmp_path / "here", **options).hash


def test_counts_sizes_and_kinds_are_as_asked(tmp_path: Path) -> None:
    manifest = synthetic(tmp_path, kinds=["scratch", "stain"])
    assert len(manifest.rows) == 40
    assert sum(row.label for row in manifest.rows) == 16
    assert {row.defect_class for row in manifest.rows} == {"scratch", "stain", None}
    assert {(row.height, row.width) for row in manifest.rows} == {(64, 48)}
    assert len({row.group for row in manifest.rows}) == 20


def test_split_is_published_and_divides_items_and_defects(tmp_path: Path) -> None:
    rows = synthetic(tmp_path).rows
    train = {row.group for row in rows if row.split == "train"}
    test = {row.group for row in rows if row.split == "test"}
    assert (len(train), len(test)) == (12, 8)
    assert not train & test
    assert sum(row.label for row in rows if row.split == "test") == 6


def test_every_defect_has_a_mask_of_the_size_that_its_kind_has(tmp_path: Path) -> None:
    manifest = synthetic(tmp_path, size=(128, 128), positives=36)
    assert manifest.findings == ()
    for row in manifest.rows:
        if row.mask is not None:
            share = decode_mask(read_bytes(manifest.root, row.mask), manifest.mask_above).mean()
            assert 0.0005 < share < 0.25, row.defect_class


def test_rendered_images_that_were_deleted_name_the_folder(tmp_path: Path) -> None:
    manifest = synthetic(tmp_path)
    (manifest.root / "images" / "00003.png").unlink()
    with pytest.raises(InputError, match=r"images/00003\.png: the file is missing"):
        synthetic(tmp_path)
    shutil.rmtree(manifest.root)
    assert synthetic(tmp_path).hash == manifest.hash


def test_no_single_statistic_of_an_image_tells_its_label(tmp_path: Path) -> None:
    """At difficulty 0.5 neither the brightest nor the darkest pixel gives a defect away."""
    manifest = synthetic(tmp_path, images=200, positives=100, items=50, size=(96, 96), difficulty=0.5)
    images = open_images(manifest, (96, 96), 1, tmp_path)
    labels = [row.label for row in manifest.rows]
    for statistic in (np.max, np.min, np.mean, np.std):
        values = [float(statistic(images[row.sample])) for row in manifest.rows]
        assert 0.3 < roc_auc_score(labels, values) < 0.7, statistic


@pytest.mark.parametrize("kind", DEFECTS)
@pytest.mark.parametrize("texture", TEXTURES)
def test_defect_fades_with_difficulty_and_stays_within_its_mask(kind: str, texture: str) -> None:
    changes: list[float] = []
    for difficulty in (0.0, 0.5, 1.0):
        total = 0.0
        for seed in range(4):
            surface = Surface.draw(texture, np.random.default_rng(seed))
            rng = np.random.default_rng(seed)
            grey, field = paint_surface((96, 96), surface, rng)
            marked, mask = add_defect(grey, field, surface, kind=kind, difficulty=difficulty, rng=rng)
            change = np.abs(marked - grey) / surface.contrast
            inside = change[mask > 0].mean()
            assert inside > 10 * change[mask == 0].mean()
            total += float(inside)
        changes.append(total)
    assert changes[0] > changes[1] > changes[2]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"positives": 40}, "some images are normal"),
        ({"items": 41}, "41 items for 40 images"),
        ({"kinds": ["rust"]}, "different names of scratch"),
        ({"size": (8, 8)}, "32 to 2048"),
        ({"difficulty": 2}, "less than or equal to 1"),
    ],
)
def test_options_out_of_bounds_are_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        synthetic(tmp_path, **options)
