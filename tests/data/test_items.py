"""Parts with several views: never on both sides of a split, and decided together."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.data.cases.parts import VIEWS, make_parts
from tests.data.made_images import bare_manifest, make_folder, noise, open_folder, write
from trainables.data import DataSpec, HoldOut, Supervision, make_split
from trainables.data.inspect.survey import survey_images
from trainables.data.items import item_of, items_of, propose_pattern
from trainables.evaluation.metrics import Undefined, image_metrics


@pytest.mark.parametrize(
    ("pattern", "image", "item"),
    [
        ("{part}_{view}", "good/part_01_top.png", "part_01"),
        ("{part}_{view}", "part01.png", None),
        ("{camera}_{part}", "c1_part_01.png", "part_01"),
        ("{part}.{view}", "a.b.c.png", "a.b"),
        ("{part}/{view}", "defect/p7/top.png", "p7"),
        ("{part}/{part}_{view}", "batch1/p7_top.png", "batch1/p7"),
        ("lot {lot} - {part} ({n})", "lot 3 - 17 (2).jpg", "17"),
    ],
)
def test_an_item_is_what_part_matches(pattern: str, image: str, item: str | None) -> None:
    assert item_of(pattern, PurePosixPath(image)) == item


@pytest.mark.parametrize("pattern", ["{view}", "part_{view}", "{part}{view}", "{part", "/{part}_{view}", ""])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match=r"a pattern of file names is like \{part\}_\{view\}, found"):
        DataSpec(reader="folder", item=pattern)


def test_items_and_the_makers_lists_are_not_mixed() -> None:
    with pytest.raises(ValidationError, match="`masks: published` lists the makers' items"):
        DataSpec(reader="dagm", item="{part}_{view}", masks="published")


def test_studies_without_a_pattern_keep_their_identity() -> None:
    assert "item" not in DataSpec(reader="folder").identity
    assert DataSpec(reader="folder", item="{part}_{view}").identity["item"] == "{part}_{view}"


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    test=st.floats(0.1, 0.6),
    validation=st.floats(0.1, 0.6),
    bad=st.sets(st.integers(0, 39), min_size=4, max_size=30),
)
def test_no_part_is_on_both_sides(seed: int, test: float, validation: float, bad: set[int]) -> None:
    names = [f"good/p{part}_{view}.png" for part in range(40) for view in VIEWS]
    items = items_of("{part}_{view}", names)
    manifest = bare_manifest(
        [
            {"sample": name, "group": item, "label": int(item[1:]) in bad and name.endswith("back.png")}
            for name, item in zip(names, items, strict=True)
        ]
    )
    spec = DataSpec(
        reader="folder", splits="per_seed", test=HoldOut(share=test), validation=HoldOut(share=validation)
    )
    split = make_split(manifest, spec, Supervision(kind="weak", masks=None), seed, None)
    sides = [
        {manifest.by_sample[name].group for name in part}
        for part in (split.train, split.validation, split.test)
    ]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 40


def test_the_views_of_a_part_are_one_item_in_every_folder(tmp_path: Path) -> None:
    manifest = open_folder(make_parts(tmp_path / "data"), tmp_path / "cache", item="{part}_{view}")
    assert {row.group for row in manifest.rows} == {f"part_{number:02}" for number in range(12)}
    assert manifest.hash != open_folder(tmp_path / "data", tmp_path / "cache").hash


@pytest.mark.parametrize(
    ("images", "pattern"),
    [
        ([f"good/p{n}_{view}.png" for n in range(9) for view in VIEWS], "{part}_{view}"),
        ([f"good/p{n}-{view}.png" for n in range(12) for view in VIEWS][:-1], "{part}-{view}"),
        ([f"good/p{n}/{view}.png" for n in range(9) for view in VIEWS], "{part}/{view}"),
        ([f"scratch_{n:03}.png" for n in range(300)], None),
        ([f"{name}_{n}.png" for name in ("crack", "dent", "hole") for n in range(4)], None),
        ([f"p{n}_{n % 4}.png" for n in range(40)], None),
        ([f"p{n}_{view}.png" for n in range(9) for view in VIEWS[: 1 + n % 4]], None),
        ([*(f"p{n}_{view}.png" for n in range(9) for view in VIEWS), "other.png"], None),
        ([f"{folder}/{n}.png" for folder in ("good", "defect") for n in range(4)], None),
    ],
)
def test_init_proposes_a_pattern_where_nearly_every_part_has_the_same_views(
    images: list[str], pattern: str | None
) -> None:
    assert propose_pattern(images) == pattern


@pytest.mark.parametrize(
    "copy",
    [
        "a_1_aug3", "a_1-aug-3", "a_1_augmented_0", "aug_3_a_1", "aug3_a_1", "a_1_copy", "a_1 - Copy",
        "a_1 - Copy (2)",
        "a_1_flip", "a_1_hflip", "a_1-vflip", "a_1_flip_lr", "a_1_flipped", "flipped_a_1", "a_1_rot90",
        "a_1_rot_-90",
        "a_1_rotated", "a_1_bright", "a_1_brightness_2", "a_1_noise", "a_1_blur",
        "a_1_hflip_rot90", "A_1_ROT90",
        "a_1 (1)",
        "a_1(2)", "a_1_0_1234", "a_1_png.rf.0123456789abcdef", "a_1.rf.0f3a9c",
    ],
)  # fmt: skip
def test_augmented_copies_are_known_by_their_names(copy: str) -> None:
    name = "A_1" if copy.isupper() else "a_1"
    images = [f"good/{name}.png", f"good/{copy}.jpg", "good/b_1.png", f"defect/{name}.png"]
    first, second, *others = items_of("augmented", images)
    assert first == second == f"good/{name}"
    assert others == ["good/b_1", f"defect/{name}"]
    assert propose_pattern(images) == "augmented"


@pytest.mark.parametrize(
    "images",
    [
        [f"part_{number}.png" for number in range(12)],
        [f"part ({number}).png" for number in range(12)],
        [f"lot_{lot}_{number:04}.png" for lot in range(3) for number in range(5)],
        ["copy.png", "flip.png", "noise.png", "aug_3.png", "rot90.png"],
        [
            "scratch.png",
            "scratched.png",
            "scratch_2.png",
            "bright.png",
            "brightest.png",
            "a_robot.png",
            "b_robot.png",
        ],
        ["a_jpg.rf.0123456789.jpg", "b_jpg.rf.0123456789.jpg", "c_jpg.rf.0123456789.jpg"],
        ["good/a_flip.png", "defect/a.png"],
    ],
)
def test_numbered_images_and_single_copies_are_no_augmented_ones(images: list[str]) -> None:
    assert len(set(items_of("augmented", images))) == len(images)
    assert propose_pattern(images) is None


def test_augmented_copies_of_an_image_are_one_item(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data")
    for seed, name in enumerate(("g0_flip", "g0_aug2"), 500):
        write(root / "good" / f"{name}.png", noise(seed))
    survey = survey_images(root, tmp_path / "cache")
    assert (survey.spec.item, survey.items) == ("augmented", "14 parts with 1 to 3 images each")


def test_a_survey_says_how_many_images_the_parts_have_if_it_saw_parts(tmp_path: Path) -> None:
    assert survey_images(make_folder(tmp_path / "alone"), tmp_path / "cache").items == ""
    root = make_parts(tmp_path / "data")
    next((root / "good").iterdir()).unlink()
    assert survey_images(root, tmp_path / "cache").items == "12 parts with 3 to 4 images each"


#          part:      a           b           c           d
LABELS = np.array([1, 0, 0, 0, 0, 1, 0, 0], dtype=bool)
SCORES = np.array([0.2, 0.9, 0.8, 0.1, 0.1, 0.3, 0.4, 0.2])
PARTS = ("a", "a", "b", "b", "c", "c", "d", "d")  # bad: a (.9) and c (.3); good: b (.8) and d (.4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("part_ap", 0.5 * 1 + 0.5 * 2 / 4),  # a first, c last of four
        ("part_auroc", 2 / 4),  # a above b and d, c below both
        ("part_f1", 2 / 4),  # at 0.5: a found, c missed, b false
        ("part_fn", 1),
        ("part_fp", 1),
        ("escapes", 500),  # one of two bad parts; of images it were one of two as well
        ("false_alarms", 500),  # one of two good parts, where two of six good images reach 0.5
    ],
)
def test_metrics_of_parts_by_hand(name: str, value: float) -> None:
    assert image_metrics(LABELS, SCORES, 0.5, PARTS)[name] == pytest.approx(value)


@pytest.mark.parametrize(
    ("labels", "items", "reason"),
    [
        (LABELS, tuple("abcdefgh"), "every item has one image"),
        (LABELS, (), "every item has one image"),
        (~LABELS | LABELS, PARTS, "no normal part"),
        (LABELS & ~LABELS, PARTS, "no defective part"),
    ],
)
def test_a_metric_of_parts_says_why_it_is_undefined(
    labels: np.ndarray, items: tuple[str, ...], reason: str
) -> None:
    assert image_metrics(labels, SCORES, 0.5, items)["part_ap"] == Undefined(reason)
