"""Pseudo labels as a file, and what they are worth against masks that training did not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainables.data.samples import ImageSet
from trainables.evaluation.evaluate import measure_labels
from trainables.evaluation.pseudo_labels import OPEN, PseudoLabels

IDS = ("a", "b", "normal")
MASKS = {"a": np.array([[1, 1, 0, 0]], np.uint8), "b": np.array([[0, 0, 0, 1]], np.uint8)}
IMAGES = ImageSet(IDS, np.array([True, True, False]), {}, MASKS)


def labels(ids: str, *rows: list[int]) -> PseudoLabels:
    return PseudoLabels("pseudo", tuple(ids.split()), np.array([[row] for row in rows], np.uint8))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    made = labels("a b", [1, 0, OPEN, 0], [0, 0, 0, 1])
    made.save(tmp_path)
    found = PseudoLabels.load(tmp_path)
    assert found is not None
    assert (found.name, found.ids) == ("pseudo", ("a", "b"))
    assert np.array_equal(found.labels, made.labels)


def test_a_folder_without_pseudo_labels_has_none(tmp_path: Path) -> None:
    assert PseudoLabels.load(tmp_path) is None


@pytest.mark.parametrize(
    ("made", "iou", "iou_positive"),
    [
        (labels("a b", [1, 0, 1, 0], [0, 0, 1, 1]), 2 / 5, 5 / 12),
        (labels("a normal", [1, 1, 0, 0], [1, 1, 0, 0]), 2 / 4, 1.0),
        (labels("a", [1, OPEN, 0, OPEN]), 1 / 2, 1 / 2),
    ],
    ids=["two defects", "a claim on a normal image is false", "an open pixel of a defect is not found"],
)
def test_iou_by_hand(made: PseudoLabels, iou: float, iou_positive: float) -> None:
    found = measure_labels(made, IMAGES)
    assert found is not None
    assert (found.stage, found.of) == ("pseudo", "train")
    assert found.metrics == {
        "pixel_iou": pytest.approx(iou),
        "pixel_iou_positive": pytest.approx(iou_positive),
    }


def test_without_a_known_mask_nothing_is_measured() -> None:
    unknown = ImageSet(IDS, IMAGES.labels, {}, {})
    assert measure_labels(labels("a", [1, 0, 0, 0]), unknown) is None


def test_a_label_is_about_a_training_image() -> None:
    with pytest.raises(KeyError, match="test7"):
        measure_labels(labels("test7", [1, 0, 0, 0]), IMAGES)


@pytest.mark.parametrize(
    ("ids", "rows", "why"), [("a b", [[0, 1]], "1 labels for 2 ids"), ("a", [[0, 2]], r"found \[2\]")]
)
def test_labels_are_checked_where_they_are_made(ids: str, rows: list[list[int]], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        labels(ids, *rows)
