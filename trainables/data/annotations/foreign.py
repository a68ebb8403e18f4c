"""Files of labelling tools that are known by their form, and are not read.

Whoever has such a file beside images has drawn defects. An image whose defects are in a file that nobody
reads would be taken for a normal one, so that a reader has to name the file, and which export is read
instead.

Formats, by what their own documentation shows: YOLO (text files of numbers, ``data.yaml``), Pascal VOC and
the older LabelMe (XML), VGG Image Annotator (JSON, CSV), Supervisely, Label Studio's JSON-MIN and CSV,
CreateML, Datumaro, Darwin, SuperAnnotate, ISAT, GeoJSON, tables of boxes, lines of JSON, and HALCON
dictionaries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from trainables.data.annotations.shapes import as_utf8

__all__ = ["FOREIGN_SUFFIXES", "foreign_format", "read_looked_at"]

_HALCON = frozenset((".hdict", ".dltp"))
_LINES = frozenset((".jsonl", ".ndjson", ".manifest"))
_TABLES = frozenset((".csv", ".tsv"))
FOREIGN_SUFFIXES = (
    frozenset((".json", ".geojson", ".xml", ".txt", ".yaml", ".yml")) | _HALCON | _LINES | _TABLES
)
_TOOL = "as COCO from the tool that it was drawn with, or masks as PNG"
_START = 1 << 16  # bytes that a text is told by
_NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_YOLO = re.compile(rf"^\d+(?:\s+{_NUMBER}){{4,}}$")
_YOLO_NAMES = re.compile(r"^names\s*:", re.MULTILINE)
_YOLO_SETS = re.compile(r"^(?:train|val|nc|path)\s*:", re.MULTILINE)


def read_looked_at(path: Path) -> bytes:
    """As much of a file as its form is told by: JSON and XML are read whole, others may be long."""
    with path.open("rb") as file:
        return file.read() if path.suffix.lower() in (".json", ".geojson", ".xml") else file.read(_START)


def foreign_format(name: str, data: bytes) -> str | None:
    """The form of a file that is known and not read, with the way out; None for any other file.

    Args:
        name: Its name.
        data: Its content.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in _HALCON:
        return _named("a data set of HALCON's Deep Learning Tool", "masks as PNG, or a COCO file")
    # From the surest sign to the vaguest: the ending, then the first bytes, then the content.
    start = as_utf8(data[:_START]).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        return _xml(start)
    if suffix in (".txt", ".yaml", ".yml"):
        return _yolo(start)
    return _table(start) if suffix in _TABLES else _json(data)


def _named(what: str, way_out: str) -> str:
    return f"{what}, which is not read. Export {way_out}"


def _yolo(start: str) -> str | None:
    """Lines of a class and four shares of the image or more; or the names of classes and sets."""
    if _YOLO_NAMES.search(start) and _YOLO_SETS.search(start):
        return _named("the description of a YOLO data set", _TOOL)
    # The last line may be cut off where only the start was read. Five numbers a line are YOLO's only if
    # those behind the class are shares of the image.
    whole = start.splitlines() if len(start) < _START else start.splitlines()[:-1]
    lines = [line.strip() for line in whole if line.strip()][:50]
    if not lines or not all(map(_YOLO.match, lines)):
        return None
    shares = [float(number) for line in lines for number in line.split()[1:]]
    return _named("a label file of YOLO", _TOOL) if all(-0.5 <= each <= 1.5 for each in shares) else None


def _xml(start: str) -> str | None:
    root = re.search(r"<([A-Za-z_][\w.-]*)", re.sub(r"<\?.*?\?>|<!--.*?-->", "", start, flags=re.DOTALL))
    # Told by the root's tag and a word that only that tool writes.
    tag = root[1] if root else ""
    if tag == "annotation" and ("<polygon" in start or "<pt>" in start):
        return _named("an XML file of the older LabelMe", "it as LabelMe JSON, COCO or CVAT for images 1.1")
    if tag == "annotation" and ("<object" in start or "<filename" in start):
        return _named(
            "an annotation of Pascal VOC",
            "as COCO or CVAT for images 1.1",
        )
    if tag == "dataset" and "<image " in start:
        return _named("a data set of dlib's imglab", _TOOL)
    if tag in ("Annotations", "ASAP_Annotations"):
        return _named("an XML file of a slide viewer", _TOOL)
    return None


def _table(start: str) -> str | None:
    # By its columns: a table of one's own images has an image and a label, and none of these.
    head = start.partition("\n")[0].strip().lower()
    columns = {column.strip(' "#\r') for column in re.split(r"[,;\t]", head)}
    if "region_shape_attributes" in columns:
        return _named("a table of the VGG Image Annotator", "as COCO (Annotation, Export)")
    if {"xmin", "ymin", "xmax", "ymax"} <= columns:
        return _named("a table of boxes", _TOOL)
    if {"annotator", "annotation_id"} <= columns:
        return _named("a table of Label Studio", "as JSON (not CSV)")
    return None


