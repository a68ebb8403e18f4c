from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.data.made_images import bare_manifest
from trainables.data import DataSpec, Manifest, Split, Supervision, make_split
from trainables.data.readers.base import PublishedSets
from trainables.errors import InputError

PER_SEED = DataSpec(reader="folder", splits="per_seed")
PUBLISHED = DataSpec(reader="folder")
FULL = Supervision(kind="full")


def mixed(masks: int) -> Supervision:
    return Supervision(kind="mixed", masks=masks)


@st.composite
def data_sets(draw: st.DrawFn) -> list[dict[str, object]]:
    """Rows of 12 to 30 items of 1 to 4 images; half of the items are defective, three show a twin image."""
    items = draw(st.integers(12, 30))
    twins = draw(st.sets(st.integers(0, items - 1), max_size=3))
    rows: list[dict[str, object]] = []
    for item in range(items):
        kind = "abc"[draw(st.integers(0, 2))] if item % 2 else None
        for image in range(draw(st.integers(1, 4))):
            rows.append(
                {
                    "sample": f"{item:02d}/{image}",
                    "group": f"item{item:02d}",
                    "label": kind is not None and image == 0,
                    "defect_class": kind if image == 0 else None,
                    "image_hash": "twin" if item in twins and image == 0 else f"{item}/{image}",
                }
            )
    return rows


def parts(split: Split) -> list[set[str]]:
    return [set(split.train), set(split.validation), set(split.test)]


@settings(max_examples=60, deadline=None)
@given(rows=data_sets(), seed=st.integers(0, 1000))
def test_items_and_identical_images_are_never_divided(rows: list[dict[str, object]], seed: int) -> None:
    manifest = bare_manifest(rows)
    split = make_split(manifest, PER_SEED, FULL, seed, None)
    train, validation, test = parts(split)
    assert len(train) + len(validation) + len(test) == len(rows)
    assert train | validation | test == set(manifest.by_sample)
    for key in ("group", "image_hash"):
        values = [{getattr(manifest.by_sample[sample], key) for sample in part} for part in parts(split)]
        assert not values[0] & values[1]
        assert not values[0] & values[2]
        assert not values[1] & values[2]


@settings(max_examples=40, deadline=None)
@given(rows=data_sets(), seed=st.integers(0, 1000), shuffle=st.randoms(use_true_random=False))
def test_split_does_not_depend_on_the_order_of_files(
    rows: list[dict[str, object]], seed: int, shuffle: random.Random
) -> None:
    split = make_split(bare_manifest(rows), PER_SEED, mixed(1), seed, None)
    shuffle.shuffle(rows)
    assert make_split(bare_manifest(rows), PER_SEED, mixed(1), seed, None) == split


@settings(max_examples=40, deadline=None)
@given(rows=data_sets(), seed=st.integers(0, 1000))
def test_supervision_changes_masks_only_and_masks_are_nested(
    rows: list[dict[str, object]], seed: int
) -> None:
    manifest = bare_manifest(rows)
    full = make_split(manifest, PER_SEED, FULL, seed, None)
    before: set[str] = set()
    for count in range(len(full.masks) + 1):
        split = make_split(manifest, PER_SEED, mixed(count), seed, None)
        assert (split.train, split.validation, split.test) == (full.train, full.validation, full.test)
        assert len(split.masks) == count
        assert before <= set(split.masks) <= set(full.masks)
        before = set(split.masks)
    weak = make_split(manifest, PER_SEED, Supervision(kind="weak"), seed, None)
    assert (weak.train, weak.masks) == (full.train, ())
    none = make_split(manifest, PER_SEED, Supervision(kind="none"), seed, None)
    assert set(none.train) == {sample for sample in full.train if not manifest.by_sample[sample].label}
    assert (none.validation, none.test) == (full.validation, full.test)


def of_classes(**counts: int) -> Manifest:
    rows = [
        {
            "sample": f"{name}{index:03d}",
            "label": name != "normal",
            "defect_class": None if name == "normal" else name,
        }
        for name, count in counts.items()
        for index in range(count)
    ]
    return bare_manifest(rows)


