"""Annotations of a labelling tool as masks of a data set: the way back of what `assay predict` wrote.

Where the images lie in ``good/`` and ``defect/`` (also below ``train/`` and ``test/``), masks go to
``masks/``, for reader folder. Elsewhere masks and a table of all annotated images are written beside them,
for reader table.
Several classes then become class indices: 1, 2 … in the order of their names, later shapes over earlier ones.
Everything is checked before anything is written.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from trainables.data.annotations import label_studio
from trainables.data.annotations.detect import detect_format, parse_annotations
from trainables.data.annotations.shapes import AnnotationError, ImageAnnotation, rasterise
from trainables.data.formats import IMAGE_SUFFIXES, BrokenImageError, measure
from trainables.errors import InputError

__all__ = ["MASKS", "TABLE", "Imported", "import_annotations"]

TABLE, MASKS = "imported.csv", "imported_masks"
_GOOD, _DEFECT = "good", "defect"
_FAULTS_SHOWN = 20


@dataclass(frozen=True)
class Imported:
    """Summary of what was read and written.

    Attributes:
        images: Annotated images.
        masks: Files that were written. The other images show no defect.
        classes: Defect classes by the value of their pixels; empty where masks are black and white.
        table: The table that was written; None where masks went to ``masks/``.
        remarks: What was passed over, a sentence each.
    """

    images: int
    masks: int
    classes: Mapping[int, str]
    table: Path | None
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Drawn:
    """An annotated image on disk; paths are below the folder of images."""

    annotation: ImageAnnotation
    image: PurePosixPath
    mask: PurePosixPath
    size: tuple[int, int]  # height and width, pixels


def import_annotations(source: Path, folder: Path, *, replace: bool = False) -> Imported:
    """Write masks for the images below ``folder`` that the annotations in ``source`` are about.

    Args:
        source: A file of LabelMe, COCO, Label Studio or CVAT, or a folder with such files.
        folder: The images.
        replace: True where masks and a table that exist are replaced.

    Raises:
        InputError: If a file cannot be read, an image is not there or annotated twice, sizes differ, an image
            below ``good/`` has a shape, or a mask exists. Nothing is written then.
    """
    if not folder.is_dir():
        raise InputError(f"--images names the folder of the images, found none at {folder}. Check the path.")
    faults: list[str] = []
    remarks: list[str] = []
    annotations = list(_annotations(source, faults, remarks))
    in_folders = any((folder / part / _DEFECT).is_dir() for part in ("", "train", "test"))
    places = _Places(folder)
    drawn = list(_on_disk(annotations, places, faults, in_folders=in_folders))
    if not drawn and not faults:
        raise InputError(f"{source} annotates {len(drawn)} images. Name an export with finished images.")
    names = sorted({name for image in drawn for name in image.annotation.classes})
    classes = dict(enumerate(names, start=1)) if len(names) > 1 and not in_folders else {}
    masks = _masks(drawn, classes, faults)
    table = None if in_folders else PurePosixPath(TABLE)
    if in_folders:
        faults += _stale(folder, drawn)
    if not replace:
        existing = [place for place in (*masks, *([table] if table else [])) if (folder / place).exists()]
        if existing:
            faults.append(f"{existing[0]} exists (of {len(existing)} such files). Replace them by --replace")
    _refuse(faults)
    for place, content in masks.items():
        _write(folder / place, content)
    if table is not None:
        _write(folder / table, _table(drawn, masks))
    remarks += _passed_over(drawn, places)
    path = None if table is None else folder / table
    return Imported(len(drawn), len(masks), classes, path, tuple(remarks))


def _stale(folder: Path, drawn: Iterable[_Drawn]) -> Iterator[str]:
    """Masks of images below ``defect/`` on which nothing is drawn any more."""
    for image in drawn:
        if "masks" in image.mask.parts and not image.annotation.shapes and (folder / image.mask).exists():
            yield f"{image.image} shows no defect, and {image.mask} exists. Remove the mask"


def _refuse(faults: list[str]) -> None:
    if faults:
        shown = "\n".join(f"{fault}." for fault in faults[:_FAULTS_SHOWN])
        more = f"\n… and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise InputError(f"nothing was written. Faults, {len(faults)} in all:\n{shown}{more}")


def _annotations(
    source: Path, faults: list[str], remarks: list[str]
) -> Iterator[tuple[str, ImageAnnotation]]:
    """Every annotated image, with the name of the file that says so."""
    if not source.exists():
        raise InputError(f"there is no file or folder of annotations at {source}. Check the path.")
    files = [source]
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".json", ".xml"))
    others: list[str] = []
    for file in files:
        data = file.read_bytes()
        if source.is_dir() and detect_format(data) is None:
            others.append(file.name)
            continue
        try:
            yield from ((file.name, annotation) for annotation in parse_annotations(data))
            if detect_format(data) == label_studio.TITLE and (left := label_studio.unlabelled(data)):
                remarks.append(
                    f"{len(left)} tasks of {file.name} are not finished and left out, as {left[0]}."
                )
        except AnnotationError as error:
            faults.append(f"{file.name}: {error}")
    if others:
        remarks.append(f"{len(others)} files are of no format of annotations and left out, as {others[0]}.")


class _Places:
    """The images of a folder, by each end of their paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
        self.images = [
            PurePosixPath(path.as_posix())
            for path in paths
            if path.suffix.lower() in IMAGE_SUFFIXES and not {MASKS, "masks"} & set(path.parts)
        ]
        self._by_end: defaultdict[tuple[str, ...], list[PurePosixPath]] = defaultdict(list)
        for image in self.images:
            for start in range(len(image.parts)):
                self._by_end[image.parts[start:]].append(image)

    def find(self, name: str) -> PurePosixPath:
        """The image of which ``name`` says most of the path.

        Raises:
            InputError: If there is none, or several are equally good.
        """
        parts = PurePosixPath(name).parts
        for start in range(len(parts)):
            images = self._by_end.get(parts[start:], [])
            if len(images) > 1:
                raise InputError(f"{name} may be {images[0]} or {images[1]}. Rename one, here and there")
            if images:
                return images[0]
        raise InputError(f"no image below {self.folder} is called {name}. Name their folder with --images")


