"""Shapes that were drawn on an image, polygons and runs of pixels, and masks made of them.

A pixel is the unit square from its column and row on, and belongs to a polygon that holds its centre. So a
mask becomes outlines and the same mask again (:func:`outlines`, :func:`rasterise`).
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from trainables.errors import validation_message

__all__ = [
    "AnnotationError",
    "Doubt",
    "ImageAnnotation",
    "Polygon",
    "Runs",
    "Shape",
    "as_utf8",
    "doubt_remarks",
    "ellipse",
    "first_fault",
    "meaning_of",
    "outlines",
    "rasterise",
    "rectangle",
    "runs_of",
    "uploaded_names",
    "without_lone_background",
]

_ELLIPSE_CORNERS = 72
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts it before the name of an upload
# Labels that LabelMe, CVAT and exports of VOC use for what is no defect, without underscores around them.
_BACKGROUND, _IGNORED = frozenset(("background",)), frozenset(("ignore", "ignored"))
_FARTHEST = 1e7  # pixels: corners beyond are cut off, as OpenCV's integers would overflow
_SHIFT = 4  # fractional bits of a coordinate that OpenCV draws
# What is said of a whole image, without a place on it: by CVAT, LabelMe, and the controls of Label Studio.
_OF_THE_IMAGE = frozenset(
    ("tag", "flag", "choices", "datetime", "number", "pairwise", "ranker", "rating", "taxonomy", "textarea")
)


def uploaded_names(path: str) -> tuple[str, ...]:
    """The names that an image may have on disk, the stated one first: Label Studio renames what is uploaded.

    ``/data/upload/3/e97d4735-a.png`` was ``a.png`` and lies in a folder of the server. Elsewhere (``images/``
    of an export) the folder stays, and the eight signs before the name may be the file's own.
    """
    folder, _, name = path.rpartition("/")
    before = _UPLOADED.sub("", name)
    if "/upload" in f"/{folder}":
        return tuple(dict.fromkeys((path, name, before)))
    return tuple(dict.fromkeys((path, f"{folder}/{before}" if folder else before)))


class AnnotationError(ValueError):
    """A file of annotations that cannot be used; the text says what was found, expected, and the way out."""


@dataclass(frozen=True)
class Polygon:
    """A closed outline, filled by the even-odd rule: an area that is enclosed twice is a hole."""

    points: tuple[tuple[float, float], ...]  # x, y in pixels, from the image's upper left corner


@dataclass(frozen=True)
class Runs:
    """A window of pixels as run lengths: background and defect in turn, background first (it may be 0)."""

    counts: tuple[int, ...]
    size: tuple[int, int]  # height and width of the window
    by_column: bool = False  # down each column, then to the right; else along each row
    corner: tuple[int, int] = (0, 0)  # row and column of the window in the image

    def check(self) -> None:
        """Refuse counts that are not those of the window.

        Raises:
            AnnotationError: If they add up to another number of pixels.
        """
        height, width = self.size
        if min(*self.size, *self.counts) < 0 or sum(self.counts) != height * width:
            raise AnnotationError(
                f"run lengths add up to {sum(self.counts)} pixels, expected {height * width} of a window of "
                f"{width} × {height}. Export again"
            )

    def pixels(self) -> NDArray[np.uint8]:
        """The window, 0 or 1.

        Raises:
            AnnotationError: If the counts are not those of the window.
        """
        self.check()
        height, width = self.size
        flat = np.repeat((np.arange(len(self.counts)) % 2).astype(np.uint8), self.counts)
        return flat.reshape(width, height).T if self.by_column else flat.reshape(height, width)


def meaning_of(label: str) -> Literal["defect", "background", "ignored"]:
    """The meaning of a label: ``_background_`` and ``__ignore__`` are words of the tools, and no defects."""
    word = label.strip(" _").casefold()
    return "background" if word in _BACKGROUND else "ignored" if word in _IGNORED else "defect"


@dataclass(frozen=True)
class Shape:
    """One area as it was drawn: a defect, background over what lies below it, or pixels to be ignored."""

    defect_class: str  # the label
    area: Polygon | Runs
    kind: str = "polygon"  # as the tool calls it: "polygon", "box", "mask" …

    @property
    def meaning(self) -> Literal["defect", "background", "ignored"]:
        """The meaning of its label."""
        return meaning_of(self.defect_class)


class Doubt(NamedTuple):
    """A statement of a file that contradicts what is drawn, and is passed over."""

    what: str  # the same for all of its kind
    example: str  # with the numbers


@dataclass(frozen=True)
class ImageAnnotation:
    """All that was drawn on one image. No shape: somebody looked and drew nothing."""

    image: str  # file name or path, as the tool names it, with forward slashes
    size: tuple[int, int] | None  # height and width in pixels; None: the tool does not say
    shapes: tuple[Shape, ...]  # in the order of drawing
    without_area: tuple[str, ...] = ()  # kinds of shapes that mark no pixels: "point", "line", "tag" …
    other_names: tuple[str, ...] = ()  # that the image may have, where the tool renamed it
    is_uploaded: bool = False  # to Label Studio, which writes `a b(1).png` as `a_b1.png`
    size_may_be_stored: bool = False  # the size may be the file's, though it was drawn on the photo turned
    doubts: tuple[Doubt, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names that the image may have on disk, the stated one first."""
        return (self.image, *self.other_names)

    @property
    def called(self) -> str:
        """The image as messages name it: ``/data/upload/1/1f2e3d4c-a.png (or a.png)``."""
        return f"{self.image} (or {self.other_names[-1]})" if self.other_names else self.image

    @property
    def classes(self) -> tuple[str, ...]:
        """The defect classes that are drawn, sorted."""
        return tuple(sorted({shape.defect_class for shape in self.shapes if shape.meaning == "defect"}))

    @property
    def ignored(self) -> tuple[str, ...]:
        """Labels of pixels that are neither defect nor background."""
        return tuple(sorted({shape.defect_class for shape in self.shapes if shape.meaning == "ignored"}))

    @property
    def drawn(self) -> int:
        """Number of the shapes that are no background, with lines and points, which mark no pixels."""
        areas = sum(shape.meaning != "background" for shape in self.shapes)
        return areas + sum(kind not in _OF_THE_IMAGE for kind in self.without_area)

    @property
    def has_whole_mask(self) -> bool:
        """True where all that is drawn has an area: a line beside one would be background in the mask."""
        return all(kind in _OF_THE_IMAGE for kind in self.without_area)

    @property
    def is_drawn_on(self) -> bool:
        """True where something is drawn, be it a line."""
        return self.drawn > 0


