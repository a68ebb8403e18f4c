"""Outlines of defects as labelling tools write them, and the masks that they stand for.

::

    for image in parse_annotations(path.read_bytes()):  # LabelMe, COCO, Label Studio or CVAT, by its content
        mask = rasterise(image.shapes, height, width)  # uint8, 1 = defect

Each format is a module with ``parse(data)``. What a tool wrote is read as it stands or refused with an
:class:`AnnotationError`. Shapes without an area (points, lines, tags) are named in ``without_area``, so that
whoever reads them can say so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from trainables.data.annotations import coco, cvat, label_studio, labelme
from trainables.data.annotations.foreign import FOREIGN_SUFFIXES, foreign_format, read_looked_at
from trainables.data.annotations.orientation import as_shown, as_stored, size_as_drawn
from trainables.data.annotations.shapes import (
    AnnotationError,
    ImageAnnotation,
    Polygon,
    Runs,
    Shape,
    as_utf8,
    doubt_remarks,
    outlines,
    rasterise,
    without_lone_background,
)

__all__ = [
    "FOREIGN_SUFFIXES",
    "FORMATS",
    "AnnotationError",
    "ImageAnnotation",
    "Polygon",
    "Runs",
    "Shape",
    "as_shown",
    "as_stored",
    "detect_format",
    "doubt_remarks",
    "json_fault",
    "outlines",
    "parse_annotations",
    "rasterise",
    "read_looked_at",
    "size_as_drawn",
    "unread_format",
]

FORMATS: Mapping[str, Callable[[bytes], Iterator[ImageAnnotation]]] = {
    module.TITLE: module.parse for module in (labelme, coco, label_studio, cvat)
}


def detect_format(data: bytes) -> str | None:
    """The title of the format of a file, "LabelMe" for one; None where it is none of ``FORMATS``."""
    start = as_utf8(data[:8192]).lstrip()
    if start.startswith(b"<"):
        return cvat.TITLE if b"<annotations" in start else None
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return next((module.TITLE for module in (labelme, coco, label_studio) if module.holds(content)), None)


def unread_format(name: str, data: bytes) -> str | None:
    """The form of a labelling tool's file that is none of ``FORMATS``, and the way out; None for others."""
    return foreign_format(name, data) if detect_format(data) is None else None


def json_fault(data: bytes) -> str:
    """The reason why a file is no JSON, with the place of the error; "" where it is."""
    try:
        json.loads(data)
    except (ValueError, RecursionError) as error:
        return f"no whole JSON in its {len(data)} bytes: {error}"
    return ""


def parse_annotations(data: bytes, name: str = "") -> Iterator[ImageAnnotation]:
    """All images of a file of annotations, whatever its format.

    Args:
        data: The file.
        name: Its name, by which formats that are not read are told.

    Raises:
        AnnotationError: If it is of no format that is read, or damaged.
    """
    title = detect_format(data)
    if title is None:
        foreign = foreign_format(name, data)
        if foreign is not None:
            raise AnnotationError(f"expected a file of {', '.join(FORMATS)}, found {foreign}")
        raise AnnotationError(
            f"expected a file of {', '.join(FORMATS)}, found {len(data)} bytes that start with {data[:20]!r}"
            f" ({json_fault(data) or 'JSON of another form'}). Export in one of these formats"
        )
    return map(without_lone_background, FORMATS[title](data))
