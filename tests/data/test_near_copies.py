"""Copies that are not the same bytes: found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.data.made_images import PER_SEED, dot, make_folder, open_folder, write
from trainables.data import Supervision, make_split
from trainables.data.inspect.duplicates import details_of, near_copies
from trainables.data.splits import split_warnings

Image = NDArray[np.uint8]
WEAK = Supervision(kind="weak", masks=None)


def surface(seed: int, height: int = 150, width: int = 200) -> Image:
    """A texture of its own on a grey that falls off to the side."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(120 + 15 * texture / texture.std() + np.linspace(-20, 20, width), 0, 255).astype(np.uint8)


def jpeg(image: Image, quality: int) -> Image:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


COPIES: dict[str, Callable[[Image], NDArray[np.generic]]] = {
    "jpeg 90": lambda image: jpeg(image, 90),
    "jpeg 50": lambda image: jpeg(image, 50),
    "half the size": lambda image: cv2.resize(image, (100, 75), interpolation=cv2.INTER_AREA),
    "another aspect": lambda image: cv2.resize(image, (128, 128)),
    "brighter": lambda image: cv2.convertScaleAbs(image, beta=25),
    "more contrast": lambda image: cv2.convertScaleAbs(image, alpha=1.15),
    "noise": lambda image: np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(
        np.uint8
    ),
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 1),
    "of 16 bits": lambda image: image.astype(np.uint16) * 257,
    "in colour": lambda image: cv2.cvtColor(image, cv2.COLOR_GRAY2BGR),
    **{f"turned by {90 * turns}": lambda image, turns=turns: np.rot90(image, turns) for turns in (1, 2, 3)},
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "transposed": lambda image: image.T,
    "mirrored and turned": lambda image: jpeg(np.ascontiguousarray(np.rot90(image[:, ::-1])), 75),
}


@pytest.mark.parametrize("change", COPIES)
@pytest.mark.parametrize("images", [8, 40])
def test_a_copy_of_an_image_is_found(images: int, change: str) -> None:
    pictures: list[NDArray[np.generic]] = [surface(seed) for seed in range(images)]
    pictures.insert(3, np.ascontiguousarray(COPIES[change](surface(5))))
    details = [details_of(picture) for picture in pictures]
    assert near_copies(details, [str(place) for place in range(len(details))]) == [(3, 6)]


@pytest.mark.parametrize("copies", [1, 4])
def test_all_copies_of_every_image_are_found(copies: int) -> None:
    changes = list(COPIES.values())[:copies]
    pictures = [
        picture for n in range(10) for picture in (surface(n), *(each(surface(n)) for each in changes))
    ]
    pairs = near_copies([details_of(each) for each in pictures], [str(n) for n in range(len(pictures))])
    assert len(pairs) == 10 * copies * (copies + 1) // 2
    assert all(first // (copies + 1) == second // (copies + 1) for first, second in pairs)


def stamped(rng: np.random.Generator, jitter: float, light: float, texture: float) -> Image:
    """A photo of one kind of part: where it lies and how bright it is differs a little."""
    part = np.full((256, 256), 90, np.uint8)
    cv2.circle(part, (128, 128), 85, 160, -1)
    cv2.rectangle(part, (108, 68), (148, 138), 60, -1)
    cv2.putText(part, "A7", (88, 188), 0, 1.5, 220, 3)
    moved = cv2.getRotationMatrix2D((128, 128), float(rng.normal(0, jitter / 5)), 1)
    moved[:, 2] += rng.normal(0, jitter, 2)
    photo = cv2.warpAffine(part, moved, (256, 256), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    grain = cv2.GaussianBlur(rng.normal(size=photo.shape).astype(np.float32), (0, 0), 2.5)
    photo = 255 * (np.clip(photo + texture * grain / grain.std(), 0, 255) / 255) ** np.exp(
        rng.normal(0, light)
    )
    return np.clip(photo + rng.normal(0, 3, photo.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("images", [20, 100])
@pytest.mark.parametrize(
    ("jitter", "light", "texture"), [(0, 0, 0), (0.5, 0.1, 0), (1, 0.1, 3), (2, 0.2, 3), (0, 0.2, 10)]
)
def test_photos_of_one_kind_of_part_are_no_copies(
    images: int, jitter: float, light: float, texture: float
) -> None:
    rng = np.random.default_rng(0)
    details = [details_of(stamped(rng, jitter, light, texture)) for _ in range(images)]
    assert near_copies(details, [str(place) for place in range(images)]) == []


def test_flat_images_and_images_of_one_item_are_no_copies() -> None:
    flat = [details_of(np.full((40, 60), grey, np.uint8)) for grey in range(100, 110)]
    assert near_copies(flat, [str(place) for place in range(10)]) == []
    details = [details_of(surface(seed)) for seed in (*range(10), 3)]
    assert near_copies(details, [str(place) for place in range(11)]) == [(3, 10)]
    assert near_copies(details, ["p" if place in (3, 10) else str(place) for place in range(11)]) == []


def _folder(root: Path, *, parts: tuple[str, str] = ("", "")) -> Path:
    """Ten normal and ten defective surfaces; a copy of a good one, brighter and mirrored."""
    for number in range(10):
        part = parts[number % 2]
        write(root / part / "good" / f"g{number}.png", surface(number))
        write(root / part / "defect" / f"d{number}.png", surface(100 + number))
        write(root / part / "masks" / f"d{number}.png", dot(150, 200))
    copy = cv2.convertScaleAbs(np.ascontiguousarray(surface(2)[:, ::-1]), beta=15)
    write(root / parts[1] / "good" / "again.jpg", copy)
    return root


def test_a_near_copy_is_a_finding_that_names_both(tmp_path: Path) -> None:
    manifest = open_folder(_folder(tmp_path / "data"), tmp_path / "cache")
    (finding,) = manifest.findings
    assert finding.samples == ("good/again", "good/g2")
    assert finding.text.startswith(
        "good/again and good/g2: 1 image is there more than once, in other bytes (good/again ~ good/g2): "
    )


def test_near_copies_move_no_split_and_stand_below_the_table(tmp_path: Path) -> None:
    manifest = open_folder(_folder(tmp_path / "data"), tmp_path / "cache")
    unaware = replace(manifest, rows=tuple(row.model_copy(update={"copy_of": None}) for row in manifest.rows))
    for seed in range(8):
        splits = [make_split(each, PER_SEED, WEAK, seed, None) for each in (manifest, unaware)]
        assert splits[0] == splits[1]
    (note,) = split_warnings(manifest, PER_SEED)
    assert "what shows one part is one item (`item:`, or column `group` of a table)" in note


def test_deduplicated_takes_near_copies_of_test_images_out_of_training(tmp_path: Path) -> None:
    root = _folder(tmp_path / "data", parts=("test", "train"))
    spec = PER_SEED.model_copy(update={"splits": "deduplicated", "validation": None})
    manifest = open_folder(root, tmp_path / "cache", splits="deduplicated")
    kept = make_split(manifest, spec, WEAK, 0, None)
    published = make_split(manifest, spec.model_copy(update={"splits": "published"}), WEAK, 0, None)
    assert set(published.train) - set(kept.train) == {"train/good/again"}
    assert kept.test == published.test


def test_without_near_copies_nothing_is_noted(tmp_path: Path) -> None:
    manifest = open_folder(make_folder(tmp_path / "data"), tmp_path / "cache")
    assert {row.copy_of for row in manifest.rows} == {None}
    assert manifest.findings == ()
