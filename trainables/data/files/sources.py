"""Image files are found and opened here: paths stay below the root, and decoding is strict.

``confine`` guards every path, ``decode_image`` and ``decode_mask`` every file. Both raise with the
file's name, what was found and what was expected.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.files.archives import unpack
from trainables.data.files.atomic import why_unread
from trainables.data.files.formats import BrokenImageError, Header, as_stored, examine, measure
from trainables.data.masks import decode_runs, highest_index, holds_runs, palette_as_grey
from trainables.errors import InputError, StorageError

__all__ = [
    "FULL_WHITE",
    "MAX_PIXELS",
    "DataFolders",
    "confine",
    "decode_deep",
    "decode_image",
    "decode_indices",
    "decode_mask",
    "decode_stored",
    "defect_pixels",
    "read_bytes",
    "read_samples",
    "resize_image",
    "size_and_time",
    "strongest_channel",
]

MAX_PIXELS = 1 << 27  # 134 million: a line-scan image of 8k × 16k; more is taken for a mistake or a bomb

FULL_WHITE = 65535
_ROUNDING = 1 + 1e-6  # of floats that were resized or converted

_AHEAD = bytes(16)  # behind the last scan of a JPEG: libjpeg reads up to 8 bytes ahead

# Pixels as stored: a mask knows no EXIF orientation, so the image must not turn either.
_STORED = cv2.IMREAD_IGNORE_ORIENTATION


@dataclass(frozen=True)
class DataFolders:
    """Folders of a reader: it may read the data root, if one was given, and write the cache."""

    root: Path | None
    cache: Path

    def below_root(self, reader: str, path: str | None) -> Path:
        """The data root, or what ``data.path`` names below it: a folder or file, unpacked if it is a zip."""
        # Each of these mistakes has its own way out; found later, all would read as "no such file".
        if self.root is None:
            raise InputError(
                f"reader {reader} reads files: no data root was given. Pass --data ROOT or set ASSAY_DATA."
            )
        if not os.path.isdir(self.root):
            raise InputError(
                f"the data root is a folder, {_why_no_folder(self.root)}. Pass --data ROOT with one."
            )
        if path is None:
            return self.root
        start = confine(self.root, path)
        if not start.exists():
            raise InputError(
                f"data.path: {path} is not below the data root {self.root}. Found none; check both."
            )
        return unpack(start, self.cache) if start.suffix.lower() == ".zip" else start

    def find(self, start: Path, holds: Callable[[Path], bool], *names: str, expected: str) -> Path:
        """The folder that satisfies ``holds``: ``start``, or below it the first ``name`` or ``name.zip``.

        Raises:
            InputError: If there is none; ``expected`` is what it should have been.
        """
        folder = self._search(start, holds, *names)
        if folder is None:
            raise InputError(f"{start} holds no {expected}. Give --data the folder that holds it.")
        return folder

    def _search(self, start: Path, holds: Callable[[Path], bool], *names: str) -> Path | None:
        if holds(start):
            return start
        for name in names:
            folder, archive = confine(start, name), confine(start, f"{name}.zip")
            if holds(folder):
                return folder
            within = self._search(unpack(archive, self.cache), holds, name) if archive.is_file() else None
            if within is not None:
                return within
        return None


def _why_no_folder(path: Path) -> str:
    """Words for what is found in place of a folder."""
    try:
        path.stat()
    except OSError as error:
        if os.path.islink(path):
            return f"found {path}, a link to {os.readlink(path)} ({error.strerror})"
        return why_unread(error, path, path.parent) or f"found nothing at {path} ({error.strerror})"
    return f"found the file {path}"


def confine(root: Path, relative: str) -> Path:
    """``root / relative``, with links followed, if that is still below ``root``.

    Raises:
        InputError: If the path is absolute, leaves the root by ``..`` or by a link, or is a link to itself.
    """
    if "\0" in relative:
        raise InputError(f"{relative!r} is no path: it holds a zero byte. Correct it.")
    # Links are followed first, so a link out of the root is refused like a path out of it.
    base = root.resolve()
    try:
        path = (base / relative).resolve()
        leads_to_itself = os.path.islink(path)  # all other links were followed
    except RuntimeError:  # Python below 3.13 says so itself
        path, leads_to_itself = base / relative, True
    if leads_to_itself:
        raise InputError(f"{relative} is a link that leads to itself; expected a file. Copy the file there.")
    if Path(relative).is_absolute() or not path.is_relative_to(base):
        raise InputError(
            f"{relative} leaves the data root: it leads to {path}, expected a file below {base}. "
            "Copy the file below the root, or give the root that holds it."
        )
    return path


def read_bytes(root: Path, relative: str) -> bytes:
    """The content of a file below ``root``.

    Raises:
        BrokenImageError: If the file is missing or cannot be read.
        InputError: If the path leaves the root.
        StorageError: If the root is gone, or its disk does not answer.
    """
    path = confine(root, relative)
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise BrokenImageError(
                f"expected a plain file, found a folder, pipe or device called {path.name}"
            )
        return path.read_bytes()
    except OSError as error:
        # An unreachable disk is an affair of the storage and may pass; a file that is missing or barred is
        # a fault of the data, told beside all others.
        why = why_unread(error, path, root)
        if why is not None and error.errno not in (errno.EACCES, errno.EPERM):
            raise StorageError(f"data that were listed cannot be read: {why}.") from error
        if isinstance(error, FileNotFoundError):
            raise BrokenImageError("the file is missing") from error
        raise BrokenImageError(why or f"the file cannot be read: {error.strerror}") from error


def read_samples(data: bytes) -> tuple[Header, NDArray[Any]]:
    """The header of an image file, and its pixels as stored: of 8 bits as grey, h × w, else with channels.

    Raises:
        BrokenImageError: If the file is truncated, damaged or too large, or its samples cannot be read.
    """
    header = _examine(data)
    image = (
        _decode(data, cv2.IMREAD_GRAYSCALE)
        if header.samples == "uint8"
        else _decode_deep(data, header, cv2.IMREAD_UNCHANGED)
    )
    return header, image


def decode_image(data: bytes, channels: int, white: float = 255) -> NDArray[np.uint8]:
    """Pixels of an image file: H × W × C, uint8, C = 1 grey or 3 BGR.

    Args:
        data: The file.
        channels: 1 or 3.
        white: The value that becomes 255, of images with more than 8 bits or floating point; those of 8 bits
            stay as they are. Values are rounded. At 65535 16-bit images keep their upper byte.

    Raises:
        BrokenImageError: If the file is truncated, damaged or too large, or goes beyond ``white``.
    """
    header = _examine(data)
    # 8 bits are as they are. More become 8 by one white point for the whole set, or brightness would differ
    # from image to image.
    colour = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    if header.samples == "uint8" or (header.samples == "uint16" and white == FULL_WHITE):
        image = _decode(data, colour)
    else:
        deep = _decode_deep(data, header, colour | cv2.IMREAD_ANYDEPTH)
        _check_range(float(deep.max()), header.samples, white)
        image = cv2.convertScaleAbs(_in_channels(deep, channels), alpha=255 / white)  # it rounds
    return np.asarray(image.reshape(*image.shape[:2], channels), dtype=np.uint8)


def decode_deep(data: bytes, channels: int, white: float = 255) -> NDArray[Any]:
    """Pixels of an image file with its bits: H × W × C, uint8 or uint16, C = 1 grey or 3 BGR.

    Values of 8 and 16 bits are as stored; floating point becomes 16 bits, ``white`` 65535.

    Raises:
        BrokenImageError: If the file is truncated, damaged or too large, or goes beyond ``white``.
    """
    header = _examine(data)
    if header.samples == "uint8":
        return decode_image(data, channels, white)
    colour = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    deep = _decode_deep(data, header, colour | cv2.IMREAD_ANYDEPTH)
    _check_range(float(deep.max()), header.samples, white)
    image = _in_channels(deep, channels)
    if header.samples != "uint16":
        image = np.rint(np.clip(image.astype(np.float64) / white, 0, 1) * FULL_WHITE)
    return image.reshape(*image.shape[:2], channels).astype(np.uint16)


def _check_range(peak: float, samples: str, white: float) -> None:
    """Refuse an image that ``white`` does not fit: too bright, or floats of 0 to 1 under an integer's."""
    if peak > white * _ROUNDING:
        raise BrokenImageError(
            f"no value is above the white point {white:g}, found {samples} values up to {peak:g}. Give the "
            "white point that it was taken with (`--white` of assay predict; 1023: 10 bits, "
            "4095: 12 bits, 65535: 16 bits)"
        )
    if samples == "float32" and 0 < peak <= 1 < white:
        raise BrokenImageError(
            f"the white point is {white:g}, found floats up to {peak:g}, as if it were 1. Save the "
            "image like those that the white point was chosen for"
        )


