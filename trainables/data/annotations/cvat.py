"""CVAT: "CVAT for images 1.1", an XML file with polygons, boxes, ellipses and masks.

Boxes and ellipses are turned clockwise about their centre (``rotation``, degrees). A mask is a window
(left, top, width, height) with run lengths along its rows. Shapes lie over each other by their ``z_order``.
Polylines, points, skeletons, cuboids and tags mark no pixels. Tracks of videos are refused, and so are
unknown shapes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.parsers.expat import ErrorString

from trainables.data.annotations.shapes import (
    AnnotationError,
    ImageAnnotation,
    Polygon,
    Runs,
    Shape,
    ellipse,
    meaning_of,
    rectangle,
)

__all__ = ["TITLE", "parse"]

TITLE = "CVAT"
_AREAS = ("polygon", "box", "ellipse", "mask")
_NO_AREAS = ("polyline", "points", "tag", "cuboid", "skeleton")


class _WithoutTypes(ElementTree.TreeBuilder):
    """Refuses a document type, in every encoding: its entities can expand without bound."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise AnnotationError("no CVAT file: it declares a document type, found <!DOCTYPE. Export it again")


def parse(data: bytes) -> Iterator[ImageAnnotation]:
    """All images of an XML file, in its order.

    Raises:
        AnnotationError: If it is no such file, is of a video, or a shape is damaged.
    """
    try:
        root = ElementTree.fromstring(data, ElementTree.XMLParser(target=_WithoutTypes()))
    except ElementTree.ParseError as error:
        line, column = error.position
        raise AnnotationError(
            f"no XML: {ErrorString(error.code)} in line {line}, column {column}. Export it again"
        ) from error

    # Tracks of a video name no image files, so there would be nothing to find.
    if root.tag != "annotations" or root.find("track") is not None:
        content = "tracks of a video" if root.tag == "annotations" else f"<{root.tag}>"
        raise AnnotationError(
            f"expected <annotations> with images, found {content}. Export as CVAT for images 1.1"
        )
    for element in root.iter("image"):
        name = _text(element, "name")
        # An unknown shape may be a defect; leaving it out would make a good image of a defective one.
        unknown = next((child.tag for child in element if child.tag not in (*_AREAS, *_NO_AREAS)), None)
        if unknown is not None:
            raise AnnotationError(
                f"<image> holds {', '.join((*_AREAS, *_NO_AREAS))}, found <{unknown}> of {name}. "
                "Draw it as a polygon"
            )
        # A shape of a track that has left the picture is still listed.
        areas = [child for child in element if child.tag in _AREAS and child.get("outside") != "1"]
        shapes = tuple(
            _shape(child) for child in sorted(areas, key=lambda each: _number(each, "z_order", 0.0))
        )
        without_area = tuple(
            child.tag
            for child in element
            if child.tag in _NO_AREAS
            and child.get("outside") != "1"
            and meaning_of(child.get("label", "")) == "defect"
        )
        size = (round(_number(element, "height")), round(_number(element, "width")))
        if min(size) < 1:
            raise AnnotationError(
                f"an image has 1 pixel or more, found {size[1]} × {size[0]} of {name}. Export again"
            )
        yield ImageAnnotation(name.replace("\\", "/"), size, shapes, without_area)


def _shape(element: ElementTree.Element) -> Shape:
    if element.tag == "polygon":
        area: Polygon | Runs = _polygon(element)
    elif element.tag == "box":
        left, top, right, bottom = (_number(element, key) for key in ("xtl", "ytl", "xbr", "ybr"))
        area = rectangle(left, top, right, bottom, _number(element, "rotation", 0.0))
    elif element.tag == "ellipse":
        x, y, radius_x, radius_y = (_number(element, key) for key in ("cx", "cy", "rx", "ry"))
        area = ellipse(x, y, radius_x, radius_y, _number(element, "rotation", 0.0))
    else:
        area = _runs(element)
    return Shape(_text(element, "label"), area, element.tag)


def _polygon(element: ElementTree.Element) -> Polygon:
    text = _text(element, "points")
    try:
        pairs = [tuple(float(value) for value in pair.split(",")) for pair in text.split(";")]
        points = tuple((x, y) for x, y in pairs)
    except ValueError as error:
        raise AnnotationError(f"a polygon is x,y;x,y;…, found {text[:60]!r}. Export again") from error
    if len(points) < 3 or not all(map(math.isfinite, (value for point in points for value in point))):
        raise AnnotationError(f"a polygon has 3 corners or more, found {text[:60]!r}. Export again")
    return Polygon(points)


def _runs(element: ElementTree.Element) -> Runs:
    text = _text(element, "rle")
    try:
        counts = tuple(int(count) for count in text.split(","))
    except ValueError as error:
        raise AnnotationError(
            f"rle is counts with commas between, found {text[:60]!r}. Export again"
        ) from error
    top, left, height, width = (round(_number(element, key)) for key in ("top", "left", "height", "width"))
    return Runs(counts, (height, width), corner=(top, left))


def _text(element: ElementTree.Element, key: str) -> str:
    text = element.get(key)
    if not text:
        raise AnnotationError(f"<{element.tag}> has {key}, found {', '.join(element.keys())}. Export again")
    return text


def _number(element: ElementTree.Element, key: str, default: float | None = None) -> float:
    if default is not None and element.get(key) is None:
        return default
    text = _text(element, key)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise AnnotationError(f"{key} of <{element.tag}> is a number, found {text!r}. Export again")
    return number
