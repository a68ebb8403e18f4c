"""COCO: one JSON file with images, categories and annotations; polygons or run lengths (plain or packed).

An annotation with a box alone is a box, turned about its centre by the attribute ``rotation`` that CVAT
writes (degrees, clockwise). An image that no annotation names is one without defects.

``bbox`` and ``area`` are held against the segmentation, for a file whose numbers contradict each other was
scaled, cut or converted wrongly. Tools differ: ``area`` is that of the mask, of the outline or of the box,
and boxes are rounded or leave parts out, so that only a clear contradiction counts. What can be read from
the segmentation alone is a :class:`Doubt`; everything else is refused.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field, FiniteFloat, ValidationError

from trainables.data.annotations.shapes import (
    AnnotationError,
    Doubt,
    ImageAnnotation,
    Polygon,
    Runs,
    Shape,
    as_utf8,
    first_fault,
    meaning_of,
    rectangle,
    uploaded_names,
)
from trainables.data.inspect.findings import summarise

__all__ = ["TITLE", "annotation_of", "holds", "parse"]

TITLE = "COCO"
_MEET = 0.5  # share of two boxes together that they have in common, from which on they are the same
_FACTOR = 1.5  # by which an area may be above the larger of mask and box …
_PART = 4  # … or below the smaller
_EDGE = 1.0  # pixels: boxes are rounded outwards or inwards
_OUTSIDE = 2.0  # pixels that a box may leave its image by


def _none_if_empty(value: Any) -> Any:
    return None if value == [] else value


class _Image(BaseModel):
    id: int | str
    file_name: str = Field(min_length=1)
    height: int | None = Field(None, ge=1)
    width: int | None = Field(None, ge=1)


class _Category(BaseModel):
    id: int | str
    name: str


class _Rle(BaseModel):
    size: tuple[int, int]
    counts: list[int] | str


class _Annotation(BaseModel):
    id: Any = None
    image_id: int | str
    category_id: int | str
    segmentation: list[list[FiniteFloat]] | _Rle | None = None
    bbox: Annotated[
        tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None, BeforeValidator(_none_if_empty)
    ] = None
    area: FiniteFloat | None = None
    attributes: dict[str, Any] | None = None
    # Of no standard: unit, direction and centre of these are unknown.
    rotation: Any = None
    angle: Any = None
    theta: Any = None


class _File(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]
    info: Any = None


class _Box(NamedTuple):
    """An upright box in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def __str__(self) -> str:
        """Its corners as they stand in a message: ``(12, 18) to (52, 24)``."""
        return f"({self.left:g}, {self.top:g}) to ({self.right:g}, {self.bottom:g})"

    @property
    def area(self) -> float:
        return max(self.right - self.left, 0) * max(self.bottom - self.top, 0)

    def equals(self, other: _Box) -> bool:
        """True where both are the same, but for rounding."""
        return all(abs(mine - its) <= _EDGE for mine, its in zip(self, other, strict=True))

    def meets(self, other: _Box) -> bool:
        """True where both are the same box, but for rounding and for parts that one of them leaves out."""
        mine, its = (
            _Box(box.left - _EDGE, box.top - _EDGE, box.right + _EDGE, box.bottom + _EDGE)
            for box in (self, other)
        )
        common = _Box(
            max(mine.left, its.left),
            max(mine.top, its.top),
            min(mine.right, its.right),
            min(mine.bottom, its.bottom),
        ).area
        return common >= _MEET * (mine.area + its.area - common)


def holds(content: Any) -> bool:
    """True for the content of a COCO file."""
    return isinstance(content, dict) and {"images", "annotations"} <= set(content)


