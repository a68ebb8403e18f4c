"""Bits, transparency and forms of image files."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.data.cases.case import Case
from tests.data.made_images import dot, noise, write

__all__ = ["CASES"]

FOLDER = {"reader": "folder"}
Encode = Callable[[NDArray[np.uint8]], bytes]


def surfaces(encode: Encode, suffix: str, *, last: Encode | None = None) -> Callable[[Path], None]:
    """Write six normal and six defective images; the last defective one as ``last`` writes it."""

    def make(root: Path) -> None:
        for index in range(12):
            pixels = noise(index)
            pixels[0, 0] = 255
            path = root / ("good" if index < 6 else "defect") / f"{index:02d}{suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes((last if last is not None and index == 11 else encode)(pixels))
            if index >= 6:
                write(root / "masks" / f"{index:02d}.png", dot())

    return make


def plain(suffix: str, *options: int) -> Encode:
    return lambda pixels: cv2.imencode(suffix, pixels, options)[1].tobytes()


def scaled(suffix: str, white: float, kind: type[np.generic] = np.uint16, channels: int = 1) -> Encode:
    """Values of 0 to ``white``; floats keep fractions."""

    def encode(pixels: NDArray[np.uint8]) -> bytes:
        values = pixels * (white / 255)
        values = (values if np.issubdtype(kind, np.floating) else np.rint(values)).astype(kind)
        return cv2.imencode(suffix, np.dstack([values] * channels))[1].tobytes()

    return encode


def spoiled(value: float) -> Encode:
    """Floats of 0 to 1, one pixel of which is ``value``."""

    def encode(pixels: NDArray[np.uint8]) -> bytes:
        values = pixels / np.float32(255)
        values[3, 3] = value
        return cv2.imencode(".tif", values)[1].tobytes()

    return encode


def pillow(form: str, mode: str = "RGB", frames: int = 1, **options: Any) -> Encode:
    def encode(pixels: NDArray[np.uint8]) -> bytes:
        image = Image.fromarray(pixels).convert("RGB").convert(mode)
        others = [Image.fromarray(np.roll(pixels, shift)).convert(mode) for shift in range(1, frames)]
        file = io.BytesIO()
        image.save(file, form, **(options | ({"save_all": True, "append_images": others} if others else {})))
        return file.getvalue()

    return encode


def cut(encode: Encode) -> Encode:
    return lambda pixels: encode(pixels)[: len(encode(pixels)) // 2]


def ended(encode: Encode) -> Encode:
    """A JPEG without its last bytes, but with an end marker."""
    return lambda pixels: encode(pixels)[:-80] + b"\xff\xd9"


def case(name: str, make: Callable[[Path], None], outcome: Any, says: str, **settings: object) -> Case:
    return Case(name, make, FOLDER | settings, outcome, (says,))


_TWELVE = scaled(".tif", 4095)
_WEBP = plain(".webp", cv2.IMWRITE_WEBP_QUALITY, 101)

CASES = (
    case("8-bit PNGs", surfaces(plain(".png"), ".png"), "read", "pixels: 8 bits"),
    case(
        "8-bit values in 16-bit PNGs",
        surfaces(scaled(".png", 255), ".png"),
        "read",
        "pixels: 16-bit files with values up to 255, read with white 255 (8 bits)",
    ),
    case(
        "10-bit values in 16-bit TIFFs",
        surfaces(scaled(".tif", 1023), ".tif"),
        "read",
        "pixels: 16-bit files with values up to 1023, read with white 1023 (10 bits)",
    ),
    case(
        "12-bit values in 16-bit TIFFs",
        surfaces(_TWELVE, ".tif"),
        "read",
        "pixels: 16-bit files with values up to 4095, read with white 4095 (12 bits)",
    ),
    case(
        "12-bit colour in 16-bit PNGs",
        surfaces(scaled(".png", 4095, channels=3), ".png"),
        "read",
        "pixels: 16-bit files with values up to 4095, read with white 4095 (12 bits)",
    ),
    case(
        "16-bit PNGs",
        surfaces(scaled(".png", 65535), ".png"),
        "read",
        "pixels: 16-bit files with values up to 65535, read with white 65535 (16 bits)",
    ),
    case(
        "14-bit values and `white: 16383`",
        surfaces(scaled(".tif", 16383), ".tif"),
        "read",
        "pixels: 16-bit files with values up to 16383, read with white 16383",
        white=16383,
    ),
    case(
        "14-bit values without `white`",
        surfaces(scaled(".tif", 16383), ".tif"),
        "warned",
        "64 of 256 grey levels: values up to 16383, white 65535. If the camera has 14 bits, set "
        "`data: {white: 16383}`",
    ),
    case(
        "8-bit among 12-bit images",
        surfaces(_TWELVE, ".tif", last=plain(".tif")),
        "refused",
        "images of one set have samples of one type, found uint8 in 1 of 12 images (defect/11.tif)",
    ),
    case(
        "one 16-bit among 12-bit images",
        surfaces(_TWELVE, ".tif", last=scaled(".tif", 65535)),
        "refused",
        "found values up to 65535 in 1 of 12 images (defect/11.tif) and none above 4095 in the others",
    ),
    case(
        "12-bit images and `white: 1023`",
        surfaces(_TWELVE, ".tif"),
        "refused",
        "no value is above white 1023, found up to 4095 in 12 of 12 images",
        white=1023,
    ),
    case(
        "8-bit images and `white: 4095`",
        surfaces(plain(".png"), ".png"),
        "refused",
        "data.white: images of 8 bits have white 255, found 4095",
        white=4095,
    ),
    case(
        "float TIFFs of 0 to 1",
        surfaces(scaled(".tif", 1, np.float32), ".tif"),
        "read",
        "pixels: floating point with values up to 1, read with white 1",
    ),
    case(
        "float TIFFs of 0 to 255",
        surfaces(scaled(".tif", 255, np.float32), ".tif"),
        "refused",
        "no value is above white 1, found up to 255 in 12 of 12 images",
    ),
    case(
        "float TIFFs of 0 to 255 and `white: 255`",
        surfaces(scaled(".tif", 255, np.float32), ".tif"),
        "read",
        "pixels: floating point with values up to 255, read with white 255",
        white=255,
    ),
    case(
        "a float TIFF with NaN",
        surfaces(scaled(".tif", 1, np.float32), ".tif", last=spoiled(float("nan"))),
        "refused",
        "defect/11.tif: 1 values are no finite number (NaN or infinite)",
    ),
    case(
        "a float TIFF with negative values",
        surfaces(scaled(".tif", 1, np.float32), ".tif", last=spoiled(-0.25)),
        "refused",
        "defect/11.tif: values go down to -0.25; expected 0 to the white point",
    ),
    case(
        "TIFFs of 32-bit integers",
        surfaces(scaled(".tif", 4095, np.int32), ".tif"),
        "refused",
        "images have samples of 8 or 16 bits without sign, or floats; found int32",
    ),
    case("BigTIFFs", surfaces(pillow("TIFF", "L", big_tiff=True), ".tif"), "read", "12 images of 12 items"),
    case(
        "a truncated TIFF",
        surfaces(plain(".tif"), ".tif", last=cut(plain(".tif"))),
        "refused",
        "defect/11.tif: the file is truncated",
    ),
    case(
        "TIFFs of several pages",
        surfaces(pillow("TIFF", "L", frames=2), ".tif"),
        "warned",
        "Of several pages the first is read (save the others as files of their own): 12 of 12 images",
    ),
    case("WebP, lossless", surfaces(_WEBP, ".webp"), "read", "12 images of 12 items"),
    case("WebP, lossy", surfaces(plain(".webp"), ".webp"), "read", "12 images of 12 items"),
    case(
        "an animated WebP",
        surfaces(_WEBP, ".webp", last=pillow("WEBP", frames=3)),
        "refused",
        "defect/11.webp: the WebP is animated, and which picture counts is unknown",
    ),
    case(
        "a truncated WebP",
        surfaces(_WEBP, ".webp", last=cut(_WEBP)),
        "refused",
        "defect/11.webp: the WebP is truncated",
    ),
    case(
        "PNGs with a palette",
        surfaces(pillow("PNG", "P"), ".png"),
        "warned",
        "A palette is read as its colours: 12 of 12 images",
    ),
    case(
        "PNGs with transparency",
        surfaces(pillow("PNG", "RGBA"), ".png"),
        "warned",
        "Transparency is left out, every pixel is read as if it were opaque: 12 of 12 images",
    ),
    case(
        "a truncated JPEG with an end marker behind it",
        surfaces(plain(".jpg"), ".jpg", last=ended(plain(".jpg"))),
        "refused",
        "defect/11.jpg: the image data is damaged and cannot be decoded",
    ),
    case(
        "CMYK JPEGs",
        surfaces(pillow("JPEG", "CMYK"), ".jpg"),
        "warned",
        "CMYK is read as RGB without its colour profile (save as RGB to be sure): 12 of 12 images",
    ),
)
