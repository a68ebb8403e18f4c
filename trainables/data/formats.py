"""Reads off the first and last bytes of an image file its size, and whether the file is whole.

Depending on its release, OpenCV decodes a truncated JPEG without complaint (the rest turns grey) or
says only "None", and it allocates whatever size a header states. Both are decided here, from the bytes
alone, before anything is decoded.
"""

from __future__ import annotations

import struct
import zlib

__all__ = ["IMAGE_SUFFIXES", "MASK_SUFFIXES", "BrokenImageError", "measure"]

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")  # a JPEG mask has defect values that nobody drew
IMAGE_SUFFIXES = (*MASK_SUFFIXES, ".jpg", ".jpeg")

_PNG = b"\x89PNG\r\n\x1a\n"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class BrokenImageError(ValueError):
    """An image file that cannot be used; the text says what was found and expected."""


def measure(data: bytes) -> tuple[int, int]:
    """Width and height in pixels of a whole JPEG, PNG, BMP or TIFF file.

    Raises:
        BrokenImageError: If the file is empty, of another format, or ends too early.
    """
    try:
        if data.startswith(b"\xff\xd8"):
            return _measure_jpeg(data)
        if data.startswith(_PNG):
            return _measure_png(data)
        if data.startswith(b"BM"):
            return _measure_bmp(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _measure_tiff(data)
    except (struct.error, IndexError) as error:
        raise BrokenImageError(
            f"the file is truncated: it ends within its header, at byte {len(data)}"
        ) from error
    content = f"{len(data)} bytes that start with {data[:4].hex()}" if data else "an empty file"
    raise BrokenImageError(f"expected a JPEG, PNG, BMP or TIFF image, found {content}")


def _measure_jpeg(data: bytes) -> tuple[int, int]:
    size: tuple[int, int] | None = None
    at = 2
    while True:  # from segment to segment: a thumbnail within one has markers of its own
        marker = data[at + 1]
        if data[at] != 0xFF:
            raise BrokenImageError(f"the JPEG is damaged: no marker at byte {at}")
        if marker in (0xFF, 0x01):
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            raise BrokenImageError(f"the JPEG holds no image data: it ends at byte {at}")
        length = int(struct.unpack_from(">H", data, at + 2)[0])
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = (int(width), int(height))
        at += 2 + length
        if marker == 0xDA:
            break
    if data.find(b"\xff\xd9", at) < 0:
        raise BrokenImageError(
            f"the JPEG is truncated: no end-of-image marker (FF D9) in its {len(data)} bytes"
        )
    if size is None:
        raise BrokenImageError(f"the JPEG is damaged: no frame header before its data at byte {at}")
    return size


def _measure_png(data: bytes) -> tuple[int, int]:
    at = len(_PNG)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        if struct.unpack_from(">I", data, end - 4)[0] != zlib.crc32(data[at + 4 : end - 4]):
            raise BrokenImageError(f"the PNG is damaged: wrong checksum of its {kind.decode('latin1')} part")
        if kind == b"IEND":
            width, height = struct.unpack_from(">II", data, 16)
            return int(width), int(height)
        at = end
    raise BrokenImageError(f"the PNG is truncated: no end part (IEND) in its {len(data)} bytes")


def _measure_bmp(data: bytes) -> tuple[int, int]:
    offset, header = struct.unpack_from("<II", data, 10)
    if header < 40:
        raise BrokenImageError(f"expected a BMP with a header of 40 bytes or more, found {header}")
    width, height = struct.unpack_from("<ii", data, 18)
    bits, compression = struct.unpack_from("<HI", data, 28)
    row = (width * bits + 31) // 32 * 4
    if compression in (0, 3) and len(data) < offset + row * abs(height):
        raise BrokenImageError(
            f"the BMP is truncated: {len(data)} bytes, expected {offset + row * abs(height)}"
        )
    return int(width), abs(int(height))


def _measure_tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    at = int(struct.unpack_from(f"{order}I", data, 4)[0])
    entries = int(struct.unpack_from(f"{order}H", data, at)[0])
    sides: dict[int, int] = {}
    for entry in range(entries):
        tag, kind = struct.unpack_from(f"{order}HH", data, at + 2 + 12 * entry)
        if tag in (256, 257):  # ImageWidth, ImageLength: a SHORT (3) or a LONG (4)
            value = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, at + 10 + 12 * entry)
            sides[tag] = int(value[0])
    if len(sides) != 2:
        raise BrokenImageError(
            f"the TIFF is damaged: its first page states no width and height, only {len(sides)} of the two"
        )
    return sides[256], sides[257]
