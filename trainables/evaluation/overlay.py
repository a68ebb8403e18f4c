"""Pictures of a model's prediction: photo, truth and prediction in one image, and a sheet of many.

The photo stays grey and a little darkened, so that colour means prediction only. Truth is a thin white line
*outside* the defect: drawn inside it would hide the very pixels that were hit or missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "PALETTE",
    "Picture",
    "contact_sheet",
    "heat_overlay",
    "outline",
    "overlay",
    "overlay_indices",
    "text_width",
    "write_text",
]

Picture = NDArray[np.uint8]  # H × W × 3, BGR

PREDICTION = (0, 159, 230)  # BGR of Okabe–Ito orange #E69F00: far from grey metal for every colour vision
_FILL = 0.5
_STRONGEST = 0.85  # share of colour at a score of 1: the photo stays visible
_DIM = 0.9
# 256 colours, so that a pixel is a byte to draw and to write. A shade is off by less than 1.5 of 255 levels.
_PHOTO, _FILLED = 192, 63  # shades of the photo, and of filled pixels, which have half its contrast
_EDGE = _PHOTO + _FILLED
_GREYS = np.arange(256.0)[:, None] * _DIM * np.ones(3)


def _shades(count: int) -> NDArray[np.float64]:
    return np.linspace(0, _DIM * 255, count)[:, None] * np.ones(3)


PALETTE: NDArray[np.uint8] = np.rint(
    np.concatenate(
        [
            _shades(_PHOTO),
            _shades(_FILLED) * (1 - _FILL) + np.array(PREDICTION) * _FILL,
            np.array([PREDICTION]),
        ]
    )
).astype(np.uint8)  # 256 × 3, BGR
_OF_PHOTO = np.rint(np.linspace(0, _PHOTO - 1, 256)).astype(np.uint8)  # by grey level
_OF_FILLED = np.rint(np.linspace(_PHOTO, _EDGE - 1, 256)).astype(np.uint8)
_INK, _PAPER, _FAINT = (40, 40, 40), (255, 255, 255), (110, 110, 110)
_GAP = 10  # pixels between pictures and around the sheet
_LEAST_SIDE = 200  # pixels of the longer side: smaller pictures are enlarged by a whole number
_TEXT_HEIGHT, _WEIGHT = 17, 500  # of labels: pixels, and 400 = regular


def overlay(
    image: NDArray[np.uint8],
    heatmap: NDArray[np.floating] | NDArray[np.uint8],
    threshold: float,
    mask: NDArray[np.uint8] | NDArray[np.bool_] | None,
) -> Picture:
    """Draw a prediction and the truth over a photo.

    Args:
        image: H × W × C photo, C = 1 (grey) or 3 (BGR).
        heatmap: Scores of any one size and scale (levels of a probe map too); brought to H × W.
        threshold: A pixel with a score ≥ threshold is filled.
        mask: Truth, 0 = background, any size; None: nothing is drawn of it.

    Returns:
        H × W × 3 BGR.
    """
    height, width = image.shape[:2]
    # Decide, then enlarge: a blend of scores would draw an edge that the model never gave.
    decided = cv2.resize(
        (heatmap >= threshold).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    )
    canvas = cv2.applyColorMap(overlay_indices(image, np.asarray(decided, np.uint8)), PALETTE[:, None])
    if mask is not None and mask.any():
        outline(canvas, mask)
    return np.asarray(canvas, np.uint8)


def overlay_indices(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw a decided mask over a photo, as indices of :data:`PALETTE`.

    Args:
        image: H × W × C photo, C = 1 (grey) or 3 (BGR).
        mask: H × W, 0 or 1 (defect).

    Returns:
        H × W.
    """
    # The filled area shows the photo at half its contrast, and its edge is drawn at full colour.
    grey = _grey(image)
    indices = cv2.LUT(grey, _OF_PHOTO)
    if mask.any():
        cv2.copyTo(cv2.LUT(grey, _OF_FILLED), mask, indices)
        edge = (mask - cv2.erode(mask, _square(3))) * np.uint8(_EDGE)
        cv2.max(indices, edge, indices)
    return np.asarray(indices, np.uint8)