def _in_channels(image: NDArray[Any], channels: int) -> NDArray[Any]:
    if (image.ndim == 3) == (channels == 3):
        return image
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if channels == 3 else cv2.COLOR_BGR2GRAY)


def _decode_deep(data: bytes, header: Header, flags: int) -> NDArray[Any]:
    """Samples of more than 8 bits, h × w or h × w × 3: uint16 or float32, finite and not negative."""
    # Samples with a sign or of 32 bits come from other measurements than photographs; nobody knows what is
    # black.
    if header.samples not in ("uint16", "float32", "float64"):
        raise BrokenImageError(
            f"images have samples of 8 or 16 bits without sign, or floats; found {header.samples} "
            f"({header.form}). Save as one of them"
        )
    if "CMYK" in header.traits:
        raise BrokenImageError(f"CMYK is read with 8 bits alone, found {header.form}. Save as grey or RGB")
    # OpenCV turns floats into grey or colour in one of the two directions alone.
    image = _decode(data, flags if header.samples == "uint16" else cv2.IMREAD_UNCHANGED)

    # OpenCV hands transparency on as a further channel, grey with transparency as two.
    if image.ndim == 3:
        image = np.ascontiguousarray(image[..., :3] if image.shape[2] > 2 else image[..., 0])  # no alpha
    if header.samples != "uint16":
        image = image.astype(np.float32)
        _refuse_not_finite(image)
        if image.min() < 0:
            raise BrokenImageError(
                f"values go down to {float(image.min()):g}; expected 0 to the white point. Shift them"
            )
    return image


