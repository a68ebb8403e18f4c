"""Label Studio: the export "JSON", a list of tasks with brush strokes, polygons, rectangles and ellipses.

Coordinates are percent of the image. A brush is four channels (red, green, blue, alpha) packed into run
lengths of bits; alpha is the mask. A task that nobody annotated says nothing of its image and is left out
(:func:`unlabelled` has them). Of several annotations of a task, the one marked as ground truth counts.

Results with one id are one region: its area, its labels (all of them are its classes), and what was chosen
for it. A region without a label has its choices for classes. Images are named by addresses, of which
several names on disk are possible: of an upload with the signs that Label Studio puts before it, or
without.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter, ValidationError

from trainables.data.annotations.shapes import (
    AnnotationError,
    Doubt,
    ImageAnnotation,
    Polygon,
    Runs,
    Shape,
    as_utf8,
    ellipse,
    first_fault,
    meaning_of,
    runs_of,
    uploaded_names,
)
from trainables.data.files.formats import IMAGE_SUFFIXES

__all__ = ["TITLE", "holds", "parse"]

TITLE = "Label Studio"
# Controls that mark no pixels of a region: lines and points, and words about a region or the whole image.
_LINES = ("keypoint", "vector", "relation")
_WORDS = ("choices", "datetime", "number", "pairwise", "ranker", "rating", "taxonomy", "textarea")
_UPLOADS = "/data/upload/"


class _Value(BaseModel, extra="allow"):
    points: list[tuple[FiniteFloat, FiniteFloat]] | None = None
    rle: list[int] | None = None
    x: FiniteFloat = 0.0
    y: FiniteFloat = 0.0
    width: FiniteFloat = 0.0
    height: FiniteFloat = 0.0
    rotation: FiniteFloat = 0.0
    radius_x: FiniteFloat = Field(0.0, alias="radiusX")
    radius_y: FiniteFloat = Field(0.0, alias="radiusY")


class _Result(BaseModel):
    id: str = ""
    type: str
    value: _Value = _Value.model_construct()
    width: int | None = Field(None, alias="original_width", ge=1)
    height: int | None = Field(None, alias="original_height", ge=1)
    image_rotation: int = 0


class _Annotation(BaseModel):
    result: list[_Result]
    was_cancelled: bool = False
    ground_truth: bool = False


class _Task(BaseModel):
    id: int | str = "?"
    data: dict[str, Any]
    annotations: list[_Annotation]


_TASKS = TypeAdapter(list[_Task])


def holds(content: Any) -> bool:
    """True for the content of an export."""
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and {"data", "annotations"} <= set(first)


def parse(data: bytes) -> Iterator[ImageAnnotation]:
    """The images of all tasks that were annotated.

    Raises:
        AnnotationError: If it is no such export, a task has several annotations, or a shape is damaged.
    """
    for task in _tasks(data):
        annotation = _chosen(task)
        if annotation is not None:
            yield _image(task, annotation)


def unlabelled(data: bytes) -> tuple[str, ...]:
    """Images of the tasks that were skipped or that nobody annotated.

    Raises:
        AnnotationError: As :func:`parse`.
    """
    return tuple(_image_names(task)[-1] for task in _tasks(data) if _chosen(task) is None)


def _tasks(data: bytes) -> list[_Task]:
    try:
        return _TASKS.validate_json(as_utf8(data))
    except ValidationError as error:
        raise AnnotationError(
            f"no export of Label Studio: {first_fault(error)}. Export as JSON (not JSON-MIN)"
        ) from error


def _chosen(task: _Task) -> _Annotation | None:
    # Two people who drew differently cannot both be right, so one of them must be marked as ground truth.
    finished = [annotation for annotation in task.annotations if not annotation.was_cancelled]
    if len(finished) > 1:
        finished = [annotation for annotation in finished if annotation.ground_truth]
        if len(finished) != 1:
            raise AnnotationError(
                f"task {task.id} has {len(task.annotations)} annotations, {len(finished)} of them ground "
                "truth; expected one. Mark one as ground truth, or delete the others"
            )
    return finished[0] if finished else None


def _image(task: _Task, annotation: _Annotation) -> ImageAnnotation:
    # <Labels> beside <Polygon> gives two results with one id, and so do choices for each region.
    regions: defaultdict[str, list[_Result]] = defaultdict(list)
    for number, result in enumerate(annotation.result):
        regions[result.id or f"#{number}"].append(result)
    shapes: list[Shape] = []
    without_area: list[str] = []
    doubts: list[Doubt] = []
    for results in regions.values():
        # The same area stands in each result of a region.
        areas: dict[Polygon | Runs, str] = {}
        for result in results:
            area = _area(result, task)
            if area is not None:
                areas.setdefault(area, _kind(result) or "shape")
        # Labels are the classes. Words chosen for a region stand in where it has none, and are told as not
        # read where it has.
        labels = list(dict.fromkeys(name for result in results for name in _labels(result)))
        words = [result for result in results if _kind(result) in _WORDS]
        chosen = list(dict.fromkeys(name for result in words for name in _chosen_words(result)))
        # A line or a point marks no pixel, but says that the image is defective.
        if not areas:
            kinds = [_kind(result) or "labels" for result in results if result.type != "relation"]
            without_area += [kind for kind in kinds if labels == [] or meaning_of(labels[0]) == "defect"]
            continue
        classes = labels or chosen or ["defect"]
        shapes += [Shape(name, area, kind) for area, kind in areas.items() for name in classes]
        if labels and words:
            example = ", ".join(chosen) or _kind(words[0])
            doubts.append(
                Doubt(
                    "labels are the classes of a region, and what was chosen or written for it is not read",
                    f"{example} of task {task.id}",
                )
            )
    first, *others = _image_names(task)
    return ImageAnnotation(
        first,
        _size(task, annotation),
        tuple(shapes),
        tuple(without_area),
        other_names=tuple(others),
        is_uploaded=_UPLOADS in first,
        doubts=tuple(doubts),
    )


def _size(task: _Task, annotation: _Annotation) -> tuple[int, int] | None:
    stated = {(result.height, result.width) for result in annotation.result if result.height and result.width}
    sizes = sorted(stated)
    if len(sizes) > 1:
        listed = ", ".join(f"{width} × {height}" for height, width in sizes)
        raise AnnotationError(f"task {task.id} is of one image, found the sizes {listed}. Export again")
    return sizes[0] if sizes else None


def _kind(result: _Result) -> str:
    return result.type.removesuffix("labels")


def _image_names(task: _Task) -> tuple[str, ...]:
    """Names that the image of a task may have on disk, the one that the task states first.

    Raises:
        AnnotationError: If it states none.
    """
    # The field is called as the labelling project calls it, so the first text that looks like an image's
    # address is taken.
    texts = [text for text in (task.data.get("image"), *task.data.values()) if isinstance(text, str)]
    for text in texts:
        paths = [path for path in _paths_of(text) if path.lower().endswith(IMAGE_SUFFIXES)]
        if paths and _UPLOADS in paths[0]:
            return tuple(dict.fromkeys(name for path in paths for name in uploaded_names(path)))
        if paths:
            return tuple(dict.fromkeys(path.lstrip("/") for path in paths))
    raise AnnotationError(
        f"task {task.id} names no image ({', '.join(IMAGE_SUFFIXES)}), found {str(task.data)[:80]}. "
        "Label images"
    )


def _paths_of(text: str) -> list[str]:
    """Paths that an address may stand for: ``%20`` and ``+`` are escapes in some addresses only."""
    try:
        address = urlsplit(text)
        query = parse_qs(address.query)
    except ValueError:  # a bracket that is not closed
        return []
    if address.scheme not in ("", "http", "https") and len(address.scheme) > 1:  # s3://bucket/a%20b.png
        path = text.partition("://")[2].partition("/")[2]
        paths = [path, unquote(path)]
    elif "fileuri" in query:  # the address of a cloud storage, in base64
        try:
            inner = base64.b64decode(query["fileuri"][0], altchars=b"-_").decode()
        except (binascii.Error, ValueError):
            return []
        return [] if "fileuri" in inner else _paths_of(inner)
    elif "d" in query:  # /data/local-files/?d=batch%201/a.png
        stated = next(part for part in address.query.split("&") if part.startswith("d="))[2:]
        paths = [unquote(stated), query["d"][0], unquote(query["d"][0])]
    else:
        path = address.path if len(address.scheme) != 1 else text  # C:\photos\a.png
        paths = [unquote(path), path]
    return [path.replace("\\", "/") for path in paths]


def _labels(result: _Result) -> list[str]:
    """All labels of a result: with ``choice="multiple"`` a region has several."""
    named = (result.value.model_extra or {}).get(result.type if result.type.endswith("labels") else "labels")
    return [str(name) for name in named] if isinstance(named, list) else []


def _chosen_words(result: _Result) -> list[str]:
    """Words that were chosen for a region: the last word of each way through a taxonomy."""
    named = (result.value.model_extra or {}).get(result.type)
    if result.type not in ("choices", "taxonomy") or not isinstance(named, list):
        return []
    return [
        str(name[-1]) if isinstance(name, Sequence) and not isinstance(name, str) else str(name)
        for name in named
        if name
    ]


def _area(result: _Result, task: _Task) -> Polygon | Runs | None:
    """The pixels that a result marks; None where it marks none.

    Raises:
        AnnotationError: If it may mark some, and is of a kind that is not read.
    """
    # What is drawn decides, not what the control is called.
    value, kind = result.value, _kind(result)
    if not kind:  # <Labels> repeats the value of the shape
        fields = value.model_fields_set
        kind = "ellipse" if "radius_x" in fields else "rectangle" if {"width", "height"} <= fields else kind
    closed = (value.model_extra or {}).get("closed")

    # A kind that is unknown may mark pixels, and passing it over would lose a defect.
    if value.rle is None and (kind not in ("polygon", "rectangle", "ellipse", "", *_LINES, *_WORDS)):
        raise AnnotationError(
            f"a {kind} of task {task.id} is not read: {json.dumps(sorted(value.model_extra or {}))}. "
            "Draw with Brush, Polygon, Rectangle or Ellipse"
        )
    if kind == "vector" and closed is True:
        raise AnnotationError(f"a closed vector of task {task.id} is not read. Draw it with Polygon")
    has_area = (
        value.rle is not None
        or (kind in ("polygon", "") and value.points is not None)
        or kind in ("rectangle", "ellipse")
    )
    if not has_area:
        return None

    # Percent of an image need its size, and an image that was turned in the tool would be drawn on otherwise.
    if result.height is None or result.width is None or result.image_rotation:
        raise AnnotationError(
            f"a {kind} of task {task.id} needs original_width and original_height, and an image that is not "
            f"turned; found {result.width} × {result.height}, image_rotation {result.image_rotation}. "
            "Label the image as it is stored"
        )
    if value.rle is not None:
        return runs_of(_brush(value.rle, result.height, result.width))

    # Coordinates are percent of each side.
    scale = np.array([result.width, result.height]) / 100
    if value.points is not None:
        if len(value.points) < 3:
            raise AnnotationError(
                f"a polygon of task {task.id} has 3 corners or more, found {len(value.points)}. Draw it again"
            )
        corners = np.array(value.points) * scale
    elif kind == "ellipse":
        x, y = np.array([value.x, value.y]) * scale
        radius_x, radius_y = np.array([value.radius_x, value.radius_y]) * scale
        return ellipse(float(x), float(y), float(radius_x), float(radius_y), value.rotation)
    else:
        corners = _turned_rectangle(value, scale)
    return Polygon(tuple((float(x), float(y)) for x, y in corners))


def _turned_rectangle(value: _Value, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of a rectangle that is turned clockwise about its upper left one."""
    turn = np.deg2rad(value.rotation)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    sides = np.array([[0, 0], [value.width, 0], [value.width, value.height], [0, value.height]]) * scale
    return np.array([value.x, value.y]) * scale + sides @ rotation


