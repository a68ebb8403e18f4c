"""Annotations of a labelling tool as masks of a data set: the way back of what `assay predict` wrote.

Where the images lie in ``good/`` and ``defect/`` or folders of other usual names (also below ``train/`` and
``test/``), masks go to the folder of masks beside them, for reader folder. Elsewhere masks and a table of all
annotated images are written beside them, for reader table. An image with lines or points is defective there,
without a mask: a mask of its other shapes would call these background.
Several classes become class indices: 1, 2 … in the order of their names, later shapes over earlier ones. An
import numbers its own classes, so that masks of another import have to be replaced with it. Labels such as
``__ignore__`` are the last indices, for ``others: ignore``.
Everything is checked before anything is written.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from trainables.data.annotations import (
    FOREIGN_SUFFIXES,
    AnnotationError,
    ImageAnnotation,
    as_stored,
    detect_format,
    doubt_remarks,
    json_fault,
    label_studio,
    parse_annotations,
    rasterise,
    read_looked_at,
    size_as_drawn,
    unread_format,
)
from trainables.data.annotations.image_names import ImageNames
from trainables.data.files.formats import IMAGE_SUFFIXES, BrokenImageError, measure
from trainables.data.files.names import DEFECT_FOLDERS, MASK_FOLDERS, is_system_file
from trainables.data.inspect.findings import counted, first_lines
from trainables.errors import InputError

__all__ = ["MASKS", "TABLE", "Imported", "import_annotations"]

TABLE, MASKS = "imported.csv", "imported_masks"


@dataclass(frozen=True)
class Imported:
    """Summary of what was read and written."""

    images: int  # annotated ones
    masks: int  # files that were written; the other images show no defect, or lines and points
    classes: Mapping[int, str]  # by the value of their pixels; empty where masks are black and white
    table: Path | None  # that was written; None where masks went to ``masks/``
    remarks: tuple[str, ...]  # what was passed over, a sentence each
    ignored: tuple[str, ...] = ()  # those of the classes that are neither defect nor background


@dataclass(frozen=True)
class _Drawn:
    """An annotated image on disk; paths are below the folder of images."""

    annotation: ImageAnnotation
    image: PurePosixPath
    mask: PurePosixPath
    size: tuple[int, int]  # height and width of what was drawn on, pixels
    orientation: int = 1  # by which the tool had turned it


def import_annotations(source: Path, folder: Path, *, replace: bool = False) -> Imported:
    """Write masks for the images below ``folder`` that the annotations in ``source`` are about.

    Args:
        source: A file of LabelMe, COCO, Label Studio or CVAT, or a folder with such files.
        folder: The images.
        replace: True where masks and a table that exist are replaced.

    Raises:
        InputError: If a file cannot be read, an image is not there or annotated twice, sizes differ, an image
            below ``good/`` is drawn on, or a mask exists (with several classes also that of an image that is
            not annotated). Nothing is written then.
    """
    if not folder.is_dir():
        raise InputError(f"--images names the folder of the images, found none at {folder}. Check the path.")
    # All faults are collected before anything is written, so a second try starts from the same folder.
    faults: list[str] = []
    remarks: list[str] = []
    annotations = list(_annotations(source, faults, remarks))
    places = _Places(folder)
    in_folders = places.in_folders
    drawn = list(_on_disk(annotations, places, faults))
    if not drawn and not faults:
        why = "".join(f"{remark} " for remark in remarks)
        raise InputError(f"{source} annotates 0 images. {why}Name an export with finished images.")

    # One class is black and white; several are numbered in the order of their names, ignored ones last.
    names = sorted({name for image in drawn for name in image.annotation.classes})
    ignored = sorted({name for image in drawn for name in image.annotation.ignored})
    classes = dict(enumerate((*names, *ignored), start=1)) if len(names) > 1 or ignored else {}
    masks, overlapping = _masks(drawn, classes, faults)
    table = None if in_folders else PurePosixPath(TABLE)

    # A mask from an earlier import that stays would be read with the new ones.
    if in_folders:
        faults += _stale(places, drawn)
        faults += _numbered_otherwise(places, masks) if classes else ()
    if not replace:
        existing = [place for place in (*masks, *([table] if table else [])) if (folder / place).exists()]
        if existing:
            faults.append(f"{existing[0]} exists (of {len(existing)} such files). Replace them by --replace")
    if faults:
        shown = first_lines([f"{fault}." for fault in faults])
        raise InputError(f"nothing was written. Faults, {len(faults)} in all:\n{shown}")

    # From here on files are written.
    for place, content in masks.items():
        _write(folder / place, content)
    if table is not None:
        _write(folder / table, _table(drawn, masks))
    remarks += _passed_over(drawn, places)
    if overlapping:
        remarks.append(
            f"shapes of several classes lie over each other in {counted(len(overlapping), 'image')}, such as "
            f"{overlapping[0]}: the later one counts there."
        )
    path = None if table is None else folder / table
    return Imported(len(drawn), len(masks), classes, path, tuple(remarks), tuple(ignored))


def _stale(places: _Places, drawn: Iterable[_Drawn]) -> Iterator[str]:
    """Masks of images below ``defect/`` on which nothing with an area is drawn any more."""
    for image in drawn:
        exists = image.mask != image.image and (places.folder / image.mask).exists()
        if exists and not (image.annotation.shapes and image.annotation.has_whole_mask):
            shown = "lines or points" if image.annotation.is_drawn_on else "no defect"
            yield f"{image.image} shows {shown}, and {image.mask} exists. Remove the mask"


def _numbered_otherwise(places: _Places, masks: Iterable[PurePosixPath]) -> Iterator[str]:
    """Masks that stay, where several classes are numbered: they may have other numbers."""
    left = sorted(set(places.masks) - set(masks))
    if left:
        yield (
            f"{left[0]} (of {len(left)} masks) stays, and its classes may be numbered otherwise. Import all "
            "annotations at once, or remove it"
        )


def _annotations(
    source: Path, faults: list[str], remarks: list[str]
) -> Iterator[tuple[Path, ImageAnnotation, bool]]:
    """Every annotated image, with the file that says so, and whether it is of this image alone."""
    if not source.exists():
        raise InputError(f"there is no file or folder of annotations at {source}. Check the path.")
    # Below a folder only files that could be annotations are opened; what is none of them is told, not
    # refused.
    files = [source]
    if source.is_dir():
        files = [path for path in _files_below(source) if path.suffix.lower() in FOREIGN_SUFFIXES]
    others: list[str] = []
    foreign: list[tuple[str, str]] = []
    for file in files:
        data = read_looked_at(file) if source.is_dir() else file.read_bytes()
        if source.is_dir() and detect_format(data) is None:
            suffix, form = file.suffix.lower(), unread_format(file.name, data)
            if form is not None:
                foreign.append((file.name, form))
            elif suffix == ".json" and (fault := json_fault(data)):
                faults.append(f"{file.name}: {fault}. Export it again, or leave it out")
            elif suffix in (".json", ".xml"):
                others.append(file.name)
            continue
        try:
            images = list(parse_annotations(data, file.name))
            yield from ((file, image, len(images) == 1) for image in images)
            if detect_format(data) == label_studio.TITLE and (left := label_studio.unlabelled(data)):
                remarks.append(
                    f"{counted(len(left), 'task')} of {file.name} not finished, left out, such as {left[0]}."
                )
        except AnnotationError as error:
            faults.append(f"{file.name}: {error}")
    if others:
        remarks.append(f"{counted(len(others), 'file')} of no known format left out, such as {others[0]}.")
    if foreign:
        name, form = foreign[0]
        remarks.append(f"{counted(len(foreign), 'file')} left out, such as {name}: {form}.")


def _files_below(folder: Path) -> list[Path]:
    """Files below a folder, sorted, without those of systems: a Mac puts ._a.json beside a.json."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(map(is_system_file, path.relative_to(folder).parts))
    )


