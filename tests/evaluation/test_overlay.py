"""Overlays: colour is prediction, the white line is truth and never hides a defect's pixel."""

import numpy as np
import pytest

from trainables.evaluation.overlay import PREDICTION, contact_sheet, overlay

GREY = np.full((60, 80, 1), 100, dtype=np.uint8)


def square(y: int, x: int) -> np.ndarray:
    mask = np.zeros((60, 80), dtype=np.uint8)
    mask[y : y + 20, x : x + 20] = 1
    return mask


def coloured(picture: np.ndarray) -> np.ndarray:
    return np.ptp(picture.astype(int), axis=2) > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_covers_exactly_the_decided_pixels(channels: int) -> None:
    heatmap = square(10, 10) * np.float32(0.7)
    picture = overlay(np.repeat(GREY, channels, axis=2), heatmap, 0.7, None)
    assert np.array_equal(coloured(picture), heatmap >= 0.7)
    assert tuple(picture[10, 10]) == PREDICTION


@pytest.mark.parametrize(("decided", "contrast", "colour"), [(0, 0.9, 0), (1, 0.45, 0.5)])
def test_every_grey_level_keeps_its_shade(decided: int, contrast: float, colour: float) -> None:
    levels = np.tile(np.arange(256, dtype=np.uint8), (5, 1))
    picture = overlay(levels[:, :, None], np.full((5, 256), decided), 1, None)
    exact = levels[2, 1:-1, None] * contrast + np.array(PREDICTION) * colour
    assert np.abs(picture[2, 1:-1] - exact).max() < 1.5  # of 255; the outermost pixels are the edge


def test_truth_is_a_white_line_outside_the_defect() -> None:
    mask = square(20, 40)
    picture = overlay(GREY, np.zeros((60, 80), np.float32), 0.5, mask)
    white = (picture == 255).all(axis=2)
    assert white.any()
    assert not white[mask > 0].any()
    assert (picture[mask > 0] == 90).all()


def test_an_image_without_mask_and_prediction_stays_grey() -> None:
    picture = overlay(GREY, np.zeros((30, 40), np.float32), 0.5, np.zeros((120, 160), np.uint8))
    assert (picture == 90).all()


def test_a_sheet_holds_every_picture_and_its_labels() -> None:
    red = np.full((20, 30, 3), (0, 0, 255), dtype=np.uint8)
    sheet = contact_sheet([("full", [red, red]), ("weak", [red, red])], columns=["photo", "λ = 1"])
    assert (sheet == (0, 0, 255)).all(axis=2).sum() == 4 * (7 * 20) * (7 * 30)  # enlarged: 30 is small
    assert (sheet[:28] < 128).any()  # ink above the columns


def test_columns_of_a_sheet_are_as_wide_as_their_labels() -> None:
    narrow = np.zeros((200, 20, 3), dtype=np.uint8)
    short, long = (contact_sheet([("", [narrow, narrow])], columns=[name, "b"]) for name in ("a", 30 * "a"))
    assert long.shape[1] > short.shape[1] + 200
