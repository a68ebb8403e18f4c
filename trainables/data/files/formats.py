"""Reads off the bytes of an image file its size, samples and EXIF orientation, and whether it is whole.

Depending on its release, OpenCV decodes a truncated JPEG without complaint (the rest turns grey) or
says only "None", and it allocates whatever size a header states. Both are decided here, from the bytes
alone, before anything is decoded.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, NamedTuple

__all__ = [
    "IMAGE_SUFFIXES",
    "MASK_SUFFIXES",
    "BrokenImageError",
    "Header",
    "Trait",
    "as_stored",
    "examine",
    "measure",
    "orientation_of",
]

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")  # a JPEG mask has defect values that nobody drew
IMAGE_SUFFIXES = (*MASK_SUFFIXES, ".jpg", ".jpeg", ".webp")

Trait = Literal["palette", "alpha", "CMYK", "pages"]

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2  # frames with Huffman codes
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # behind the data of a scan
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class BrokenImageError(ValueError):
    """An image file that cannot be used; the text says what was found, expected, and perhaps a way out."""

    @property
    def advice(self) -> str:
        """The text with a way out: of damaged files, for which it has none, to copy them again."""
        text = str(self)
        return text if ". " in text else f"{text}. Unpack or copy it again"


@dataclass(frozen=True)
class Header:
    """Facts that an image file states about itself."""

    width: int  # pixels
    height: int
    samples: str = "uint8"  # type of a sample: uint8, uint16 (for 9 to 16 bits), float32, int16 …
    traits: tuple[Trait, ...] = ()  # contents that reading as grey or colour turns or leaves out
    form: str = ""  # the format in words, for messages: `TIFF with compression 5`
    scan_end: int = 0  # of a JPEG whose picture is one sequential scan, the byte behind it; else 0


def measure(data: bytes) -> tuple[int, int]:
    """Width and height in pixels of a whole image file.

    Raises:
        BrokenImageError: If the file is empty, of another format, or ends too early.
    """
    header = examine(data)
    return header.width, header.height


def examine(data: bytes) -> Header:
    """Examine the header of a whole JPEG, PNG, BMP, TIFF (also BigTIFF) or WebP file.

    Raises:
        BrokenImageError: If the file is empty, of another format, animated, or ends too early.
    """
    try:
        # The first bytes say what a file is. Its name may lie, and OpenCV would not tell.
        if data.startswith(b"\xff\xd8"):
            return _examine_jpeg(data)
        if data.startswith(_PNG):
            return _examine_png(data)
        if data.startswith(b"BM"):
            return _examine_bmp(data)
        if data[:4] in _TIFF:
            return _examine_tiff(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _examine_webp(data)
    except (struct.error, IndexError, OverflowError) as error:
        raise BrokenImageError(
            f"the file is truncated: it ends within its header, at byte {len(data)}"
        ) from error
    content = f"{len(data)} bytes that start with {data[:4].hex()}" if data else "an empty file"
    way_out = ". Save it as one of these, or copy it again" if data else ""
    raise BrokenImageError(f"expected a JPEG, PNG, BMP, TIFF or WebP image, found {content}{way_out}")


def _examine_jpeg(data: bytes) -> Header:
    header: Header | None = None
    frame, components, at = 0, 0, 2
    while True:  # from segment to segment: a thumbnail within one has markers of its own
        # Segments have a length, so what is in them is skipped whole.
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
            bits, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
            traits: tuple[Trait, ...] = ("CMYK",) if components == 4 else ()
            header = Header(width, height, f"uint{8 if bits == 8 else 16}", traits, f"JPEG of {bits} bits")
            frame = marker
        if marker == 0xDA:
            break
        at += 2 + length

    # A sequential picture ends with its marker. A progressive one may have it and still lack its finer scans.
    end = data.find(b"\xff\xd9", at)
    if end < 0:
        raise BrokenImageError(
            f"the JPEG is truncated: no end-of-image marker (FF D9) in its {len(data)} bytes"
        )
    if header is None:
        raise BrokenImageError(f"the JPEG is damaged: no frame header before its data at byte {at}")
    if frame in _SEQUENTIAL and data[at + 4] == components:
        return replace(header, scan_end=end)
    if frame == _PROGRESSIVE and _lacks_scans(data, at):
        raise BrokenImageError("the JPEG is truncated: scans are missing that make its picture fine")
    return header


def _lacks_scans(data: bytes, at: int) -> bool:
    """True where scans of a progressive JPEG, the first of which starts at ``at``, leave out lower bits."""
    # Each scan says which coefficients it brings and how many low bits it leaves for later ones; a whole
    # picture leaves none.
    bits_left: dict[tuple[int, int], int] = {}  # by component and coefficient
    while data[at + 1] != 0xD9:
        length = int(struct.unpack_from(">H", data, at + 2)[0])
        if data[at + 1] == 0xDA:
            ends = at + 5 + 2 * data[at + 4]
            first, last, bits = struct.unpack_from("BBB", data, ends)
            for component in data[at + 5 : ends : 2]:
                bits_left |= {(component, place): bits & 15 for place in range(first, last + 1)}
        marker = _MARKER.search(data, at + 2 + length)
        if marker is None:
            return True
        at = marker.start()
    return any(bits_left.values())


def _examine_png(data: bytes) -> Header:
    at = len(_PNG)
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    palette, alpha = colour == 3, colour in (4, 6)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        # Checksums find damage that OpenCV would decode without a word.
        if struct.unpack_from(">I", data, end - 4)[0] != zlib.crc32(data[at + 4 : end - 4]):
            raise BrokenImageError(f"the PNG is damaged: wrong checksum of its {kind.decode('latin1')} part")
        if kind == b"acTL":
            raise BrokenImageError(
                "the PNG is animated, and which picture counts is unknown. Save one of them"
            )
        alpha |= kind == b"tRNS"
        if kind == b"IEND":
            traits = _traits(palette=palette, alpha=alpha)
            return Header(width, height, "uint16" if bits == 16 else "uint8", traits, f"PNG of {bits} bits")
        at = end
    raise BrokenImageError(f"the PNG is truncated: no end part (IEND) in its {len(data)} bytes")


def _examine_bmp(data: bytes) -> Header:
    offset, header = struct.unpack_from("<II", data, 10)
    if header < 40:
        raise BrokenImageError(f"expected a BMP with a header of 40 bytes or more, found {header}")
    width, height = struct.unpack_from("<ii", data, 18)
    bits, compression = struct.unpack_from("<HI", data, 28)
    # Rows are padded to four bytes. A negative height means that the top row comes first. Compressed
    # pictures do not tell their length.
    row = (width * bits + 31) // 32 * 4
    if compression in (0, 3) and len(data) < offset + row * abs(height):
        raise BrokenImageError(
            f"the BMP is truncated: {len(data)} bytes, expected {offset + row * abs(height)}"
        )
    return Header(width, abs(height), form=f"BMP of {bits} bits for each pixel")


def _examine_webp(data: bytes) -> Header:
    stated = 8 + int(struct.unpack_from("<I", data, 4)[0])
    if len(data) < stated:
        raise BrokenImageError(f"the WebP is truncated: {len(data)} bytes, expected {stated}")
    # Three forms with headers of their own: extended, lossless and lossy.
    kind = data[12:16]
    if kind == b"VP8X":
        flags, *sides = struct.unpack_from("<B3xHBHB", data, 20)
        if flags & 0x02:
            raise BrokenImageError(
                "the WebP is animated, and which picture counts is unknown. Save one of them"
            )
        width, height = (1 + low + (high << 16) for low, high in (sides[:2], sides[2:]))
        return Header(width, height, traits=_traits(alpha=bool(flags & 0x10)), form="WebP")
    if kind == b"VP8L":  # lossless: 14 bits each of width - 1 and height - 1, one that says alpha
        bits = int(struct.unpack_from("<I", data, 21)[0])
        alpha = bool(bits >> 28 & 1)
        return Header(
            1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), traits=_traits(alpha=alpha), form="WebP"
        )
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header(width & 0x3FFF, height & 0x3FFF, form="WebP")
    raise BrokenImageError(f"the WebP is damaged: expected a picture at byte 12, found {kind!r}")


def _traits(
    *, palette: bool = False, alpha: bool = False, cmyk: bool = False, pages: bool = False
) -> tuple[Trait, ...]:
    stated: dict[Trait, bool] = {"palette": palette, "alpha": alpha, "CMYK": cmyk, "pages": pages}
    return tuple(trait for trait, is_so in stated.items() if is_so)


# TIFF: directories of tags, one for each page.

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SUBFILE = 256, 257, 258, 259, 262, 254
_ORIENTATION, _EXTRA, _FORMAT = 274, 338, 339
_PIXELS = ((273, 279), (324, 325))  # offsets and sizes of strips, and of tiles
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # of values: BYTE, SHORT, LONG, LONG8
_TIFF_SAMPLES = {1: "uint", 2: "int", 3: "float", 4: "uint"}
_MAX_PAGES = 8  # of which a thumbnail of the first is told from a second


class _Page(NamedTuple):
    tags: Mapping[int, tuple[int, ...]]
    # Of the first value of each tag: form, as ``struct`` has it, and byte.
    places: Mapping[int, tuple[str, int]]

    def value(self, tag: int, default: int) -> int:
        return (*self.tags.get(tag, ()), default)[0]


def _examine_tiff(data: bytes) -> Header:
    pages = _pages(data)
    page = next(pages)
    if not {_WIDTH, _HEIGHT} <= page.tags.keys():
        raise BrokenImageError("the TIFF is damaged: its first page states no width and height")

    # The pixels' places say how long the file must be.
    for offsets, sizes in _PIXELS:
        parts = zip(page.tags.get(offsets, ()), page.tags.get(sizes, ()), strict=False)
        end = max((offset + size for offset, size in parts), default=0)
        if end > len(data):
            raise BrokenImageError(
                f"the TIFF is truncated: its pixels reach to byte {end}, it has {len(data)}"
            )
    bits, photometric = page.value(_BITS, 1), page.value(_PHOTOMETRIC, 1)
    stored = 8 if bits <= 8 else 16 if bits <= 16 else bits
    samples = f"{_TIFF_SAMPLES.get(page.value(_FORMAT, 1), 'complex')}{stored}"
    traits = _traits(
        palette=photometric == 3,
        alpha=bool(page.tags.get(_EXTRA)),
        cmyk=photometric == 5,
        # A smaller copy of the first page says of itself that it is one.
        pages=any(not other.value(_SUBFILE, 0) & 1 for other in islice(pages, _MAX_PAGES)),
    )
    form = f"TIFF of {bits} bits with compression {page.value(_COMPRESSION, 1)}, photometric {photometric}"
    return Header(page.tags[_WIDTH][0], page.tags[_HEIGHT][0], samples, traits, form)


def _pages(data: bytes) -> Iterator[_Page]:
    """The first page of a TIFF, and those that follow; without end where the last leads back to another."""
    # Bytes come in either order, and BigTIFF has wider numbers.
    order = "<" if data[:2] == b"II" else ">"
    big = b"+" in data[:4]
    head, step, number = (8, 20, "Q") if big else (2, 12, "I")
    at = int(struct.unpack_from(f"{order}{number}", data, 8 if big else 4)[0])
    while True:
        entries = int(struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)[0])
        tags: dict[int, tuple[int, ...]] = {}
        places: dict[int, tuple[str, int]] = {}
        for place in range(at + head, at + head + step * entries, step):
            tag, kind, count = struct.unpack_from(f"{order}HH{number}", data, place)
            if kind not in _TIFF_TYPES:
                continue
            values = struct.Struct(f"{order}{count}{_TIFF_TYPES[kind]}")
            value_at = place + 4 + struct.calcsize(number)
            if values.size > struct.calcsize(number):
                value_at = struct.unpack_from(f"{order}{number}", data, value_at)[0]
            tags[tag] = values.unpack_from(data, value_at)
            places[tag] = f"{order}{_TIFF_TYPES[kind]}", value_at
        yield _Page(tags, places)
        at = struct.unpack_from(f"{order}{number}", data, at + head + step * entries)[0]
        if not at:
            return


# EXIF holds a TIFF of tags alone. Viewers turn a photo as it says, and readers of pixels do not.

_SEARCHED = 1 << 16  # bytes: EXIF stands before the pixels
_EXIF = (b"Exif\0\0", b"eXIf", b"EXIF")  # in JPEG, PNG and WebP


def orientation_of(data: bytes) -> int:
    """The orientation that an image file states, 1 to 8; 1 (as stored) where it states none.

    From 5 on, viewers show height and width exchanged.
    """
    start = _start_of_tags(data)
    if data[start : start + 2] not in (b"II", b"MM"):
        return 1
    try:
        value = next(_pages(data[start:])).value(_ORIENTATION, 1)
    except (struct.error, OverflowError):  # cut off, and told by who decodes the pixels
        return 1
    return value if 1 <= value <= 8 else 1


def as_stored(data: bytes) -> bytes:
    """``data``, a TIFF without its orientation: OpenCV turns TIFFs even when it is told not to."""
    place = next(_pages(data)).places.get(_ORIENTATION) if data[:4] in _TIFF else None
    if place is None:
        return data
    form, at = place
    return data[:at] + struct.pack(form, 1) + data[at + struct.calcsize(form) :]


def _start_of_tags(data: bytes) -> int:
    """The place of the header of a TIFF, or of the tags that EXIF holds; the end of the file without any."""
    if data[:4] in _TIFF:
        return 0
    head = data[:_SEARCHED]
    at = next((head.find(start) + len(start) for start in _EXIF if start in head), len(data))
    if head[:4] == b"RIFF" and head[at : at + 2] not in (b"II", b"MM"):
        return at + 4
    return at