class _Places:
    """The images of a folder, and its masks; paths are below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = [path.relative_to(folder) for path in _files_below(folder)]
        files = [PurePosixPath(path.as_posix()) for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
        self._defect = next(_named_folders(files, DEFECT_FOLDERS), None)
        self.in_folders = self._defect is not None  # one of defective images
        masks = MASK_FOLDERS if self.in_folders else (MASKS, "masks")
        self.masks = [file for file in files if _folder_of(file, masks)]
        passed = set(self.masks)
        self.images = [file for file in files if file not in passed]
        self._mask_folder = next(_named_folders(self.masks, masks), "masks")
        self._names = ImageNames(map(str, self.images))

    def mask_of(self, image: PurePosixPath, annotation: ImageAnnotation) -> PurePosixPath:
        """Place of an image's mask.

        Raises:
            InputError: If something is drawn on an image outside the folder of defective ones.
        """
        if not self.in_folders:
            return PurePosixPath(MASKS, f"{image}.png")
        place = _folder_of(image, DEFECT_FOLDERS)
        if not place and annotation.is_drawn_on:
            shapes = counted(annotation.drawn, "shape")
            raise InputError(f"{image} has {shapes}; expected it below {self._defect}/. Move it")
        if not place:
            return image
        parts = (*image.parts[: place - 1], self._mask_folder, *image.parts[place:])
        return PurePosixPath(*parts).with_suffix(".png")

    def find(self, annotation: ImageAnnotation, file: Path, *, alone: bool) -> PurePosixPath:
        """The image of ``annotation`` in ``file``, ``alone`` if it is of this image alone.

        Raises:
            InputError: If there is none, or several are equally good.
        """
        folder, place = self.folder.resolve(), file.resolve()
        place = place.relative_to(folder) if place.is_relative_to(folder) else place
        image = self._names.find_any(
            annotation.names,
            PurePosixPath(place.as_posix()),
            alone=alone,
            is_uploaded=annotation.is_uploaded,
        )
        if image is None:
            raise InputError(
                f"no image below {self.folder} is called {annotation.called}. Name their folder with "
                "--images, or correct that in the annotations"
            )
        return image


def _on_disk(
    annotations: Iterable[tuple[Path, ImageAnnotation, bool]],
    places: _Places,
    faults: list[str],
) -> Iterator[_Drawn]:
    """The annotations with their images; what does not fit becomes a fault."""
    taken: dict[PurePosixPath, str] = {}
    for file, annotation, alone in annotations:
        try:
            image = places.find(annotation, file, alone=alone)
            photo = (places.folder / image).read_bytes()
            width, height = measure(photo)
            if image in taken:
                raise InputError(f"{image} is annotated in {taken[image]} too. Leave one of them out")
            # A photo may have been turned before somebody drew on it; without shapes the size may fit
            # either way.
            taken[image] = file.name
            size, orientation = (height, width), 1
            if annotation.shapes:
                try:
                    size, orientation = size_as_drawn(annotation, photo)
                except AnnotationError as error:
                    raise InputError(f"{image}: {error}") from error
            elif annotation.size is not None and sorted(annotation.size) != sorted(size):
                size = annotation.size
            if orientation == 1 and size != (height, width):
                raise InputError(
                    f"{image} has {width} × {height} pixels, and was annotated at {size[1]} × {size[0]}. "
                    "Annotate the image as it is stored"
                )
            yield _Drawn(annotation, image, places.mask_of(image, annotation), size, orientation)
        except (InputError, BrokenImageError) as error:
            faults.append(f"{file.name}: {error}")


def _folder_of(file: PurePosixPath, names: Collection[str]) -> int:
    """Number of a path's parts up to the folder of one of these names; 0 without any."""
    folders = [part.lower() for part in file.parts[:-1]]
    return next((place for place, folder in enumerate(folders, start=1) if folder in names), 0)


