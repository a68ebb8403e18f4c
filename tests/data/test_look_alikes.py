from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.data.made_images import PER_SEED, dot, make_folder, noise, open_folder, write
from trainables.data import DataSpec, Manifest, open_manifest
from trainables.data.inspect.look_alikes import content_of
from trainables.errors import InputError

Pixels = Callable[[int], NDArray[Any]]  # of an image by its number
TALL = (96, 128)  # height, width


def blob(value: int = 255, ground: int = 0) -> NDArray[np.uint8]:
    mask = np.full(TALL, ground, np.uint8)
    return cv2.circle(mask, (60, 40), 17, (value,), -1).astype(np.uint8)


def as_jpeg(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))


def dark() -> NDArray[np.uint8]:
    """An underexposed photo: five values, which change from pixel to pixel."""
    return np.random.default_rng(0).integers(0, 5, TALL, np.uint8)


def sparks() -> NDArray[np.uint8]:
    """A dark-field photo: black, with a few grains of any brightness."""
    pixels = np.zeros(TALL, np.uint8)
    places = np.random.default_rng(1).random(TALL) > 0.97
    pixels[places] = np.random.default_rng(2).integers(20, 256, int(places.sum()))
    return pixels


def ramp() -> NDArray[np.uint8]:
    return np.tile(np.arange(128, dtype=np.uint8), (96, 1))


