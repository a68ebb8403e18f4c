"""Data sets of the papers, in the layouts that their makers publish, oddities included."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.data.made_images import noise, write
from tests.data.published_trees import (
    STEEL,
    make_dagm_class,
    make_ksdd2,
    make_mvtec,
    make_severstal,
    write_lists,
)
from trainables.data import (
    DataSpec,
    Manifest,
    Supervision,
    check_data,
    load_evaluation,
    load_training,
    make_split,
    open_images,
    open_manifest,
)
from trainables.errors import InputError

FULL = Supervision(kind="full")


def mixed(masks: int) -> Supervision:
    return Supervision(kind="mixed", masks=masks)


def opened(reader: str, root: Path, **settings: object) -> Manifest:
    spec = DataSpec.model_validate({"reader": reader, "validation": "none", **settings})
    return open_manifest(spec, root, root.parent / "cache")


def labels(manifest: Manifest) -> dict[str, int]:
    return dict(Counter(f"{row.split} {row.defect_class or 'normal'}" for row in manifest.rows))


# KolektorSDD2


def test_ksdd2_label_is_any_non_zero_pixel_and_the_split_the_folder(tmp_path: Path) -> None:
    manifest = opened("kolektorsdd2", make_ksdd2(tmp_path / "root"))
    assert labels(manifest) == {"train defect": 4, "train normal": 6, "test defect": 2, "test normal": 3}
    row = manifest.by_sample["train/10000"]
    assert (row.image, row.mask) == ("train/10000.png", "train/10000_GT.png")


def test_ksdd2_without_a_mask_file_is_refused(tmp_path: Path) -> None:
    root = make_ksdd2(tmp_path / "root")
    (root / "KolektorSDD2" / "train" / "10003_GT.png").unlink()
    with pytest.raises(InputError, match=r"train/10003\.png has no mask: expected train/10003_GT\.png"):
        opened("kolektorsdd2", root)


def test_ksdd2_masks_are_those_of_the_authors_lists(tmp_path: Path) -> None:
    root = make_ksdd2(tmp_path / "root")
    spec = DataSpec(reader="kolektorsdd2", masks="published", validation=None)
    with pytest.raises(
        InputError, match=r"read from splits/KSDD2/split_\*\.pyb below the data root, of github"
    ):
        make_split(open_manifest(spec, root, tmp_path / "cache"), spec, mixed(2), 0, None)
    test = [("20000", True)]
    write_lists(root, "KSDD2/split_2", [("10001", True), ("10002", False), ("10003", True)], test)
    write_lists(root, "KSDD2/split_1", [(10003, True), (10005, False)], test)  # a name may be a number
    manifest = open_manifest(spec, root, tmp_path / "cache")
    assert make_split(manifest, spec, mixed(2), 0, None).masks == ("train/10001", "train/10003")
    assert make_split(manifest, spec, mixed(1), 5, None).masks == ("train/10003",)
    with pytest.raises(InputError, match=r"lists for 1, 2 items, read from .*; found mixed: 3"):
        make_split(manifest, spec, mixed(3), 0, None)
    write_lists(root, "KSDD2/split_1", ["10003"], test)
    with pytest.raises(
        InputError, match=r"split_1\.pyb: 0\.0.*Expected \(train, test\).*fetch the file again"
    ):
        open_manifest(spec, root, tmp_path / "cache")


def test_check_names_counts_that_are_not_the_published_ones(tmp_path: Path) -> None:
    report = check_data(DataSpec(reader="kolektorsdd2"), make_ksdd2(tmp_path / "root"), tmp_path / "cache")
    assert report.usable
    for told in (
        "in all: 6 defective and 9 normal images; published: 356 and 2979 (",
        "train: 4 defective and 6 normal images; published: 246 and 2085 (Božič, Tabernik, Skočaj 2021",
        "test: 2 defective and 3 normal images; published: 110 and 894 (",
    ):
        assert any(finding.startswith(told) for finding in report.findings)
    assert "licence: CC BY-NC-SA 4.0" in str(report)


# DAGM


def test_dagm_images_with_a_label_file_are_defective(tmp_path: Path) -> None:
    make_dagm_class(tmp_path / "root" / "DAGM" / "Class1")
    manifest = opened("dagm", tmp_path / "root")
    assert labels(manifest) == {"train Class1": 3, "train normal": 5, "test Class1": 3, "test normal": 5}
    row = manifest.by_sample["Class1/Test/0008"]
    assert (row.image, row.mask) == ("Class1/Test/0008.PNG", "Class1/Test/Label/0008_label.PNG")


@pytest.mark.parametrize("classes", [("Class2",), ("Class2", "Class7")])
def test_dagm_classes_keep_the_normal_images_of_their_textures(
    classes: tuple[str, ...], tmp_path: Path
) -> None:
    for name in ("Class1", "Class2", "Class7"):
        make_dagm_class(tmp_path / "root" / name)
    manifest = opened("dagm", tmp_path / "root", classes=classes)
    assert {row.sample.split("/")[0] for row in manifest.rows} == set(classes)
    with pytest.raises(InputError, match=r"unknown class Class3.*has: Class1, Class2, Class7"):
        opened("dagm", tmp_path / "root", classes=("Class3",))


def test_dagm_labels_beside_the_images_are_no_images(tmp_path: Path) -> None:
    make_dagm_class(tmp_path / "root" / "Class1", labels=".")
    assert len(opened("dagm", tmp_path / "root").rows) == 16


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("Test/Label", "every image would count as normal"),
        ("Train/0008.PNG", r"0008_label\.PNG has no image 0008\.PNG"),
    ],
    ids=["labels", "the image of a label"],
)
def test_dagm_with_files_gone_is_refused_and_not_taken_for_normal(
    gone: str, told: str, tmp_path: Path
) -> None:
    folder = make_dagm_class(tmp_path / "root" / "Class1")
    (folder / gone).rename(tmp_path / "gone")
    with pytest.raises(InputError, match=told):
        opened("dagm", tmp_path / "root")


def test_dagm_masks_are_those_of_the_authors_lists(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("Class1", "Class2"):
        make_dagm_class(root / name)
    train = [[("0007.PNG", True), ("0006.PNG", False)], [("0006.PNG", True)], *[[] for _ in range(8)]]
    write_lists(root, "DAGM/split_1", train, [[] for _ in range(10)])
    spec = DataSpec(reader="dagm", masks="published", validation=None)
    one = spec.model_copy(update={"classes": ("Class1",)})
    both = open_manifest(spec, tmp_path / "root", tmp_path / "cache")
    single = open_manifest(one, tmp_path / "root", tmp_path / "cache")
    assert make_split(single, one, mixed(1), 0, None).masks == ("Class1/Train/0007",)
    assert make_split(both, spec, mixed(2), 0, None).masks == ("Class1/Train/0007", "Class2/Train/0006")
    write_lists(root, "DAGM/split_1", train[:9], [[] for _ in range(10)])
    with pytest.raises(
        InputError, match=r"split_1\.pyb: 0: should be a list of at least 10 values\. Expected"
    ):
        open_manifest(one, root, tmp_path / "cache")


def test_check_of_a_dagm_class_at_full_count_agrees_with_the_makers(tmp_path: Path) -> None:
    image = write(tmp_path / "image.png", noise(0, 2, 2))
    label = write(tmp_path / "label.png", np.ones((2, 2), np.uint8))
    for part, defective in (("Train", 79), ("Test", 71)):
        folder = tmp_path / "root" / "Class1" / part
        (folder / "Label").mkdir(parents=True)
        for index in range(575):
            (folder / f"{index:04d}.PNG").hardlink_to(image)
            if index < defective:
                (folder / "Label" / f"{index:04d}_label.PNG").hardlink_to(label)
    report = check_data(DataSpec(reader="dagm", classes=("Class1",)), tmp_path / "root", tmp_path / "cache")
    assert "in all 150 defective and 1000 normal, train 79 defective and 496 normal" in report.published


def test_counts_of_all_dagm_classes_are_twice_a_half_of_table_2(tmp_path: Path) -> None:
    for number in range(1, 11):
        make_dagm_class(tmp_path / "root" / f"Class{number}", defective=1, normal=1, size=(2, 2))
    report = check_data(DataSpec(reader="dagm"), tmp_path / "root", tmp_path / "cache")
    defective, normal = 2 * (450 + 600), 2 * (3000 + 4000)
    assert any(f"published: {defective} and {normal} (" in finding for finding in report.findings)


# Severstal

ROWS = [
    ("a.jpg", "3", "1 2 13 1"),  # column 0, rows 0 and 1; column 2, row 0
    ("a.jpg", "3", "20 3"),
    ("a.jpg", "1", "60 1"),
    ("b.jpg", "3", "7 6"),
    ("c.jpg", "4", "1 1"),
    ("d.jpg", "3", "30 4"),
]


def mask_of(manifest: Manifest, sample: str) -> np.ndarray:
    spec = DataSpec(reader="severstal", splits="per_seed", validation=None)
    images = open_images(manifest, (8, 8), 1, manifest.mask_root or manifest.root)
    split = make_split(manifest, spec, FULL, 0, None)
    masks = {**load_training(manifest, split, FULL, images).train.masks}
    masks |= load_evaluation(manifest, split, FULL, images).test.masks
    return np.asarray(masks[sample])


def test_severstal_rows_of_an_image_are_united_down_its_columns(tmp_path: Path) -> None:
    manifest = opened("severstal", make_severstal(tmp_path / "root", ROWS), splits="per_seed")
    expected = np.zeros(STEEL, np.uint8)
    expected[0:2, 0] = expected[0, 2] = 1  # pixels 1, 2 and 13
    expected[1:4, 3] = 1  # pixels 20 to 22
    expected[5, 9] = 1  # class 1: pixel 60, the last
    assert (mask_of(manifest, "a") == expected).all()


def test_severstal_images_without_a_row_are_normal(tmp_path: Path) -> None:
    manifest = opened("severstal", make_severstal(tmp_path / "root", ROWS), splits="per_seed")
    assert {row.sample: row.defect_class for row in manifest.rows} == {
        "a": "1+3", "b": "3", "c": "4", "d": "3", "normal0": None, "normal1": None, "normal2": None,
    }  # fmt: skip
    with pytest.raises(InputError, match=r"splits/STEEL/split_P_N\.pyb .*splits: per_seed"):
        opened("severstal", tmp_path / "root")


def test_severstal_class_keeps_its_pixels_and_leaves_other_defects_out(tmp_path: Path) -> None:
    root = make_severstal(tmp_path / "root", ROWS)
    manifest = opened("severstal", root, splits="per_seed", classes=("3",))
    assert {row.sample for row in manifest.rows if row.label} == {"a", "b", "d"}
    assert {row.defect_class for row in manifest.rows} == {"3", None}
    assert mask_of(manifest, "a").sum() == 6
    alone = opened("severstal", root, splits="per_seed", classes=("3",), options={"other_classes": "drop"})
    assert {row.sample for row in alone.rows if row.label} == {"b", "d"}
    assert sum(not row.label for row in alone.rows) == 3


def test_severstal_masks_are_the_same_on_every_machine(tmp_path: Path) -> None:
    here = opened("severstal", make_severstal(tmp_path / "a" / "root", ROWS), splits="per_seed")
    there = opened("severstal", make_severstal(tmp_path / "b" / "root", ROWS[::-1]), splits="per_seed")
    masks = [{row.sample: row.mask_hash for row in manifest.rows} for manifest in (here, there)]
    assert masks[0] == masks[1]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "4 defective and 3 normal images; published: 6666 and 5902 (Kaggle"),
        (
            {"classes": ["3"], "options": {"other_classes": "drop"}},
            "2 defective and 3 normal images; published: 4759 and 5902 (Božič, Tabernik, Skočaj 2021",
        ),
    ],
    ids=["all classes", "class 3 alone"],
)
def test_check_knows_how_many_images_severstal_has(
    settings: dict[str, object], told: str, tmp_path: Path
) -> None:
    spec = DataSpec.model_validate({"reader": "severstal", **settings})
    report = check_data(spec, make_severstal(tmp_path / "root", ROWS), tmp_path / "cache")
    assert any(told in finding for finding in report.findings)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("a.jpg", "3", "59 3"), r"run lengths of a\.jpg: the run 59 3 leaves the image of 60 pixels"),
        (("a.jpg", "3", "0 3"), "the run 0 3 leaves the image"),
        (("a.jpg", "3", "1 2 3"), "expected pairs of start and length, found 3 numbers"),
        (("a.jpg", "3", "one 2"), "expected numbers"),
        (("a.jpg", "7", "1 2"), "row 1: image 'a.jpg' and class '7'"),
    ],
)
def test_severstal_row_that_cannot_be_is_refused(
    row: tuple[str, str, str], told: str, tmp_path: Path
) -> None:
    root = make_severstal(tmp_path / "root", [row])
    with pytest.raises(InputError, match=told):
        opened("severstal", root, splits="per_seed")


def test_severstal_reads_the_older_table_with_one_column_for_image_and_class(tmp_path: Path) -> None:
    root = make_severstal(tmp_path / "root", ROWS)
    lines = [
        "ImageId_ClassId,EncodedPixels",
        "a.jpg_1,",
        "a.jpg_3,1 2",
        "b.jpg_3,3 1",
        "c.jpg_1,",
        "d.jpg_1,",
    ]
    (root / "train.csv").write_text("\n".join(lines), encoding="utf-8")
    manifest = opened("severstal", root, splits="per_seed")
    assert {row.sample for row in manifest.rows if row.label} == {"a", "b"}


def severstal_with_a_split(root: Path) -> Path:
    rows = [(f"p{index}.jpg", "3", "1 4") for index in range(8)]
    make_severstal(root, rows, normal=6)
    train = [(f"p{index}", index < 2) for index in range(4)] + [("normal0", True), ("normal1", True)]
    test = [(name, True) for name in ("p4", "p5", "normal2", "normal3")]
    validation = [(name, True) for name in ("p6", "normal4")]
    write_lists(root, "STEEL/split_300_2", train, test, validation)
    write_lists(root, "STEEL/split_300_0", [(name, False) for name, _ in train], test, validation)
    write_lists(root, "STEEL/split_750_9", train[:1], test, validation)
    return root


def test_severstal_published_split_brings_its_own_validation_part(tmp_path: Path) -> None:
    root = severstal_with_a_split(tmp_path / "root")
    spec = DataSpec(reader="severstal", options={"train_positives": 300}, masks="published")
    manifest = open_manifest(spec, root, tmp_path / "cache")
    split = make_split(manifest, spec, mixed(2), 3, None)
    assert split.train == ("normal0", "normal1", "p0", "p1", "p2", "p3")
    assert (split.validation, split.test) == (("normal4", "p6"), ("normal2", "normal3", "p4", "p5"))
    assert split.masks == ("p0", "p1")
    without = make_split(manifest, spec.model_copy(update={"validation": None}), FULL, 3, None)
    assert (without.train, without.validation) == (split.train, ())


def test_severstal_training_set_is_the_largest_unless_one_is_named(tmp_path: Path) -> None:
    root = severstal_with_a_split(tmp_path / "root")
    manifest = opened("severstal", root)
    assert {row.sample for row in manifest.rows if row.split == "train"} == {"p0"}
    with pytest.raises(InputError, match=r"train_positives: .* lists for 300, 750; found 1000"):
        opened("severstal", root, options={"train_positives": 1000})


def test_severstal_lists_that_divide_the_images_differently_are_refused(tmp_path: Path) -> None:
    root = severstal_with_a_split(tmp_path / "root")
    write_lists(root, "STEEL/split_750_10", [("p0", True)], [("p6", True)], [("p4", True)])
    with pytest.raises(
        InputError, match=r"split_750_9\.pyb: p4 is in part test, and in validation elsewhere"
    ):
        opened("severstal", root)
    assert len(opened("severstal", root, options={"train_positives": 300}).rows) == 12


# MVTec AD


def test_mvtec_defects_are_named_by_their_folders(tmp_path: Path) -> None:
    make_mvtec(tmp_path / "root" / "mvtec_anomaly_detection" / "bottle")
    manifest = opened("mvtec", tmp_path / "root", options={"category": "bottle"})
    assert labels(manifest) == {"train normal": 6, "test normal": 3, "test hole": 3, "test scratch": 3}
    assert manifest.by_sample["test/hole/001"].mask == "ground_truth/hole/001_mask.png"
    by_path = opened("mvtec", tmp_path / "root", path="mvtec_anomaly_detection/bottle")
    assert by_path.hash == manifest.hash


def test_mvtec_without_a_category_lists_those_there_are(tmp_path: Path) -> None:
    for name in ("bottle", "cable"):
        make_mvtec(tmp_path / "root" / name)
    for options in ({}, {"category": "carpet"}):
        with pytest.raises(InputError, match="choose one of bottle, cable"):
            opened("mvtec", tmp_path / "root", options=options)


def test_mvtec_training_part_serves_supervision_none_alone(tmp_path: Path) -> None:
    spec = DataSpec(reader="mvtec")
    manifest = open_manifest(spec, make_mvtec(tmp_path / "root"), tmp_path / "cache")
    split = make_split(manifest, spec, Supervision(kind="none"), 0, None)
    assert len(split.train) + len(split.validation) == 6
    assert len(split.test) == 9
    for supervision in (Supervision(kind="weak"), FULL):
        told = f"train has none among 5 images, and supervision {supervision} learns from them.*per_seed"
        with pytest.raises(InputError, match=told):
            make_split(manifest, spec, supervision, 0, None)
    report = check_data(spec, tmp_path / "root", tmp_path / "cache")
    assert any("it serves `supervision: none` alone" in finding for finding in report.findings)


def test_mvtec_divided_anew_trains_with_labels(tmp_path: Path) -> None:
    spec = DataSpec(reader="mvtec", splits="per_seed", validation=None)
    manifest = open_manifest(spec, make_mvtec(tmp_path / "root"), tmp_path / "cache")
    split = make_split(manifest, spec, FULL, 0, None)
    assert len(split.masks) == 4
    assert {manifest.by_sample[sample].defect_class for sample in split.train} == {None, "hole", "scratch"}


def test_mvtec_image_without_its_mask_has_an_image_label_only(tmp_path: Path) -> None:
    root = make_mvtec(tmp_path / "root")
    shutil.rmtree(root / "ground_truth" / "hole")
    manifest = opened("mvtec", root)
    assert manifest.by_sample["test/hole/000"].label
    assert "expected ground_truth/hole/000_mask.png" in manifest.findings[0].text