def without_lone_background(image: ImageAnnotation) -> ImageAnnotation:
    """``image`` without background that covers nothing: it says of its pixels what would be true anyway."""
    first = next((at for at, shape in enumerate(image.shapes) if shape.meaning != "background"), None)
    return replace(image, shapes=() if first is None else image.shapes[first:])


def doubt_remarks(images: Iterable[ImageAnnotation]) -> Iterator[str]:
    """A sentence for each kind of doubt, with the first example."""
    doubts: defaultdict[str, list[str]] = defaultdict(list)
    for image in images:
        for doubt in image.doubts:
            doubts[doubt.what].append(doubt.example)
    for what, examples in doubts.items():
        yield f"{what}: {len(examples)}, such as {examples[0]}."


def rasterise(shapes: Iterable[Shape], height: int, width: int) -> NDArray[np.uint8]:
    """Mask of all shapes together: height × width, 1 = defect. What lies outside the image is cut off.

    Shapes are drawn in their order, and background takes away what lies below it. A polygon so thin that it
    holds no pixel's centre marks the pixels that its outline runs through.

    Raises:
        AnnotationError: If run lengths are damaged.
    """
    mask = np.zeros((height, width), np.uint8)
    for shape in shapes:
        drawn = mask if shape.meaning != "background" else np.zeros_like(mask)
        if isinstance(shape.area, Polygon):
            _fill(drawn, shape.area)
        else:
            _paste(drawn, shape.area)
        if drawn is not mask:
            mask[drawn > 0] = 0
    return mask