@pytest.mark.parametrize(
    ("pixels", "content"),
    [
        (blob(), "mask"),
        (blob(1), "mask"),
        (blob(0, 255), "mask"),
        (blob(3) // 2 + blob(1), "mask"),
        (blob().astype(np.uint16) * 257, "mask"),
        (blob().astype(np.float32) / 255, "mask"),
        (as_jpeg(blob()), "mask"),
        (as_jpeg(blob(0, 255)), "mask"),
        (cv2.blur(blob(), (3, 3)), "mask"),
        (cv2.GaussianBlur(blob(), (31, 31), 0), "plateau"),
        (np.zeros(TALL, np.uint8), "constant"),
        (noise(0, *TALL), "photo"),
        (noise(0, *TALL) // 128, "photo"),
        (dark(), "photo"),
        (ramp(), "photo"),
    ],
)
def test_content_is_a_mask_where_few_values_lie_in_areas(pixels: NDArray[Any], content: str) -> None:
    assert content_of(pixels) == content


def test_dark_field_photo_is_no_mask() -> None:
    assert content_of(sparks()) in ("photo", "plateau")


def many(root: Path, places: dict[str, Pixels], count: int = 4) -> Path:
    """So many images for each place, such as ``scratch/{}.png``."""
    for place, pixels in places.items():
        for number in range(count):
            write(root / place.format(number), pixels(number))
    return root


def photo(seed: int) -> Pixels:
    return lambda number: noise(1000 * seed + number)


STAR = {"options": {"defect": "*"}}


@pytest.mark.parametrize(
    ("mask", "settings"),
    [
        ("x/{}.png", "masks: x"),
        ("x/{}.bmp", "masks: x"),
        ("x/{}_drawn.png", "masks: x, mask_suffix: _drawn"),
        ("x/z-{}.png", "masks: x, mask_prefix: z-"),
        ("x/y/{}.png", "masks: y"),
    ],
)
def test_masks_among_classes_of_photos_are_refused_with_the_pair_and_the_setting(
    mask: str, settings: str, tmp_path: Path
) -> None:
    places: dict[str, Pixels] = {
        "good/{}g.png": photo(1),
        "scratch/s{}.png": photo(2),
        mask.replace("{}", "s{}"): lambda _: dot(),
    }
    root = many(tmp_path / "root", places)
    name = mask.replace("{}", "s0")
    with pytest.raises(InputError) as refused:
        open_folder(root, tmp_path / "cache", **STAR)
    assert f"{name} looks like the mask of scratch/s0.png" in str(refused.value)
    assert f"Set {settings} in data.options." in str(refused.value)
    assert "set `binary_photos: true` in data" in str(refused.value)
    spec = PER_SEED.model_copy(update={**STAR, "binary_photos": True})
    assert len(open_manifest(spec, root, tmp_path / "cache").rows) == 12


PHOTOS: list[dict[str, Pixels]] = [
    {"good/{}.png": photo(1), "defect/{}.png": photo(2)},
    {"good/{}.png": lambda n: dot(value=9 + n), "defect/{}.png": lambda n: dot(value=99 + n)},
    {"good/{}.png": photo(1), "defect/d{}.png": lambda n: dot(value=99 + n)},
    {"good/{}.png": lambda n: dark() + np.uint8(n), "defect/{}.png": lambda n: noise(n, *TALL)},
    {"good/{}.png": lambda n: noise(n, *TALL), "defect/{}.png": lambda n: sparks() // np.uint8(n + 1)},
    {
        "good/{}.png": lambda n: np.full((12, 16), 0, np.uint8) if n == 1 else noise(n),
        "defect/{}.png": photo(2),
    },
]


@pytest.mark.parametrize(
    "places",
    PHOTOS,
    ids=["names of others", "all black and white", "no partner", "dark", "dark field", "one black photo"],
)
def test_photos_are_no_masks(places: dict[str, Pixels], tmp_path: Path) -> None:
    manifest = open_folder(many(tmp_path / "root", places), tmp_path / "cache")
    assert sum(row.label for row in manifest.rows) == 4


def open_table(root: Path, cache: Path) -> Manifest:
    """All images of a folder by a table, those below ``good/`` normal."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    rows = [f"{name},{int(not name.startswith('good'))}" for name in names]
    (root / "t.csv").write_text("\n".join(["image,label", *rows]))
    return open_manifest(
        DataSpec.model_validate({"reader": "table", "path": "t.csv", "splits": "per_seed"}), root, cache
    )


def test_rows_of_masks_in_a_table_are_refused(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "root", good=4, defect=4)
    with pytest.raises(InputError, match=r"masks/d0\.png looks like the mask of defect/d0\.png.*column mask"):
        open_table(root, tmp_path / "cache")


def test_masks_alone_are_refused_by_their_folder(tmp_path: Path) -> None:
    places: dict[str, Pixels] = {
        "good/gt/g{}.png": lambda n: dot(value=n + 99),
        "defect/gt/d{}.png": lambda n: dot(value=n + 9),
    }
    root = many(tmp_path / "root", places)
    with pytest.raises(InputError, match=r"defect/gt/d0\.png looks like a mask, by its folder and pixels"):
        open_table(root, tmp_path / "cache")


@pytest.mark.parametrize(
    "drawing", ["overlays/{}.png", "SegmentationVisualization/{}.png", "defect/{}_viz.png"]
)
def test_photos_with_masks_drawn_over_them_are_no_further_photos(drawing: str, tmp_path: Path) -> None:
    places = {"good/g{}.png": photo(1), "defect/{}.png": photo(2), drawing: photo(3)}
    name = drawing.format(0)
    with pytest.raises(InputError, match=f"{name} looks like defect/0.png with something drawn over it"):
        open_table(many(tmp_path / "root", places), tmp_path / "cache")


@pytest.mark.parametrize("name", ["label", "label_viz"])
def test_label_beside_the_image_of_a_folder_of_its_own_is_no_photo(name: str, tmp_path: Path) -> None:
    root = many(tmp_path / "root", {"good/{}_json/img.png": photo(1), "defect/{}_json/img.png": photo(2)})
    many(root, {f"defect/{{}}_json/{name}.png": photo(3) if name == "label_viz" else lambda _: dot()})
    with pytest.raises(InputError, match=f"defect/0_json/{name}.png looks like .*defect/0_json/img.png"):
        open_table(root, tmp_path / "cache")
