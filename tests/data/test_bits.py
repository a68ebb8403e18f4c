"""Bits of image files: what is stored becomes 0 to 255 by the set's white point, or is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.data.made_images import PER_SEED, dot, noise, open_folder, write
from trainables.data import check_data, open_images
from trainables.data.files.formats import BrokenImageError, examine, measure
from trainables.data.files.sources import decode_image, decode_mask
from trainables.data.inspect.contact_sheet import write_contact_sheet
from trainables.errors import InputError

Pixels = NDArray[Any]


def stored(pixels: Pixels, form: str = "TIFF", **options: Any) -> bytes:
    """An image file by Pillow, which writes forms that OpenCV only reads."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def encoded(pixels: Pixels, suffix: str = ".tif") -> bytes:
    written, data = cv2.imencode(suffix, pixels)
    assert written
    return data.tobytes()


GREY = noise(0, 40, 60)
COLOUR = np.dstack([noise(seed, 40, 60) for seed in range(3)])


def deep(pixels: NDArray[np.uint8], white: int) -> NDArray[np.uint16]:
    """The same surface from a camera of more bits."""
    return np.rint(pixels * (white / 255)).astype(np.uint16)


@pytest.mark.parametrize("white", [255, 1023, 4095, 65535])
@pytest.mark.parametrize(("pixels", "channels"), [(GREY, 1), (COLOUR, 3)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_deep_copy_reads_as_its_8_bit_original(
    suffix: str, pixels: NDArray[np.uint8], channels: int, white: int
) -> None:
    data = encoded(pixels.astype(np.uint16) * 257 if white == 65535 else deep(pixels, white), suffix)
    assert (decode_image(data, channels, white) == pixels.reshape(40, 60, channels)).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("white", [1.0, 4095.0])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_from_0_to_white_read_as_their_8_bit_original(
    kind: type[np.floating[Any]], white: float, channels: int
) -> None:
    image = decode_image(encoded((GREY * (white / 255)).astype(kind)), channels, white)
    assert (image == GREY[..., None]).all()


def test_16_bits_keep_the_upper_byte_as_in_every_revision() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 60), dtype=np.uint16)
    for suffix in (".png", ".tif"):
        assert (decode_image(encoded(pixels, suffix), 1, 65535)[..., 0] == pixels >> 8).all()


@pytest.mark.parametrize(
    ("pixels", "white", "told"),
    [
        (deep(GREY, 4095), 1023, "no value is above the white point 1023, found uint16 values up to 4095"),
        (deep(GREY, 4095), 255, "no value is above the white point 255"),
        (GREY / np.float32(255), 255, "found floats up to 1, as if it were 1"),
        (GREY.astype(np.float32), 1, "no value is above the white point 1, found float32 values up to 255"),
        (np.full((9, 9), np.nan, np.float32), 1, "81 values are no finite number"),
        (np.full((9, 9), -0.5, np.float32), 1, r"values go down to -0\.5"),
        (GREY.astype(np.int32), 255, "samples of 8 or 16 bits without sign, or floats; found int32"),
        (GREY.astype(np.int16), 255, "found int16"),
    ],
)
def test_an_image_that_the_white_point_does_not_fit_is_refused(
    pixels: Pixels, white: float, told: str
) -> None:
    with pytest.raises(BrokenImageError, match=told):
        decode_image(encoded(pixels), 1, white)


FORMS: dict[str, Callable[[], bytes]] = {
    "lossless WebP": lambda: stored(COLOUR, "WEBP", lossless=True),
    "lossy WebP": lambda: stored(COLOUR, "WEBP", quality=90),
    "WebP with alpha": lambda: stored(
        np.dstack([COLOUR, np.full((40, 60), 9, np.uint8)]), "WEBP", lossless=True, exact=True
    ),
    "BigTIFF": lambda: stored(COLOUR, big_tiff=True),
    "TIFF with LZW": lambda: stored(COLOUR, compression="tiff_lzw"),
    "float TIFF": lambda: encoded(GREY / np.float32(255)),
}


@pytest.mark.parametrize("form", FORMS)
def test_size_is_read_from_the_header_of_every_form(form: str) -> None:
    assert measure(FORMS[form]()) == (60, 40)


@pytest.mark.parametrize("form", ["lossless WebP", "WebP with alpha", "BigTIFF", "TIFF with LZW"])
def test_every_lossless_form_keeps_its_pixels(form: str) -> None:
    assert (decode_image(FORMS[form](), 3)[..., ::-1] == COLOUR).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9])
def test_every_truncated_form_is_said_to_be(form: str, kept: float) -> None:
    data = FORMS[form]()
    with pytest.raises(BrokenImageError, match="truncated"):
        decode_image(data[: int(len(data) * kept)], 3, 1)


def test_an_animated_image_is_refused() -> None:
    frames = [Image.fromarray(noise(seed, 40, 60)) for seed in range(3)]
    for form in ("WEBP", "PNG"):
        file = io.BytesIO()
        frames[0].save(file, form, save_all=True, append_images=frames[1:])
        with pytest.raises(BrokenImageError, match="is animated, and which picture counts is unknown"):
            measure(file.getvalue())


def with_pages() -> bytes:
    file = io.BytesIO()
    Image.fromarray(GREY).save(file, "TIFF", save_all=True, append_images=[Image.fromarray(GREY)])
    return file.getvalue()


