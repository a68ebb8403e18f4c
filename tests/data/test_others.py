"""One class against the rest: images and pixels of other defects, from the manifest to the evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from tests.data.made_images import noise, write
from tests.data.published_trees import make_dagm_class
from tests.data.test_masks import MASKS, index_mask, make_table, open_table
from tests.evaluation.evaluate_scenes import CPU, Brightness
from trainables.data import (
    DataSpec,
    Manifest,
    Split,
    Supervision,
    load_evaluation,
    load_training,
    make_split,
    open_manifest,
)
from trainables.data.samples import EvaluationData, ImageSet
from trainables.errors import InputError
from trainables.evaluation.evaluate import Evaluation, evaluate

FULL = Supervision(kind="full", masks=None)
IMAGES = {f"{name}.png": noise(number, 12, 16)[..., None] for number, name in enumerate(MASKS)}


def classes_of(manifest: Manifest) -> dict[str, str | None]:
    assert all(row.label == (row.defect_class is not None) for row in manifest.rows)
    return {row.sample[0]: row.defect_class for row in manifest.rows}


@pytest.mark.parametrize(
    ("others", "shown"),
    [
        ("leave_out", {"a": "scratch", "c": "scratch", "d": None, "f": None}),
        ("normal", {"a": "scratch", "b": None, "c": "scratch", "d": None, "e": None, "f": None}),
        ("ignore", {"a": "scratch", "c": "scratch", "d": None, "f": None}),
    ],
)
def test_others_say_what_becomes_of_images_with_other_defects(
    others: str, shown: Mapping[str, str | None], tmp_path: Path
) -> None:
    root = make_table(tmp_path / "root", MASKS)
    manifest = open_table(root, tmp_path / "cache", classes=["scratch"], others=others)
    assert classes_of(manifest) == shown
    assert not manifest.samples_with("empty_mask")


@pytest.mark.parametrize("others", ["leave_out", "normal", "ignore"])
def test_a_defective_image_without_a_mask_may_show_the_class_and_stays_defective(
    others: str, tmp_path: Path
) -> None:
    root = make_table(tmp_path / "root", MASKS)
    (root / "b_m.png").unlink()
    write(root / "e_m.png", index_mask())
    manifest = open_table(root, tmp_path / "cache", classes=["scratch"], others=others)
    shown = {"a": "scratch", "b": "defect", "c": "scratch", "d": None, "e": "defect", "f": None}
    assert classes_of(manifest) == shown
    assert manifest.samples_with("missing_mask") == {"b.png"}
    assert manifest.samples_with("empty_mask") == {"e.png"}


def test_a_class_that_the_data_state_stands_for_a_mask_that_is_missing(tmp_path: Path) -> None:
    root = make_table(tmp_path / "root", MASKS)
    rows = ["image,label,mask,defect_class", "a.png,1,,scratch", "b.png,1,,hole", "c.png,1,,batch_7"]
    (root / "parts.csv").write_text("\n".join(rows), encoding="utf-8")
    manifest = open_table(root, tmp_path / "cache", classes=["scratch"])
    assert classes_of(manifest) == {"a": "scratch", "c": "batch_7"}


def test_others_are_part_of_what_a_trial_is_and_the_usual_is_not(tmp_path: Path) -> None:
    root = make_table(tmp_path / "root", MASKS)
    usual = open_table(root, tmp_path / "cache", classes=["scratch"])
    hashes = {
        open_table(root, tmp_path / "cache", classes=["scratch"], others=others).hash
        for others in ("leave_out", "normal", "ignore")
    }
    assert usual.hash in hashes
    assert len(hashes) == 3
    assert "others" not in DataSpec(reader="table", classes=("scratch",)).identity


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"reader": "table", "others": "normal"}, "name the classes to keep"),
        ({"reader": "table", "classes": ["a"], "others": "drop"}, "leave_out"),
    ],
)
def test_others_belong_to_classes(settings: Mapping[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DataSpec.model_validate(settings)


def test_a_reader_that_keeps_to_classes_itself_knows_no_others(tmp_path: Path) -> None:
    make_dagm_class(tmp_path / "Class1")
    settings = {"reader": "dagm", "classes": ["Class1"], "others": "normal"}
    with pytest.raises(InputError, match=r"data\.others: reader dagm itself keeps to data\.classes"):
        open_manifest(DataSpec.model_validate(settings), tmp_path, tmp_path / "cache")


def loaded(tmp_path: Path, **settings: object) -> tuple[ImageSet, EvaluationData]:
    """Images with their masks for training and for the evaluation, all of them in both."""
    manifest = open_table(make_table(tmp_path / "root", MASKS), tmp_path / "cache", **settings)
    samples = tuple(row.sample for row in manifest.rows)
    split = Split(train=samples, validation=(), test=samples, masks=samples)
    training = load_training(manifest, split, FULL, IMAGES).train
    return training, load_evaluation(manifest, split, FULL, IMAGES)


def test_every_method_gets_the_union_of_classes_and_the_evaluation_each_of_them(tmp_path: Path) -> None:
    training, evaluation = loaded(tmp_path, classes=["scratch", "stain"])
    assert (training.masks["c.png"] == (index_mask(1, 3) > 0)).all()
    assert evaluation.test.mask_classes == ("scratch", "stain")
    np.testing.assert_array_equal(evaluation.test.masks["c.png"], np.minimum(index_mask(1, 3), 2))


def test_a_method_that_asks_is_told_the_class_of_each_pixel_that_it_may_see(tmp_path: Path) -> None:
    manifest = open_table(make_table(tmp_path / "root", MASKS), tmp_path / "cache")
    samples = tuple(row.sample for row in manifest.rows)
    split = Split(train=samples, validation=samples, test=(), masks=("c.png",))
    data = load_training(manifest, split, Supervision(kind="mixed", masks=1), IMAGES, by_class=True)
    assert data.validation is not None
    assert data.train.class_masks is not None
    assert data.validation.class_masks is not None
    assert data.train.class_masks.names == ("scratch", "hole", "stain")
    assert list(data.train.class_masks.masks) == ["c.png"]
    np.testing.assert_array_equal(data.train.class_masks.masks["c.png"], index_mask(1, 3))
    assert not data.validation.class_masks.masks
    assert data.train.without_masks([0]).class_masks is None


@pytest.mark.parametrize("others", ["leave_out", "ignore"])
def test_a_mask_that_may_not_teach_tells_no_class_either(others: str, tmp_path: Path) -> None:
    settings = {"classes": ["scratch", "hole"], "others": others}
    manifest = open_table(make_table(tmp_path / "root", MASKS), tmp_path / "cache", **settings)
    samples = tuple(row.sample for row in manifest.rows)
    split = Split(train=samples, validation=(), test=(), masks=samples)
    train = load_training(manifest, split, FULL, IMAGES, by_class=True).train
    assert train.class_masks is not None
    assert {*train.class_masks.masks} == {*train.masks}
    assert ("c.png" in train.masks) == (others == "leave_out")


@pytest.mark.parametrize(
    ("classes", "numbers"),
    [
        (["scratch", "hole"], {"a.png": 2, "b.png": 1}),
        (["scratch", "scratch"], None),  # one class tells nothing apart
    ],
)
def test_masks_without_indices_show_the_class_of_their_image(
    classes: list[str], numbers: dict[str, int] | None, tmp_path: Path
) -> None:
    lines = ["image,label,mask,defect_class"]
    for name, defect in zip("ab", classes, strict=True):
        write(tmp_path / f"{name}.png", noise(0, 12, 16))
        write(tmp_path / f"{name}_m.png", (index_mask(1) > 0).astype(np.uint8) * 255)
        lines.append(f"{name}.png,1,{name}_m.png,{defect}")
    (tmp_path / "parts.csv").write_text("\n".join(lines), encoding="utf-8")
    spec = {"reader": "table", "path": "parts.csv", "splits": "per_seed"}
    manifest = open_manifest(DataSpec.model_validate(spec), tmp_path, tmp_path / "cache")
    samples = tuple(row.sample for row in manifest.rows)
    split = Split(train=samples, validation=(), test=(), masks=samples)
    known = load_training(manifest, split, FULL, IMAGES, by_class=True).train.class_masks
    assert (known and {name: int(mask.max()) for name, mask in known.masks.items()}) == numbers
    assert known is None or known.names == ("hole", "scratch")


def test_where_others_are_ignored_their_images_teach_by_label_alone(tmp_path: Path) -> None:
    training, evaluation = loaded(tmp_path, classes=["scratch"], others="ignore")
    assert list(training.masks) == ["a.png"]
    assert training.labels[training.ids.index("c.png")]
    assert {name: mask.sum() for name, mask in evaluation.test.masks.items()} == {"a.png": 2, "c.png": 2}
    assert {name: mask.sum() for name, mask in evaluation.test.ignored.items() if mask.any()} == {"c.png": 6}


def mixed_table(root: Path, others: str) -> tuple[Manifest, DataSpec]:
    """Eight images with a scratch, half of them with a stain too, and four normal ones."""
    masks = {f"{i:02d}": () if i >= 8 else (1, 3) if i % 2 else (1,) for i in range(12)}
    spec = {"classes": ["scratch"], "others": others, "validation": "none"}
    manifest = open_table(make_table(root, masks), root / "cache", **spec)
    return manifest, DataSpec.model_validate({"reader": "table", "splits": "per_seed", **spec})


@pytest.mark.parametrize("seed", range(4))
def test_mixed_supervision_draws_masks_that_training_reads(seed: int, tmp_path: Path) -> None:
    manifest, spec = mixed_table(tmp_path, "ignore")
    two = Supervision(kind="mixed", masks=2)
    split = make_split(manifest, spec, two, seed, None)
    images = {row.sample: noise(0, 12, 16)[..., None] for row in manifest.rows}
    masks = load_training(manifest, split, two, images).train.masks
    assert (len(split.masks), tuple(masks)) == (2, split.masks)
    assert not any(int(sample[:2]) % 2 for sample in split.masks)


@pytest.mark.parametrize("others", ["leave_out", "normal"])
def test_masks_of_several_classes_are_drawn_where_no_class_is_ignored(others: str, tmp_path: Path) -> None:
    manifest, spec = mixed_table(tmp_path, others)
    assert len(make_split(manifest, spec, Supervision(kind="mixed", masks=6), 0, None).masks) == 6


def test_masks_that_show_an_ignored_class_are_not_counted(tmp_path: Path) -> None:
    manifest, spec = mixed_table(tmp_path, "ignore")
    with pytest.raises(
        InputError, match=r"training part has [23], without [34] that show a class .* `others: ignore`"
    ):
        make_split(manifest, spec, Supervision(kind="mixed", masks=5), 0, None)


def white(shown: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return shown[..., None] * np.uint8(255)


def judged(heatmaps: Mapping[str, NDArray[np.uint8]], evaluation: EvaluationData) -> Evaluation:
    shown = ImageSet(
        evaluation.test.ids,
        evaluation.test.labels,
        heatmaps,
        evaluation.test.masks,
        (),
        evaluation.test.classes,
        evaluation.test.mask_classes,
        evaluation.test.ignored,
    )
    return evaluate(Brightness(), EvaluationData(None, shown), device=CPU, batch=4, probes=0, seed=0)


@pytest.mark.parametrize(("others", "false"), [("leave_out", 6), ("ignore", 0)])
def test_pixels_of_ignored_defects_are_no_false_alarms(others: str, false: int, tmp_path: Path) -> None:
    _, evaluation = loaded(tmp_path, classes=["scratch"], others=others)
    # A model that shows every defect of every class.
    shown = {
        f"{name}.png": (index_mask(*classes) > 0)[..., None] * np.uint8(255)
        for name, classes in MASKS.items()
    }
    counts = judged(shown, evaluation).predictions.to_pylist()
    assert {row["sample"]: (row["tp"], row["fp"]) for row in counts if row["label"]} == {
        "a.png": (2, 0),
        "c.png": (2, false),
    }


def test_pixels_of_ignored_defects_are_in_no_metric(tmp_path: Path) -> None:
    _, evaluation = loaded(tmp_path, classes=["scratch"], others="ignore")
    test, answer = evaluation.test, judged(IMAGES, evaluation)
    blank = np.zeros((12, 16), np.uint8)
    truths = [test.masks.get(sample, blank) > 0 for sample in test.ids]
    counted = [test.ignored.get(sample, blank) == 0 for sample in test.ids]
    pixels = [IMAGES[sample][..., 0][kept] for sample, kept in zip(test.ids, counted, strict=True)]
    labels = [truth[kept] for truth, kept in zip(truths, counted, strict=True)]
    auroc = roc_auc_score(np.concatenate(labels), np.concatenate(pixels))
    assert answer.metrics["pixel_auroc"] == pytest.approx(auroc)
    rows = answer.predictions.to_pylist()
    assert [sum(row[name] for name in ("tp", "fp", "fn", "tn")) for row in rows] == list(map(len, pixels))


def test_each_class_of_an_image_is_counted(tmp_path: Path) -> None:
    _, evaluation = loaded(tmp_path)
    scratches = {
        f"{name}.png": (index_mask(*classes) == 1)[..., None] * np.uint8(255)
        for name, classes in MASKS.items()
    }
    scores = judged(scratches, evaluation).defects
    counts = attrgetter("regions", "detected", "outlined", "images", "flagged")
    assert {score.name: counts(score) for score in scores if score.of == "class"} == {
        "scratch": (2, 2, 2, 2, 2),
        "hole": (2, 0, 0, 2, 0),
        "stain": (2, 0, 0, 2, 1),
    }