def _refuse_not_finite(pixels: NDArray[Any]) -> None:
    wrong = np.count_nonzero(~np.isfinite(pixels)) if pixels.dtype.kind == "f" else 0
    if wrong:
        raise BrokenImageError(f"{wrong} values are no finite number (NaN or infinite). Replace them")


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """``image`` (H × W × C) at ``size`` (height, width), bilinearly; its aspect is not kept."""
    height, width = size
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized.reshape(height, width, image.shape[2]), np.uint8)


def size_and_time(path: Path) -> tuple[int, int] | None:
    """Bytes and time of change of a file, which tell that it changed; None of a link that leads nowhere."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def decode_mask(data: bytes, above: int, indices: Sequence[int] | None = None) -> NDArray[np.uint8]:
    """Mask of an image file: h × w, 1 where the stored value is greater than ``above``, else 0.

    With ``indices``: 1 where the class index is one of them. Run lengths by ``encode_runs`` are read too.

    OpenCV expands palettes (index 1 of KolektorSDD's labels reads as 255, one of them as 85); index 0 is
    black in all of them, so "non-zero" means the same on indices and on grey values. Of a colour mask the
    strongest channel counts; transparency does not.

    Raises:
        BrokenImageError: If the file is truncated, damaged or too large.
    """
    if holds_runs(data):
        shown = decode_runs(data)
        return (shown > 0 if indices is None else np.isin(shown, indices)).astype(np.uint8)
    if indices is not None:
        return np.isin(decode_indices(data), indices).astype(np.uint8)
    return defect_pixels(decode_stored(data), above)


def decode_stored(data: bytes) -> NDArray[Any]:
    """Pixels of a mask as the file holds them, h × w or h × w × channels (BGR, BGR and alpha); runs as 0/255.

    Raises:
        BrokenImageError: If the file is truncated, damaged or too large, or a value is no finite number.
    """
    if holds_runs(data):
        return (decode_runs(data) > 0) * np.uint8(255)
    stored = _decode(data, cv2.IMREAD_UNCHANGED)
    _refuse_not_finite(stored)
    return stored


def defect_pixels(stored: NDArray[Any], above: int) -> NDArray[np.uint8]:
    """h × w, 1 where the strongest channel of stored pixels is greater than ``above``, else 0."""
    return (strongest_channel(stored) > above).astype(np.uint8)


def strongest_channel(stored: NDArray[Any]) -> NDArray[Any]:
    """h × w of stored pixels, transparency left out."""
    if stored.ndim == 2:
        return stored
    return stored[..., :3].max(axis=2) if stored.shape[2] > 2 else stored[..., 0]


def decode_indices(data: bytes) -> NDArray[np.uint16]:
    """Class indices of a mask, h × w: the grey value, or the index into the palette of a PNG.

    Raises:
        BrokenImageError: If the file is truncated, damaged, too large, or in colour.
    """
    if holds_runs(data):
        return decode_runs(data).astype(np.uint16)
    measure(data)  # checksums are of the file as it is stored
    indices = _decode(palette_as_grey(data), cv2.IMREAD_UNCHANGED)
    if indices.ndim == 3:
        raise BrokenImageError(
            f"a mask of class indices is grey or has a palette, found "
            f"{indices.shape[2]} channels of colour. Save as grey"
        )
    # Indices of a palette of 1, 2 or 4 bits are stretched in decoding, so they are divided by that factor
    # again.
    return indices.astype(np.uint16) // (255 // (highest_index(data) or 255))


def _examine(data: bytes) -> Header:
    header = examine(data)
    pixels = header.width * header.height
    if not 0 < pixels <= MAX_PIXELS:
        raise BrokenImageError(
            f"{header.width} × {header.height} pixels; expected 1 to {MAX_PIXELS} pixels in all"
            f"{'. Cut it into smaller images' if pixels else ''}"
        )
    return header


def _decode(data: bytes, flags: int) -> NDArray[Any]:
    header = _examine(data)
    # A JPEG whose data end too early is filled up with grey before an end marker, and fails without one.
    read = data[: header.scan_end] + _AHEAD if header.scan_end else as_stored(data)
    try:
        image = cv2.imdecode(np.frombuffer(read, np.uint8), flags | _STORED)
    except cv2.error:
        image = None  # as of most damaged files
    if image is None or image.shape[:2] != (header.height, header.width):
        raise BrokenImageError(
            "the image data is damaged and cannot be decoded, or OpenCV "
            f"{cv2.__version__} cannot read this form ({header.form}): {len(data)} bytes for "
            f"{header.width} × {header.height} pixels"
        )
    return image
