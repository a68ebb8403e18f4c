"""MVTec AD, and whatever has its layout: objects and textures of 15 categories, normal images in training.

Layout: ``bottle/train/good/000.png``, ``bottle/test/good/000.png``, ``bottle/test/broken_large/000.png``
with ``bottle/ground_truth/broken_large/000_mask.png`` or ``000.png``. BTAD has ``ok`` instead of ``good``,
and MVTec LOCO AD ``validation/good`` and several masks of one image, which are united: ``000.png`` and
``001.png`` in ``ground_truth/logical_anomalies/000``. ``category: bottle`` in the options chooses one, or
``data.path`` names its folder. The root holds the folder ``mvtec_anomaly_detection`` (or ``mvtec``), or
the categories, or is one.

Rules: the folder is the label and the defect class. A mask pixel is a defect when it is not zero. The
published training part holds normal images only and serves ``supervision: none``; to train with labels use
``splits: per_seed``, which divides all images anew. Every image is an item of its own.

Licence: CC BY-NC-SA 4.0. Cite: Bergmann, Batzner, Fauser, Sattlegger, Steger, "The MVTec Anomaly Detection
Dataset", Int. J. Computer Vision 129, 2021, doi:10.1007/s11263-020-01400-4.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, Field

from trainables.data.files.formats import MASK_SUFFIXES
from trainables.data.files.sources import DataFolders
from trainables.data.inspect.unread import unread_files
from trainables.data.masks import RUNS_SUFFIX
from trainables.data.readers.base import (
    Entry,
    Listing,
    MaskOptions,
    Reader,
    images_in,
    mask_beside,
    options_of,
    united_masks,
)
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["READER"]

_GOOD = ("good", "ok")  # folders of normal images
_TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
_OBJECTS = (
    "bottle", "cable", "capsule", "hazelnut", "metal_nut", "pill", "screw", "toothbrush", "transistor",
    "zipper",
)  # fmt: skip


class MvtecOptions(BaseModel, frozen=True, extra="forbid"):
    """Settings of reader mvtec."""

    category: str | None = Field(
        None, pattern=r"^[^/\\.][^/\\]*$", description="Category, such as bottle; default: data.path is one."
    )
    mask_above: int = Field(
        0, ge=0, le=65534, description="A mask pixel is a defect when its value is greater; grey levels."
    )


def read_mvtec(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index a category: ``test/scratch/000.png`` with ``ground_truth/scratch/000_mask.png``."""
    options = options_of(MvtecOptions, spec)
    start = folders.below_root(READER.name, spec.path)
    names = ("mvtec_anomaly_detection", "mvtec")
    expected = (
        "category of MVTec AD: expected folders such as bottle with train/good, test and ground_truth "
        "inside, or the name of one in data.path"
    )
    top = start
    if not _is_category(start):
        top = folders.find(start, _holds_categories, *names, expected=expected)
    root = top if options.category is None else top / options.category
    if not _is_category(root):
        known = ", ".join(sorted(path.name for path in top.iterdir() if _is_category(path)))
        found_one = f"found {options.category!r}" if options.category else "found none chosen"
        raise InputError(f"data.options.category: choose one of {known or '(none here)'}; {found_one}.")

    # MVTec LOCO AD alone has a validation part.
    parts = [part for part in ("train", "validation", "test") if (root / part).is_dir()]
    entries = tuple(entry for part in parts for entry in _list_part(root, part))
    read = {path for entry in entries for path in (entry.image, entry.mask or "")}

    # Where images have folders of masks, the masks of all images are united in the cache.
    folders_of_masks = {
        entry.image: _masks_in(root, entry) for entry in entries if entry.label and _has_folder(root, entry)
    }
    mask_root = None
    if folders_of_masks:
        files = {
            entry.image: folders_of_masks.get(entry.image) or [PurePosixPath(entry.mask or "")]
            for entry in entries
            if entry.image in folders_of_masks or (entry.mask and os.path.lexists(root / entry.mask))
        }
        mask_root = united_masks(root, files, options.mask_above, folders.cache)
        entries = tuple(
            replace(entry, mask=f"{entry.sample}{RUNS_SUFFIX}" if entry.image in files else None)
            for entry in entries
        )
        read = {entry.image for entry in entries} | {str(path) for paths in files.values() for path in paths}
    return Listing(
        root,
        entries,
        mask_above=options.mask_above if mask_root is None else 0,
        mask_root=mask_root,
        mask_options=MaskOptions.of(options),
        unread=unread_files(root, read, _reason),
    )


def _reason(path: PurePosixPath) -> str:
    if path.parts[0] == "ground_truth":
        return (
            "a mask without an image of its name. 000_mask.png and 000.png are masks of test images 000.png"
        )
    return "MVTec AD has images in train/good and in the folders of test. Move it there"


def _is_category(folder: Path) -> bool:
    return (folder / "test").is_dir() and any((folder / "train" / name).is_dir() for name in _GOOD)


def _has_folder(root: Path, entry: Entry) -> bool:
    return (
        root / "ground_truth" / PurePosixPath(entry.image).parent.name / PurePosixPath(entry.image).stem
    ).is_dir()


def _masks_in(root: Path, entry: Entry) -> list[PurePosixPath]:
    """Masks in the folder that is called like an image."""
    image = PurePosixPath(entry.image)
    folder = root / "ground_truth" / image.parent.name / image.stem
    return [PurePosixPath(path.relative_to(root).as_posix()) for path in images_in(folder, MASK_SUFFIXES)]


def _holds_categories(folder: Path) -> bool:
    return folder.is_dir() and any(_is_category(path) for path in folder.iterdir())


def _list_part(root: Path, split: str) -> Iterator[Entry]:
    for folder in sorted(path for path in (root / split).iterdir() if path.is_dir()):
        for path in images_in(folder):
            sample, image = f"{split}/{folder.name}/{path.stem}", path.relative_to(root).as_posix()
            if folder.name in _GOOD:
                yield Entry(sample, image, False, None, None, sample, split)
            else:
                # Named as MVTec AD does, or plainly like the image; where neither is there the first is
                # expected.
                masks = root / "ground_truth" / folder.name
                mask = mask_beside(masks / f"{path.stem}_mask", root)
                if not os.path.lexists(root / mask):  # sets in the layout of MVTec AD, such as BTAD
                    plain = mask_beside(masks / path.stem, root)
                    mask = plain if os.path.lexists(root / plain) else mask
                yield Entry(sample, image, True, mask, folder.name, sample, split)


READER = Reader(
    name="mvtec",
    title="MVTec AD: a category of objects or textures, normal images in training",
    licence="CC BY-NC-SA 4.0",
    citation="Bergmann, Batzner, Fauser, Sattlegger, Steger, IJCV 129, 2021, doi:10.1007/s11263-020-01400-4",
    Options=MvtecOptions,
    read=read_mvtec,
    part_option="category",
    part_groups={"textures": _TEXTURES, "objects": _OBJECTS},
)
