"""The readers on the data sets themselves: the numbers their makers and users know."""

from __future__ import annotations

import json
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.published_trees import write_lists
from tests.data.test_near_copies import COPIES
from trainables.data import (
    DataSpec,
    Manifest,
    Split,
    Supervision,
    check_data,
    load_training,
    make_split,
    open_images,
    open_manifest,
)
from trainables.data.files.sources import decode_image, decode_mask, read_bytes
from trainables.data.inspect.duplicates import details_of, near_copies
from trainables.data.manifest import list_images
from trainables.data.splits import split_warnings
from trainables.data.stored import StoredImages

pytestmark = pytest.mark.real

KSDD = DataSpec(reader="kolektorsdd", validation=None)
MTD = DataSpec(reader="mtd", splits="per_seed")
FULL = Supervision(kind="full")


@pytest.fixture(scope="module")
def ksdd(data_root: Path, cache_root: Path) -> Manifest:
    return open_manifest(KSDD, data_root, cache_root)


@pytest.fixture(scope="module")
def mtd(data_root: Path, cache_root: Path) -> Manifest:
    return open_manifest(MTD, data_root, cache_root)


def positives(manifest: Manifest, samples: tuple[str, ...]) -> int:
    return sum(manifest.by_sample[sample].label for sample in samples)


def test_kolektorsdd_has_399_images_of_50_items_52_defective(ksdd: Manifest) -> None:
    assert (len(ksdd.rows), sum(row.label for row in ksdd.rows)) == (399, 52)
    assert Counter(Counter(row.group for row in ksdd.rows).values()) == {8: 49, 7: 1}
    assert ksdd.folds == (0, 1, 2)


@pytest.mark.parametrize("name", ["ksdd", "mtd"])
def test_images_as_stored_have_the_sizes_of_their_files_and_of_their_masks(
    name: str, request: pytest.FixtureRequest
) -> None:
    manifest: Manifest = request.getfixturevalue(name)
    rows = [row for row in manifest.rows if row.label][:40]
    ids = tuple(row.sample for row in rows)
    split = Split(train=ids, validation=(), test=(), masks=ids)
    train = load_training(manifest, split, FULL, {}, stored=StoredImages(manifest, 1)).train
    sizes = {sample: train.given[sample].shape[:2] for sample in ids}
    assert sizes == {row.sample: (row.height, row.width) for row in rows}
    assert sizes == {sample: mask.shape for sample, mask in train.masks.items()}
    assert len({*sizes.values()}) > 1


def test_masks_of_mtd_tell_its_five_classes_apart(mtd: Manifest) -> None:
    ids = tuple(row.sample for row in mtd.rows if row.label)
    split = Split(train=ids, validation=(), test=(), masks=ids)
    known = load_training(mtd, split, FULL, {}, by_class=True).train.class_masks
    assert known is not None
    assert known.names == ("blowhole", "break", "crack", "fray", "uneven")
    shown = Counter(tuple(np.unique(mask[mask > 0])) for mask in known.masks.values() if mask.any())
    assert {*shown} == {(1,), (2,), (3,), (4,), (5,)}


@pytest.mark.parametrize(("fold", "images", "defective"), [(0, 135, 18), (1, 136, 18), (2, 128, 16)])
def test_kolektorsdd_folds_are_the_published_ones(
    ksdd: Manifest, fold: int, images: int, defective: int
) -> None:
    split = make_split(ksdd, KSDD, FULL, 0, fold)
    assert (len(split.test), positives(ksdd, split.test)) == (images, defective)
    assert len(split.train) == 399 - images


def test_kolektorsdd_copies_across_folds_are_named_and_can_be_left_out(ksdd: Manifest) -> None:
    warnings = split_warnings(ksdd, KSDD)
    assert len(warnings) == 3
    assert warnings[0].startswith("kos01 and kos26: 8 images are identical byte for byte")
    assert "different parts (test of fold 1, test of fold 2)" in warnings[0]
    assert warnings[1].startswith("kos27 and kos34: 8 images are identical")
    assert warnings[2].startswith("kos38 and kos39: 8 images are there more than once, in other bytes")
    deduplicated = KSDD.model_copy(update={"splits": "deduplicated"})
    assert split_warnings(ksdd, deduplicated) == ()
    for fold, removed in ((0, {"kos34", "kos39"}), (1, {"kos26", "kos38"}), (2, {"kos01", "kos27"})):
        before, after = (make_split(ksdd, spec, FULL, 0, fold) for spec in (KSDD, deduplicated))
        assert {sample[:5] for sample in set(before.train) - set(after.train)} == removed