def parse(data: bytes) -> Iterator[ImageAnnotation]:
    """All images of a COCO file, in its order.

    Raises:
        AnnotationError: If it is no such file, an annotation names an image or category that is not there, or
            box, area and segmentation of one contradict each other.
    """
    try:
        file = _File.model_validate_json(as_utf8(data))
    except ValidationError as error:
        raise AnnotationError(f"no COCO file: {first_fault(error)}. Export it again") from error
    # Some exporters write ids in quotes in one list and without them in another: both are the same id.
    images = _images(file.images)
    names = {key: category.name for key, category in _categories(file.categories).items()}
    shapes: defaultdict[str, list[Shape]] = defaultdict(list)
    without_area: defaultdict[str, list[str]] = defaultdict(list)
    doubts: defaultdict[str, list[Doubt]] = defaultdict(list)

    # One annotation tells what a file's boxes are: where a segmentation shows that they are corners, a box
    # that stands alone cannot be trusted.
    by_corners: list[str] = []
    lone_boxes: list[str] = []
    for number, annotation in enumerate(file.annotations):
        image, place = str(annotation.image_id), f"annotations.{number}"
        if image not in images or str(annotation.category_id) not in names:
            raise AnnotationError(
                f"{place} is of image {_shown(annotation.image_id)}, category "
                f"{_shown(annotation.category_id)}; expected ids of the lists images "
                f"({_listed(each.id for each in file.images)}) and categories "
                f"({_listed(each.id for each in file.categories)}). Export the file again"
            )
        # An annotation without an area still says that its image is defective, or the image would count as
        # a good one.
        drawn = list(_shapes(annotation, names[str(annotation.category_id)], place))
        shapes[image] += drawn
        if not drawn and meaning_of(names[str(annotation.category_id)]) == "defect":
            without_area[image].append("annotation")
        if not drawn:
            continue
        if drawn[0].kind == "box":
            lone_boxes.append(place)
            _check_lone_box(annotation, images[image], place)
        else:
            found = list(_doubts(annotation, drawn, images[image], place))
            by_corners += [place for doubt in found if doubt.what == _BY_CORNERS]
            doubts[image] += found
    if by_corners and lone_boxes:
        raise AnnotationError(
            f"bbox is x, y, width, height; that of {by_corners[0]} is x, y, x, y by its segmentation, and "
            f"{lone_boxes[0]} has a bbox alone. Write width and height, or export segmentations"
        )
    # Label Studio draws on the photo as EXIF turns it, and writes the size of the file into COCO.
    by_label_studio = isinstance(file.info, dict) and file.info.get("contributor") == "Label Studio"
    for key, image in images.items():
        first, *others = uploaded_names(image.file_name.replace("\\", "/"))
        yield ImageAnnotation(
            first,
            _size(image, shapes[key]),
            tuple(shapes[key]),
            tuple(without_area[key]),
            other_names=tuple(others),
            is_uploaded=by_label_studio or "/upload/" in f"/{first}",
            size_may_be_stored=by_label_studio,
            doubts=tuple(doubts[key]),
        )


def _shown(value: int | str) -> str:
    """An id as it stands in the file: ``"1"`` is a text, ``1`` a number."""
    return json.dumps(value, ensure_ascii=False)


def _listed(ids: Iterable[int | str]) -> str:
    return summarise([_shown(each) for each in ids]) or "empty"


def _images(images: Iterable[_Image]) -> dict[str, _Image]:
    known: dict[str, _Image] = {}
    for image in images:
        first = known.setdefault(str(image.id), image)
        if first is not image:
            raise AnnotationError(
                f"images have ids of their own, found {_shown(first.id)} of {first.file_name} and "
                f"{_shown(image.id)} of {image.file_name}. Export the file again"
            )
    return known


def _categories(categories: Iterable[_Category]) -> dict[str, _Category]:
    known: dict[str, _Category] = {}
    for category in categories:
        first = known.setdefault(str(category.id), category)
        if first.name != category.name:
            raise AnnotationError(
                f"categories have ids of their own, found {_shown(first.id)} of {first.name} and "
                f"{_shown(category.id)} of {category.name}. Export the file again"
            )
    return known


def _size(image: _Image, shapes: Sequence[Shape]) -> tuple[int, int] | None:
    """Height and width as the image or its run lengths state them, which are of a whole image."""
    stated = [(image.height, image.width)] if image.height and image.width else []
    sizes = [*stated, *(shape.area.size for shape in shapes if isinstance(shape.area, Runs))]
    if len(set(sizes)) > 1:
        listed = ", ".join(f"{width} × {height}" for height, width in dict.fromkeys(sizes))
        raise AnnotationError(
            f"run lengths have the size of their image; {image.file_name} and its run lengths have {listed}. "
            "Export the file again"
        )
    return sizes[0] if sizes else None


def _shapes(annotation: _Annotation, name: str, place: str) -> Iterator[Shape]:
    segmentation = annotation.segmentation
    if isinstance(segmentation, _Rle):
        counts = segmentation.counts
        runs = tuple(unpack_counts(counts) if isinstance(counts, str) else counts)
        yield Shape(name, Runs(runs, segmentation.size, by_column=True), "mask")
        return
    outlines = [flat for flat in segmentation or [] if flat]  # [[]] is [] to some exporters
    for flat in outlines:
        # Exporters differ most here: numbers that are no pairs, and shares of the image in the place of
        # pixels, which would draw a speck in the corner.
        if len(flat) < 6 or len(flat) % 2:
            raise AnnotationError(
                f"a polygon of image {_shown(annotation.image_id)} has {len(flat)} numbers, expected 6 or "
                "more, x and y in turn. Export the file again"
            )
        if all(0 <= number <= 1 for number in flat):
            raise AnnotationError(
                f"coordinates are pixels, and all of a polygon of {place} lie between 0 and 1: "
                f"{summarise([f'{number:g}' for number in flat])}. Export in pixels"
            )
        yield Shape(name, Polygon(tuple(zip(flat[::2], flat[1::2], strict=True))))
    box = annotation.bbox
    if not outlines and box is not None and any(box[2:]):
        x, y, width, height = box
        yield Shape(name, rectangle(x, y, x + width, y + height, _rotation(annotation, place)), "box")