def test_held_out_parts_keep_the_proportion_of_classes() -> None:
    manifest = of_classes(normal=100, scratch=50, hole=10, rare=2)
    split = make_split(manifest, PER_SEED, FULL, 0, None)
    count = {
        name: sum(sample.startswith(name) for sample in split.test) for name in ("normal", "scratch", "hole")
    }
    assert count == {"normal": 30, "scratch": 15, "hole": 3}
    assert sum(sample.startswith("rare") for sample in split.test) == 1


def test_seeds_draw_different_splits_and_names_decide_alone() -> None:
    manifest = of_classes(normal=100, scratch=50)
    first, second = (make_split(manifest, PER_SEED, FULL, seed, None) for seed in (0, 1))
    assert set(first.test) != set(second.test)
    assert first.hash != second.hash
    assert make_split(manifest, PER_SEED, FULL, 0, None).hash == first.hash


def folded(items: int = 12, published: PublishedSets | None = None) -> Manifest:
    """Three folds of items with one defective and two normal images; item 0 repeats in item 1."""
    rows = [
        {
            "sample": f"{item:02d}/{image}",
            "group": f"{item:02d}",
            "label": image == 0,
            "fold": item % 3,
            "image_hash": f"{max(item, 1)}/{image}",
        }
        for item in range(items)
        for image in range(3)
    ]
    return bare_manifest(rows, published)


def test_published_fold_decides_train_and_test_and_the_seed_validation() -> None:
    manifest = folded()
    first, second = (make_split(manifest, PUBLISHED, FULL, seed, 1) for seed in (0, 1))
    assert first.test == second.test == tuple(row.sample for row in manifest.rows if row.fold == 1)
    assert set(first.train) | set(first.validation) == set(second.train) | set(second.validation)
    assert first.validation != second.validation


def test_deduplicated_takes_copies_of_test_images_out_of_training() -> None:
    manifest = folded()
    spec = DataSpec(reader="folder", splits="deduplicated", validation=None)
    split = make_split(manifest, spec, FULL, 0, 1)  # item 01 is tested; item 00 shows the same images
    assert {sample[:2] for sample in split.test} == {"01", "04", "07", "10"}
    assert "00" not in {sample[:2] for sample in split.train}
    published = spec.model_copy(update={"splits": "published"})
    assert "00" in {sample[:2] for sample in make_split(manifest, published, FULL, 0, 1).train}


MASKS_FROM_2_ITEMS_AND_8 = PublishedSets(
    {(2, 0): frozenset({"01", "02"}), (8, 0): frozenset(f"{i:02d}" for i in range(12))}, 8
)
PUBLISHED_MASKS = DataSpec(reader="folder", masks="published", validation=None)


def test_published_masks_are_the_makers_items() -> None:
    split = make_split(folded(published=MASKS_FROM_2_ITEMS_AND_8), PUBLISHED_MASKS, mixed(2), 0, 0)
    assert split.masks == ("01/0", "02/0")


@pytest.mark.parametrize(
    ("published", "changes", "masks", "told"),
    [
        (MASKS_FROM_2_ITEMS_AND_8, {}, 3, r"lists for 2, 8 items; found mixed: 3"),
        (MASKS_FROM_2_ITEMS_AND_8, {"validation": PER_SEED.validation}, 2, "validation: none"),
        (None, {}, 2, r"Use data\.masks: nested"),
    ],
    ids=["a number without a list", "validation takes images away", "no lists"],
)
def test_published_masks_that_are_not_to_be_had_are_refused(
    published: PublishedSets | None, changes: dict[str, object], masks: int, told: str
) -> None:
    spec = PUBLISHED_MASKS.model_copy(update=changes)
    with pytest.raises(InputError, match=told):
        make_split(folded(published=published), spec, mixed(masks), 0, 0)


