from __future__ import annotations

import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from tests.data.made_images import PER_SEED, make_folder, noise, open_folder, write
from trainables.data import (
    ArrowImages,
    Manifest,
    MaskedSample,
    Sample,
    Supervision,
    load_evaluation,
    load_training,
    make_split,
    open_images,
)
from trainables.errors import InputError

SIZE = (20, 8)
WEAK, FULL = Supervision(kind="weak"), Supervision(kind="full")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return open_folder(make_folder(tmp_path / "root", good=10, defect=10), tmp_path / "cache")


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_resized_bilinearly_and_read_only(
    manifest: Manifest, tmp_path: Path, channels: int
) -> None:
    images = open_images(manifest, SIZE, channels, tmp_path)
    for row in manifest.rows:
        image = images[row.sample]
        assert image.shape == (*SIZE, channels)
        assert not image.flags.writeable
        stored = cv2.imread(str(manifest.root / row.image), cv2.IMREAD_GRAYSCALE)
        assert (image[..., 0] == cv2.resize(stored, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_LINEAR)).all()


def test_images_are_views_of_one_mapped_file(manifest: Manifest, tmp_path: Path) -> None:
    path = open_images(manifest, SIZE, 1, tmp_path).path
    before = pa.total_allocated_bytes()
    images = ArrowImages(path, (*SIZE, 1))
    assert pa.total_allocated_bytes() - before < SIZE[0] * SIZE[1]  # mapped: not even one image is copied
    assert not any(images[row.sample].flags.owndata for row in manifest.rows)
    addresses = sorted(images[row.sample].__array_interface__["data"][0] for row in manifest.rows)
    assert set(np.diff(addresses)) == {SIZE[0] * SIZE[1]}


def test_cache_is_built_once_and_for_each_size(manifest: Manifest, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    first = open_images(manifest, SIZE, 1, tmp_path, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (20, 20)
    seen.clear()
    again = open_images(manifest, SIZE, 1, tmp_path, lambda done, total: seen.append((done, total)))
    assert again.path == first.path
    assert seen == []
    assert open_images(manifest, (8, 8), 1, tmp_path).path != first.path


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.98])
def test_truncated_cache_is_built_again(manifest: Manifest, tmp_path: Path, kept: float) -> None:
    images = open_images(manifest, SIZE, 1, tmp_path)
    expected = images["good/g0"].copy()
    data = images.path.read_bytes()
    del images
    path = next((tmp_path / "images").glob("*.arrow"))
    path.unlink()  # a truncated file in place of the mapped one
    path.write_bytes(data[: int(kept if kept > 1 else kept * len(data))])
    assert (open_images(manifest, SIZE, 1, tmp_path)["good/g0"] == expected).all()


def test_cache_of_other_data_under_the_right_name_is_built_again(manifest: Manifest, tmp_path: Path) -> None:
    path = open_images(manifest, SIZE, 1, tmp_path).path
    other = open_images(manifest, (8, 20), 1, tmp_path).path
    path.unlink()
    path.write_bytes(other.read_bytes())
    expected = open_images(manifest, SIZE, 1, tmp_path / "fresh")
    assert (open_images(manifest, SIZE, 1, tmp_path)["good/g3"] == expected["good/g3"]).all()


def test_changed_image_changes_what_training_gets(manifest: Manifest, tmp_path: Path) -> None:
    before = open_images(manifest, SIZE, 1, tmp_path)["good/g0"].copy()
    write(manifest.root / "good" / "g0.png", noise(500))
    with pytest.raises(InputError, match=r"good/g0\.png changed since the data were read"):
        open_images(manifest, (8, 8), 1, tmp_path)
    changed = open_folder(manifest.root, tmp_path / "cache")
    assert (open_images(changed, SIZE, 1, tmp_path)["good/g0"] != before).any()


def _build(root: Path, cache: Path, results: multiprocessing.Queue[str]) -> None:
    images = open_images(open_folder(root, cache), SIZE, 1, cache)
    results.put(str(int(images["good/g0"].sum(dtype=np.int64))))