def _fill(mask: NDArray[np.uint8], polygon: Polygon) -> None:
    # Only the window around the polygon is looked at: a defect is small and an image may have 64 million
    # pixels.
    points = np.array(polygon.points, np.float64).clip(-_FARTHEST, _FARTHEST)
    (left, top), (right, bottom) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    window = mask[max(int(top), 0) : max(int(bottom), 0), max(int(left), 0) : max(int(right), 0)]
    inside = _inside(points - [max(left, 0), max(top, 0)], *window.shape)
    if inside.any():
        window |= inside
    else:
        corners = np.rint((points - 0.5) * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(mask, [corners], isClosed=True, color=1, shift=_SHIFT)


def _inside(points: NDArray[np.float64], height: int, width: int) -> NDArray[np.uint8]:
    """Pixels whose centre lies in the polygon: those with an odd number of crossings to their left."""
    # Every edge marks, in each row that it passes, where it crosses; an exclusive or along the row then
    # counts crossings modulo two.
    crossed = np.zeros((height, width + 1), np.uint8)
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        (x, y), (to_x, to_y) = sorted((start, end), key=lambda point: (point[1], point[0]))
        first, last = max(_first_centre(y), 0), min(_first_centre(to_y), height)
        if first < last:
            rows = np.arange(first, last)
            at = x + (rows + 0.5 - y) * (to_x - x) / (to_y - y)
            crossed[rows, np.clip(np.ceil(at - 0.5), 0, width).astype(np.intp)] ^= 1
    return np.bitwise_xor.accumulate(crossed, axis=1)[:, :width]


def _first_centre(position: float) -> int:
    """The first row whose centre is not above ``position``."""
    return int(np.ceil(position - 0.5))


def _paste(mask: NDArray[np.uint8], runs: Runs) -> None:
    height, width = mask.shape
    # A window may stick out of its image: what lies outside is cut off.
    pixels, (top, left) = runs.pixels(), runs.corner
    above, before = max(-top, 0), max(-left, 0)
    window = pixels[above : max(height - top, 0), before : max(width - left, 0)]
    rows, columns = window.shape
    mask[top + above : top + above + rows, left + before : left + before + columns] |= window


def runs_of(pixels: NDArray[np.bool_], corner: tuple[int, int] = (0, 0)) -> Runs:
    """A window of pixels as run lengths along its rows."""
    changes = np.flatnonzero(np.diff(pixels.ravel(), prepend=False))
    counts = np.diff(changes, prepend=0, append=pixels.size)
    return Runs(tuple(counts.tolist()), (pixels.shape[0], pixels.shape[1]), corner=corner)


def outlines(mask: NDArray[np.uint8]) -> Iterator[Polygon]:
    """One outline for each 8-connected defect of a mask (h × w, 0/1); a slit leads to each of its holes.

    ``rasterise`` makes the same mask of them: an outline runs a sixth of a pixel within the pixels' edges.
    """
    count, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    for label in range(1, count):
        left, top, width, height = (int(value) for value in stats[label, :4])
        defect = components[top : top + height, left : left + width] == label
        # Thrice as large, a contour through the outermost pixels leaves every true pixel's centre inside.
        large = defect.astype(np.uint8).repeat(3, axis=0).repeat(3, axis=1)
        rings, _ = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        corner = np.array([left, top])
        yield Polygon(_joined([(ring[:, 0] + 0.5) / 3 + corner for ring in rings]))


def _joined(rings: Sequence[NDArray[np.float64]]) -> tuple[tuple[float, float], ...]:
    """One ring of several. Each way to another is gone twice, so that it encloses nothing."""
    # To each hole and back again by the same way: even-odd filling leaves such a way without area.
    start = rings[0][0]
    parts = [rings[0]]
    for ring in rings[1:]:
        parts += [start[None], ring, ring[:1], start[None]]
    return tuple((round(float(x), 3), round(float(y), 3)) for x, y in np.concatenate(parts))


def rectangle(left: float, top: float, right: float, bottom: float, degrees: float = 0.0) -> Polygon:
    """A rectangle, turned clockwise about its centre."""
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    if not degrees:  # turning would round them
        return Polygon(corners)
    x, y = (left + right) / 2, (top + bottom) / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    offsets = ((to_x - x, to_y - y) for to_x, to_y in corners)
    return Polygon(tuple((x + dx * cosine - dy * sine, y + dx * sine + dy * cosine) for dx, dy in offsets))


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0) -> Polygon:
    """An ellipse about (x, y), turned clockwise, as a polygon of many corners."""
    angles = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)
    along, across = radius_x * np.cos(angles), radius_y * np.sin(angles)
    turn = np.deg2rad(degrees)
    xs = x + along * np.cos(turn) - across * np.sin(turn)
    ys = y + along * np.sin(turn) + across * np.cos(turn)
    return Polygon(tuple(zip(xs.tolist(), ys.tolist(), strict=True)))


def as_utf8(data: bytes) -> bytes:
    """A JSON or XML file in UTF-8 without a byte order mark: editors of Windows write these."""
    encoding = json.detect_encoding(data)
    return data if encoding == "utf-8" else data.decode(encoding, "replace").encode()


def first_fault(error: ValidationError) -> str:
    """The place where a file of annotations is not as expected, and what stands there."""
    fault = error.errors()[0]
    place = ".".join(map(str, fault["loc"])) or "the file"
    return f"{place}: {validation_message(fault)}, found {str(fault['input'])[:60]!r}"