@pytest.fixture(scope="module")
def with_lists(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the archive, and the authors' lists in the form that they publish."""
    root = tmp_path_factory.mktemp("data")
    (root / "KolektorSDD.zip").hardlink_to(data_root / "KolektorSDD.zip")
    lists = json.loads((data_root / "splits" / "KolektorSDD_folds.json").read_text())
    test = [[(item, True) for item in items] for items in lists["test"]]
    for name, folds in lists["train"].items():
        write_lists(root, f"KSDD/split_{name}", [[tuple(pair) for pair in fold] for fold in folds], test)
    return root


def test_kolektorsdd_published_masks(with_lists: Path, cache_root: Path) -> None:
    spec = KSDD.model_copy(update={"masks": "published"})
    ksdd = open_manifest(spec, with_lists, cache_root)
    few = make_split(ksdd, spec, Supervision(kind="mixed", masks=5), 0, 0)
    assert {sample[:5] for sample in few.masks} == {"kos35", "kos16", "kos33", "kos36", "kos31"}
    every = make_split(ksdd, spec, Supervision(kind="mixed", masks=33), 0, 0)
    assert every.masks == make_split(ksdd, spec, FULL, 0, 0).masks


def test_kolektorsdd_smaller_training_set(with_lists: Path, cache_root: Path) -> None:
    spec = KSDD.model_copy(update={"options": {"train_items": 5}})
    split = make_split(open_manifest(spec, with_lists, cache_root), spec, FULL, 0, 0)
    assert {sample[:5] for sample in split.train} == {"kos04", "kos05", "kos24", "kos35", "kos33"}
    assert len(split.test) == 135


def palette_indices(data: bytes) -> np.ndarray:
    """Pixels of an uncompressed 8-bit BMP as they are stored, before any palette."""
    offset = struct.unpack_from("<I", data, 10)[0]
    width, height = struct.unpack_from("<ii", data, 18)
    assert struct.unpack_from("<HI", data, 28) == (8, 0)
    row = (width + 3) // 4 * 4
    return np.frombuffer(data, np.uint8, row * height, offset).reshape(height, row)[::-1, :width]


def test_kolektorsdd_masks_are_the_non_zero_palette_indices(ksdd: Manifest) -> None:
    found: Counter[int] = Counter()
    for row in ksdd.rows:
        if row.mask is not None:
            data = (ksdd.root / row.mask).read_bytes()
            indices = palette_indices(data)
            assert (decode_mask(data, ksdd.mask_above) == (indices != 0)).all()
            found.update(np.unique(indices).tolist())
    assert found == {0: 52, 1: 52, 2: 1}  # kos20/Part4 alone has two colours


def test_mtd_has_1344_images_of_243_tiles_392_defective(mtd: Manifest) -> None:
    assert (len(mtd.rows), sum(row.label for row in mtd.rows)) == (1344, 392)
    assert len({row.group for row in mtd.rows}) == 243
    assert Counter(row.defect_class for row in mtd.rows) == {
        None: 952,
        "blowhole": 115,
        "uneven": 103,
        "break": 85,
        "crack": 57,
        "fray": 32,
    }


def test_mtd_names_tiles_that_are_several_items(mtd: Manifest) -> None:
    (finding,) = (finding for finding in mtd.findings if finding.kind == "near_copy")
    assert {"MT_Crack/exp5_num_85642", "MT_Crack/exp5_num_86031"} <= set(finding.samples)


def test_mtd_names_its_four_empty_masks(mtd: Manifest) -> None:
    assert [finding.kind for finding in mtd.findings] == ["empty_mask", "stray_pixels", "near_copy"]
    assert {sample.removeprefix("MT_Uneven/") for sample in mtd.samples_with("empty_mask")} == {
        "exp3_num_45042",
        "exp4_num_124690",
        "exp4_num_352527",
        "exp4_num_45057",
    }
    split = make_split(mtd, MTD, FULL, 0, None)
    assert len(split.masks) + len(mtd.samples_with("empty_mask") & set(split.train)) == positives(
        mtd, split.train
    )


def test_mtd_with_one_class_keeps_its_normal_images(data_root: Path, cache_root: Path) -> None:
    spec = MTD.model_copy(update={"classes": ("crack",)})
    _, listing = list_images(spec, data_root, cache_root)
    assert Counter(entry.defect_class for entry in listing.entries) == {None: 952, "crack": 57}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mtd_parts_hold_every_class_and_share_no_tile(mtd: Manifest, seed: int) -> None:
    split = make_split(mtd, MTD, FULL, seed, None)
    parts = [
        [mtd.by_sample[sample] for sample in part] for part in (split.train, split.validation, split.test)
    ]
    assert all(len({row.defect_class for row in part}) == 6 for part in parts)
    assert sum(len({row.group for row in part}) for part in parts) == 243


def test_data_check_of_real_images_counts_parts_and_sizes(data_root: Path, cache_root: Path) -> None:
    report = check_data(KSDD, data_root, cache_root)
    assert report.usable
    assert report.by_split["test of fold 0"] == (135, 18)
    assert report.by_size["500 × 1260"] == 27
    assert "CC BY-NC-SA 4.0" in str(report)


def test_real_images_come_out_of_the_cache_at_network_size(ksdd: Manifest, cache_root: Path) -> None:
    some = replace(ksdd, rows=tuple(row for row in ksdd.rows if row.group in ("kos01", "kos21", "kos26")))
    images = open_images(some, (176, 64), 1, cache_root)
    assert images["kos21/Part6"].shape == (176, 64, 1)
    assert (images["kos01/Part0"] == images["kos26/Part0"]).all()


@pytest.mark.parametrize(
    "change", ["jpeg 50", "half the size", "brighter", "blurred", "mirrored", "turned by 90"]
)
@pytest.mark.parametrize("name", ["ksdd", "mtd"])
def test_of_real_photos_no_more_than_one_copy_in_fifty_is_missed(
    request: pytest.FixtureRequest, name: str, change: str
) -> None:
    manifest: Manifest = request.getfixturevalue(name)
    # One photo of each item that no other item shows too.
    of_items = {row.group: row for row in manifest.rows if row.copy_of is None}
    rows = list(of_items.values())[:50]
    photos = [decode_image(read_bytes(manifest.root, row.image), 1, manifest.white)[..., 0] for row in rows]
    copies = [np.ascontiguousarray(COPIES[change](photo)) for photo in photos]
    details = [details_of(each) for each in (*photos, *copies)]
    pairs = near_copies(details, [str(place) for place in range(len(details))])
    copied = {(place, place + len(photos)) for place in range(len(photos))}
    assert set(pairs) <= copied
    assert len(pairs) >= len(copied) - 1