def _brush(packed: list[int], height: int, width: int) -> NDArray[np.bool_]:
    """The alpha channel of a packed brush: height × width."""
    try:
        channels = unpack_bits(bytes(packed))
        return channels.reshape(height, width, 4)[:, :, 3] > 0
    except ValueError as error:
        raise AnnotationError(
            f"a brush is packed run lengths of {width} × {height} × 4 bytes: {error}. Export again"
        ) from error


def unpack_bits(data: bytes) -> NDArray[np.uint8]:
    """Numbers of the format "rle-pack", which Label Studio's brush is stored in.

    Its head: 32 bits the number of values, 5 bits their width less 1, four times 4 bits a width of lengths
    less 1. Then one bit (1: a value repeated, 0: a list of values), two bits which of the four widths, the
    length less 1 in it, and the value or values.

    Raises:
        ValueError: If the data end too early, or values have other than 8 bits.
    """
    at = 0  # bits that are read

    def read(width: int) -> int:
        nonlocal at
        start, at = at, at + width
        if at > 8 * len(data):
            raise ValueError(f"they end too early, after {len(data)} bytes")
        window = int.from_bytes(data[start // 8 : (at + 7) // 8])
        return (window >> (-at % 8)) & ((1 << width) - 1)

    # The head, then blocks until as many values are there.
    count, width = read(32), read(5) + 1
    if width != 8:
        raise ValueError(f"values have 8 bits, found {width}")
    widths = [read(4) + 1 for _ in range(4)]
    values: list[NDArray[np.uint8]] = []
    while count > 0:
        repeated = read(1)
        length = min(read(widths[read(2)]) + 1, count)
        drawn = [read(width)] * length if repeated else [read(width) for _ in range(length)]
        values.append(np.array(drawn, np.uint8))
        count -= length
    return np.concatenate(values) if values else np.empty(0, np.uint8)