def _rotation(annotation: _Annotation, place: str) -> float:
    """Degrees by which CVAT turned a box clockwise about its centre.

    Raises:
        AnnotationError: If another field states a rotation, whose meaning no standard says.
    """
    stated = {"rotation": annotation.rotation, "angle": annotation.angle, "theta": annotation.theta}
    for key, value in stated.items():
        if value not in (None, 0, "0", ""):
            raise AnnotationError(
                f"{key} of {place} is {value!r}, and no standard says about which point and in which "
                "direction it turns a bbox. Export polygons"
            )

    # What CVAT writes is known: degrees, clockwise, about the centre.
    value = (annotation.attributes or {}).get("rotation") or 0.0
    try:
        degrees = float(value)
    except (TypeError, ValueError):
        degrees = math.nan
    if not math.isfinite(degrees):
        raise AnnotationError(
            f"attributes.rotation of {place} turns its bbox by degrees, found {value!r}. Export polygons, or "
            "rename the attribute"
        )
    return degrees


# Contradictions ------------------------------------------------------------------------------------------

_BY_CORNERS = "bbox is x, y, x, y and not x, y, width, height, and the segmentation is read"
_SHARES = "bbox is in shares of the image, and the segmentation is read"
_AREA = "area is neither that of the segmentation, which is read, nor that of bbox"


def _corners(box: Sequence[float]) -> _Box:
    x, y, width, height = box
    return _Box(x, y, x + width, y + height)


def _check_lone_box(annotation: _Annotation, image: _Image, place: str) -> None:
    """Refuse a box without a segmentation that is in other units than pixels, or in other numbers."""
    assert annotation.bbox is not None, "it was drawn"
    x, y, width, height = annotation.bbox
    written = ", ".join(f"{number:g}" for number in annotation.bbox)
    if all(0 <= number <= 1 for number in annotation.bbox):
        raise AnnotationError(
            f"bbox of {place} is in pixels, found {written}. Export in pixels, not in shares"
        )
    if width < 0 or height < 0:
        raise AnnotationError(
            f"bbox of {place} is x, y, width, height, found {written}: {width:g} × {height:g}. "
            "Export it again"
        )

    # Pixels could be meant either way, so the image's size and the stated area decide if corners were
    # written instead.
    if width <= x or height <= y:
        return  # read as two corners it would have no area

    # Out of the image as stated and within it as corners: then corners were meant.
    box, other = _corners(annotation.bbox), _Box(x, y, width, height)
    fits = image.width is None or image.height is None
    if image.width and image.height:
        room = _Box(-_OUTSIDE, -_OUTSIDE, image.width + _OUTSIDE, image.height + _OUTSIDE)
        fits = box.right <= room.right and box.bottom <= room.bottom
        if not fits and other.right <= room.right and other.bottom <= room.bottom:
            raise AnnotationError(
                f"bbox of {place} is x, y, width, height, found {written}: {box}, in an image of "
                f"{image.width} × {image.height}. As x, y, x, y it would fit. Write width and height"
            )

    # The area names the other reading: that is as clear.
    area = annotation.area
    if area and _is_near(area, other.area) and not _is_near(area, box.area):
        raise AnnotationError(
            f"bbox of {place} is x, y, width, height, found {written}: {box.area:g} pixels, and an area of "
            f"{area:g}, which is that of x, y, x, y. Write width and height"
        )


def _is_near(area: float, other: float) -> bool:
    return abs(area - other) <= 0.02 * other + 1


