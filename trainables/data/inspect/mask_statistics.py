"""Measurements of masks, and what in them is plainly wrong: inverted, on white paper, transparent, full.

``measure_mask`` sees each mask once, when the data are inspected, and the inspection's cache keeps what it
measured. ``examine_masks`` looks at all masks of a set together. Three values are three classes or three
shades of one defect, and only who drew them knows which, so they are asked about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from trainables.data.files.sources import strongest_channel
from trainables.data.inspect.findings import Finding, summarise
from trainables.data.masks import RUNS_SUFFIX
from trainables.data.readers.base import MaskOptions

__all__ = [
    "FEW_VALUES",
    "MaskStatistics",
    "are_indices",
    "defect_width",
    "examine_masks",
    "mask_table",
    "measure_mask",
    "middle_of_edges",
    "stored_values",
]

FEW_VALUES = 8  # values of defects up to which they may be classes; soft edges have more
_VOID, _HIGHEST_INDEX = 255, 32  # of Pascal VOC: what is ignored, and more than its classes
_COVERS_MUCH = 0.5  # share of the image
_STRAY = 2  # pixels of a region that nobody meant to draw
_WHITE = 250  # grey level of paper
_PAPER = 0.3  # share of the image that is white
_HALF, _WHITEST = 127, 255  # of masks of 8 bits

Drawing = Literal["plain", "paper", "alpha", "jpeg"]


class MaskStatistics(BaseModel, frozen=True):
    """Measurements of what a mask shows of one defect class, at the size at which it is stored."""

    model_config = ConfigDict(extra="forbid")
    sample: str
    mask: str  # path
    defect_class: str
    area: int  # pixels
    share: float  # of the image, 0 to 1
    width: float  # pixels: of the largest disc inside
    regions: int  # 8-connected
    strays: int  # regions of one or two pixels
    at_border: bool
    values: tuple[int, ...]  # stored values of the whole mask, ascending; of many the least and the greatest
    colours: tuple[int, ...]  # different ones beside black as 0xRRGGBB, the first 9; (): the mask is grey
    faint: float  # share of the values above 0 that are no more than ``middle_of_edges``
    palette: tuple[int, ...] = ()  # indices beside 0 that a PNG with a palette holds: the first 8, the last
    drawing: Drawing = "plain"  # or on white paper, in transparency alone, as a JPEG

    @property
    def covers_much(self) -> bool:
        """True where over half of the image is defect."""
        return self.share > _COVERS_MUCH


def measure_mask(
    stored: NDArray[Any],
    defect: NDArray[np.uint8],
    *,
    is_jpeg: bool = False,
    palette: Sequence[int] = (),
    sample: str,
    mask: str,
    defect_class: str,
) -> MaskStatistics:
    """Measure a mask.

    Args:
        stored: Pixels as the file holds them, h × w or h × w × channels (BGR, or BGR and alpha).
        defect: h × w, 1 where this class is shown.
        is_jpeg: The file is a JPEG.
        palette: Indices beside 0 that it holds, if it is a PNG with a palette.
        sample: Id of the image.
        mask: Path of the file.
        defect_class: What is shown.
    """
    rows, columns = defect.shape
    # Only the part with defects is measured; a border of a pixel keeps regions at its edge whole.
    x, y, width, height = (int(side) for side in cv2.boundingRect(defect))
    crop = np.pad(defect[y : y + height, x : x + width], 1)
    regions, _, boxes, _ = cv2.connectedComponentsWithStats(crop, connectivity=8)
    area = int(np.count_nonzero(crop))
    grey, colours = _grey_and_colours(stored)
    shown = grey[grey > 0]
    return MaskStatistics(
        sample=sample,
        mask=mask,
        defect_class=defect_class,
        area=area,
        share=area / defect.size,
        width=defect_width(crop),
        regions=regions - 1,
        strays=int(np.count_nonzero(boxes[1:, cv2.CC_STAT_AREA] <= _STRAY)),
        at_border=bool(area) and (min(x, y) == 0 or y + height == rows or x + width == columns),
        values=stored_values(grey),
        colours=colours,
        faint=float(np.mean(shown <= middle_of_edges(shown.max()))) if shown.size else 0.0,
        palette=(*palette[:FEW_VALUES], *palette[FEW_VALUES:][-1:]),
        drawing="jpeg" if is_jpeg else _drawing(stored, defect),
    )


def defect_width(mask: NDArray[np.uint8]) -> float:
    """Diameter of about the largest disc inside ``mask`` (1 = defect), pixels; 0 without any defect.

    Its centre is that of a pixel, or a corner between four: a bar of any number of pixels has just that.
    """
    if not mask.any():
        return 0.0
    # The distance transform measures from pixel centres, so a bar of an even width has its middle at a
    # corner between pixels.
    pixels = np.pad(mask, 1)
    rows = pixels[1:] & pixels[:-1]
    corners = rows[:, 1:] & rows[:, :-1]  # those with a defect all around
    around_pixels, around_corners = (
        float(cv2.distanceTransform(centres, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max())
        for centres in (pixels, corners)
    )
    return round(max(2 * around_pixels - 1, 2 * around_corners), 3)


def middle_of_edges(greatest: int) -> int:
    """The value in the middle of soft edges, by the greatest: half of it, or half of white if it is above."""
    return _HALF if _HALF < greatest <= _WHITEST else int(greatest) // 2


def are_indices(values: Sequence[int]) -> bool:
    """True where values beside 0 are many class indices, and perhaps VOC's void: soft edges lie between."""
    classes = [value for value in values if 0 < value != _VOID]
    return len(classes) > 1 and max(classes) <= _HIGHEST_INDEX


