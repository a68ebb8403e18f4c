"""Masks that are no plain pictures: run lengths, class indices under a palette, and coarser drawings.

``decode_mask`` in ``files/sources.py`` reads all of them; readers write run lengths with ``encode_runs``.

Run lengths become small text files in the cache, which are the same bytes on every machine. The bytes of a
PNG depend on the library that wrote it, and masks are part of a trial's id.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.files.formats import BrokenImageError
from trainables.data.spec import MaskDetail

__all__ = [
    "RUNS_SUFFIX",
    "coarsen",
    "decode_runs",
    "encode_runs",
    "highest_index",
    "holds_runs",
    "palette_as_grey",
    "parse_runs",
    "runs_in",
]

RUNS_SUFFIX = ".rle"
_RUNS = b"RLE "
_PNG_HEADER = 8 + 25  # signature and IHDR
_ROUNDING = 1e-3  # pixels; a centre on the edge of a turned box is outside on every machine


def parse_runs(text: str, pixels: int) -> list[tuple[int, int]]:
    """Pairs (first pixel, length) of a run-length text such as ``29102 12 29346 24``.

    Pixels are counted from 1, down each column and then from left to right (Kaggle's order).

    Args:
        text: Numbers with blanks between.
        pixels: Height × width of the image; no run leaves it.

    Raises:
        ValueError: With what is wrong.
    """
    try:
        numbers = [int(part) for part in text.split()]
    except ValueError as error:
        raise ValueError(f"expected numbers, {error}") from error
    if not numbers or len(numbers) % 2:
        raise ValueError(f"expected pairs of start and length, found {len(numbers)} numbers")
    runs = list(zip(numbers[::2], numbers[1::2], strict=True))
    wrong = next((run for run in runs if run[0] < 1 or run[1] < 1 or sum(run) - 1 > pixels), None)
    if wrong is not None:
        raise ValueError(f"the run {wrong[0]} {wrong[1]} leaves the image of {pixels} pixels, counted from 1")
    return runs


def encode_runs(height: int, width: int, *classes: Sequence[tuple[int, int]]) -> bytes:
    """Run lengths as a file: the same bytes on every machine, whatever its PNG library.

    Args:
        height: Of the image, pixels.
        width: The same.
        classes: Runs of the value 1, and perhaps of the class indices 2, 3 …
    """
    lines = [" ".join(f"{start} {length}" for start, length in sorted(set(runs))) for runs in classes]
    return _RUNS + "".join(f"{line}\n" for line in (f"{height} {width}", *lines)).encode()


def runs_in(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Pairs (first pixel, length) of a mask, as :func:`parse_runs` has them."""
    flat = np.concatenate([[0], mask.T.ravel(), [0]]).astype(np.int8)  # down each column
    edges = np.flatnonzero(np.diff(flat)).reshape(-1, 2)
    return [(int(first) + 1, int(end - first)) for first, end in edges]


def holds_runs(data: bytes) -> bool:
    """True where a file was written by :func:`encode_runs`."""
    return data.startswith(_RUNS)


def decode_runs(data: bytes) -> NDArray[np.uint8]:
    """Mask of a file by :func:`encode_runs`: h × w, 0/1 or class indices; overlapping runs are united.

    Raises:
        BrokenImageError: If the file is damaged.
    """
    try:
        head, *lines = data.removeprefix(_RUNS).decode("ascii").removesuffix("\n").split("\n")
        height, width = (int(side) for side in head.split())
        # A class index that a mask does not show has an empty line.
        classes = [parse_runs(line, height * width) if line or len(lines) == 1 else [] for line in lines]
    except ValueError as error:
        raise BrokenImageError(f"the run lengths are damaged: {error}") from error
    flat = np.zeros(height * width, np.uint8)
    for value, runs in enumerate(classes, start=1):
        for start, length in runs:
            flat[start - 1 : start - 1 + length] = value
    return np.ascontiguousarray(flat.reshape(width, height).T)


def highest_index(data: bytes) -> int:
    """The greatest index that a PNG with a palette can hold, 1 to 255; 0 for other files."""
    # Colour type 3 in the PNG's header; the bits beside it say how many indices there can be.
    has_palette = data.startswith(b"\x89PNG") and len(data) >= _PNG_HEADER and data[25] == 3
    return (1 << data[24]) - 1 if has_palette else 0


def palette_as_grey(data: bytes) -> bytes:
    """The PNG with its palette taken off, so that pixels decode to their indices and not to colours.

    Other files come back as they are.

    Indices of fewer than 8 bits are stretched in decoding: by 255 // ``highest_index``.
    """
    if not highest_index(data):
        return data
    # The header claims grey, its checksum is mended, and palette and transparency are left out; the pixels
    # stay as they are.
    header = data[12:25] + b"\0" + data[26:29]  # colour type 3, palette, becomes 0, grey
    parts = [data[:12], header, struct.pack(">I", zlib.crc32(header))]
    at = _PNG_HEADER
    while at + 12 <= len(data):
        end = at + 12 + int(struct.unpack_from(">I", data, at)[0])
        if data[at + 4 : at + 8] not in (b"PLTE", b"tRNS"):
            parts.append(data[at:end])
        at = end
    return b"".join(parts)


def coarsen(mask: NDArray[np.uint8], detail: MaskDetail) -> NDArray[np.uint8]:
    """A mask (h × w, 0/1) as a hastier person would draw it, each 8-connected defect by itself.

    ``box``: the smallest upright rectangle. ``turned_box``: the smallest one of any direction. ``ellipse``:
    the ellipse with the defect's centre and second moments (a pixel counts as a unit square), so that an
    ellipse stays itself. ``fine``: unchanged.
    """
    if detail == "fine":
        return mask
    count, components, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    coarse = np.zeros_like(mask)
    for label in range(1, count):
        x, y, width, height = (int(value) for value in stats[label, :4])
        if detail == "box":
            coarse[y : y + height, x : x + width] = 1
            continue
        # Both others follow the defect's own direction, which an upright box does not know.
        rows, columns = np.nonzero(components[y : y + height, x : x + width] == label)
        if detail == "turned_box":
            _draw_turned_box(coarse, rows + y, columns + x)
        else:
            _draw_ellipse(coarse, rows + y, columns + x, centres[label])
    return coarse


def _draw_turned_box(coarse: NDArray[np.uint8], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> None:
    # The corners of pixels and not their centres, so that a line of one pixel is a box one pixel wide.
    sides = [(across, down) for across in (-0.5, 0.5) for down in (-0.5, 0.5)]
    corners = np.concatenate([np.stack((columns + across, rows + down), axis=1) for across, down in sides])
    (centre_x, centre_y), (width, height), angle = cv2.minAreaRect(corners.astype(np.float32))

    # A pixel is in the box where its centre is, seen along the box's own sides.
    reach = int(np.hypot(width, height) / 2) + 1
    top, left = max(int(centre_y) - reach, 0), max(int(centre_x) - reach, 0)
    window = coarse[top : int(centre_y) + reach + 1, left : int(centre_x) + reach + 1]
    at_y, at_x = np.indices(window.shape)
    away_x, away_y = at_x + left - centre_x, at_y + top - centre_y
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    along, across = away_x * cosine + away_y * sine, away_y * cosine - away_x * sine
    window[(np.abs(along) < width / 2 - _ROUNDING) & (np.abs(across) < height / 2 - _ROUNDING)] = 1


def _draw_ellipse(
    coarse: NDArray[np.uint8], rows: NDArray[np.intp], columns: NDArray[np.intp], centre: NDArray[np.float64]
) -> None:
    points = np.stack((columns - centre[0], rows - centre[1]))
    moments = points @ points.T / points.shape[1] + np.eye(2) / 12  # 1/12: the variance of a unit square
    # The second moments of a filled ellipse are a quarter of its squared half axes.
    reach = np.ceil(2 * np.sqrt(np.diag(moments))).astype(int) + 1
    x, y = np.rint(centre).astype(int)
    top, left = max(y - reach[1], 0), max(x - reach[0], 0)
    window = coarse[top : y + reach[1] + 1, left : x + reach[0] + 1]
    # Within two standard deviations by the defect's own covariance: that is the ellipse of the same second
    # moments.
    at_y, at_x = np.indices(window.shape)
    offsets = np.stack((at_x + left - centre[0], at_y + top - centre[1])).reshape(2, -1)
    distance = np.einsum("in,in->n", offsets, np.linalg.solve(moments, offsets)).reshape(window.shape)
    window[distance <= 4] = 1
