"""Masks as run lengths, as class indices, and drawn more coarsely."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.data.made_images import PER_SEED, dot, make_folder, noise, open_folder, write
from trainables.data import (
    DataSpec,
    Manifest,
    Supervision,
    load_evaluation,
    load_training,
    make_split,
    open_images,
    open_manifest,
)
from trainables.data.files.formats import BrokenImageError
from trainables.data.files.sources import decode_indices, decode_mask
from trainables.data.masks import coarsen, decode_runs, encode_runs
from trainables.data.spec import MaskDetail
from trainables.errors import InputError

FULL = Supervision(kind="full")


def ellipse(half_axes: tuple[float, float], angle: float, size: int = 81) -> NDArray[np.uint8]:
    y, x = np.indices((size, size)) - size // 2
    along = x * np.cos(angle) + y * np.sin(angle)
    across = -x * np.sin(angle) + y * np.cos(angle)
    return ((along / half_axes[0]) ** 2 + (across / half_axes[1]) ** 2 <= 1).astype(np.uint8)


# Run lengths


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_run_lengths_come_back_as_they_were_drawn(height: int, width: int, data: st.DataObject) -> None:
    pixels = height * width
    starts = data.draw(st.lists(st.integers(1, pixels), min_size=1, max_size=4))
    runs = [(start, data.draw(st.integers(1, pixels - start + 1))) for start in starts]
    expected = np.zeros((height, width), np.uint8)
    for start, length in runs:
        for pixel in range(start - 1, start - 1 + length):
            expected[pixel % height, pixel // height] = 1
    assert (decode_mask(encode_runs(height, width, runs), above=127) == expected).all()


def test_damaged_run_lengths_are_refused() -> None:
    with pytest.raises(BrokenImageError, match="the run lengths are damaged"):
        decode_runs(encode_runs(4, 4, [(1, 3)])[:-3])


# Coarser masks


def test_box_is_the_smallest_rectangle_of_each_defect() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2, 3] = mask[3, 4] = mask[4, 5] = 1  # connected by corners
    mask[10:13, 20] = mask[12, 20:25] = 1
    expected = np.zeros_like(mask)
    expected[2:5, 3:6] = expected[10:13, 20:25] = 1
    assert (coarsen(mask, "box") == expected).all()


@pytest.mark.parametrize("half_axes", [(30.0, 8.0), (12.0, 12.0), (25.0, 3.0)])
@pytest.mark.parametrize("angle", [0.0, 0.6, 1.57, 2.2])
def test_ellipse_of_an_ellipse_is_itself(half_axes: tuple[float, float], angle: float) -> None:
    mask = ellipse(half_axes, angle)
    coarse = coarsen(mask, "ellipse")
    assert (mask & coarse).sum() / (mask | coarse).sum() > 0.95


@pytest.mark.parametrize("sides", [(60.0, 16.0), (24.0, 24.0), (50.0, 6.0)])
@pytest.mark.parametrize("angle", [0.0, 0.6, 0.785, 1.57, 2.2])
def test_turned_box_of_a_turned_box_is_itself(sides: tuple[float, float], angle: float) -> None:
    y, x = np.indices((81, 81)) - 40.0
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    mask = ((abs(along) <= sides[0] / 2) & (abs(across) <= sides[1] / 2)).astype(np.uint8)
    coarse = coarsen(mask, "turned_box")
    assert (coarse >= mask).all()
    assert mask.sum() / coarse.sum() > 0.8  # its edge is jagged: a pixel all around at most
    assert coarse.sum() < coarsen(mask, "box").sum() or angle in (0.0, 1.57)


def test_turned_box_of_a_slanting_line_is_narrow_and_that_of_a_pixel_is_the_pixel() -> None:
    line = np.eye(30, dtype=np.uint8)
    line[0, 29] = 1
    assert (coarsen(line, "turned_box") == line).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["box", "turned_box", "ellipse"]))
def test_every_defect_leaves_a_mark_within_its_surroundings(seed: int, detail: MaskDetail) -> None:
    mask = (np.random.default_rng(seed).random((24, 31)) > 0.9).astype(np.uint8)
    coarse = coarsen(mask, detail)
    assert set(np.unique(coarse)) <= {0, 1}
    assert coarse.any() == mask.any()
    if detail != "ellipse":
        assert (coarse >= mask).all()


def test_fine_masks_stay_as_they_are() -> None:
    mask = dot(value=1)
    assert coarsen(mask, "fine") is mask


@pytest.mark.parametrize("detail", ["box", "turned_box", "ellipse"])
def test_only_test_masks_stay_fine(detail: MaskDetail, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "root", good=12, defect=12)
    corner = np.zeros((12, 16), np.uint8)
    corner[2:9, 3] = corner[8, 3:12] = 1
    for path in (root / "masks").iterdir():
        write(path, corner)
    spec = PER_SEED.model_copy(update={"mask_detail": detail})
    manifest = open_manifest(spec, root, tmp_path / "cache")
    split = make_split(manifest, spec, FULL, 0, None)
    images = open_images(manifest, (8, 8), 1, tmp_path / "cache")
    training = load_training(manifest, split, FULL, images)
    evaluation = load_evaluation(manifest, split, FULL, images)
    for part in (training.train, training.validation, evaluation.validation):
        assert part is not None
        assert part.masks
        assert all((mask == coarsen(corner, detail)).all() for mask in part.masks.values())
    assert all((mask == corner).all() for mask in evaluation.test.masks.values())
    assert coarsen(corner, detail).sum() > corner.sum()


@pytest.mark.parametrize(("kind", "same"), [("full", False), ("weak", True)])
def test_detail_is_part_of_a_split_that_reads_masks_and_of_no_other(
    kind: str, same: bool, tmp_path: Path
) -> None:
    manifest = open_folder(make_folder(tmp_path / "root", good=12, defect=12), tmp_path / "cache")
    box = PER_SEED.model_copy(update={"mask_detail": "box"})
    supervision = Supervision.model_validate(kind)
    fine, coarse = (make_split(manifest, spec, supervision, 0, None) for spec in (PER_SEED, box))
    assert (fine.hash == coarse.hash) is same
    assert (fine.train, fine.masks) == (coarse.train, coarse.masks)


# Class indices


def as_palette(indices: NDArray[np.uint8], bits: int = 8) -> bytes:
    """A PNG with a palette whose colours say nothing about the indices."""
    image, file = Image.fromarray(indices, "P"), BytesIO()
    image.putpalette(np.random.default_rng(0).integers(0, 256, 3 << bits, dtype=np.uint8).tobytes())
    image.save(file, "PNG", bits=bits)
    return file.getvalue()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_of_a_png_does_not_hide_its_indices(bits: int) -> None:
    indices = (np.arange(35) % 2**bits).astype(np.uint8).reshape(5, 7)
    assert (decode_indices(as_palette(indices, bits)) == indices).all()


def test_colours_are_no_indices(tmp_path: Path) -> None:
    data = write(tmp_path / "m.png", np.dstack([noise(0)] * 3)).read_bytes()
    with pytest.raises(BrokenImageError, match="grey or has a palette, found 3 channels of colour"):
        decode_indices(data)


def index_mask(*classes: int) -> NDArray[np.uint8]:
    mask = np.zeros((12, 16), np.uint8)
    for value in classes:
        mask[value, : 2 * value] = value
    return mask


def make_table(root: Path, masks: dict[str, tuple[int, ...]], palette: bool = False) -> Path:
    lines = ["image,label,mask"]
    for number, (name, classes) in enumerate(masks.items()):
        write(root / f"{name}.png", noise(number))
        mask = write(root / f"{name}_m.png", index_mask(*classes))
        if palette:
            mask.write_bytes(as_palette(index_mask(*classes)))
        lines.append(f"{name}.png,{int(bool(classes))},{name}_m.png")
    (root / "parts.csv").write_text("\n".join(lines), encoding="utf-8")
    return root


MASKS = {"a": (1,), "b": (2,), "c": (1, 3), "d": (), "e": (2, 3), "f": ()}


def open_table(root: Path, cache: Path, **settings: object) -> Manifest:
    options = {"mask_classes": {1: "scratch", 2: "hole", 3: "stain"}}
    spec = {"reader": "table", "path": "parts.csv", "splits": "per_seed", "options": options, **settings}
    return open_manifest(DataSpec.model_validate(spec), root, cache)


@pytest.mark.parametrize("palette", [False, True])
def test_index_masks_name_the_classes_of_each_image(palette: bool, tmp_path: Path) -> None:
    manifest = open_table(make_table(tmp_path / "root", MASKS, palette), tmp_path / "cache")
    assert {row.sample[0]: row.defect_class for row in manifest.rows} == {
        "a": "scratch", "b": "hole", "c": "scratch+stain", "d": None, "e": "hole+stain", "f": None,
    }  # fmt: skip


def test_classes_choose_among_indices_pixel_by_pixel(tmp_path: Path) -> None:
    root = make_table(tmp_path / "root", MASKS)
    manifest = open_table(root, tmp_path / "cache", classes=["scratch", "stain"])
    assert {row.sample[0]: row.defect_class for row in manifest.rows} == {
        "a": "scratch", "c": "scratch+stain", "d": None, "e": "stain", "f": None,
    }  # fmt: skip
    data = (root / "e_m.png").read_bytes()
    assert (decode_mask(data, manifest.mask_above, manifest.indices) == (index_mask(3) > 0)).all()
    assert manifest.hash != open_table(root, tmp_path / "cache").hash


@pytest.mark.parametrize("classes", [{}, {1: "a", 2: "a"}, {0: "a"}, {1: "a+b"}])
def test_mask_classes_have_indices_above_0_and_names_of_their_own(
    classes: dict[int, str], tmp_path: Path
) -> None:
    root = make_table(tmp_path / "root", MASKS)
    with pytest.raises(InputError, match=r"data\.options\.mask_classes|classes have different names"):
        open_table(root, tmp_path / "cache", options={"mask_classes": classes})
