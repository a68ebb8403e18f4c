"""A new threshold of an exported model by good photos: in graph and card, by enough parts, or none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from assay.exports import EXPORTS
from assay.production.onnx_file import OnnxModel, load_onnx
from assay.production.photos import find_photos
from assay.production.recalibration import recalibrate
from tests.production.conftest import Exported
from trainables.data.files.sources import decode_image
from trainables.data.threshold import FalseAlarms
from trainables.errors import InputError
from trainables.runtime.deployed import Card

Export = Callable[[str, str], Exported]
TENTH = FalseAlarms(false_alarms=0.1, sure=0.9)  # takes 22 parts


def good_photos(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(count):
        grey = rng.integers(20, 160)
        photo = np.clip(rng.normal(grey, 5, (40, 50)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:03d}.png"), photo)
    return folder


def recalibrated(source: Path, good: Path, output: Path, promise: FalseAlarms = TENTH) -> Card:
    return recalibrate(
        load_onnx(source / "model.onnx"),
        find_photos([str(good)]),
        promise,
        source=source,
        output=output,
        export=EXPORTS["onnx"],
        say=lambda _: None,
    )


def scores_of(model: OnnxModel, good: Path) -> list[float]:
    photos = [
        decode_image(path.read_bytes(), model.card.channels, model.card.white)
        for path in sorted(good.iterdir())
    ]
    return [float(model.decide([model.prepare(photo)]).score[0]) for photo in photos]


@pytest.mark.parametrize("name", ["toy", "segdec"])
def test_graph_and_card_have_the_threshold_of_the_good_photos(
    name: str, exported: Export, tmp_path: Path
) -> None:
    source = exported(name, "onnx").folder
    good = good_photos(tmp_path / "good", 40)
    card = recalibrated(source, good, tmp_path / "new")
    before, after = (load_onnx(folder / "model.onnx") for folder in (source, tmp_path / "new"))
    assert after.card == card
    assert card.trained_threshold == before.card.thresholds.image != card.thresholds.image
    # 40 parts may decide one wrongly: P(Binomial(40, 0.1) ≤ 1) = 8 %.
    # Scores of one photo alone may differ from those of a batch in their last digits.
    assert sum(score >= card.thresholds.image + 1e-6 for score in scores_of(after, good)) <= 1
    assert card.thresholds.promise is not None
    assert (card.thresholds.promise.parts, card.thresholds.promise.source) == (40, "recalibration")
    # The graph alone decides by it, without assay; scores are those of before.
    images = np.random.default_rng(1).integers(0, 256, (30, *card.image_size, card.channels), np.uint8)
    old, new = (
        [
            np.asarray(answer)
            for answer in onnxruntime.InferenceSession(folder / "model.onnx").run(None, {"images": images})
        ]
        for folder in (source, tmp_path / "new")
    )
    for index in (0, 2, 3):
        assert np.array_equal(old[index], new[index])
    assert np.array_equal(new[1], new[0] >= card.thresholds.image)


def test_the_readme_says_the_promise_and_at_which_threshold_the_metrics_were(
    exported: Export, tmp_path: Path
) -> None:
    source = exported("toy", "onnx").folder
    card = recalibrated(source, good_photos(tmp_path / "good", 30), tmp_path / "new")
    text = (tmp_path / "new" / "README.md").read_text()
    assert card.recalibrated is not None
    day = f"{card.recalibrated:%Y-%m-%d}"
    assert re.match(
        rf"# \S.*, recalibrated {day}\n\n\*\*Recalibrated on {day} \d\d:\d\d UTC by 30 good parts", text
    )
    assert f"{card.thresholds.image!r}, the trial's own was {card.trained_threshold!r}" in text
    assert f"Image threshold {card.thresholds.image!r} (recalibration: at most 10 % false alarms" in text
    assert "promises at most 10 % false alarms, 90 % sure, among new parts like the 30 good ones" in text
    assert f"at the trial's own image threshold {card.trained_threshold!r}, not at the one above" in text
    assert f"score ≥ {card.thresholds.image!r}" in text


def test_recalibrated_again_it_still_knows_the_trials_own_threshold(exported: Export, tmp_path: Path) -> None:
    source = exported("toy", "onnx").folder
    first = recalibrated(source, good_photos(tmp_path / "good", 30), tmp_path / "new")
    second = recalibrated(
        tmp_path / "new", tmp_path / "good", tmp_path / "newer", FalseAlarms(false_alarms=0.3)
    )
    assert second.trained_threshold == first.trained_threshold
    assert second.thresholds.image < first.thresholds.image


def test_a_model_that_was_not_recalibrated_says_nothing_of_it(exported: Export) -> None:
    assert "ecalibrat" not in (exported("toy", "onnx").folder / "README.md").read_text()


def test_a_model_of_tiles_is_refused(exported: Export, tmp_path: Path) -> None:
    source = exported("unet_in_tiles", "onnx").folder
    with pytest.raises(InputError, match=r"whole photos, and .* scores tiles\. .* data\.calibration"):
        recalibrated(source, good_photos(tmp_path / "good", 30), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_too_few_photos_are_refused_with_what_they_can_promise(exported: Export, tmp_path: Path) -> None:
    good = good_photos(tmp_path / "good", 21)
    with pytest.raises(
        InputError, match=r"takes 22 good parts .*, found 21 in these photos, which can promise"
    ):
        recalibrated(exported("toy", "onnx").folder, good, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_copy_of_a_photo_is_no_second_part(exported: Export, tmp_path: Path) -> None:
    good = good_photos(tmp_path / "good", 21)
    for path in list(good.iterdir()):
        (good / f"copy_{path.name}").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="found 21 in these photos"):
        recalibrated(exported("toy", "onnx").folder, good, tmp_path / "new")


def test_a_photo_that_cannot_be_read_is_refused(exported: Export, tmp_path: Path) -> None:
    good = good_photos(tmp_path / "good", 30)
    (good / "x.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"x\.png: .*A promise rests on all photos"):
        recalibrated(exported("toy", "onnx").folder, good, tmp_path / "new")


@pytest.mark.parametrize("mask", ["003.jpg", "masks/003.png"])
def test_a_file_that_may_be_a_mask_is_refused(mask: str, exported: Export, tmp_path: Path) -> None:
    good = good_photos(tmp_path / "good", 30)
    (good / mask).parent.mkdir(exist_ok=True)
    cv2.imwrite(str(good / mask), np.zeros((40, 50), np.uint8))
    with pytest.raises(InputError, match="found 1 file that may be masks"):
        recalibrated(exported("toy", "onnx").folder, good, tmp_path / "new")


def test_a_graph_without_the_constant_is_exported_again(exported: Export, tmp_path: Path) -> None:
    model = onnx.load(exported("toy", "onnx").folder / "model.onnx")
    for each in model.graph.initializer:
        if each.name == "image_threshold":
            each.name = "other"
    for node in model.graph.node:
        node.input[:] = ["other" if name == "image_threshold" else name for name in node.input]
    source = tmp_path / "old"
    source.mkdir()
    onnx.save(model, source / "model.onnx")
    with pytest.raises(InputError, match="Write it again: `assay export"):
        recalibrated(source, good_photos(tmp_path / "good", 30), tmp_path / "new")
