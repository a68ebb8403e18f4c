"""Images as they are stored: their bits and sizes, and that a kept copy holds nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.data.made_images import make_folder, noise, open_folder, write
from trainables.data import Split, Supervision, load_evaluation, load_training, open_images
from trainables.data.stored import StoredImages, keep_stored
from trainables.errors import InputError

FULL = Supervision(kind="full", masks=None)
SIZE = (8, 8)
DEEP = np.random.default_rng(0).integers(0, 4096, (20, 30), dtype=np.uint16)


@pytest.mark.parametrize(
    ("name", "pixels", "channels", "expected"),
    [
        ("a.png", noise(0, 20, 30), 1, noise(0, 20, 30)),
        ("a.png", DEEP, 1, DEEP),
        ("a.tif", DEEP, 1, DEEP),
        ("a.tif", np.stack([DEEP] * 3, axis=2), 3, np.stack([DEEP] * 3, axis=2)),
        ("a.tif", (DEEP / 4096).astype(np.float32), 1, np.rint(DEEP / 4096 * 65535).astype(np.uint16)),
    ],
)
def test_an_image_keeps_its_size_and_its_bits(
    name: str, pixels: NDArray[np.generic], channels: int, expected: NDArray[np.generic], tmp_path: Path
) -> None:
    write(tmp_path / "data" / "good" / name, pixels)
    write(tmp_path / "data" / "defect" / f"b{name[1:]}", pixels[::-1])
    manifest = open_folder(tmp_path / "data", tmp_path / "cache")
    sample = next(row.sample for row in manifest.rows if row.image == f"good/{name}")
    image = StoredImages(manifest, channels)[sample]
    assert image.dtype == expected.dtype
    np.testing.assert_array_equal(image, expected.reshape(20, 30, channels))


def test_a_file_that_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    manifest = open_folder(make_folder(tmp_path / "data"), tmp_path / "cache")
    row = manifest.rows[0]
    write(tmp_path / "data" / row.image, noise(99))
    with pytest.raises(InputError, match="changed since the data were read"):
        StoredImages(manifest, 1)[row.sample]


def test_what_is_kept_for_training_is_training_and_validation_alone(tmp_path: Path) -> None:
    manifest = open_folder(make_folder(tmp_path / "data"), tmp_path / "cache")
    ids = tuple(row.sample for row in manifest.rows)
    split = Split(train=ids[:4], validation=ids[4:6], test=ids[6:], masks=ids)
    images, stored = open_images(manifest, SIZE, 1, tmp_path / "cache"), StoredImages(manifest, 1)
    data = keep_stored(load_training(manifest, split, FULL, images, stored=stored), tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 6
    assert data.validation is not None
    for part in (data.train, data.validation):
        for sample in part.ids:
            np.testing.assert_array_equal(part.given[sample], stored[sample])
    with pytest.raises(KeyError):
        data.train.given[ids[-1]]
    evaluation = load_evaluation(manifest, split, FULL, images, stored=stored)
    with pytest.raises(KeyError):
        evaluation.test.given[ids[0]]