def palette(form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(COLOUR).convert("P").save(file, form)
    return file.getvalue()


def cmyk(form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(COLOUR).convert("CMYK").save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "traits"),
    [
        (encoded(GREY), ()),
        (with_pages(), ("pages",)),
        (palette("TIFF"), ("palette",)),
        (palette("PNG"), ("palette",)),
        (cmyk("TIFF"), ("CMYK",)),
        (cmyk("JPEG"), ("CMYK",)),
        (stored(np.dstack([GREY, GREY]), "PNG"), ("alpha",)),
        (FORMS["WebP with alpha"](), ("alpha",)),
    ],
    ids=["grey", "pages", "palette TIFF", "palette PNG", "CMYK TIFF", "CMYK JPEG", "alpha PNG", "alpha WebP"],
)
def test_what_reading_turns_or_leaves_out_is_in_the_header(data: bytes, traits: tuple[str, ...]) -> None:
    assert examine(data).traits == traits


def test_masks_of_floats_and_of_32_bits_are_read_as_before() -> None:
    for kind in (np.float32, np.int32):
        assert (decode_mask(encoded((GREY > 99).astype(kind)), 0) == (GREY > 99)).all()


# Sets


def make_deep(root: Path, white: float, kind: type[np.generic] = np.uint16, suffix: str = ".tif") -> Path:
    """``good/`` and ``defect/`` of values up to ``white``."""
    for index in range(6):
        for folder in ("good", "defect"):
            pixels = noise(index + 10 * (folder == "good")).astype(np.float64)
            pixels[0, 0] = 255
            values = pixels * (white / 255)
            write(
                root / folder / f"{index}{suffix}", (values if white <= 1 else np.rint(values)).astype(kind)
            )
    return root


@pytest.mark.parametrize(
    ("peak", "kind", "white"),
    [
        (200, np.uint16, 255),
        (4095, np.uint16, 4095),
        (4096, np.uint16, 65535),
        (1.0, np.float32, 1),
    ],
)
def test_auto_is_the_least_depth_that_no_image_exceeds(
    peak: float, kind: type[np.generic], white: float, tmp_path: Path
) -> None:
    manifest = open_folder(make_deep(tmp_path / "root", peak, kind), tmp_path / "cache")
    assert (manifest.white, manifest.pixels.peak) == (white, pytest.approx(peak))


def test_the_cache_of_images_is_scaled_by_the_white_point_and_kept_apart(tmp_path: Path) -> None:
    root = make_deep(tmp_path / "root", 4095)
    auto = open_folder(root, tmp_path / "cache")
    dark = open_folder(root, tmp_path / "cache", white=65535.0)
    bright = open_images(auto, (12, 16), 1, tmp_path / "cache")
    assert bright["good/0"].max() == 255
    assert open_images(dark, (12, 16), 1, tmp_path / "cache")["good/0"].max() == 15
    assert open_images(auto, (12, 16), 1, tmp_path / "cache").path == bright.path


@pytest.mark.parametrize(
    ("peak", "kind", "white", "in_hash"),
    [
        (255, np.uint8, "auto", False),
        (60000, np.uint16, "auto", False),
        (4095, np.uint16, 65535.0, False),
        (4095, np.uint16, "auto", True),
        (1.0, np.float32, "auto", True),
    ],
)
def test_the_white_point_enters_the_hash_only_where_it_is_new(
    peak: float, kind: type[np.generic], white: Any, in_hash: bool, tmp_path: Path
) -> None:
    manifest = open_folder(make_deep(tmp_path / "root", peak, kind), tmp_path / "cache", white=white)
    assert manifest.pixels.is_as_ever is not in_hash
    plain = type(manifest)(
        manifest.rows, manifest.reader, manifest.root, manifest.mask_above, manifest.published, ()
    )
    assert (manifest.hash != plain.hash) is in_hash


def test_an_image_above_the_white_point_is_refused_by_studies_and_told_by_the_check(tmp_path: Path) -> None:
    root = make_deep(tmp_path / "root", 1023)
    write(root / "good" / "x.tif", deep(noise(99), 4095))
    with pytest.raises(InputError, match="above white 1023, found up to 4079 in 1 of 13") as error:
        open_folder(root, tmp_path / "cache", white=1023.0)
    report = check_data(PER_SEED.model_copy(update={"white": 1023.0}), root, tmp_path / "cache")
    assert report.faults == (str(error.value),)
    assert "set `data: {white: 4095}`" in report.faults[0]


@pytest.mark.parametrize(("last", "white"), [(4095, "auto"), (65535, "auto"), (4095, 1023.0)])
def test_the_contact_sheet_shows_deep_images_as_bright_as_others(
    last: int, white: Any, tmp_path: Path
) -> None:
    root = make_deep(tmp_path / "root", 4095)
    for index in range(6):
        write(root / "masks" / f"{index}.png", dot())
    write(root / "defect" / "5.tif", deep(noise(15), last))
    sheet = tmp_path / "sheet.png"
    spec = PER_SEED.model_copy(update={"white": white})
    assert write_contact_sheet(spec, root, tmp_path / "cache", sheet) == 6
    photo = cv2.imread(str(sheet))
    assert photo is not None
    grey = (photo.max(axis=2) == photo.min(axis=2)) & (photo[..., 0] > 20) & (photo[..., 0] < 235)
    assert photo[grey].mean() > 90
