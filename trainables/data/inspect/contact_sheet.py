"""The contact sheet: masks as outlines over their images, the worst first. Looking is their best check.

``write_contact_sheet(spec, root, cache, path)`` opens the images that it shows and no other. Suspicious masks
come first (half covered, drawn otherwise, with stray pixels), then empty ones, then the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.files.sources import decode_image, decode_mask, read_bytes
from trainables.data.inspect.bits import settle_pixels
from trainables.data.inspect.findings import ImageRow
from trainables.data.inspect.inspection import inspect
from trainables.data.inspect.mask_statistics import MaskStatistics
from trainables.data.manifest import list_images
from trainables.data.readers.base import Listing
from trainables.data.spec import DataSpec
from trainables.errors import InputError
from trainables.evaluation.overlay import Picture, outline, text_width, write_text

__all__ = ["write_contact_sheet"]

_MOST = 24  # masks shown
_WIDTH = 1940  # pixels of the sheet, about
_SIDE = 200  # pixels, of the square that shows the defect enlarged
_PHOTO = 250  # pixels, widest photo beside it
_GAP, _LINE = 14, 22
_HEIGHT = _SIDE + 2 * _LINE + 8  # of a photo with its two lines of text
_MARGIN = 30
_ZOOM_MARGIN = 1.0  # around the defect, in its own longer side
_LEAST_ZOOM = 24  # pixels of the image
_INK, _FAINT, _WARNING = (40, 40, 40), (110, 110, 110), (0, 94, 213)  # BGR; the last is Okabe–Ito vermilion
_FRAME = (233, 180, 86)  # BGR of Okabe–Ito sky blue: where the enlarged part lies


class _Card(NamedTuple):
    """A mask on the sheet."""

    sample: str
    masks: Sequence[MaskStatistics]  # one for each class
    remark: str  # what makes it suspicious; "" where nothing does

    @property
    def order(self) -> tuple[int, float]:
        """Rank: suspicious, empty, then the smallest."""
        # Suspicious ones that cover most come first: the defect may be the background, drawn the wrong way
        # round.
        area = sum(mask.area for mask in self.masks)
        covers = max(mask.share for mask in self.masks)
        if self.remark and area:
            return 0, -covers
        return (2, area) if area else (1, 0)


def write_contact_sheet(spec: DataSpec, root: Path | None, cache: Path, path: Path) -> int:
    """Write the sheet of a data set as PNG.

    Args:
        spec: The data.
        root: Folder or mount that holds them.
        cache: Folder on this machine; what an inspection has measured is taken from there.
        path: File to write.

    Returns:
        Number of masks shown; 0: there is none, and nothing is written.

    Raises:
        InputError: If there are no such data, or the file is one of them or cannot be written.
    """
    _, listing = list_images(spec, root, cache)
    _refuse_own_file(path, listing)
    inspection = inspect(listing, cache)
    cards = _cards(inspection.masks)
    if not cards:
        return 0
    shown = cards[:_MOST]
    count = f"{len(shown)} of {len(cards)} masks" if len(cards) > len(shown) else f"{len(cards)} masks"

    # A sheet is drawn even of a set that is refused: it shows why.
    settled = settle_pixels(inspection.rows, spec.white)  # where files disagree, each has its own white
    whites = {
        row.sample: (row.peak or 1.0) if settled.faults else settled.pixels.white for row in inspection.rows
    }
    rows = {row.sample: row for row in inspection.rows}
    sheet = _draw_sheet(listing, rows, whites, shown, f"{listing.root.name}: {count}, the worst first")
    encoded, data = cv2.imencode(".png", sheet)
    assert encoded, "a sheet is a BGR picture"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}. Choose another file.") from error
    return len(shown)


def _refuse_own_file(path: Path, listing: Listing) -> None:
    if not path.is_file():
        return
    masks = listing.mask_root or listing.root
    for entry in listing.entries:
        files = [listing.root / entry.image, *([masks / entry.mask] if entry.mask else [])]
        if any(file.exists() and file.samefile(path) for file in files):
            raise InputError(f"a sheet takes no place of an image or mask, found {path}. Name another file.")


def _cards(masks: Sequence[MaskStatistics]) -> list[_Card]:
    by_sample: dict[str, list[MaskStatistics]] = {}
    for mask in masks:
        by_sample.setdefault(mask.sample, []).append(mask)
    cards = [_Card(sample, of_sample, _remark(of_sample)) for sample, of_sample in by_sample.items()]
    return sorted(cards, key=lambda card: (*card.order, card.sample))


def _remark(masks: Sequence[MaskStatistics]) -> str:
    # Each of these is a mask that a reader of pixels takes for something else than was drawn.
    drawings = {"paper": "colour on white", "alpha": "transparency alone", "jpeg": "JPEG"}
    remarks = [drawings[mask.drawing] for mask in masks if mask.drawing != "plain"]
    remarks += [f"covers {100 * mask.share:.0f} %" for mask in masks if mask.covers_much]
    strays = sum(mask.strays for mask in masks)
    if strays:
        remarks.append("a stray pixel" if strays == 1 else f"{strays} stray pixels")
    if not any(mask.area for mask in masks):
        remarks.append("empty")
    return ", ".join(dict.fromkeys(remarks))


def _draw_sheet(
    listing: Listing,
    rows: Mapping[str, ImageRow],
    whites: Mapping[str, float],
    cards: Sequence[_Card],
    title: str,
) -> Picture:
    # Narrow photos leave room for another column.
    shown = [rows[card.sample] for card in cards]
    broadest = max(min(_PHOTO, round(_SIDE * row.width / row.height)) for row in shown)
    card_width = max(300, broadest + 6 + _SIDE)
    columns = min(len(cards), max(1, (_WIDTH - 2 * _MARGIN) // (card_width + _GAP)))
    lines = -(-len(cards) // columns)
    width = 2 * _MARGIN + columns * (card_width + _GAP) - _GAP
    sheet = np.full((2 * _MARGIN + 2 * _LINE + lines * (_HEIGHT + _GAP) - _GAP, width, 3), 255, np.uint8)
    write_text(sheet, _fitted(title, width - 2 * _MARGIN), (_MARGIN, _MARGIN + _LINE), _INK)
    for number, (card, row) in enumerate(zip(cards, shown, strict=True)):
        photo = decode_image(read_bytes(listing.root, row.image), 3, whites[row.sample])  # may be large
        x = _MARGIN + number % columns * (card_width + _GAP)
        y = _MARGIN + 2 * _LINE + number // columns * (_HEIGHT + _GAP)
        _draw_card(sheet[y : y + _HEIGHT, x : x + card_width], photo, _mask_of(listing, card), card)
    return sheet


def _mask_of(listing: Listing, card: _Card) -> NDArray[np.uint8]:
    data = read_bytes(listing.mask_root or listing.root, card.masks[0].mask)
    indices = listing.indices.kept if listing.indices is not None else None
    return decode_mask(data, listing.mask_above, indices)


def _draw_card(place: Picture, photo: Picture, mask: NDArray[np.uint8], card: _Card) -> None:
    """Draw the photo, a defect enlarged beside it where it is small, and two lines of text."""
    room = place.shape[1]
    # A small defect is invisible on the whole photo; a frame shows where the enlarged part lies.
    zoom = _zoomed(mask, smallest=any(each.strays for each in card.masks))
    widest = room if zoom is None else room - _SIDE - 6
    scale = min(widest / photo.shape[1], _SIDE / photo.shape[0])
    small = _outlined(photo, mask, scale)
    place[: small.shape[0], : small.shape[1]] = small
    if zoom is not None:
        y, x, side = zoom
        start, end = (
            (round(scale * x), round(scale * y)),
            (round(scale * (x + side)), round(scale * (y + side))),
        )
        cv2.rectangle(place[: small.shape[0], : small.shape[1]], start, end, _FRAME, 2)
        large = _outlined(photo[y : y + side, x : x + side], mask[y : y + side, x : x + side], _SIDE / side)
        left = small.shape[1] + 6
        place[: large.shape[0], left : left + large.shape[1]] = large
    write_text(place, _fitted(card.sample, room), (0, _SIDE + _LINE), _INK)
    at = 0
    if card.remark:
        write_text(place, card.remark, (0, _SIDE + 2 * _LINE), _WARNING)
        at = text_width(card.remark + "  ")
    write_text(place, _fitted(_facts(card.masks), room - at, end=True), (at, _SIDE + 2 * _LINE), _FAINT)


def _outlined(photo: Picture, mask: NDArray[np.uint8], scale: float) -> Picture:
    """A photo brought to ``scale``, with its mask outlined: a defect below a pixel keeps one."""
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = np.ascontiguousarray(cv2.resize(photo, size, interpolation=how).astype(np.uint8))
    area = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    # Any covered part of a pixel counts, or a hair-thin defect would vanish from the small picture.
    shown = cv2.resize(mask.astype(np.float32), size, interpolation=area) > 0
    if shown.any() and not shown.all():
        outline(picture, shown, _WARNING)
    return picture


def _zoomed(mask: NDArray[np.uint8], *, smallest: bool) -> tuple[int, int, int] | None:
    """Top, left and side of a square around the largest region, or the smallest one.

    None where it would show most of the image.
    """
    count, _, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return None
    # Where there are stray pixels the smallest region is what somebody should look at.
    areas = boxes[1:, cv2.CC_STAT_AREA]
    region = 1 + int(areas.argmin() if smallest else areas.argmax())
    x, y, width, height = (int(value) for value in boxes[region, :4])
    side = max(_LEAST_ZOOM, round(max(width, height) * (1 + _ZOOM_MARGIN)))
    rows, columns = mask.shape
    if side > 0.8 * min(rows, columns) and side > 0.5 * max(rows, columns):
        return None

    # At the border the square is moved inwards and keeps its side, so a defect there is enlarged like any
    # other.
    side = min(side, rows, columns)
    top = min(max(0, y + height // 2 - side // 2), rows - side)
    left = min(max(0, x + width // 2 - side // 2), columns - side)
    return top, left, side


def _facts(masks: Sequence[MaskStatistics]) -> str:
    classes = "+".join(mask.defect_class for mask in masks)
    area = sum(mask.area for mask in masks)
    if not area:
        return classes
    width = max(mask.width for mask in masks)
    share = 100 * sum(mask.share for mask in masks)
    return f"{classes} · {area} px · {width:.{0 if width >= 10 else 1}f} wide · {share:.2g} %"


def _fitted(text: str, width: int, *, end: bool = False) -> str:
    """``text`` in one line if it fits, else its end (or its beginning) with a sign for what is left out."""
    # A file's name may hold a line break.
    text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    if text_width(text) <= width:
        return text
    while text and text_width(f"…{text}") > width:
        text = text[:-1] if end else text[1:]
    return f"{text}…" if end else f"…{text}"
