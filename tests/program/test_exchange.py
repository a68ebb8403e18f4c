"""What a program is given, and what its answers may be."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from trainables.data.samples import ClassMasks, ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.errors import InputError
from trainables.program.exchange import LogReader, read_answers, write_data
from trainables.program.spec import ProgramLog


def data_of(masks: dict[str, NDArray[np.uint8]], supervision: str, channels: int = 1) -> TrainingData:
    """Two defective images and a normal one, the first in a folder."""
    rng = np.random.default_rng(0)
    ids = ("a/b,c", "d", "n")
    images = {name: rng.integers(0, 256, (8, 8, channels)).astype(np.uint8) for name in ids}
    labels = np.array([True, True, False])
    sizes = np.array([[16, 16]] * 3)
    train = ImageSet(ids, labels, images, masks, ("i", "j", "k"), ("scratch", None, None), sizes=sizes)
    return TrainingData(train, None, Supervision.model_validate(supervision))


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    return {
        row["id"]: row for row in csv.DictReader((folder / "train" / "images.csv").read_text().splitlines())
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_that_every_method_sees(tmp_path: Path, channels: int) -> None:
    data = data_of({}, "weak", channels)
    write_data(tmp_path / "data", data, leave_out=False)
    picture = cv2.imread(str(tmp_path / "data/train/images/a/b,c.png"), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert np.array_equal(picture.reshape(8, 8, channels), data.train.images["a/b,c"])


def test_the_table_says_what_is_known(tmp_path: Path) -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[:8] = 1
    notes = write_data(tmp_path / "data", data_of({"a/b,c": mask}, "full"), leave_out=False)
    rows = rows_of(tmp_path / "data")
    assert notes == []
    assert list(rows["a/b,c"].values()) == ["a/b,c", "1", "1", "i", "scratch", "16", "16"]
    assert (rows["d"]["label"], rows["d"]["has_mask"]) == ("1", "0")
    assert (rows["n"]["label"], rows["n"]["has_mask"]) == ("0", "1")


def test_a_defective_image_without_its_mask_is_left_out_and_told(tmp_path: Path) -> None:
    mask = np.ones((16, 16), np.uint8)
    (note,) = write_data(tmp_path / "data", data_of({"d": mask}, "full"), leave_out=True)
    assert list(rows_of(tmp_path / "data")) == ["d", "n"]
    assert not (tmp_path / "data/train/images/a").exists()
    assert "train: 1 defective images without a mask are left out" in note


def test_weak_labels_come_with_no_mask_at_all(tmp_path: Path) -> None:
    write_data(tmp_path / "data", data_of({}, "weak"), leave_out=False)
    assert not list((tmp_path / "data").rglob("masks/*"))


def test_masks_are_0_and_255_at_the_images_size_and_a_thin_defect_stays(tmp_path: Path) -> None:
    half, thin = np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.uint8)
    half[:8], thin[3, :] = 1, 1
    thin[0, 0] = 0
    write_data(tmp_path / "data", data_of({"a/b,c": half, "d": thin[:, :1] * thin}, "full"), leave_out=True)
    mask = cv2.imread(str(tmp_path / "data/train/masks/a/b,c.png"), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert mask.shape == (8, 8)
    assert (mask[:4] == 255).all()
    assert (mask[4:] == 0).all()
    kept = cv2.imread(str(tmp_path / "data/train/masks/d.png"), cv2.IMREAD_UNCHANGED)
    assert kept is not None
    assert kept[1].all()
    assert not kept[2:].any()


def classes_of(tmp_path: Path, numbers: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The classes that are written of the image `d`, whose mask is ``mask``."""
    data = data_of({"d": mask}, "full")
    known = ClassMasks(("hole", "scratch"), {"d": numbers})
    write_data(
        tmp_path / "data", replace(data, train=replace(data.train, class_masks=known)), leave_out=False
    )
    picture = cv2.imread(str(tmp_path / "data/train/classes/d.png"), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def test_a_pixel_has_the_number_of_the_class_that_has_most_of_it(tmp_path: Path) -> None:
    numbers = np.zeros((16, 16), np.uint8)
    numbers[:6], numbers[6:8, :8], numbers[6:8, 8:] = 1, 2, 1
    written = classes_of(tmp_path, numbers, np.minimum(numbers, 1))
    assert (written[:3] == 1).all()
    assert (written[3, :4] == 2).all()
    assert (written[3, 4:] == 1).all()
    assert not written[4:].any()
    assert (tmp_path / "data/classes.txt").read_text() == "hole\nscratch\n"
    # A normal image has an empty one; an image whose mask is withheld has none.
    empty = cv2.imread(str(tmp_path / "data/train/classes/n.png"), cv2.IMREAD_UNCHANGED)
    assert empty is not None
    assert not empty.any()
    assert not (tmp_path / "data/train/classes/a").exists()


def test_classes_cover_the_whole_mask_where_it_is_drawn_coarsely(tmp_path: Path) -> None:
    numbers, box = np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.uint8)
    numbers[:8, :4], numbers[4:8, 4:], box[:8] = 1, 2, 1
    written = classes_of(tmp_path, numbers, box)
    assert (written[:4] > 0).all()
    assert not written[4:].any()
    assert written[0, 0] == 1
    assert written[0, 7] == 2


