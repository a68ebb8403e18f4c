"""Your own images with the outlines that a labelling tool wrote: LabelMe, COCO, Label Studio or CVAT.

Layout: images anywhere below the root, and annotations as JSON or XML anywhere beside them: one file for each
image (LabelMe), or one for many. An annotation belongs to the image that it names, by its path as far as it
states one. A name that several images have is refused. Where no annotation fits, file names are enough if the
folders stated are not there. Folders ``train``, ``test`` and ``validation`` at the top are a split of your
own. ``data.path`` names the folder (or a zip of it) below the data root.

Rules: an image is defective where something is drawn on it, and the labels drawn are its classes
(``hole+scratch``). ``data.classes`` chooses among them, pixel by pixel: an image that shows only others is
left out, or normal with ``data.others: normal``. An image that no file names is normal in a folder such as
``good``, defective without a mask in one such as ``ng``, and anywhere else what the option ``unannotated``
says. Points and lines mark no pixels: they are told, and the mask of an image with one is unknown. What is
said of a whole image (a tag, choices, a text) is told too, and makes no image defective. Labels such as
``_background_`` take away what lies below them. Pixels labelled ``__ignore__``, and with ``data.others:
ignore`` those of classes that are not chosen, are neither defect nor background: masks then are class
indices, the later shape over the earlier one, and an image that shows such pixels alone is left out. Masks
of photos that a tool turned by EXIF are turned back, as images are read as stored. Files of other labelling
tools are refused where an image could be taken for normal because of them. Masks become run lengths in the
cache, the same bytes on every machine. Every image is an item of its own, unless ``data.item`` says more.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from trainables.data.annotations import (
    FOREIGN_SUFFIXES,
    AnnotationError,
    ImageAnnotation,
    Shape,
    as_stored,
    detect_format,
    doubt_remarks,
    json_fault,
    parse_annotations,
    rasterise,
    read_looked_at,
    size_as_drawn,
    unread_format,
)
from trainables.data.annotations.image_names import ImageNames
from trainables.data.files.atomic import made_once
from trainables.data.files.formats import BrokenImageError
from trainables.data.files.names import (
    DEFECT_FOLDERS,
    GOOD_FOLDERS,
    compared,
    in_words,
    is_system_file,
    part_of,
)
from trainables.data.files.sources import DataFolders, read_bytes, size_and_time
from trainables.data.inspect.findings import counted, first_lines, summarise
from trainables.data.inspect.unread import Unread, unread_files
from trainables.data.masks import RUNS_SUFFIX, encode_runs, runs_in
from trainables.data.readers.base import ClassIndices, Entry, Listing, Reader, images_below, options_of
from trainables.data.spec import DataSpec, Others
from trainables.errors import InputError

__all__ = ["READER", "annotation_files", "foreign_files"]

_IGNORED = "__ignore__"  # the class of pixels that are neither defect nor background
_MASKS = 2  # raised when the same annotations give other masks


class AnnotatedOptions(BaseModel, frozen=True, extra="forbid"):
    """Settings of reader annotated."""

    unannotated: Literal["normal", "left_out"] = Field(
        "normal", description="Images that no annotation names: they are normal, or are left out."
    )


@dataclass(frozen=True)
class _Drawn:
    """An image with what was drawn on it."""

    image: str
    file: str  # of the annotation
    annotation: ImageAnnotation


def annotation_files(root: Path) -> list[str]:
    """Files below ``root`` that a labelling tool wrote, relative to it.

    Raises:
        InputError: If a JSON file does not parse: what it says of its image would be lost.
    """
    files: list[str] = []
    faults: list[str] = []
    for place, path in _files_below(root, (".json", ".xml")):
        data = path.read_bytes()
        # A JSON file of another kind is passed over; a damaged one may have been an annotation.
        if detect_format(data) is not None:
            files.append(place)
        elif (
            path.suffix.lower() == ".json"
            and (fault := json_fault(data))
            and not unread_format(path.name, data)
        ):
            faults.append(f"{place}: {fault}")
    if faults:
        raise InputError(
            f"{root}: {counted(len(faults), 'damaged JSON file')}, and if one is an annotation, its defects "
            f"would be lost: {summarise(faults)}. Export or copy it again, or move it "
            "out of the folder if it is no annotation."
        )
    return files


def foreign_files(root: Path) -> dict[str, str]:
    """Files below ``root`` of labelling tools that are not read, with what they are and the way out."""
    forms = {
        place: unread_format(path.name, read_looked_at(path))
        for place, path in _files_below(root, FOREIGN_SUFFIXES)
    }
    return {place: form for place, form in forms.items() if form is not None}


def _files_below(root: Path, suffixes: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Files with one of these suffixes and their path from ``root``, sorted, but for those of systems."""
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root)
        if path.suffix.lower() in suffixes and path.is_file() and not any(map(is_system_file, place.parts)):
            yield place.as_posix(), path


