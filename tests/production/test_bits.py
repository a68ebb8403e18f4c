"""12-bit cameras: their photos train and are scored as 8-bit ones are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from assay.production.export_format import format_usage
from assay.production.model import card_of
from assay.production.predict import PredictionProgress
from assay.storage import Record, Store
from tests.production.conftest import Trained
from tests.production.test_predict import judged
from tests.production.trained import train
from trainables.data import DataSpec, open_manifest
from trainables.data.files.sources import decode_image, read_bytes

_SYNTHETIC = {"reader": "synthetic", "splits": "per_seed"}
_FOLDERS = "{reader: folder, splits: per_seed}"
_OPTIONS = {"images": 40, "positives": 16, "items": 20, "size": [64, 96]}


class Camera(NamedTuple):
    """The folder of a camera's photos, and what was trained on them."""

    root: Path
    store: Store
    record: Record


def exact(pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The 12-bit values that are nearest to the 8-bit ones."""
    return np.rint(pixels * (4095 / 255)).astype(np.uint16)


def finer(pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """12-bit values of which 8 bits lose the last four."""
    noise = np.random.default_rng(int(pixels.sum())).integers(-7, 8, pixels.shape)
    return np.clip(exact(pixels).astype(np.int64) + noise, 0, 4095).astype(np.uint16)


def copy_of(cache: Path, root: Path, make: Callable[[NDArray[np.uint8]], NDArray[Any]]) -> Path:
    """The synthetic set as folders of PNGs, each image as ``make`` turns it."""
    manifest = open_manifest(DataSpec.model_validate({**_SYNTHETIC, "options": _OPTIONS}), None, cache)
    for number, row in enumerate(manifest.rows):
        image = decode_image(read_bytes(manifest.root, row.image), 1)[..., 0]
        path = root / ("defect" if row.label else "good") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", make(image))[1].tobytes())
        if row.mask is not None:
            (root / "masks").mkdir(exist_ok=True)
            (root / "masks" / path.name).write_bytes(read_bytes(manifest.root, row.mask))
    return root


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> dict[str, Camera]:
    """The same surfaces, photographed with 8 and with 12 bits."""
    cameras: dict[str, Camera] = {}
    for name, make in (("8", np.asarray), ("12", exact), ("12, finer", finer)):
        root = copy_of(cache_root, tmp_path_factory.mktemp("photos"), make)
        store = Store(tmp_path_factory.mktemp("camera"))
        cameras[name] = Camera(root, store, train("classifier", store, cache_root, _FOLDERS, root))
    return cameras


def test_12_bit_copies_train_the_same_weights(cameras: dict[str, Camera]) -> None:
    results = {name: camera.record.result for name, camera in cameras.items()}
    assert results["8"] is not None
    assert results["12"] is not None
    assert results["12"].weights_hash == results["8"].weights_hash
    assert results["12"].metrics == results["8"].metrics


def test_the_model_keeps_its_white_point(cameras: dict[str, Camera]) -> None:
    whites = {name: card_of(camera.record).white for name, camera in cameras.items()}
    assert whites == {"8": 255, "12": 4095, "12, finer": 4095}


def scores(camera: Camera, root: Path, folder: Path) -> list[float]:
    rows = judged(Trained(camera.store, camera.record), [root / "good", root / "defect"], folder)
    assert [row["error"] for row in rows] == [None] * len(rows)
    return [row["score"] for row in rows]


@pytest.mark.parametrize("name", ["12", "12, finer"])
def test_a_12_bit_photo_scores_as_its_rounded_8_bit_copy(
    name: str, cameras: dict[str, Camera], tmp_path: Path
) -> None:
    camera = cameras[name]
    deep = scores(camera, camera.root, tmp_path / "deep")
    plain = scores(camera, cameras["8"].root, tmp_path / "plain")
    assert len(deep) == 40
    assert deep == plain


@pytest.mark.parametrize(("white", "dark"), [(4095, 0), (65535, 6)])
def test_photos_that_use_16_grey_levels_are_counted(
    white: float, dark: int, cameras: dict[str, Camera], tmp_path: Path
) -> None:
    camera = cameras["12"]
    photos = sorted((camera.root / "good").iterdir())[:6]
    steps: list[PredictionProgress] = []
    judged(Trained(camera.store, camera.record), photos, tmp_path / "out", steps.append, white=white)
    assert steps[-1].dark == dark


@pytest.mark.parametrize(
    ("samples", "white"),
    [
        ("uint8", 255.0),
        ("uint16", 255.0),
        ("uint16", 1023.0),
        ("uint16", 4095.0),
        ("uint16", 65535.0),
        ("float32", 1.0),
        ("float64", 1.0),
        ("float32", 255.0),
        ("float32", 65535.0),
    ],
)
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4)], ids=["grey", "colour", "with alpha"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_code_on_an_export_reads_photos_as_training_does(
    *,
    channels: Literal[1, 3],
    shape: tuple[int, ...],
    samples: str,
    white: float,
    cameras: dict[str, Camera],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = card_of(cameras["12"].record).model_copy(update={"white": white, "channels": channels})
    pixels = (np.random.default_rng(0).random(shape) * white).astype(samples)
    form = ".tif" if samples.startswith("float") else ".png"
    photo = cv2.imencode(form, pixels)[1].tobytes()
    (tmp_path / "photo.png").write_bytes(photo)  # OpenCV looks into a file, not at its name
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"cv2": cv2}
    exec(format_usage("photo = {read}", card), names)
    assert (names["photo"].reshape(20, 30, channels) == decode_image(photo, channels, white)).all()


@pytest.mark.parametrize("white", [255.0, 4095.0, 65535.0])
def test_the_code_on_an_export_reads_photos_as_stored_whatever_orientation_is_stated(
    white: float, cameras: dict[str, Camera], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = card_of(cameras["12"].record).model_copy(update={"white": white})
    exif = Image.Exif()
    exif[0x0112] = 6  # viewers turn it by a quarter
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"cv2": cv2}
    exec(format_usage("photo = {read}", card), names)
    assert (names["photo"] == pixels).all()


def test_a_photo_above_the_white_point_of_the_model_gets_no_score(
    cameras: dict[str, Camera], tmp_path: Path
) -> None:
    photo = min((cameras["12"].root / "good").iterdir())
    trained = Trained(cameras["8"].store, cameras["8"].record)
    (row,) = judged(trained, [photo], tmp_path / "refused")
    assert row["score"] is None
    assert "no value is above the white point 255, found uint16 values up to" in row["error"]
    assert "`--white` of assay predict" in row["error"]
