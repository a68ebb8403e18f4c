"""COCO: one JSON file with images, categories and annotations; polygons or run lengths (plain or packed).

An annotation with a box alone is a box. An image that no annotation names is one without defects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from trainables.data.annotations.shapes import (
    AnnotationError,
    ImageAnnotation,
    Polygon,
    Runs,
    Shape,
    as_utf8,
    first_fault,
    rectangle,
    uploaded_name,
)

__all__ = ["TITLE", "annotation_of", "holds", "parse"]

TITLE = "COCO"


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
    image_id: int | str
    category_id: int | str
    segmentation: list[list[FiniteFloat]] | _Rle | None = None
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None


class _File(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def holds(content: Any) -> bool:
    """True for the content of a COCO file."""
    return isinstance(content, dict) and {"images", "annotations"} <= set(content)


def parse(data: bytes) -> Iterator[ImageAnnotation]:
    """All images of a COCO file, in its order.

    Raises:
        AnnotationError: If it is no such file, or an annotation names an image or category that is not there.
    """
    try:
        file = _File.model_validate_json(as_utf8(data))
    except ValidationError as error:
        raise AnnotationError(f"no COCO file: {first_fault(error)}. Export it again") from error
    names = {category.id: category.name for category in file.categories}
    known = {image.id for image in file.images}
    if len(known) < len(file.images):
        raise AnnotationError(f"{len(file.images)} images have {len(known)} ids. Export the file again")
    shapes: defaultdict[int | str, list[Shape]] = defaultdict(list)
    without_area: defaultdict[int | str, list[str]] = defaultdict(list)
    for number, annotation in enumerate(file.annotations):
        if annotation.image_id not in known or annotation.category_id not in names:
            raise AnnotationError(
                f"annotations.{number} is of image {annotation.image_id}, category {annotation.category_id}; "
                "expected ids of the lists images and categories. Export the file again"
            )
        drawn = list(_shapes(annotation, names[annotation.category_id]))
        shapes[annotation.image_id] += drawn
        if not drawn:
            without_area[annotation.image_id].append("annotation")
    for image in file.images:
        name = uploaded_name(image.file_name.replace("\\", "/"))
        size = _size(image, shapes[image.id])
        yield ImageAnnotation(name, size, tuple(shapes[image.id]), tuple(without_area[image.id]))


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


def _shapes(annotation: _Annotation, name: str) -> Iterator[Shape]:
    segmentation = annotation.segmentation
    if isinstance(segmentation, _Rle):
        counts = segmentation.counts
        runs = tuple(unpack_counts(counts) if isinstance(counts, str) else counts)
        yield Shape(name, Runs(runs, segmentation.size, by_column=True), "mask")
    elif segmentation:
        for flat in segmentation:
            if len(flat) < 6 or len(flat) % 2:
                raise AnnotationError(
                    f"a polygon of image {annotation.image_id} has {len(flat)} numbers, expected 6 or more, "
                    "x and y in turn. Export the file again"
                )
            yield Shape(name, Polygon(tuple(zip(flat[::2], flat[1::2], strict=True))))
    elif annotation.bbox is not None:
        x, y, width, height = annotation.bbox
        yield Shape(name, rectangle(x, y, x + width, y + height), "box")


def unpack_counts(text: str) -> list[int]:
    """Run lengths of COCO's packed text: 5 bits a character, the fourth and later less the last but one.

    Raises:
        AnnotationError: If a character is none of them, or the text ends within a number.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
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