def test_smaller_published_training_set_holds_its_items_only() -> None:
    sets = PublishedSets(train={0: frozenset({"01", "02", "04"})})
    spec = DataSpec(reader="folder", validation=None)
    split = make_split(folded(published=sets), spec, FULL, 0, 0)
    assert {sample[:2] for sample in split.train} == {"01", "02", "04"}
    assert {sample[:2] for sample in split.test} == {"00", "03", "06", "09"}


def test_a_fold_of_splits_of_their_own_is_the_seed_whose_test_images_are_held_out() -> None:
    first, again, other = (
        make_split(folded(), PER_SEED, FULL, seed, fold) for seed, fold in ((0, None), (7, 0), (7, None))
    )
    assert first.test == again.test
    assert other.test != again.test


@pytest.mark.parametrize(
    ("spec", "fold", "told"),
    [
        (PUBLISHED, None, "published folds 0, 1, 2; found fold None"),
        (PUBLISHED, 3, "published folds 0, 1, 2; found fold 3"),
    ],
    ids=["no fold", "unknown fold"],
)
def test_fold_that_is_not_published_is_refused(spec: DataSpec, fold: int | None, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make_split(folded(), spec, FULL, 0, fold)


@pytest.mark.parametrize(("train", "test", "named"), [(0, 2, "train"), (2, 0, "test"), (1, 2, "validation")])
def test_part_without_a_defective_image_is_refused(train: int, test: int, named: str) -> None:
    rows = [
        {"sample": f"{split}{index}", "label": index < bad, "split": split}
        for split, bad in (("train", train), ("test", test))
        for index in range(10)
    ]
    with pytest.raises(InputError, match=f"{named} has none among"):
        make_split(bare_manifest(rows), PUBLISHED, FULL, 0, None)


@pytest.mark.parametrize(
    ("changes", "supervision", "told"),
    [
        ({}, mixed(50), r"reads 50 masks, and the training part has \d+\. "),
        ({"positives": 30}, FULL, r"data\.positives: 30 defective .*the training part has \d+\. "),
        ({"normals": 20}, FULL, r"data\.normals: 20 normal .*the training part has \d+\. "),
    ],
    ids=["masks", "positives", "normals"],
)
def test_more_than_there_are_is_refused(
    changes: dict[str, object], supervision: Supervision, told: str
) -> None:
    manifest = of_classes(normal=20, scratch=30)
    with pytest.raises(InputError, match=told):
        make_split(manifest, PER_SEED.model_copy(update=changes), supervision, 0, None)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), fewer=st.integers(1, 10), more=st.integers(10, 17))
def test_positives_are_nested_and_masks_belong_to_them(seed: int, fewer: int, more: int) -> None:
    manifest = of_classes(normal=30, scratch=30)
    whole = make_split(manifest, PER_SEED, FULL, seed, None)
    few, many = (
        make_split(manifest, PER_SEED.model_copy(update={"positives": count}), mixed(fewer), seed, None)
        for count in (fewer, more)
    )
    kept = [{sample for sample in split.train if manifest.by_sample[sample].label} for split in (few, many)]
    assert [len(each) for each in kept] == [fewer, more]
    assert kept[0] <= kept[1] <= set(whole.train)
    assert few.masks == many.masks  # the same first ones of one order
    assert set(few.masks) == kept[0]
    assert (many.validation, many.test) == (whole.validation, whole.test)
    normal = {sample for sample in whole.train if not manifest.by_sample[sample].label}
    assert normal <= set(few.train)


@pytest.mark.parametrize("supervision", [FULL, mixed(3), Supervision(kind="none")], ids=str)
def test_normals_are_nested_and_leave_everything_else_as_it_is(supervision: Supervision) -> None:
    manifest = of_classes(normal=30, scratch=30)
    whole, few, many = (
        make_split(manifest, PER_SEED.model_copy(update={"normals": count}), supervision, 3, None)
        for count in (None, 4, 9)
    )
    kept = [
        {sample for sample in split.train if not manifest.by_sample[sample].label} for split in (few, many)
    ]
    assert [len(each) for each in kept] == [4, 9]
    assert kept[0] <= kept[1] <= set(whole.train)
    defective = {sample for sample in whole.train if manifest.by_sample[sample].label}
    assert defective <= set(few.train)
    assert (few.masks, few.validation, few.test) == (whole.masks, whole.validation, whole.test)


