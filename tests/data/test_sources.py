from __future__ import annotations

import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.data.made_images import dot, noise, write
from trainables.data.files.formats import BrokenImageError, measure, orientation_of
from trainables.data.files.sources import MAX_PIXELS, confine, decode_image, decode_mask
from trainables.errors import InputError


def encoded(suffix: str) -> bytes:
    ok, data = cv2.imencode(suffix, noise(0, 40, 60))
    assert ok
    return data.tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_size_is_read_from_the_header(suffix: str) -> None:
    assert measure(encoded(suffix)) == (60, 40)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_truncated_image_is_refused(suffix: str, kept: float) -> None:
    data = encoded(suffix)
    with pytest.raises(BrokenImageError, match="truncated"):
        decode_image(data[: int(len(data) * kept)], channels=1)


def test_end_marker_of_a_thumbnail_does_not_hide_a_truncated_jpeg() -> None:
    data = encoded(".jpg")
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + 12) + b"Exif\0\0..\xff\xd8\xff\xd9"
    with_thumbnail = data[:2] + thumbnail + data[2:]
    assert measure(with_thumbnail) == (60, 40)
    with pytest.raises(BrokenImageError, match="no end-of-image marker"):
        measure(with_thumbnail[:-40])


JPEGS: dict[str, dict[str, Any]] = {
    "grey": {"mode": "L"},
    "colour": {"mode": "RGB"},
    "full colour": {"mode": "RGB", "subsampling": 0},
    "CMYK": {"mode": "CMYK"},
    "restart markers": {"mode": "RGB", "restart_marker_rows": 1},
    "progressive": {"mode": "RGB", "progressive": True},
}


def jpeg(mode: str, height: int = 83, width: int = 61, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(0, height, width)).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_cut_jpeg_with_an_end_marker_is_refused(options: dict[str, Any]) -> None:
    data = jpeg(**options)
    with pytest.raises(BrokenImageError, match=r"damaged|truncated"):
        decode_image(data[: len(data) // 2] + b"\xff\xd9", channels=1)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (83, 61)])
@pytest.mark.parametrize("after", [b"", b"\0" * 64, jpeg("L")], ids=["end", "zeros", "second picture"])
@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_whole_jpeg_has_the_pixels_that_opencv_gives_it(
    options: dict[str, Any], after: bytes, size: tuple[int, int], capfd: pytest.CaptureFixture[str]
) -> None:
    data = jpeg(height=size[0], width=size[1], **options) + after
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decode_image(data, channels=3), expected)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("form", "options"),
    [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"big_tiff": True})],
)
def test_pixels_are_read_as_stored_whatever_orientation_is_stated(
    form: str, options: dict[str, Any], orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(noise(0)).save(file, form, exif=exif, **options)
    assert orientation_of(file.getvalue()) == orientation
    np.testing.assert_array_equal(decode_image(file.getvalue(), channels=1)[..., 0], noise(0))


def test_flipped_byte_in_a_png_is_refused() -> None:
    data = bytearray(encoded(".png"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(BrokenImageError, match="checksum"):
        decode_image(bytes(data), channels=1)


def test_image_beyond_the_pixel_cap_is_refused_before_it_is_decoded() -> None:
    def part(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = part(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")
    with pytest.raises(BrokenImageError, match=f"60000 × 60000 pixels; expected 1 to {MAX_PIXELS}"):
        decode_image(bomb, channels=1)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<html>no image</html>"])
def test_file_of_another_format_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenImageError, match="expected a JPEG, PNG, BMP, TIFF or WebP"):
        decode_image(data, channels=1)


@pytest.mark.parametrize(("value", "above", "defect"), [(1, 0, True), (127, 127, False), (128, 127, True)])
def test_mask_pixel_is_defect_above_the_readers_level(value: int, above: int, defect: bool) -> None:
    ok, data = cv2.imencode(".png", dot(value=value))
    assert ok
    mask = decode_mask(data.tobytes(), above)
    assert mask.dtype == np.uint8
    assert mask.sum() == (9 if defect else 0)


def test_sixteen_bit_mask_keeps_its_values() -> None:
    ok, data = cv2.imencode(".png", dot().astype(np.uint16) // 255 * 200)
    assert ok
    assert decode_mask(data.tobytes(), 0).sum() == 9


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_mask_with_a_value_that_is_no_number_is_refused(value: float) -> None:
    mask = dot().astype(np.float32)
    mask[0, 0] = value
    with pytest.raises(BrokenImageError, match="1 values are no finite number"):
        decode_mask(cv2.imencode(".tif", mask)[1].tobytes(), above=0)


def test_any_channel_of_a_colour_mask_counts_and_transparency_does_not() -> None:
    mask = np.zeros((12, 16, 4), np.uint8)
    mask[..., 3] = 255
    mask[3, 4, 0] = 1  # nearly black blue: its grey value would round to 0
    ok, data = cv2.imencode(".png", mask)
    assert ok
    assert decode_mask(data.tobytes(), 0).sum() == 1


@pytest.mark.parametrize("path", ["../outside.png", "a/../../outside.png", "/etc/hostname"])
def test_path_that_leaves_the_root_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leaves the data root"):
        confine(tmp_path, path)


def test_link_that_leaves_the_root_is_refused_and_one_within_is_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    inside = write(root / "inside.png", noise(0))
    outside = write(tmp_path / "outside.png", noise(1))
    os.symlink(outside, root / "away.png")
    os.symlink(inside, root / "near.png")
    assert confine(root, "near.png") == inside
    with pytest.raises(InputError, match=r"away\.png leaves the data root: it leads to .*outside\.png"):
        confine(root, "away.png")
