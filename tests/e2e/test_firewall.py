"""Weak supervision never sees a mask: without the files of training masks, weights are bit-identical."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from trainables.contract import LocalRun
from trainables.data import DataSpec, Supervision, load_training, make_split, open_images, open_manifest
from trainables.plugins.catalogue import find_trainable

SPEC = DataSpec(reader="mtd", classes=("blowhole",), splits="per_seed")
WEAK = Supervision(kind="weak")
# Without balance SegDecNet's classification loss counts from the first step: under the schedule of λ a leak
# into the labels of the only epoch would be multiplied by 0.
SEGDEC = {"channel_scale": 0.0625, "epochs": 2, "batch_size": 4, "balance": "none"}
TINY = {"width": 8, "epochs": 2, "min_steps": 0}
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("segdec", {**SEGDEC, "image_label": "binary"}),
    ("segdec", {**SEGDEC, "image_label": "soft"}),
    ("cam", TINY),  # the model holds offset and scale of its maps too
    ("supersimple", {**TINY, "map_width": 8, "head_epochs": 2, "keep_maps": False}),
]


@pytest.fixture
def tiles(data_root: Path, tmp_path: Path) -> Path:
    """A copy of 60 of MTD's blowholes and of 60 normal tiles, whose masks may be deleted."""
    source = data_root / "MTD"
    root = tmp_path / "root" / "MTD"
    for kind in ("MT_Blowhole", "MT_Free"):
        (root / kind / "Imgs").mkdir(parents=True)
        for image in sorted((source / kind / "Imgs").glob("*.jpg"))[:60]:
            shutil.copy(image, root / kind / "Imgs")
            shutil.copy(image.with_suffix(".png"), root / kind / "Imgs")
    return root.parent


@pytest.mark.real
@pytest.mark.parametrize(("method", "settings"), METHODS)
def test_weak_training_is_bit_identical_without_the_files_of_training_masks(
    method: str, settings: dict[str, Any], tiles: Path, tmp_path: Path
) -> None:
    with_masks = _weights(tiles, tmp_path / "before", method, settings)
    manifest = open_manifest(SPEC, tiles, tmp_path / "cache")
    train = set(make_split(manifest, SPEC, WEAK, seed=0, fold=None).train)
    rows = [row for row in manifest.rows if row.sample in train and row.mask]
    masks = [manifest.root / (row.mask or "") for row in rows]
    assert len(masks) > 20
    for mask in masks:
        mask.chmod(0o644)
        mask.unlink()
    assert _weights(tiles, tmp_path / "after", method, settings) == with_masks


def _weights(root: Path, scratch: Path, method: str, settings: dict[str, Any]) -> str:
    """sha256 of a model after a short weak training, from a cache of its own."""
    trainable = find_trainable(method)
    config = trainable.Config.model_validate({"image_size": [128, 64], **settings}).resolved("cpu")
    manifest = open_manifest(SPEC, root, scratch)
    split = make_split(manifest, SPEC, WEAK, seed=0, fold=None)
    images = open_images(manifest, config.image_size, config.channels, scratch)
    predictor = trainable.fit(config, load_training(manifest, split, WEAK, images), LocalRun())
    predictor.save(scratch)
    return hashlib.sha256((scratch / "model.safetensors").read_bytes()).hexdigest()