def _named_folders(files: Iterable[PurePosixPath], names: Collection[str]) -> Iterator[str]:
    """Folders of these names that hold files, as they are spelt."""
    return (file.parts[place - 1] for file in files if (place := _folder_of(file, names)))


def _masks(
    drawn: Iterable[_Drawn], classes: Mapping[int, str], faults: list[str]
) -> tuple[dict[PurePosixPath, bytes], list[PurePosixPath]]:
    """PNG files of all images with shapes (255, or the class), and images of classes that overlap."""
    values = {name: value for value, name in classes.items()}
    masks: dict[PurePosixPath, bytes] = {}
    overlapping: list[PurePosixPath] = []
    for image in drawn:
        annotation, mask, overlaps = image.annotation, np.zeros(image.size, np.uint8), False
        try:
            for shape in annotation.shapes:
                # In the order of drawing: a later shape takes the pixels, background takes them away.
                background = shape.meaning == "background"
                value = 0 if background else values.get(shape.defect_class, 255)
                # Drawn as a defect, for background by itself marks nothing.
                area = rasterise([replace(shape, defect_class="defect")], *image.size) > 0
                overlaps |= not background and bool(np.isin(mask[area], (0, value), invert=True).any())
                mask[area] = value
        except AnnotationError as error:
            faults.append(f"{image.image}: {error}")
            continue
        # A class without a pixel left would silently vanish from its image.
        lost = [name for name in annotation.classes if name in values and values[name] not in mask]
        if annotation.shapes and not mask.any():
            faults.append(f"{image.image}: its {len(annotation.shapes)} shapes lie outside. Draw them again")
        elif lost:
            faults.append(
                f"{image.image}: {lost[0]} has no pixel of its own, below later shapes or outside, and a "
                "mask of classes holds one for each pixel. Draw it again, or use reader annotated"
            )
        elif mask.any() and annotation.has_whole_mask:
            masks[image.mask] = cv2.imencode(".png", as_stored(mask, image.orientation))[1].tobytes()
            overlapping += [image.image] if overlaps else []
    return masks, overlapping