def read_annotated(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index images, with masks made of outlines."""
    options = options_of(AnnotatedOptions, spec)
    root = folders.below_root(READER.name, spec.path)
    files = annotation_files(root) if root.is_dir() else []
    foreign = foreign_files(root) if root.is_dir() else {}
    if not files:
        place, form = next(iter(foreign.items()), ("", ""))
        others = f"{counted(len(foreign), 'file')}, such as {place}: {form}." if foreign else "none."
        raise InputError(
            f"{root} holds no annotations: expected images and JSON or XML files of LabelMe, COCO, Label "
            f"Studio or CVAT, found {others} {'' if foreign else 'Name the folder in data.path.'}".rstrip()
        )

    # Images and annotations are matched before anything is decided: what an image shows depends on all
    # files together.
    images = [path.as_posix() for path in images_below(root) if not is_system_file(path.name)]
    drawn, strangers, by_name = _match(root, files, images)
    _refuse_foreign(root, foreign, images, drawn, options)
    classes = tuple(sorted({name for each in drawn.values() for name in each.annotation.classes}))
    chosen = classes if spec.classes is None else tuple(name for name in classes if name in spec.classes)
    entries = list(_entries(images, drawn, chosen, options, others=spec.others))
    wanted = {entry.image for entry in entries if entry.mask is not None}

    # Ignored pixels need a third value beside defect and background, so masks become class indices.
    indices = None
    if spec.others == "ignore" or any(each.annotation.ignored for each in drawn.values()):
        names = dict(enumerate((*chosen, _IGNORED), start=1))
        indices = ClassIndices(names, tuple(names)[:-1], "ignore")
    mask_root = _write_masks(
        root,
        [drawn[image] for image in sorted(wanted & set(drawn))],
        folders.cache,
        chosen=chosen,
        others=spec.others,
        indices=indices,
    )
    remarks = _by_name(drawn) if by_name else ()
    return Listing(
        root,
        tuple(entries),
        mask_above=0,
        unsplit=f"{root} has no folders train and test: use `splits: per_seed`.",
        missing_mask_way_out="Annotate it",
        mask_root=mask_root,
        indices=indices,
        classes=classes,
        others=("leave_out", "normal", "ignore"),
        unread=_unread(root, {*images, *files}, foreign),
        remarks=(*remarks, *_remarks(images, entries, drawn, strangers, options)),
    )


def _refuse_foreign(
    root: Path,
    foreign: Mapping[str, str],
    images: Sequence[str],
    drawn: Mapping[str, _Drawn],
    options: AnnotatedOptions,
) -> None:
    """Refuse files of other tools where they may show defects of images that would count as normal."""
    if "unannotated" in options.model_fields_set:
        return
    # Only images that nothing else calls normal are in danger; where the user said what they are, nobody is.
    unnamed = [image for image in images if image not in drawn and _role(PurePosixPath(image)) is None]
    # A file named like images is about these; one of another name may be about any.
    all_stems = {compared(PurePosixPath(image).stem) for image in images}
    open_stems = {compared(PurePosixPath(image).stem) for image in unnamed}
    dangerous = [
        (place, form)
        for place, form in foreign.items()
        for stem in [compared(PurePosixPath(place).stem)]
        if (stem in open_stems if stem in all_stems else unnamed)
    ]
    if dangerous:
        place, form = dangerous[0]
        raise InputError(
            f"{root}: {counted(len(dangerous), 'file')} of labelling tools, such as {place}: {form}. Nothing "
            f"else says that {counted(len(unnamed), 'image')}, such as {unnamed[0]}, are normal. If they "
            "are, or are to be left out, say `unannotated: normal` or `unannotated: left_out` in "
            "data.options."
        )


def _unread(root: Path, read: Collection[str], foreign: Mapping[str, str]) -> tuple[Unread, ...]:
    """Files that are passed over; those of other tools are called what they are."""
    forms: dict[str, list[str]] = {}
    for place, form in foreign.items():
        forms.setdefault(form, []).append(place)
    named = [
        Unread(f"*{PurePosixPath(places[0]).suffix}", len(places), places[0], form)
        for form, places in forms.items()
    ]
    others = unread_files(root, {*read, *foreign}, lambda _: "it is no image of this data set")
    return (*named, *others)


def _match(
    root: Path, files: Sequence[str], images: Sequence[str]
) -> tuple[dict[str, _Drawn], list[tuple[str, str]], bool]:
    """Annotations by image, names (with their file) of images that are not there, and if names decided."""
    names = ImageNames(images)
    stated = [
        (file, annotation, len(annotations) == 1)
        for file in files
        for annotations in [_parse(root, file)]
        for annotation in annotations
    ]

    # File names alone count only where no annotation fits with its folders: one that does shows that
    # folders mean something.
    by_name = not any(_image_of(annotation, file, names, alone=alone) for file, annotation, alone in stated)
    drawn: dict[str, _Drawn] = {}
    strangers: list[tuple[str, str]] = []
    for file, annotation, alone in stated:
        image = _image_of(annotation, file, names, alone=alone, by_name=by_name)
        if image is None:
            strangers.append((annotation.called, file))
        elif image in drawn and (
            drawn[image].annotation.shapes != annotation.shapes
            # Two uploads of one name are two images, even where nothing is drawn on either.
            or (annotation.is_uploaded and drawn[image].annotation.image != annotation.image)
        ):
            first, shapes = drawn[image].file, counted(len(drawn[image].annotation.shapes), "shape")
            names = {drawn[image].annotation.image, annotation.image}
            called = f", as {' and '.join(sorted(names))}" if len(names) > 1 else ""
            raise InputError(
                f"{root}: {image} is annotated twice{called}, found {shapes} in {first} and "
                f"{len(annotation.shapes)} in {file}. Remove one "
                f"{'file' if first != file else f'of the two in {file}'}."
            )
        else:
            drawn[image] = _Drawn(image, file, annotation)
    if not drawn:
        named = ", ".join(name for name, _ in strangers[:3]) or "none"
        raise InputError(
            f"{root}: no annotation names an image that is there: expected one of "
            f"{', '.join(images[:3]) or 'none'}, found {named}. Add these images, or correct their folders "
            "in the annotations."
        )
    return drawn, strangers, by_name


def _parse(root: Path, file: str) -> list[ImageAnnotation]:
    try:
        annotations = list(parse_annotations((root / file).read_bytes(), file))
    except AnnotationError as error:
        raise InputError(f"{file}: {error}.") from error
    joined = next((name for each in annotations for name in each.classes if "+" in name), None)
    if joined is not None:
        raise InputError(f"{file}: a class has no `+` in its name, found {joined!r}. Rename the label.")
    return annotations


def _image_of(
    annotation: ImageAnnotation, file: str, names: ImageNames, *, alone: bool, by_name: bool = False
) -> str | None:
    try:
        image = names.find_any(
            annotation.names,
            PurePosixPath(file),
            alone=alone,
            by_name=by_name,
            is_uploaded=annotation.is_uploaded,
        )
    except InputError as error:
        raise InputError(f"{file}: {error}.") from error
    return None if image is None else str(image)


def _entries(
    images: Sequence[str],
    drawn: Mapping[str, _Drawn],
    chosen: Sequence[str],
    options: AnnotatedOptions,
    *,
    others: Others,
) -> Iterator[Entry]:
    for image in images:
        path = PurePosixPath(image)
        sample, split = path.with_suffix("").as_posix(), part_of(Path(path.parts[0]))
        # What is drawn decides first, the folder's name second, and the option where neither says anything.
        if image in drawn:
            shown = drawn[image].annotation.classes
            kept = [name for name in shown if name in chosen]
            if kept:
                mask = f"{sample}{RUNS_SUFFIX}" if drawn[image].annotation.has_whole_mask else None
                yield Entry(sample, image, True, mask, "+".join(kept), sample, split)
            elif not shown and not drawn[image].annotation.ignored:
                lines = drawn[image].annotation.is_drawn_on
                yield Entry(sample, image, lines, None, "defect" if lines else None, sample, split)
            elif others == "normal" and not drawn[image].annotation.ignored:
                yield Entry(sample, image, False, None, None, sample, split)
            continue
        role = _role(path)
        if role == "defective":
            yield Entry(sample, image, True, None, "defect", sample, split)
        elif role == "normal" or options.unannotated == "normal":
            yield Entry(sample, image, False, None, None, sample, split)


def _role(path: PurePosixPath) -> Literal["normal", "defective"] | None:
    """The label that the folders of an image give it."""
    names = {spelt for name in path.parts[:-1] for spelt in (name.lower(), in_words(name))}
    if names & set(GOOD_FOLDERS):
        return "normal"
    return "defective" if names & set(DEFECT_FOLDERS) else None


def _remarks(
    images: Sequence[str],
    entries: Sequence[Entry],
    drawn: Mapping[str, _Drawn],
    strangers: Sequence[tuple[str, str]],
    options: AnnotatedOptions,
) -> Iterator[str]:
    # Every guess is told with the other way to read it.
    open_images = [image for image in images if image not in drawn and _role(PurePosixPath(image)) is None]
    if open_images:
        number = f"{len(open_images)} of {len(images)} images"
        taken, other = "counted as normal", "left_out"
        if options.unannotated == "left_out":
            taken, other = "left out", "normal"
        yield (
            f"{number}: named by no annotation and {taken}, such as {open_images[0]}. The other way is "
            f"`unannotated: {other}` in data.options."
        )
    yield from _against_folders([entry for entry in entries if entry.image in drawn], drawn)
    if strangers:
        name, file = strangers[0]
        yield (
            f"annotations are not read where their image is not there: {len(strangers)}, such as {name} in "
            f"{file}. Add the images, correct their folders in the annotations, or remove the annotations."
        )
    yield from doubt_remarks(each.annotation for each in drawn.values())
    ignored = [
        each.image for each in drawn.values() if each.annotation.ignored and not each.annotation.classes
    ]
    if ignored:
        yield (
            f"{counted(len(ignored), 'image')} with ignored pixels and no defect left out, for nobody says "
            f"that they are normal: {summarise(ignored)}."
        )
    kinds = Counter(kind for each in drawn.values() for kind in each.annotation.without_area)
    if kinds:
        first = next(each for each in drawn.values() if each.annotation.without_area)
        listed = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common())
        yield f"shapes without an area are not read: {listed}, such as in {first.file}. Draw polygons."
    parted = [
        each.image for each in drawn.values() if each.annotation.shapes and not each.annotation.has_whole_mask
    ]
    if parted:
        yield (
            f"{counted(len(parted), 'image')} with such shapes beside areas: a mask of the areas alone would "
            f"call the others background, so that it is unknown: {summarise(parted)}. Draw them as polygons, "
            "or remove them."
        )


def _by_name(drawn: Mapping[str, _Drawn]) -> Iterator[str]:
    """That the folders of annotations were passed over: they may be of other images of the same names."""
    first = next(iter(drawn.values()))
    yield (
        f"annotations state folders that are not there, and are read by file name: {len(drawn)}, such as "
        f"{first.annotation.image} as {first.image}. Correct the folders if other images are meant."
    )


def _against_folders(entries: Sequence[Entry], drawn: Mapping[str, _Drawn]) -> Iterator[str]:
    """Images that annotations make defective or normal against the folders that they lie in."""
    # Annotations win over folders, but a contradiction between both is told: one of them is wrong.
    roles = {entry.image: _role(PurePosixPath(entry.image)) for entry in entries}
    defective = [entry.image for entry in entries if entry.label and roles[entry.image] == "normal"]
    if defective:
        yield (
            f"{counted(len(defective), 'image')} in folders of normal images defective, by what is drawn: "
            f"{summarise(defective)}. Remove the shapes, or move the images."
        )
    normal = [
        image
        for image, role in roles.items()
        if role == "defective" and not drawn[image].annotation.is_drawn_on
    ]
    if normal:
        yield (
            f"{counted(len(normal), 'image')} in folders of defective images normal, annotated without a "
            f"shape: {summarise(normal)}. Draw the defects, or move the images."
        )


def _write_masks(
    root: Path,
    drawn: Sequence[_Drawn],
    cache: Path,
    *,
    chosen: Sequence[str],
    others: Others,
    indices: ClassIndices | None,
) -> Path:
    """A folder with a file of run lengths for each defective image; made once.

    Args:
        root: Folder of the images.
        drawn: Images whose mask is known.
        cache: Folder on this machine.
        chosen: Classes that are defects.
        others: What becomes of the classes that are not chosen.
        indices: The values of masks of class indices; None: masks are 0 and 1.
    """
    # The folder's name holds all that decides its masks, so a change of any of it makes new ones.
    content = [
        (
            each.image,
            each.annotation.size,
            # The photo says how it is to be turned, and its size where the annotation states none.
            size_and_time(root / each.image),
            [
                shape
                for shape in each.annotation.shapes
                if shape.defect_class in chosen or shape.meaning != "defect" or others == "ignore"
            ],
        )
        for each in drawn
    ]
    names = None if indices is None else sorted(indices.names.items())
    key = hashlib.sha256(repr((_MASKS, str(root), content, names)).encode()).hexdigest()[:16]

    def fill(folder: Path) -> None:
        faults: list[str] = []
        for each, (*_, shapes) in zip(drawn, content, strict=True):
            try:
                _write_mask(root, each, shapes, indices, folder)
            except InputError as error:
                faults.append(str(error))
        if faults:
            raise InputError(first_lines(faults))

    return made_once(cache / "annotated" / key, fill)


def _write_mask(
    root: Path, drawn: _Drawn, shapes: Sequence[Shape], indices: ClassIndices | None, folder: Path
) -> None:
    size, orientation = drawn.annotation.size, 1
    try:
        try:
            size, orientation = size_as_drawn(drawn.annotation, read_bytes(root, drawn.image))
        except BrokenImageError as error:
            if size is None:
                raise InputError(f"{drawn.image}: {error.advice}.") from error
            # The photo is named with all other faults when the data set is opened.
        painted = rasterise(shapes, *size) if indices is None else _paint(shapes, indices, *size)
    except AnnotationError as error:
        raise InputError(f"{drawn.file}: {drawn.image}: {error}.") from error

    # A shape that marks no pixel would make a defective image whose mask says that nothing is there.
    mask = as_stored(painted, orientation)
    height, width = mask.shape
    values = (1,) if indices is None else tuple(indices.names)
    if not np.isin(mask, values[:1] if indices is None else indices.kept).any():
        raise InputError(
            f"{drawn.file}: {drawn.image}: what is drawn marks none of its {width} × {height} pixels: it "
            "lies outside, or is empty. Draw it again."
        )
    if indices is not None:
        _refuse_lost(drawn, mask, indices)
    target = folder / PurePosixPath(drawn.image).with_suffix(RUNS_SUFFIX)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode_runs(height, width, *(runs_in(mask == value) for value in values)))


def _paint(shapes: Sequence[Shape], indices: ClassIndices, height: int, width: int) -> NDArray[np.uint8]:
    """A mask of class indices (height × width): the later shape over the earlier one.

    Classes that are not chosen are ignored where no chosen one is drawn, above or below them.
    """
    values = {name: value for value, name in indices.names.items()}
    mask, others = np.zeros((height, width), np.uint8), np.zeros((height, width), np.bool_)
    for shape in shapes:
        # Later shapes lie over earlier ones; pixels of classes that were not chosen count only where
        # nothing chosen is drawn.
        area = rasterise([replace(shape, defect_class="")], height, width) > 0
        if shape.meaning == "background":
            mask[area], others[area] = 0, False
        elif shape.meaning == "ignored":
            mask[area] = values[_IGNORED]
        elif shape.defect_class in values:
            mask[area] = values[shape.defect_class]
        else:
            others |= area
    mask[others & (mask == 0)] = values[_IGNORED]
    return mask


def _refuse_lost(drawn: _Drawn, mask: NDArray[np.uint8], indices: ClassIndices) -> None:
    """Refuse a mask of class indices that does not show one of its classes: each pixel holds one."""
    shown = {indices.names[value] for value in indices.kept if value in mask}
    for name in drawn.annotation.classes:
        if name in indices.names.values() and name not in shown:
            raise InputError(
                f"{drawn.file}: {drawn.image}: {name} has no pixel of its own, below later shapes or "
                "outside, and a mask with ignored pixels holds one class for each pixel. Draw it again, or "
                "choose it alone in data.classes."
            )


READER = Reader(
    name="annotated",
    title="Your own images with outlines of LabelMe, COCO, Label Studio or CVAT",
    licence="yours",
    citation="none",
    Options=AnnotatedOptions,
    read=read_annotated,
)
