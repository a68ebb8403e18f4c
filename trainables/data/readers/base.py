"""A reader lists images by name; everything that opens files is common to all readers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Self, TypeVar

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from trainables.data.annotations.shapes import meaning_of
from trainables.data.files.atomic import made_once
from trainables.data.files.formats import IMAGE_SUFFIXES, MASK_SUFFIXES, BrokenImageError
from trainables.data.files.sources import DataFolders, decode_mask, read_bytes, size_and_time
from trainables.data.inspect.unread import Unread
from trainables.data.masks import RUNS_SUFFIX, encode_runs, runs_in
from trainables.data.spec import DataSpec, Others
from trainables.errors import InputError, nearest, validation_message

__all__ = [
    "ClassIndices",
    "Entry",
    "Expected",
    "Listing",
    "MaskOptions",
    "MaskSettings",
    "NoOptions",
    "PublishedSets",
    "Reader",
    "folders_in",
    "images_below",
    "images_in",
    "mask_beside",
    "options_of",
    "united_masks",
]

OptionsT = TypeVar("OptionsT", bound=BaseModel)
_VOID = 255  # in masks of Pascal VOC: pixels that are ignored


@dataclass(frozen=True)
class Entry:
    """One image as its data set names it; paths are relative to the listing's root."""

    sample: str
    image: str
    label: bool | None  # None: any defect pixel in the mask makes the image defective
    mask: str | None  # where the mask is expected; None: the data set has no place for one
    defect_class: str | None  # what it shows if it is defective
    group: str  # physical item
    split: str | None = None  # "train", "validation" or "test", where the makers publish one split
    fold: int | None = None  # fold in which the sample is test, where they publish folds


@dataclass(frozen=True)
class PublishedSets:
    """The makers' subsets of the training items."""

    # By (N, fold), fold None where there is one split: items whose masks `mixed: N` may read under
    # `masks: published`.
    masks: Mapping[tuple[int, int | None], frozenset[str]] = field(default_factory=dict)
    all_masks: int | None = None  # the N that stands for every item
    train: Mapping[int, frozenset[str]] | None = None  # by fold, a smaller training set that options ask for
    file: str = ""  # where the lists are read from, and whose they are; "": the makers publish none


@dataclass(frozen=True)
class ClassIndices:
    """Masks whose grey value is a class: every class by its value, and the values that count as defects."""

    names: Mapping[int, str]
    kept: tuple[int, ...]
    others: Others = "leave_out"  # what becomes of the other classes

    def shown(self, values: Iterable[int]) -> str | None:
        """The kept classes among the values of a mask, ``hole+scratch``; None if there are none."""
        return "+".join(self.names[value] for value in sorted(set(values) & set(self.kept))) or None


@dataclass(frozen=True)
class Expected:
    """Counts by the makers or the literature, for `assay data check`."""

    counts: Mapping[str, tuple[int, int]]  # by part ("all", "train", "test"): defective and normal images
    source: str  # who says so


@dataclass(frozen=True)
class MaskOptions:
    """Settings of a reader that say which values of masks are defects."""

    names: tuple[str, ...] = ()  # (): the reader knows its set, and nothing is asked
    given: bool = False  # the user has set one

    @classmethod
    def of(cls, options: BaseModel) -> MaskOptions:
        """Those among a reader's settings."""
        names = tuple(name for name in ("mask_above", "mask_classes") if name in type(options).model_fields)
        return cls(names, given=not options.model_fields_set.isdisjoint(names))


class MaskSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of readers whose masks hold a defect's grey levels, or class indices."""

    mask_above: int = Field(
        0, ge=0, le=65534, description="A mask pixel is a defect when its value is greater; grey levels."
    )
    mask_classes: dict[Annotated[int, Field(ge=1, le=65535)], Annotated[str, Field(min_length=1)]] | None = (
        Field(
            None,
            min_length=1,
            max_length=255,
            description="Masks hold class indices: grey value → class, such as {1: scratch}.",
        )
    )

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        names = list((self.mask_classes or {}).values())
        if len(set(names)) < len(names) or any("+" in name for name in names):
            raise ValueError(f"classes have different names without `+`, found {', '.join(names)}")
        return self

    def indices(self, spec: DataSpec) -> ClassIndices | None:
        """Class indices of masks, with those that ``data.classes`` keeps; None where masks hold none.

        Raises:
            InputError: If a class is called background, ignored or VOC's void, and would count as a defect.
        """
        if self.mask_classes is None:
            return None
        names = self.mask_classes
        # Tools export background and void as classes too; counted as defects they would cover whole images.
        no_defects = [
            name
            for value, name in names.items()
            if meaning_of(name) != "defect" or (value == _VOID and name.casefold() == "void")
        ]
        if no_defects and spec.classes is None:
            others = ", ".join(name for name in names.values() if name not in no_defects)
            raise InputError(
                f"data.options.mask_classes: {', '.join(no_defects)} is no defect by its name, and without "
                f"data.classes every class is one. Write data.classes: [{others}], and data.others: ignore "
                "where its pixels are neither defect nor background."
            )
        kept = sorted(value for value, name in names.items() if spec.classes is None or name in spec.classes)
        return ClassIndices(names, tuple(kept), spec.others)