def stored_values(grey: NDArray[Any]) -> tuple[int, ...]:
    """The different values of ``grey``, ascending; where there are many, the least and the greatest."""
    if grey.dtype == np.uint8:
        values = np.flatnonzero(np.bincount(grey.ravel(), minlength=256))
    else:
        values = np.unique(grey)
    kept = (
        values
        if len(values) <= 2 * FEW_VALUES
        else np.concatenate([values[:FEW_VALUES], values[-FEW_VALUES:]])
    )
    return tuple(int(value) for value in kept)


def _grey_and_colours(stored: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, ...]]:
    """The strongest channel, which decides what is a defect, and the colours beside black."""
    # Grey saved as colour has equal channels and counts as grey.
    grey, pixels = strongest_channel(stored), stored[..., :3]
    if stored.ndim == 2 or stored.shape[2] < 3 or np.array_equal(grey, pixels.min(axis=2)):
        return grey, ()
    packed = np.unique(pixels[grey > 0].astype(np.int64) @ (1, 1 << 8, 1 << 16))
    return grey, tuple(packed[: FEW_VALUES + 1].tolist())


def _drawing(stored: NDArray[Any], defect: NDArray[np.uint8]) -> Drawing:
    if stored.ndim == 2 or not (defect.all() or not defect.any()):
        return "plain"
    if stored.shape[2] == 4 and np.ptp(stored[..., 3]):
        return "alpha"
    darkest = stored[..., :3].min(axis=2)
    is_paper = (
        bool(defect.all()) and float((darkest >= _WHITE).mean()) >= _PAPER and bool(darkest.min() < _HALF)
    )
    return "paper" if is_paper else "plain"


# All masks of a set ------------------------------------------------------------------------------------


def examine_masks(
    masks: Sequence[MaskStatistics], mask_above: int, options: MaskOptions
) -> tuple[list[Finding], list[str]]:
    """Look at all masks of a set together: findings, and faults that refuse it.

    Args:
        masks: Those of defective images, empty ones too.
        mask_above: A pixel is a defect when its stored value is greater.
        options: Settings by which the user may have said what is meant.
    """
    # A user who has set the rule is not asked again.
    asks = bool(options.names) and not options.given
    values = sorted({value for mask in masks for value in mask.values if value > 0})
    drawn = [mask for mask in masks if mask.area and mask.drawing == "plain"]
    covered = [mask for mask in drawn if mask.covers_much]
    middle = middle_of_edges(max(values, default=0))
    faults = [*_drawn_otherwise(masks, middle, asks=asks)]
    if options.given and mask_above and values and not any(mask.area for mask in masks):
        faults.append(
            f"no mask has a pixel above {mask_above}, found values up to {values[-1]} ({_names(masks)}). "
            f"Write mask_above: {middle} in data.options for the middle of an edge, or mask_above: 0"
        )
    colours = {colour for mask in masks for colour in mask.colours}
    indices = sorted({index for mask in masks for index in mask.palette})
    many = are_indices(indices or values)

    # A few values may be classes or shades. Guessing would make classes of shades, or one defect of all
    # classes.
    if asks and (many or 1 < max(len(values), len(colours), len(indices)) <= FEW_VALUES):
        faults.append(_question(masks, values, len(colours), indices, options.names))
    elif asks and drawn and len(covered) == len(drawn):
        faults.append(_all_covered(covered, middle))
        covered = []

    # What is merely doubtful warns: soft edges, masks that cover much, stray pixels.
    may_be_soft = asks and not many and len(values) > FEW_VALUES
    soft = [mask for mask in drawn if mask.faint > 0] if may_be_soft else []
    findings: list[Finding] = []
    if covered:
        findings.append(Finding(kind="covered_mask", text=_covered(covered), samples=_samples(covered)))
    if soft:
        findings.append(
            Finding(kind="soft_mask", text=_soft(soft, mask_above, middle), samples=_samples(soft))
        )
    if stray := [mask for mask in drawn if mask.strays]:
        findings.append(Finding(kind="stray_pixels", text=_stray(stray), samples=_samples(stray)))
    return findings, faults


