"""Outlines of defects as labelling tools write them, and the masks that they stand for.

::

    for image in parse_annotations(path.read_bytes()):  # LabelMe, COCO, Label Studio or CVAT, by its content
        mask = rasterise(image.shapes, height, width)  # uint8, 1 = defect

Each format is a module with ``parse(data)``. What a tool wrote is read as it stands or refused with an
:class:`AnnotationError`. Shapes without an area (points, lines, tags) are named in ``without_area``, so that
whoever reads them can say so.
"""

from __future__ import annotations

from trainables.data.annotations.detect import FORMATS, detect_format, json_fault, parse_annotations
from trainables.data.annotations.shapes import (
    AnnotationError,
    ImageAnnotation,
    Polygon,
    Runs,
    Shape,
    outlines,
    rasterise,
)

__all__ = [
    "FORMATS",
    "AnnotationError",
    "ImageAnnotation",
    "Polygon",
    "Runs",
    "Shape",
    "detect_format",
    "json_fault",
    "outlines",
    "parse_annotations",
    "rasterise",
]