@dataclass(frozen=True)
class Listing:
    """All images of a data set, before any of them is opened."""

    root: Path
    entries: tuple[Entry, ...]
    mask_above: int  # a mask pixel shows a defect when its stored value is greater
    published: PublishedSets = field(default_factory=PublishedSets)
    unsplit: str = "It comes without a published split: use `splits: per_seed`."  # why, and the way out
    missing_mask_way_out: str = "Unpack again"
    mask_root: Path | None = None  # folder that masks' paths start at; None: as those of images
    indices: ClassIndices | None = None  # how masks of several classes are read
    classes: tuple[str, ...] | None = None  # all classes, where the reader itself kept to data.classes
    others: tuple[Others, ...] = ("leave_out",)  # what such a reader can make of other classes
    expected: Expected | None = None
    mask_options: MaskOptions = MaskOptions()
    unread: tuple[Unread, ...] = ()  # files that the reader passed over
    remarks: tuple[str, ...] = ()  # further sentences that a user should know
    # What to do about images that look like masks; {settings} of reader folder would read them as masks.
    look_alike_way_out: str = "Move the masks out of the folder of images"
    binary_photos: bool = False  # `data.binary_photos`: nobody asks if images are masks

    @property
    def is_split(self) -> bool:
        """True where the makers say of every image where it belongs: all by split, or all by fold."""
        kinds = {(entry.split is not None, entry.fold is not None) for entry in self.entries}
        return kinds in ({(True, False)}, {(False, True)})


class NoOptions(BaseModel, frozen=True, extra="forbid"):
    """A reader without settings of its own."""


@dataclass(frozen=True)
class Reader:
    """One data set, or one layout of files."""

    name: str
    title: str
    licence: str
    citation: str
    Options: type[BaseModel]
    read: Callable[[DataSpec, DataFolders], Listing]
    needs_root: bool = True  # False: it makes its images itself, or a package has them
    package: str | None = None  # distribution of the images, where one has them
    # True: `assay init` tries it on a folder of unknown layout. It needs no options, and refuses other data.
    recognised: bool = False
    # The option that chooses one of several data sets, and those of which tables of results have a mean of
    # their own: `textures` → their names.
    part_option: str | None = None
    part_groups: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    # What else names of images tell: `exposure` → its value by an image's path. No part of a manifest.
    properties: Mapping[str, Callable[[str], str]] = field(default_factory=dict[str, Callable[[str], str]])


def options_of(model: type[OptionsT], spec: DataSpec) -> OptionsT:
    """The reader's settings in ``data.options``, checked.

    Raises:
        InputError: If one is unknown or out of bounds.
    """
    try:
        return model.model_validate(spec.options)
    except ValidationError as error:
        faults = "; ".join(
            f"data.options.{'.'.join(map(str, fault['loc'])) or '(all)'}: {_rule(model, fault)}, "
            f"found {fault['input']!r}"
            for fault in error.errors()
        )
        raise InputError(f"reader {spec.reader}: {faults}") from error


def _rule(model: type[BaseModel], fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return f"unknown setting ({nearest(str(fault['loc'][-1]), model.model_fields)})"
    return validation_message(fault)


def images_in(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> list[Path]:
    """The image files of a folder, by name; hidden files are left out."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, by name, without hidden ones and links that lead back."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not _leads_back(path)
    )


def images_below(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> list[PurePosixPath]:
    """Image files in ``folder`` and its sub-folders, relative to it, sorted; hidden ones are left out."""
    if not folder.is_dir():
        return []
    paths = [PurePosixPath(path.name) for path in images_in(folder, suffixes)]
    for inner in folders_in(folder):
        paths += [PurePosixPath(inner.name) / path for path in images_below(inner, suffixes)]
    return paths


def _leads_back(path: Path) -> bool:
    """True for a link to a folder above: followed, it would show the same images again and again."""
    if not path.is_symlink():
        return False
    target = path.resolve()
    return any(parent.resolve().is_relative_to(target) for parent in path.absolute().parents)


def mask_beside(stem: Path, root: Path) -> str:
    """Relative path of the mask with this stem; where there is none, of the PNG it should be."""
    for suffix in MASK_SUFFIXES:
        path = stem.with_name(stem.name + suffix)
        if os.path.lexists(path):  # a link that leads nowhere is told, and is not no mask
            return path.relative_to(root).as_posix()
    return stem.with_name(stem.name + ".png").relative_to(root).as_posix()


# Masks of several files --------------------------------------------------------------------------


def united_masks(
    root: Path, masks: Mapping[str, Sequence[PurePosixPath]], mask_above: int, cache: Path
) -> Path:
    """A folder with one mask for each image, called like it but for its ending; made once.

    Args:
        root: Folder that all paths start at.
        masks: Files of masks by image.
        mask_above: A pixel of one of them shows a defect when its value is greater.
        cache: Folder on this machine.

    Raises:
        InputError: If a file cannot be read, or masks of one image differ in size.
    """
    # Sizes and times of all files stand in the key: a mask that was corrected is united again.
    state = [
        (image, [(str(file), size_and_time(root / file)) for file in files])
        for image, files in sorted(masks.items())
    ]
    key = hashlib.sha256(repr((str(root), mask_above, state)).encode()).hexdigest()[:16]

    def fill(folder: Path) -> None:
        # A defect is where any of its masks shows one.
        for image, files in masks.items():
            united = _decoded(root, files[0], mask_above)
            for file in files[1:]:
                mask = _decoded(root, file, mask_above)
                if mask.shape != united.shape:
                    raise InputError(
                        f"{root}: masks of one image have one size, found {file} with "
                        f"{mask.shape[1]} × {mask.shape[0]} pixels and {files[0]} with "
                        f"{united.shape[1]} × {united.shape[0]}. Correct one."
                    )
                united |= mask
            target = folder / PurePosixPath(image).with_suffix(RUNS_SUFFIX)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(encode_runs(*united.shape, runs_in(united > 0)))

    return made_once(cache / "united" / key, fill)


def _decoded(root: Path, file: PurePosixPath, mask_above: int) -> np.ndarray:
    try:
        return decode_mask(read_bytes(root, str(file)), mask_above)
    except BrokenImageError as error:
        raise InputError(f"{file}: {error.advice}.") from error