def test_weak_labels_come_with_no_classes_at_all(tmp_path: Path) -> None:
    data = data_of({}, "weak")
    known = replace(data.train, class_masks=ClassMasks(("hole", "scratch"), {}))
    write_data(tmp_path / "data", replace(data, train=known), leave_out=False)
    assert not list((tmp_path / "data").rglob("classes*"))


def test_images_as_stored_keep_their_bits_and_masks_have_their_size(tmp_path: Path) -> None:
    data = data_of({"d": np.eye(12, 20, dtype=np.uint8)}, "full")
    deep = np.random.default_rng(1).integers(0, 65536, (12, 20, 1), dtype=np.uint16)
    train = replace(data.train, stored=dict.fromkeys(data.train.ids, deep))
    write_data(tmp_path / "data", replace(data, train=train), leave_out=True)
    image, mask = (
        cv2.imread(str(tmp_path / f"data/train/{kind}/d.png"), cv2.IMREAD_UNCHANGED)
        for kind in ("images", "masks")
    )
    assert image is not None
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, deep[..., 0])
    np.testing.assert_array_equal(mask, np.eye(12, 20) * 255)


def test_maps_of_images_as_stored_are_brought_to_one_size_by_area(tmp_path: Path) -> None:
    values = np.zeros((8, 12), np.float32)
    values[:2, :3], values[2:4, :3] = 1, 0.5
    folder = answer(tmp_path, npy=values)
    maps = read_answers(folder, ["x"], (2, 4), bounded=True, stored=[(8, 12)]).maps
    assert maps == pytest.approx(np.array([[[0.75, 0, 0, 0], [0, 0, 0, 0]]]))
    with pytest.raises(InputError, match="8 × 11 pixels, found 8 × 12 for the id x"):
        read_answers(folder, ["x"], (2, 4), bounded=True, stored=[(8, 11)])


def answer(folder: Path, scores: str = "id,score\nx,0.5\n", **maps: object) -> Path:
    (folder / "maps").mkdir()
    (folder / "scores.csv").write_text(scores)
    for kind, values in maps.items():
        if kind == "npy":
            np.save(folder / "maps/x.npy", values, allow_pickle=True)
        else:
            cv2.imwrite(str(folder / "maps/x.png"), np.asarray(values))
    return folder


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("png", np.full((4, 6), 51, np.uint8)),
        ("png", np.full((4, 6), 13107, np.uint16)),
        ("npy", np.full((4, 6), 0.2, np.float64)),
        ("npy", np.full((4, 6), 0.2, np.float16)),
    ],
)
def test_a_map_may_have_8_or_16_bits_or_be_numbers(
    tmp_path: Path, kind: str, values: NDArray[np.generic]
) -> None:
    answers = read_answers(answer(tmp_path, **{kind: values}), ["x"], (4, 6), bounded=True)
    assert answers.maps == pytest.approx(np.full((1, 4, 6), 0.2), abs=1e-3)


@pytest.mark.parametrize(
    ("scores", "kind", "values", "message"),
    [
        ("name,score\nx,1\n", "npy", np.zeros((4, 6)), "starts with the line `id,score`, found name,score"),
        ("id,score\nx,0.1\nx,0.2\n", "npy", np.zeros((4, 6)), "one row for each id, found x twice"),
        ("id,score\nx,0.5\n", "npy", np.zeros((6, 4)), "4 × 6 pixels, found 6 × 4 for the id x"),
        (
            "id,score\nx,0.5\n",
            "npy",
            np.full((4, 6), 1.5),
            "maps/x.npy is within [0, 1], found 1.5 for the id x",
        ),
        ("id,score\nx,0.5\n", "npy", np.array([{}]), "is an array of numbers"),
        (
            "id,score\nx,0.5\n",
            "png",
            np.zeros((4, 6, 3), np.uint8),
            "grey PNG of 8 or 16 bits, found uint8 of shape",
        ),
    ],
)
def test_other_answers_are_refused(
    tmp_path: Path, scores: str, kind: str, values: NDArray[np.generic], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        read_answers(answer(tmp_path, scores, **{kind: values}), ["x"], (4, 6), bounded=True)
    assert message in str(refused.value)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_score_that_is_not_finite_is_a_divergence(tmp_path: Path, value: str) -> None:
    folder = answer(tmp_path, f"id,score\nx,{value}\n", npy=np.zeros((4, 6)))
    with pytest.raises(FloatingPointError, match="for the id x"):
        read_answers(folder, ["x"], (4, 6), bounded=True)


def test_a_line_of_the_log_counts_when_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    reader = LogReader(ProgramLog(csv="{out}/log.csv"), path)
    assert list(reader.rows()) == []
    path.write_text("epoch,loss,note\n0,1.5,fine\n1,0.")
    assert list(reader.rows()) == [(0, {"loss": 1.5})]
    path.write_text("epoch,loss,note\n0,1.5,fine\n1,0.5,\n2,0.25")
    assert list(reader.rows()) == [(1, {"loss": 0.5})]
    assert list(reader.rows(last=True)) == [(2, {"loss": 0.25})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step,loss\n", "log.csv:1: the log has a column `epoch`, found step, loss"),
        ("epoch,loss\n0.5,1\n", "log.csv:2: an epoch is a whole number, found '0.5'"),
        ("epoch,loss\n,1\n", "log.csv:2: an epoch is a whole number, found ''"),
    ],
)
def test_a_log_without_epochs_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(InputError) as refused:
        list(LogReader(ProgramLog(csv="{out}/log.csv"), tmp_path / "log.csv").rows())
    assert message in str(refused.value)