def _table(drawn: Iterable[_Drawn], masks: Mapping[PurePosixPath, bytes]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["image", "label", "mask", "defect_class"])
    for image in sorted(drawn, key=lambda each: each.image):
        annotation, mask = image.annotation, image.mask if image.mask in masks else ""
        rows.writerow([image.image, int(annotation.is_drawn_on), mask, "+".join(annotation.classes)])
    return text.getvalue().encode()


def _passed_over(drawn: Iterable[_Drawn], places: _Places) -> Iterator[str]:
    annotated = list(drawn)
    yield from doubt_remarks(image.annotation for image in annotated)
    # What marks no pixels, what costs an image its mask, what is coarser than a defect, and what nobody
    # looked at: each is a loss that the masks themselves do not show.
    kinds = Counter(kind for image in annotated for kind in image.annotation.without_area)
    if kinds:
        shapes = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common())
        yield f"shapes that mark no pixels are left out: {shapes}."
    parted = [
        image.image for image in annotated if image.annotation.shapes and not image.annotation.has_whole_mask
    ]
    if parted:
        yield (
            f"{counted(len(parted), 'image')} with such shapes beside areas and without a mask, such as "
            f"{parted[0]}: draw them as polygons, or remove them."
        )
    boxes = sum(
        shape.kind in ("box", "rectangle") and shape.meaning == "defect"
        for image in annotated
        for shape in image.annotation.shapes
    )
    if boxes:
        yield f"{counted(boxes, 'shape')} drawn as a box: the whole area counts as defect."
    left = sorted(set(places.images) - {image.image for image in annotated})
    if left:
        yield f"{counted(len(left), 'image')} of {places.folder} not annotated, left out, such as {left[0]}."


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