def _samples(masks: Sequence[MaskStatistics]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(mask.sample for mask in masks))


def _names(masks: Sequence[MaskStatistics]) -> str:
    # A mask that a reader made in the cache is known by its image.
    names = (mask.sample if mask.mask.endswith(RUNS_SUFFIX) else mask.mask for mask in masks)
    return summarise(list(dict.fromkeys(names)))


def _counted(masks: Sequence[MaskStatistics], verbs: tuple[str, str]) -> str:
    """``1 mask is`` or ``3 masks are``."""
    count = len({mask.mask for mask in masks})
    return f"{count} mask {verbs[0]}" if count == 1 else f"{count} masks {verbs[1]}"


_DRAWN: dict[Drawing, tuple[str, str]] = {
    "paper": (
        "drawn in colour on white, and white counts as defect",
        "Save them with the defect white on black",
    ),
    "alpha": (
        "drawn in transparency alone, which is not read",
        "Save the alpha channel as grey, the defect white on black",
    ),
    "jpeg": (
        "JPEG, with values around defects that nobody drew",
        "Save them as PNG, or say in data.options which values are defects, as in mask_above: {middle}",
    ),
}


def _drawn_otherwise(masks: Sequence[MaskStatistics], middle: int, *, asks: bool) -> Iterator[str]:
    for drawing, (what, way_out) in _DRAWN.items():
        concerned = [mask for mask in masks if mask.drawing == drawing]
        if concerned and (asks or drawing != "jpeg"):
            text = f"{_counted(concerned, ('is', 'are'))} {what}: {_names(concerned)}. {way_out}"
            yield text.replace("{middle}", str(middle))


def _question(
    masks: Sequence[MaskStatistics],
    values: Sequence[int],
    colours: int,
    indices: Sequence[int],
    options: Sequence[str],
) -> str:
    """Ask what few values mean: each a class, or all of them one defect."""
    # The values alone cannot tell classes from shades, so the question names both readings, with the option
    # for each.
    reader = "" if "mask_classes" in options else " of reader folder or table"
    between = ""
    if indices:
        held, classes = (
            f"the indices {_listed(indices)} of a palette",
            f"mask_classes: {_named(indices)}{reader}",
        )
    elif len(values) > 1:
        held, classes = f"the values {_listed(values)} beside 0", f"mask_classes: {_named(values)}{reader}"
        between = f", mask_above: {values[-2]} counts {values[-1]} alone"
    else:
        held = f"{colours} colours beside black"
        classes = f"save them as grey values 1, 2 …, and write mask_classes: {_named((1, 2))}{reader}"
    return (
        f"masks hold {held} ({_names(_unusual(masks))}): classes, or shades of one defect? Say it in "
        "data.options (`--option`). "
        f"Classes: {classes}{_void(indices or values)}. One defect: mask_above: 0 counts them all{between}"
    )


def _void(values: Sequence[int]) -> str:
    """The way to read 255 beside class indices, which is no class in masks of Pascal VOC; "" without it."""
    others = [value for value in values if value != _VOID]
    if _VOID not in values or not others or max(others) > _HIGHEST_INDEX:
        return ""
    return (
        f" (if {_VOID} is VOC's void, neither defect nor background: name it void, and write the others in "
        "data.classes, with data.others: ignore)"
    )


