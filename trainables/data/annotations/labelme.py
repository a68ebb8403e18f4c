"""LabelMe, and tools that write its files: one JSON file for each image, ``part.json`` beside ``part.jpg``.

Shapes: polygon, rectangle (two opposite corners, or all four), turned rectangles of four corners, circle, and
mask: a PNG of the window from its first to its last point, inclusive, or of the whole image. Points and lines
mark no pixels, and flags that are set speak of the whole image. Shapes are drawn in their order. Any other
shape is refused, for it may be a defect.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from trainables.data.annotations.shapes import (
    AnnotationError,
    ImageAnnotation,
    Polygon,
    Runs,
    Shape,
    as_utf8,
    ellipse,
    first_fault,
    meaning_of,
    rectangle,
    runs_of,
)

__all__ = ["TITLE", "file_of", "holds", "parse"]

TITLE = "LabelMe"
_VERSION = "5.5.0"  # of the format; LabelMe warns of files without one
# Numbers of points that a shape has; a polygon has more too.
_CORNERS = {
    "polygon": (3,),
    "ai_polygon": (3,),
    "rectangle": (2, 4),
    "rotation": (4,),
    "oriented_rectangle": (4,),
    "rotated_rectangle": (4,),
    "quadrilateral": (4,),
    "circle": (2,),
    "mask": (2,),
    "ai_mask": (2,),
}
_OUTLINES = ("polygon", "ai_polygon")
_NO_AREAS = ("point", "points", "ai_points", "line", "linestrip")


class _Shape(BaseModel):
    label: str
    points: list[tuple[FiniteFloat, FiniteFloat]]
    shape_type: str | None = "polygon"
    mask: str | None = None  # base64 of a PNG


class _File(BaseModel):
    shapes: list[_Shape]
    flags: dict[str, Any] | None = None  # of the whole image
    image: str = Field(alias="imagePath", min_length=1)
    height: int | None = Field(None, alias="imageHeight", ge=1)
    width: int | None = Field(None, alias="imageWidth", ge=1)


def holds(content: Any) -> bool:
    """True for the content of a LabelMe file."""
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def parse(data: bytes) -> Iterator[ImageAnnotation]:
    """The one image of a LabelMe file.

    Raises:
        AnnotationError: If it is no such file, or a shape is damaged.
    """
    try:
        file = _File.model_validate_json(as_utf8(data))
    except ValidationError as error:
        raise AnnotationError(f"no LabelMe file: {first_fault(error)}. Save it again in LabelMe") from error
    size = (file.height, file.width) if file.height and file.width else None

    # A flag speaks of the whole image and a line of no pixels; both make it defective without a mask.
    shapes: list[Shape] = []
    without_area = ["flag" for value in (file.flags or {}).values() if value is True]
    for shape in file.shapes:
        kind = shape.shape_type or "polygon"
        if kind in _CORNERS:
            shapes.append(
                Shape(shape.label, _area(kind, shape, size), "box" if kind == "rectangle" else kind)
            )
        elif kind not in _NO_AREAS:
            raise AnnotationError(
                f"the shape {shape.label!r} is of type {kind!r}; expected "
                f"{', '.join((*_CORNERS, *_NO_AREAS))}. Draw it as a polygon"
            )
        elif meaning_of(shape.label) == "defect":
            without_area.append(kind)
    yield ImageAnnotation(file.image.replace("\\", "/"), size, tuple(shapes), tuple(without_area))


def _area(kind: str, shape: _Shape, size: tuple[int, int] | None) -> Polygon | Runs:
    points, expected = shape.points, _CORNERS[kind]
    # The number of points says what is meant: two opposite corners, four corners, a centre and a point on
    # the circle.
    if len(points) not in expected and not (kind in _OUTLINES and len(points) > expected[0]):
        raise AnnotationError(
            f"the {kind} {shape.label!r} has {len(points)} points, expected "
            f"{' or '.join(map(str, expected))}{' or more' if kind in _OUTLINES else ''}. Draw it again"
        )
    if len(points) != 2:
        return Polygon(tuple(points))
    (x, y), (to_x, to_y) = points
    if kind == "rectangle":
        return rectangle(x, y, to_x, to_y)
    if kind == "circle":
        radius = math.dist((x, y), (to_x, to_y))
        return ellipse(x, y, radius, radius)

    # A mask is the window between its two points, or the whole image; a pixel of difference is rounding
    # between versions of the tool.
    window = _window(shape)
    between = (abs(round(to_y) - round(y)) + 1, abs(round(to_x) - round(x)) + 1)
    if window.shape == size:
        return runs_of(window)
    if max(abs(have - expect) for have, expect in zip(window.shape, between, strict=True)) > 1:
        raise AnnotationError(
            f"the mask {shape.label!r} has {window.shape[1]} × {window.shape[0]} pixels, and {between[1]} × "
            f"{between[0]} between its points. Draw it again"
        )
    return runs_of(window, (round(min(y, to_y)), round(min(x, to_x))))


def _window(shape: _Shape) -> np.ndarray[Any, np.dtype[np.bool_]]:
    try:
        data = np.frombuffer(base64.b64decode(shape.mask or "", validate=True), np.uint8)
        window = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    except (ValueError, cv2.error) as error:
        raise AnnotationError(f"the mask {shape.label!r} is no PNG: {error}. Draw it again") from error
    if window is None:
        raise AnnotationError(
            f"the mask {shape.label!r} is no PNG, found {len(shape.mask or '')} characters. Draw it again"
        )
    return window > 0


def file_of(image: ImageAnnotation) -> dict[str, Any]:
    """The content of a LabelMe file with the polygons of ``image``; its path is relative to that file."""
    height, width = image.size or (None, None)
    shapes = [
        {
            "label": shape.defect_class,
            "points": [list(point) for point in shape.area.points],
            "group_id": None,
            "shape_type": "polygon",
            "flags": {},
        }
        for shape in image.shapes
        if isinstance(shape.area, Polygon)
    ]
    return {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image.image,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