def test_several_processes_may_build_at_once(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "root", good=200)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_build, args=(root, tmp_path / "cache", results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = {results.get(timeout=200) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(found) == 1
    assert len(list((tmp_path / "cache" / "images").glob("*.arrow"))) == 1
    assert not [path for path in (tmp_path / "cache").rglob(".*") if path.is_file()]


def test_weak_samples_have_no_mask_field(manifest: Manifest, tmp_path: Path) -> None:
    images = open_images(manifest, SIZE, 1, tmp_path)
    data = load_training(manifest, make_split(manifest, PER_SEED, WEAK, 0, None), WEAK, images)
    assert data.validation is not None
    assert all(type(sample) is Sample for part in (data.train, data.validation) for sample in part)


def test_training_sees_the_masks_of_its_split_only(manifest: Manifest, tmp_path: Path) -> None:
    images = open_images(manifest, SIZE, 1, tmp_path)
    few = Supervision(kind="mixed", masks=2)
    split = make_split(manifest, PER_SEED, few, 0, None)
    data = load_training(manifest, split, few, images)
    assert data.validation is not None
    assert [sample.id for sample in data.train if isinstance(sample, MaskedSample)] == list(split.masks)
    assert not data.validation.masks
    mask = data.train.masks[split.masks[0]]
    assert mask.shape == (12, 16)
    assert set(np.unique(mask)) == {0, 1}


@pytest.mark.parametrize(("supervision", "expected"), [(FULL, True), (WEAK, False)], ids=["full", "weak"])
def test_validation_masks_arrive_under_full_supervision_only(
    supervision: Supervision, expected: bool, manifest: Manifest, tmp_path: Path
) -> None:
    images = open_images(manifest, SIZE, 1, tmp_path)
    split = make_split(manifest, PER_SEED, supervision, 0, None)
    data = load_evaluation(manifest, split, supervision, images)
    assert data.validation is not None
    assert bool(data.validation.masks) == expected
    assert set(data.test.masks) == {row.sample for row in manifest.rows if row.label} & set(split.test)


def test_each_part_reaches_its_own_images_only_and_without_a_copy(manifest: Manifest, tmp_path: Path) -> None:
    images = open_images(manifest, SIZE, 1, tmp_path)
    split = make_split(manifest, PER_SEED, FULL, 0, None)
    data = load_training(manifest, split, FULL, images)
    assert data.validation is not None
    test = load_evaluation(manifest, split, FULL, images).test
    for part in (data.train, data.validation, test):
        assert all(np.shares_memory(part.images[sample], images[sample]) for sample in part.ids)
        for other in set(manifest.by_sample) - set(part.ids):
            with pytest.raises(KeyError, match=other):
                part.images[other]


def test_weak_training_gets_the_same_data_when_its_mask_files_are_deleted(
    manifest: Manifest, tmp_path: Path
) -> None:
    split = make_split(manifest, PER_SEED, WEAK, 0, None)
    before = load_training(manifest, split, WEAK, open_images(manifest, SIZE, 1, tmp_path))
    for sample in (*split.train, *split.validation):
        (manifest.root / "masks" / f"{Path(sample).name}.png").unlink(missing_ok=True)
    bare = open_folder(manifest.root, tmp_path / "cache")
    again = make_split(bare, PER_SEED, WEAK, 0, None)
    assert again == split
    after = load_training(bare, again, WEAK, open_images(bare, SIZE, 1, tmp_path))
    for old, new in zip(before.train, after.train, strict=True):
        assert (old.id, old.label) == (new.id, new.label)
        assert (old.image == new.image).all()


def test_missing_mask_is_refused_where_it_would_be_read(manifest: Manifest, tmp_path: Path) -> None:
    split = make_split(manifest, PER_SEED, FULL, 0, None)
    name = Path(split.masks[0]).name
    (manifest.root / "masks" / f"{name}.png").unlink()
    bare = open_folder(manifest.root, tmp_path / "cache")
    told = f"defect/{name}.png has no mask: expected masks/{name}.png"
    assert told in bare.findings[0].text
    with pytest.raises(InputError, match=told):
        make_split(bare, PER_SEED, FULL, 0, None)
    with pytest.raises(InputError, match=told):
        make_split(bare, PER_SEED, Supervision(kind="mixed", masks=len(split.masks)), 0, None)
    assert len(make_split(bare, PER_SEED, Supervision(kind="mixed", masks=2), 0, None).masks) == 2
    with pytest.raises(InputError, match=r"has no usable mask: .*Unpack again"):
        load_training(manifest, split, FULL, open_images(manifest, SIZE, 1, tmp_path))


def test_sets_tell_the_sizes_of_the_files_not_those_of_the_network(
    manifest: Manifest, tmp_path: Path
) -> None:
    images = open_images(manifest, SIZE, 1, tmp_path)
    test = load_evaluation(manifest, make_split(manifest, PER_SEED, WEAK, 0, None), WEAK, images).test
    stored = [cv2.imread(str(manifest.root / manifest.by_sample[name].image)).shape[:2] for name in test.ids]
    assert test.sizes is not None
    assert test.sizes.tolist() == [list(size) for size in stored]
