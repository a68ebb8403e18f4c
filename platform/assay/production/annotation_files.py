"""Predicted masks as files of labelling tools, to be corrected and read again by `assay data import`.

``labelme``: ``labelme/x.json`` for each photo, which opens it where it lies. ``coco``: all in
``annotations.json``, with photos named below the folder that they share. Outlines lie on a photo as labelling
tools show it, turned by its EXIF orientation.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TextIO

from assay.production.folder import write_inside
from assay.production.photos import Photo
from assay.production.rows import PhotoRow
from trainables.data.annotations import ImageAnnotation, Polygon, Shape, as_shown
from trainables.data.annotations.coco import annotation_of
from trainables.data.annotations.labelme import file_of
from trainables.data.files.formats import orientation_of
from trainables.data.files.names import as_text
from trainables.errors import InputError

__all__ = ["AddOutlines", "AnnotationFormat", "annotation_writer", "refuse_names"]

AnnotationFormat = Literal["labelme", "coco"]
_CLASS = "defect"


AddOutlines = Callable[[Photo, PhotoRow, Sequence[Polygon]], None]  # takes one photo that was scored


def refuse_names(form: AnnotationFormat, photos: Sequence[Photo]) -> None:
    """Refuse photos that the files could not name.

    Raises:
        InputError: If a path is not UTF-8, as JSON is.
    """
    for photo in photos:
        path = photo.place if form == "coco" else photo.path.absolute()
        if as_text(path) != str(path):
            raise InputError(
                f"--annotations names photos in UTF-8, found {photo.name}. Rename the file (or its folder), "
                "or leave --annotations out."
            )


@contextmanager
def annotation_writer(form: AnnotationFormat, folder: Path) -> Generator[AddOutlines]:
    """Write outlines into ``folder``, for the length of a ``with`` block: it takes photos one by one."""
    if form == "labelme":
        yield partial(_add_labelme, folder / "labelme")
        return

    # One file for all photos, which is no JSON before its last line: until then it has another name.
    unfinished = folder / ".annotations.json.partial"
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.write('{"annotations": [')
            coco = _CocoFile(file)
            try:
                yield coco.add
            finally:  # an interruption leaves a whole file, a full disk may have cut one short
                if not isinstance(sys.exception(), OSError):
                    coco.end()
                    file.close()
                    unfinished.rename(folder / "annotations.json")
    finally:
        unfinished.unlink(missing_ok=True)


def _add_labelme(folder: Path, photo: Photo, row: PhotoRow, defects: Sequence[Polygon]) -> None:
    path = folder / photo.place.with_name(f"{photo.path.stem}.json")  # as LabelMe looks for it
    if path.exists():  # x.png beside x.jpg
        path = path.with_name(f"{photo.path.name}.json")
    image = os.path.relpath(photo.path, path.parent)
    shown, size = _as_shown(photo, row, defects)
    shapes = tuple(Shape(_CLASS, polygon) for polygon in shown)
    content = file_of(ImageAnnotation(image, size, shapes))
    write_inside(path, json.dumps(content, indent=1, ensure_ascii=False).encode())


def _as_shown(
    photo: Photo, row: PhotoRow, defects: Sequence[Polygon]
) -> tuple[Sequence[Polygon], tuple[int, int]]:
    size = (row.height or 0, row.width or 0)
    return as_shown(defects, size, orientation_of(photo.path.read_bytes()))


@dataclass
class _CocoFile:
    """One file that grows by its annotations; the list of images comes last."""

    file: TextIO
    images: list[dict[str, str | int]] = field(default_factory=list[dict[str, str | int]])
    annotations: int = 0

    def add(self, photo: Photo, row: PhotoRow, defects: Sequence[Polygon]) -> None:
        number = len(self.images) + 1
        name = photo.place.with_name(photo.path.name).as_posix()
        shown, (height, width) = _as_shown(photo, row, defects)
        self.images.append({"id": number, "file_name": name, "height": height, "width": width})
        for polygon in shown:
            comma = "," if self.annotations else ""
            self.annotations += 1
            annotation = annotation_of(polygon, self.annotations, number, row.score or 0.0)
            self.file.write(f"{comma}\n{json.dumps(annotation)}")

    def end(self) -> None:
        head = {"images": self.images, "categories": [{"id": 1, "name": _CLASS}]}
        self.file.write("\n], " + json.dumps(head, ensure_ascii=False)[1:])