def _doubts(annotation: _Annotation, drawn: Sequence[Shape], image: _Image, place: str) -> Iterator[Doubt]:
    """Contradictions of box and area with a segmentation that can be read without them.

    Raises:
        AnnotationError: If the segmentation lies elsewhere than the box.
    """
    # An upright outline beside a rotation has two meanings, and nobody can tell which of them was drawn.
    bounds, area = _bounds_and_area(drawn)
    degrees = 0.0 if annotation.bbox is None else _rotation(annotation, place)
    if degrees % 180 and _is_upright_box(drawn):
        raise AnnotationError(
            f"attributes.rotation of {place} is {degrees:g}, and its outline is the upright box {bounds}: "
            "which of them holds? Export polygons, or boxes without outlines"
        )

    # A box may be rounded or leave a part out. Only one that lies elsewhere, or that fits as corners,
    # counts as different.
    box = None if annotation.bbox is None or not any(annotation.bbox[2:]) else _corners(annotation.bbox)
    by_corners = annotation.bbox is not None and bounds.equals(_Box(*annotation.bbox))
    differs = box is not None and (not bounds.meets(box) or (by_corners and not bounds.equals(box)))
    if box is not None and annotation.bbox is not None and differs:
        written = ", ".join(f"{number:g}" for number in annotation.bbox)
        example = f"{place}: bbox {written}, segmentation {bounds}"
        if by_corners or bounds.meets(_Box(*annotation.bbox)):
            yield Doubt(_BY_CORNERS, example)
        elif all(0 <= number <= 1 for number in annotation.bbox):
            yield Doubt(_SHARES, example)
        elif not _turned_bounds(annotation, place).meets(bounds):
            raise AnnotationError(
                f"bbox and segmentation of {place} are of different places or sizes: bbox {box}, "
                f"segmentation {bounds} in {image.file_name}. Was one of them scaled or cut? Export the file "
                "again"
            )

    # Tools write the area of the mask, the outline or the box; what is none of them, with room to spare, is
    # told.
    stated = annotation.area
    areas = [area, bounds.area, *([] if box is None else [box.area])]
    if stated and not min(areas) / _PART - _PART <= stated <= _FACTOR * max(areas) + _PART:
        of_box = "" if box is None else f", of bbox {box.area:g}"
        yield Doubt(_AREA, f"{place}: area {stated:g}, of the segmentation {area:g}{of_box}")


def _is_upright_box(drawn: Sequence[Shape]) -> bool:
    """True for one rectangle whose sides are those of the image."""
    area = drawn[0].area
    if len(drawn) > 1 or not isinstance(area, Polygon):
        return False
    columns, rows = (sorted(set(numbers)) for numbers in zip(*area.points, strict=True))
    return len(columns) == len(rows) == 2 and len(set(area.points)) == 4


def _turned_bounds(annotation: _Annotation, place: str) -> _Box:
    assert annotation.bbox is not None, "asked where there is one"
    x, y, width, height = annotation.bbox
    points = np.array(rectangle(x, y, x + width, y + height, _rotation(annotation, place)).points)
    return _Box(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def _bounds_and_area(drawn: Sequence[Shape]) -> tuple[_Box, float]:
    """The box around a segmentation, and its area in pixels; parts that overlap count twice."""
    boxes: list[_Box] = []
    area = 0.0
    for shape in drawn:
        if isinstance(shape.area, Polygon):
            points = np.array(shape.area.points)
            boxes.append(_Box(*points.min(axis=0).tolist(), *points.max(axis=0).tolist()))
            area += _area(points)
        else:
            # From the runs themselves: the pixels of many masks of a large image would take minutes.
            shape.area.check()
            height = shape.area.size[0]
            # Runs go down the columns; one that goes on into the next column spans the whole height.
            counts = np.array(shape.area.counts, np.int64)
            ends = np.cumsum(counts)[1::2][counts[1::2] > 0]
            starts = ends - counts[1::2][counts[1::2] > 0]
            area += float(counts[1::2].sum())
            if len(starts):
                columns, last_columns = starts // height, (ends - 1) // height
                is_in_column = columns == last_columns
                top = np.where(is_in_column, starts % height, 0).min()
                bottom = np.where(is_in_column, (ends - 1) % height, height - 1).max() + 1
                boxes.append(_Box(int(columns[0]), int(top), int(last_columns[-1]) + 1, int(bottom)))
    lefts, tops, rights, bottoms = zip(*boxes, strict=True) if boxes else ((0.0,),) * 4
    return _Box(min(lefts), min(tops), max(rights), max(bottoms)), area


# Run lengths ---------------------------------------------------------------------------------------------


def unpack_counts(text: str) -> list[int]:
    """Run lengths of COCO's packed text: 5 bits a character, the fourth and later less the last but one.

    Raises:
        AnnotationError: If a character is none of them, or the text ends within a number.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        # Five bits of the number, a sixth that says if more follow; from the fourth number on it is the
        # difference from the one before last.
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise AnnotationError(f"packed run lengths have the character {character!r}. Export again")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # the highest bit of the last group is the sign
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise AnnotationError(
            f"packed run lengths end within a number, after {len(text)} characters. Export again"
        )
    return counts


def annotation_of(polygon: Polygon, number: int, image: int, score: float) -> dict[str, Any]:
    """One predicted defect as an annotation of category 1."""
    points = np.array(polygon.points)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "segmentation": [points.ravel().tolist()],
        "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
        "area": _area(points),
        "iscrowd": 0,
        "score": score,
    }


def _area(points: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    x, y = points.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