def heat_overlay(
    image: NDArray[np.uint8],
    heatmap: NDArray[np.floating],
    mask: NDArray[np.uint8] | NDArray[np.bool_] | None,
) -> Picture:
    """Draw all scores of a map over a photo, the higher the more coloured, and the truth.

    Args:
        image: H × W × C photo, C = 1 (grey) or 3 (BGR).
        heatmap: Scores in [0, 1], of any size.
        mask: Truth, as in :func:`overlay`.

    Returns:
        H × W × 3 BGR.
    """
    height, width = image.shape[:2]
    heat = cv2.resize(heatmap.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    photo = _GREYS[_grey(image)]
    coloured = photo + (np.array(PREDICTION) - photo) * (heat[:, :, None] * _STRONGEST)
    canvas = np.rint(coloured).astype(np.uint8)
    if mask is not None and mask.any():
        outline(canvas, mask)
    return canvas


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_BGR2GRAY), np.uint8) if grey.ndim == 3 else grey


def outline(
    canvas: NDArray[Any],
    mask: NDArray[np.uint8] | NDArray[np.bool_],
    colour: tuple[int, int, int] = (255, 255, 255),
) -> None:
    """Draw a line around the truth, white unless another BGR colour is named."""
    height, width = canvas.shape[:2]
    truth = cv2.resize((mask > 0).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    line = max(1, round(min(height, width) / 250))
    inner = cv2.dilate(truth, _square(2 * line + 1))
    halo = (cv2.dilate(truth, _square(4 * line + 1)) > 0) & (inner == 0)
    # White on bright metal needs something dark to stand against.
    canvas[halo] = canvas[halo] * 0.55
    canvas[(inner > 0) & (truth == 0)] = colour


def contact_sheet(rows: Sequence[tuple[str, Sequence[Picture]]], columns: Sequence[str] = ()) -> Picture:
    """Lay pictures out as a grid: a label before each row, one above each column.

    Pictures keep their proportions; each is fitted into the largest cell of the sheet. Small ones are
    enlarged, and columns are as wide as their labels at least.

    Args:
        rows: Label and BGR pictures (equally many in every row).
        columns: Labels of the columns, or nothing.
    """
    assert len({len(pictures) for _, pictures in rows}) == 1, "at least one row, all equally long"
    # One cell for all pictures: the largest, enlarged by a whole number so that pixels stay square.
    cell_h = max(picture.shape[0] for _, pictures in rows for picture in pictures)
    cell_w = max(picture.shape[1] for _, pictures in rows for picture in pictures)
    enlarge = max(1, -(-_LEAST_SIDE // max(cell_h, cell_w)))
    cell_h, cell_w = enlarge * cell_h, enlarge * cell_w
    step = max(cell_w, *(text_width(label) for label in columns), 0) + _GAP
    left = max((text_width(label) for label, _ in rows if label), default=-_GAP) + 2 * _GAP
    top = 2 * _GAP + _TEXT_HEIGHT if columns else _GAP
    height = top + len(rows) * (cell_h + _GAP)
    width = left + len(rows[0][1]) * step
    sheet = np.full((height, width, 3), _PAPER, dtype=np.uint8)

    # Labels above the columns, then row by row.
    for c, label in enumerate(columns):
        write_text(sheet, label, (left + c * step, _GAP + _TEXT_HEIGHT - 3), _INK)
    for r, (label, pictures) in enumerate(rows):
        y = top + r * (cell_h + _GAP)
        write_text(sheet, label, (_GAP, y + _TEXT_HEIGHT - 3), _FAINT)
        for c, picture in enumerate(pictures):
            fitted = _fit(picture, cell_h, cell_w)
            x = left + c * step
            sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
    return sheet


def _square(side: int) -> NDArray[np.uint8]:
    return np.ones((side, side), dtype=np.uint8)


def _fit(picture: Picture, height: int, width: int) -> Picture:
    scale = min(height / picture.shape[0], width / picture.shape[1])
    if scale == 1:
        return picture
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


@cache
def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")


def text_width(text: str) -> int:
    """Width of a label in pixels."""
    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), _font(), _TEXT_HEIGHT, _WEIGHT)
    return width


def write_text(sheet: Picture, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Write a label; ``at`` is the left end of its base line (x, y), ``colour`` is BGR."""
    cv2.putText(sheet, text, at, colour, _font(), _TEXT_HEIGHT, _WEIGHT)
