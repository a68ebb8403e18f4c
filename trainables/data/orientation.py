"""The EXIF orientation of a photo: viewers turn it, and readers of pixels do not."""

from __future__ import annotations

import struct

__all__ = ["orientation_of"]

_TAG = 0x0112
_SEARCHED = 1 << 16  # bytes: EXIF stands before the pixels
_STARTS = (b"Exif\0\0", b"eXIf", b"EXIF")  # in JPEG, PNG and WebP


def orientation_of(data: bytes) -> int:
    """The orientation that an image file states, 1 to 8; 1 (as stored) where it states none.

    From 5 on, viewers show height and width exchanged.
    """
    head = data[:_SEARCHED]
    at = next((head.find(start) + len(start) for start in _STARTS if start in head), None)
    if head[:4] in (b"II*\0", b"MM\0*"):
        at = 0
    if at is None:
        return 1
    block = data[at + 4 :] if head[:4] == b"RIFF" and head[at : at + 2] not in (b"II", b"MM") else data[at:]
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        start = int(struct.unpack_from(f"{order}I", block, 4)[0])
        count = int(struct.unpack_from(f"{order}H", block, start)[0])
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * entry)
            if tag == _TAG:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # cut off, and told by who decodes the pixels
        return 1
    return 1
