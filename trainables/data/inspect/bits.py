"""Bits of image files: one white point, decided before training, turns values into grey levels.

Cameras of 10 or 12 bits write 16-bit files. Read as 16 bits such an image has 64 or 16 grey levels and looks
black. ``settle_pixels`` decides from all files, and refuses a set whose files disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, NamedTuple

from trainables.data.files.formats import Trait
from trainables.data.files.sources import FULL_WHITE
from trainables.data.inspect.findings import Finding, ImageRow, summarise

__all__ = ["Pixels", "Settled", "settle_pixels"]

White = float | Literal["auto"]

_WHITES = (255, 1023, 4095, FULL_WHITE)  # 8, 10, 12 and 16 bits
_AS_EVER = {"uint8": 255.0, "uint16": float(FULL_WHITE)}  # how every revision has read them
_TRAITS: Mapping[Trait, str] = {
    "palette": "A palette is read as its colours",
    "alpha": "Transparency is left out, every pixel is read as if it were opaque",
    "CMYK": "CMYK is read as RGB without its colour profile (save as RGB to be sure)",
    "pages": "Of several pages the first is read (save the others as files of their own)",
}


@dataclass(frozen=True)
class Pixels:
    """The rule by which the samples of a set become uint8."""

    samples: str = "uint8"  # their type: uint8, uint16 or float
    white: float = 255.0  # the value that becomes 255
    peak: float = 255.0  # the greatest value of all images

    @property
    def is_as_ever(self) -> bool:
        """True where earlier revisions gave the same grey levels."""
        return self.white == _AS_EVER.get(self.samples)

    def __str__(self) -> str:
        if self.samples == "uint8":
            return "8 bits"
        name = "16-bit files" if self.samples == "uint16" else "floating point"
        bits = f" ({int(self.white).bit_length()} bits)" if self.white in _WHITES else ""
        return f"{name} with values up to {self.peak:g}, read with white {self.white:g}{bits}"


class Settled(NamedTuple):
    """The decision about a set, what a user should know of it, and what refuses it."""

    pixels: Pixels
    findings: tuple[Finding, ...]
    faults: tuple[str, ...]


def settle_pixels(rows: Sequence[ImageRow], white: White) -> Settled:
    """Decide how the images of a set are read.

    Args:
        rows: All of its images, as inspected.
        white: The study's ``data.white``.
    """
    # Files of 8 and of 16 bits in one set would be two scales of brightness.
    by_samples: dict[str, list[ImageRow]] = {}
    for row in rows:
        by_samples.setdefault(row.samples, []).append(row)
    findings = tuple(_trait_findings(rows))
    if len(by_samples) > 1:
        kinds = sorted(by_samples.items(), key=lambda kind: len(kind[1]))
        fault = "; ".join(f"{samples} in {_places(those, rows)}" for samples, those in kinds)
        fault = f"images of one set have samples of one type, found {fault}. Save all of them alike"
        return Settled(Pixels(), findings, (fault,))
    if not rows:
        return Settled(Pixels(), findings, ())
    samples = rows[0].samples
    peak = max(row.peak for row in rows)
    pixels = Pixels(samples, _white(samples, peak, white), peak)
    dark = tuple(_darkness(rows, pixels))
    return Settled(pixels, findings + dark, tuple(_faults(rows, pixels, white)))


def _white(samples: str, peak: float, white: White) -> float:
    if white != "auto":
        return float(white)
    if samples == "float":
        return 1.0
    return 255.0 if samples == "uint8" else float(next(white for white in _WHITES if peak <= white))


def _faults(rows: Sequence[ImageRow], pixels: Pixels, white: White) -> Iterator[str]:
    if pixels.samples == "uint8":
        if pixels.white != 255:
            yield f"data.white: images of 8 bits have white 255, found {pixels.white:g}. Leave data.white out"
        return
    brighter = [row for row in rows if row.peak > pixels.white]
    if brighter:
        fitting = next((step for step in _WHITES if pixels.peak <= step), pixels.peak)
        yield (
            f"no value is above white {pixels.white:g}, found up to {pixels.peak:g} in "
            f"{_places(brighter, rows)}. Correct them, or set `data: {{white: {fitting:g}}}` "
            f"(`--white {fitting:g}` of assay init and assay data check)"
        )
    elif white == "auto" and pixels.samples == "uint16" and pixels.white > _WHITES[0]:
        # A few bright files among many dark ones raise the white point for all: that is two cameras, or a
        # hot pixel.
        below = _WHITES[_WHITES.index(int(pixels.white)) - 1]
        bright = [row for row in rows if row.peak > below]
        if 10 * len(bright) <= len(rows) or 16 * median(row.peak for row in rows) <= pixels.white:
            yield (
                f"images of one set have one white point, found values up to {pixels.peak:g} in "
                f"{_places(bright, rows)} and none above {below} in the others, which would be dark. Remove "
                f"those of another camera, or set `data: {{white: {pixels.white:g}}}`"
            )


def _darkness(rows: Sequence[ImageRow], pixels: Pixels) -> Iterator[Finding]:
    """A set that uses at most a quarter of the levels up to its white point."""
    if pixels.samples == "uint8" or 4 * pixels.peak > pixels.white:
        return
    # Nothing is lost for certain, so this warns and does not refuse.
    levels = int(255 * pixels.peak / pixels.white) + 1
    bits = int(pixels.peak).bit_length()
    way_out = f"If the camera has {bits} bits, set `data: {{white: {(1 << bits) - 1}}}`"
    if pixels.samples == "float" or (1 << bits) > pixels.white:
        way_out = "If white is a smaller value, set data.white"
    yield Finding(
        kind="pixels",
        text=f"The brightest image has {levels} of 256 grey levels: values up to {pixels.peak:g}, white "
        f"{pixels.white:g}. {way_out}.",
        samples=tuple(row.sample for row in rows),
    )


def _trait_findings(rows: Sequence[ImageRow]) -> Iterator[Finding]:
    for trait, text in _TRAITS.items():
        shown = [row for row in rows if trait in row.traits]
        if shown:
            samples = tuple(row.sample for row in shown)
            yield Finding(kind="pixels", text=f"{text}: {_places(shown, rows)}.", samples=samples)


def _places(some: Sequence[ImageRow], rows: Sequence[ImageRow]) -> str:
    return f"{len(some)} of {len(rows)} images ({summarise([row.image for row in some], 2)})"
