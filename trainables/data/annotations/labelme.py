"""LabelMe: one JSON file for each image, ``part.json`` beside ``part.jpg``.

Shapes: polygon, rectangle, circle, and mask: a PNG of the window from its first to its last point, inclusive.
Points and lines mark no pixels.
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
    rectangle,
    runs_of,
)

__all__ = ["TITLE", "file_of", "holds", "parse"]

TITLE = "LabelMe"
_VERSION = "5.5.0"  # of the format; LabelMe warns of files without one
_CORNERS = {"rectangle": 2, "circle": 2, "mask": 2, "polygon": 3}


class _Shape(BaseModel):
    label: str
    points: list[tuple[FiniteFloat, FiniteFloat]]
    shape_type: str | None = "polygon"
    mask: str | None = None  # base64 of a PNG


class _File(BaseModel):
    shapes: list[_Shape]
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
    shapes: list[Shape] = []
    without_area: list[str] = []
    for shape in file.shapes:
        kind = shape.shape_type or "polygon"
        if kind in _CORNERS:
            shapes.append(Shape(shape.label, _area(kind, shape), "box" if kind == "rectangle" else kind))
        else:
            without_area.append(kind)
    size = (file.height, file.width) if file.height and file.width else None
    yield ImageAnnotation(file.image.replace("\\", "/"), size, tuple(shapes), tuple(without_area))


def _area(kind: str, shape: _Shape) -> Polygon | Runs:
    points = shape.points
    if len(points) < _CORNERS[kind] or (kind != "polygon" and len(points) > _CORNERS[kind]):
        raise AnnotationError(
            f"the {kind} {shape.label!r} has {len(points)} points, expected {_CORNERS[kind]}"
            f"{' or more' if kind == 'polygon' else ''}. Draw it again"
        )
    if kind == "polygon":
        return Polygon(tuple(points))
    (x, y), (to_x, to_y) = points
    if kind == "rectangle":
        return rectangle(x, y, to_x, to_y)
    if kind == "circle":
        radius = math.dist((x, y), (to_x, to_y))
        return ellipse(x, y, radius, radius)
    return runs_of(_window(shape), (round(y), round(x)))


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
