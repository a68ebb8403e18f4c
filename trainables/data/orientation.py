"""The EXIF orientation of a photo: viewers turn it, and readers of pixels do not."""

from __future__ import annotations

import struct

__all__ = ["as_stored", "orientation_of"]

_TAG = 0x0112
_SEARCHED = 1 << 16  # bytes: EXIF stands before the pixels
_STARTS = (b"Exif\0\0", b"eXIf", b"EXIF")  # in JPEG, PNG and WebP
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
_KINDS = {1: "B", 3: "H", 4: "I"}  # of the tag's value: BYTE, SHORT, LONG


def orientation_of(data: bytes) -> int:
    """The orientation that an image file states, 1 to 8; 1 (as stored) where it states none.

    From 5 on, viewers show height and width exchanged.
    """
    tag = _find(data)
    if tag is None:
        return 1
    form, at = tag
    value = int(struct.unpack_from(form, data, at)[0])
    return value if 1 <= value <= 8 else 1


def as_stored(data: bytes) -> bytes:
    """``data``, a TIFF without its orientation: OpenCV turns TIFFs even when it is told not to."""
    tag = _find(data) if data[:4] in _TIFF else None
    if tag is None:
        return data
    form, at = tag
    return data[:at] + struct.pack(form, 1) + data[at + struct.calcsize(form) :]


def _find(data: bytes) -> tuple[str, int] | None:
    """Form and place of the value of the tag, as ``struct`` reads it; None where there is none."""
    start = _start_of_tags(data)
    order = None if start is None else {b"II": "<", b"MM": ">"}.get(data[start : start + 2])
    if start is None or order is None:
        return None
    big = b"+" in data[start : start + 4]
    entry, step, head = ("HHQ", 20, 8) if big else ("HHI", 12, 2)
    try:
        at = start + int(struct.unpack_from(f"{order}{entry[-1]}", data, start + (8 if big else 4))[0])
        count = int(struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)[0])
        for place in range(at + head, at + head + step * count, step):
            number, kind, _ = struct.unpack_from(f"{order}{entry}", data, place)
            if number == _TAG and kind in _KINDS:
                return f"{order}{_KINDS[kind]}", place + struct.calcsize(f"{order}{entry}")
    except (struct.error, OverflowError):  # cut off, and told by who decodes the pixels
        return None
    return None


def _start_of_tags(data: bytes) -> int | None:
    """The place of the header of a TIFF, or of the tags that EXIF holds."""
    if data[:4] in _TIFF:
        return 0
    head = data[:_SEARCHED]
    at = next((head.find(start) + len(start) for start in _STARTS if start in head), None)
    if at is not None and head[:4] == b"RIFF" and head[at : at + 2] not in (b"II", b"MM"):
        return at + 4
    return at