def test_positives_are_drawn_and_not_taken_from_published_lists() -> None:
    with pytest.raises(ValidationError, match="leave one of the two out"):
        DataSpec(reader="folder", positives=3, masks="published")


def parts_of(**counts: tuple[int, int]) -> Manifest:
    """Defective and normal images of each published part."""
    rows = [
        {"sample": f"{split}{index}", "label": index < defective, "split": split}
        for split, (defective, normal) in counts.items()
        for index in range(defective + normal)
    ]
    return bare_manifest(rows)


WHOLE = DataSpec(reader="folder", validation=None)


@pytest.mark.parametrize("supervision", [FULL, mixed(2)], ids=str)
def test_masks_alone_can_be_learned_without_normal_images(supervision: Supervision) -> None:
    split = make_split(parts_of(train=(6, 0), test=(3, 0)), WHOLE, supervision, 0, None)
    assert (len(split.train), len(split.test)) == (6, 3)


@pytest.mark.parametrize(("kind", "told"), [("weak", "tells"), ("none", "trains on them")])
def test_image_labels_cannot_be_learned_without_normal_images(kind: str, told: str) -> None:
    with pytest.raises(InputError, match=f"train has none among 6 images, and supervision {kind} {told}"):
        make_split(parts_of(train=(6, 0), test=(3, 3)), WHOLE, Supervision.model_validate(kind), 0, None)


def test_normal_images_alone_can_be_learned_and_need_defective_ones_in_test() -> None:
    none = Supervision(kind="none")
    split = make_split(parts_of(train=(0, 6), test=(3, 3)), PUBLISHED, none, 0, None)
    assert len(split.train) + len(split.validation) == 6
    with pytest.raises(InputError, match="test has none among 4 images, and nothing could be measured"):
        make_split(parts_of(train=(0, 6), test=(0, 4)), PUBLISHED, none, 0, None)


def test_published_validation_part_is_used_as_it_is_or_not_at_all() -> None:
    manifest = parts_of(train=(4, 4), validation=(2, 2), test=(3, 3))
    first, second = (make_split(manifest, PUBLISHED, FULL, seed, None) for seed in (0, 1))
    assert first == second
    assert first.validation == ("validation0", "validation1", "validation2", "validation3")
    without = make_split(manifest, WHOLE, FULL, 0, None)
    assert (without.train, without.validation) == (first.train, ())


@pytest.mark.parametrize(
    ("supervision", "expected"),
    [
        (FULL, "5d26ee4a1a8f0d3469e8e1fbfa8403fc2a5aa6e7a0743099de39abe79b015849"),
        (mixed(3), "b6196abe59ad27461e74f48a32e2d8213329005c6fb8740210c83eaf6222bf93"),
        (Supervision(kind="none"), "95d613c3ffc4a34ecc813ff78dd636e1fd62be4a72a1c35a5e9c64639eb50a08"),
    ],
    ids=str,
)
def test_splits_and_manifests_keep_their_hashes_and_so_trials_their_ids(
    supervision: Supervision, expected: str
) -> None:
    manifest = bare_manifest([{"sample": f"{index:02d}", "label": index % 2 == 1} for index in range(24)])
    assert manifest.hash == "c172177f95a27dda822f4e517e51487b01abe5a3e0b3f9517a91df1f74f1ef45"
    assert make_split(manifest, PER_SEED, supervision, 7, None).hash == expected


def test_later_settings_enter_ids_only_where_they_are_set() -> None:
    plain = {"reader", "path", "classes", "splits", "masks", "validation", "test", "options"}
    assert set(PER_SEED.identity) == plain
    changed = DataSpec(reader="folder", positives=3, normals=3, mask_detail="box")
    assert set(changed.identity) == plain | {"positives", "normals", "mask_detail"}