def _unusual(masks: Sequence[MaskStatistics]) -> Sequence[MaskStatistics]:
    """Masks that hold something else than over half of them, which hold one value; all if there are none."""
    # The odd masks are the example, not the first ones of thousands.
    held = [(tuple(filter(None, mask.values)), mask.colours, mask.palette) for mask in masks]
    usual, count = Counter(held).most_common(1)[0]
    if 2 * count <= len(masks) or max(map(len, usual)) > 1:
        return masks
    return [mask for mask, its in zip(masks, held, strict=True) if its != usual] or masks


def _listed(values: Sequence[int]) -> str:
    return summarise([str(value) for value in values], FEW_VALUES)


def _named(values: Sequence[int]) -> str:
    return f"{{{', '.join(f'{value}: name' for value in values[:3])}}}"


def _all_covered(masks: Sequence[MaskStatistics], middle: int) -> str:
    if all(mask.share == 1 for mask in masks):
        grey = f", or mask_above: {middle} if their background is grey"
        return (
            f"every mask covers all of its image, so nothing is outlined: {_names(masks)}. Leave the masks "
            "out and use supervision: weak, or write mask_above: 0 in data.options if defects are that large"
            f"{grey if any(len(mask.values) > 1 for mask in masks) else ''}"
        )
    least = _percent(min(mask.share for mask in masks))
    return (
        f"every mask covers over half of its image ({least} or more), as "
        f"where black and white are exchanged: {_names(masks)}. Invert them, or write mask_above: 0 in "
        "data.options if defects are that large"
    )


def _covered(masks: Sequence[MaskStatistics]) -> str:
    most = _percent(max(mask.share for mask in masks))
    return (
        f"{_counted(masks, ('covers', 'cover'))} over half of the image (up to {most}): {_names(masks)}. "
        "Look at them (`--sheet FILE`): an inverted mask does, and then black and white are to be exchanged."
    )


def _soft(masks: Sequence[MaskStatistics], mask_above: int, middle: int) -> str:
    faint = median(mask.faint for mask in masks)
    return (
        f"{_counted(masks, ('has', 'have'))} soft edges: {_percent(faint)} of the pixels above 0 are fainter "
        f"than the middle of an edge ({_names(masks)}), and all above {mask_above} count as defect. Write "
        f"mask_above: {middle} in data.options to cut there."
    )


def _stray(masks: Sequence[MaskStatistics]) -> str:
    strays = sum(mask.strays for mask in masks)
    regions = "a region of 1 or 2 pixels" if strays == 1 else f"{strays} regions of 1 or 2 pixels"
    return (
        f"{_counted(masks, ('has', 'have'))} {regions}: {_names(masks)}. Each counts as a defect; erase "
        "those that are a slip of the pen."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


# As a table ----------------------------------------------------------------------------------------------


def mask_table(masks: Iterable[MaskStatistics]) -> list[str]:
    """Masks by defect class as lines of text, columns aligned; nothing where there are none."""
    classes: dict[str, list[MaskStatistics]] = {}
    for mask in masks:
        classes.setdefault(mask.defect_class, []).append(mask)
    if not classes:
        return []
    head = ("class", "masks", "area px", "width px", "% of image", "regions", "at border", "values")
    rows = [head, *(_class_row(name, of_class) for name, of_class in sorted(classes.items()))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _class_row(name: str, masks: Sequence[MaskStatistics]) -> tuple[str, ...]:
    drawn = [mask for mask in masks if mask.area]
    if not drawn:
        return (name, f"{len(masks)}, all empty", "–", "–", "–", "–", "–", _values(masks))
    empty = f", {len(masks) - len(drawn)} empty" if len(drawn) < len(masks) else ""
    return (
        name,
        f"{len(masks)}{empty}",
        _spread([mask.area for mask in drawn]),
        _spread([mask.width for mask in drawn]),
        _spread([100 * mask.share for mask in drawn]),
        _spread([mask.regions for mask in drawn]),
        f"{100 * sum(mask.at_border for mask in drawn) / len(drawn):.0f} %",
        _values(masks),
    )


def _spread(values: Sequence[float]) -> str:
    """``12 (3–40)``: median, least and greatest."""
    least, most = min(values), max(values)
    return (
        _number(least) if least == most else f"{_number(median(values))} ({_number(least)}–{_number(most)})"
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _values(masks: Sequence[MaskStatistics]) -> str:
    values = sorted({value for mask in masks for value in mask.values})
    if len(values) > FEW_VALUES:
        return f"{values[0]}–{values[-1]}, soft"
    colours = {colour for mask in masks for colour in mask.colours}
    return " ".join(map(str, values)) + (f", {len(colours)} colours" if len(colours) > 1 else "")