def _json(data: bytes) -> str | None:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        # A file of many JSON values, one a line, is no JSON, and each of its lines is.
        first = as_utf8(data[:_START]).partition(b"\n")[0]
        try:
            line = json.loads(first)
        except (ValueError, RecursionError):
            return None
        known = isinstance(line, dict) and any(
            key in line for key in ("data_row", "source-ref", "image", "labels")
        )
        return _named("a file of annotations as lines of JSON", _TOOL) if known else None
    return next((_named(what, way_out) for what, way_out, holds in _FORMS if holds(content)), None)


def _records(content: Any) -> list[Mapping[str, Any]]:
    """The first values of a list or of a map, as far as they are maps."""
    values = (
        list(content.values()) if isinstance(content, dict) else content if isinstance(content, list) else []
    )
    return [value for value in values[:20] if isinstance(value, dict)]


def _keys(content: Any) -> set[str]:
    return set(content) if isinstance(content, dict) else set()


def _holds_each(content: Any, *keys: str) -> bool:
    records = _records(content)
    return bool(records) and all(set(keys) <= set(record) for record in records)


def _within(content: Any, key: str, *keys: str) -> bool:
    """True where a list ``key`` holds maps with these keys, or is empty."""
    inner = content.get(key) if isinstance(content, dict) else None
    return isinstance(inner, list) and all(
        isinstance(each, dict) and set(keys) <= set(each) for each in inner[:20]
    )


def _deep_keys(content: Any, depth: int = 5) -> Iterator[str]:
    """Keys of a JSON value and of those within, of the first few values of each."""
    if not depth:
        return
    if isinstance(content, dict):
        for key, value in list(content.items())[:50]:
            yield str(key)
            yield from _deep_keys(value, depth - 1)
    elif isinstance(content, list):
        for value in content[:3]:
            yield from _deep_keys(value, depth - 1)


# Words for places of pixels, of which no camera or list of files writes one about an image.
_GEOMETRY = frozenset(
    (
        "polygon",
        "polygons",
        "bbox",
        "bboxes",
        "bounding_box",
        "boundingbox",
        "bounding_boxes",
        "bndbox",
        "segmentation",
        "segmentations",
        "shapes",
        "shape_attributes",
        "exterior",
        "contour",
        "contours",
        "xmin",
        "polyline",
        "rle",
    )
)


def _looks_drawn(content: Any) -> bool:
    return any(key.casefold() in _GEOMETRY for key in _deep_keys(content))


_FORMS: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    (
        "a project of the VGG Image Annotator",
        "as COCO (Annotation, Export)",
        lambda content: "_via_img_metadata" in _keys(content) or _holds_each(content, "filename", "regions"),
    ),
    (
        "an annotation of Supervisely",
        "as COCO, or masks as PNG",
        lambda content: (
            (
                "objects" in _keys(content)
                and _within(content, "objects", "classTitle")
                and "size" in _keys(content)
            )
            or ("classes" in _keys(content) and _within(content, "classes", "title", "shape"))
        ),
    ),
    (
        "an annotation of ISAT",
        "as COCO or LabelMe",
        lambda content: (
            "objects" in _keys(content) and _within(content, "objects", "category", "segmentation")
        ),
    ),
    (
        "a file of CreateML",
        "as COCO",
        lambda content: isinstance(content, list) and _holds_each(content, "image", "annotations"),
    ),
    (
        "an export of Label Studio as JSON-MIN",
        "as JSON (not JSON-MIN)",
        lambda content: (
            isinstance(content, list) and _holds_each(content, "id", "annotator", "annotation_id")
        ),
    ),
    (
        "a list of Label Studio's tasks with predictions alone",
        "it as JSON when the tasks are annotated",
        lambda content: isinstance(content, list) and _holds_each(content, "data", "predictions"),
    ),
    (
        "a data set of Datumaro",
        "as COCO, or CVAT for images 1.1",
        lambda content: {"categories", "items"} <= _keys(content),
    ),
    (
        "an annotation of V7 Darwin",
        "as COCO",
        lambda content: {"item", "annotations"} <= _keys(content),
    ),
    (
        "an annotation of SuperAnnotate",
        "as COCO",
        lambda content: {"metadata", "instances"} <= _keys(content),
    ),
    (
        "a GeoJSON file",
        "as COCO, or masks as PNG",
        lambda content: isinstance(content, dict) and content.get("type") in ("FeatureCollection", "Feature"),
    ),
    (
        "a JSON file of outlines or boxes in a form that is not known",
        "as COCO, LabelMe, Label Studio (JSON) or CVAT for images 1.1, or masks as PNG",
        _looks_drawn,
    ),
)