def _on_disk(
    annotations: Iterable[tuple[str, ImageAnnotation]],
    places: _Places,
    faults: list[str],
    *,
    in_folders: bool,
) -> Iterator[_Drawn]:
    """The annotations with their images; what does not fit becomes a fault."""
    taken: dict[PurePosixPath, str] = {}
    for file, annotation in annotations:
        try:
            image = places.find(annotation.image)
            width, height = measure((places.folder / image).read_bytes())
            if image in taken:
                raise InputError(f"{image} is annotated in {taken[image]} too. Leave one of them out")
            taken[image] = file
            if annotation.size not in (None, (height, width)):
                drawn_on = f"{annotation.size[1]} × {annotation.size[0]}" if annotation.size else ""
                raise InputError(
                    f"{image} has {width} × {height} pixels, and was annotated at {drawn_on}. Annotate "
                    "the image as it is stored"
                )
            yield _Drawn(annotation, image, _mask_place(image, annotation, in_folders), (height, width))
        except (InputError, BrokenImageError) as error:
            faults.append(f"{file}: {error}")


def _mask_place(image: PurePosixPath, annotation: ImageAnnotation, in_folders: bool) -> PurePosixPath:
    if not in_folders:
        return PurePosixPath(MASKS, f"{image}.png")
    parts = list(image.parts)
    if _DEFECT in parts[:-1]:
        parts[parts.index(_DEFECT)] = "masks"
    elif annotation.shapes:
        raise InputError(
            f"{image} has {len(annotation.shapes)} shapes; expected it below {_DEFECT}/. Move it"
        )
    return PurePosixPath(*parts).with_suffix(".png")


def _masks(
    drawn: Iterable[_Drawn], classes: Mapping[int, str], faults: list[str]
) -> dict[PurePosixPath, bytes]:
    """PNG files of all images with shapes: 255, or the value of the class."""
    values = {name: value for value, name in classes.items()}
    masks: dict[PurePosixPath, bytes] = {}
    for image in drawn:
        mask = np.zeros(image.size, np.uint8)
        try:
            for shape in image.annotation.shapes:
                mask[rasterise([shape], *image.size) > 0] = values.get(shape.defect_class, 255)
        except AnnotationError as error:
            faults.append(f"{image.image}: {error}")
            continue
        if mask.any():
            masks[image.mask] = cv2.imencode(".png", mask)[1].tobytes()
        elif image.annotation.shapes:
            faults.append(
                f"{image.image}: its {len(image.annotation.shapes)} shapes lie outside. Draw them again"
            )
    return masks


def _table(drawn: Iterable[_Drawn], masks: Mapping[PurePosixPath, bytes]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["image", "label", "mask", "defect_class"])
    for image in sorted(drawn, key=lambda each: each.image):
        bad = image.mask in masks
        rows.writerow([image.image, int(bad), image.mask if bad else "", "+".join(image.annotation.classes)])
    return text.getvalue().encode()


def _passed_over(drawn: Iterable[_Drawn], places: _Places) -> Iterator[str]:
    annotated = list(drawn)
    kinds = Counter(kind for image in annotated for kind in image.annotation.without_area)
    if kinds:
        counted = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common())
        yield f"shapes that mark no pixels are left out: {counted}."
    boxes = sum(
        shape.kind in ("box", "rectangle") for image in annotated for shape in image.annotation.shapes
    )
    if boxes:
        yield f"{boxes} shapes are boxes: their whole area counts as defect."
    left = sorted(set(places.images) - {image.image for image in annotated})
    if left:
        yield f"{len(left)} images of {places.folder} are not annotated and left out, as {left[0]}."


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
