"""Predicted masks as files of labelling tools, to be corrected and read again by `assay data import`.

``labelme``: ``labelme/x.json`` for each photo, which opens it where it lies. ``coco``: all in
``annotations.json``, with photos named below the folder that they share.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from assay.production.photos import Photo
from assay.production.rows import PhotoRow
from trainables.data.annotations import ImageAnnotation, Polygon, Shape
from trainables.data.annotations.coco import annotation_of
from trainables.data.annotations.labelme import file_of

__all__ = ["AnnotationFormat", "AnnotationWriter", "annotation_writer"]

AnnotationFormat = Literal["labelme", "coco"]
_CLASS = "defect"


class AnnotationWriter(Protocol):
    """Takes photos one by one, from entering to leaving a ``with`` block."""

    def add(self, photo: Photo, row: PhotoRow, defects: Sequence[Polygon]) -> None:
        """Write the outlines of one photo that was scored."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def annotation_writer(form: AnnotationFormat, folder: Path) -> AnnotationWriter:
    """The writer of a format, into ``folder``."""
    return _LabelMeFiles(folder / "labelme") if form == "labelme" else _CocoFile(folder / "annotations.json")


class _LabelMeFiles:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every file is written already."""

    def add(self, photo: Photo, row: PhotoRow, defects: Sequence[Polygon]) -> None:
        path = self._folder / photo.place.with_name(f"{photo.path.stem}.json")  # as LabelMe looks for it
        if path.exists():  # x.png beside x.jpg
            path = path.with_name(f"{photo.path.name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        image = os.path.relpath(photo.path, path.parent)
        shapes = tuple(Shape(_CLASS, polygon) for polygon in defects)
        content = file_of(ImageAnnotation(image, (row.height or 0, row.width or 0), shapes))
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


class _CocoFile:
    """One file that grows by its annotations; the list of images comes last."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._images: list[dict[str, str | int]] = []
        self._annotations = 0

    def __enter__(self) -> Self:
        self._file.write('{"annotations": [')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        head = {"images": self._images, "categories": [{"id": 1, "name": _CLASS}]}
        self._file.write("\n], " + json.dumps(head, ensure_ascii=False)[1:])
        self._file.close()

    def add(self, photo: Photo, row: PhotoRow, defects: Sequence[Polygon]) -> None:
        number = len(self._images) + 1
        name = photo.place.with_name(photo.path.name).as_posix()
        size = {"height": row.height or 0, "width": row.width or 0}
        self._images.append({"id": number, "file_name": name, **size})
        for polygon in defects:
            comma = "," if self._annotations else ""
            self._annotations += 1
            annotation = annotation_of(polygon, self._annotations, number, row.score or 0.0)
            self._file.write(f"{comma}\n{json.dumps(annotation)}")
