"""MVTec AD, and whatever has its layout: objects and textures of 15 categories, normal images in training.

Layout: ``bottle/train/good/000.png``, ``bottle/test/good/000.png``, ``bottle/test/broken_large/000.png`` with
``bottle/ground_truth/broken_large/000_mask.png`` or ``000.png``. ``category: bottle`` in the options chooses
one, or ``data.path`` names its folder. The root holds the folder ``mvtec_anomaly_detection`` (or ``mvtec``),
or the categories, or is one.

Rules: the folder is the label and the defect class. A mask pixel is a defect when it is not zero. The
published training part holds normal images only and serves ``supervision: none``; to train with labels use
``splits: per_seed``, which divides all images anew. Every image is an item of its own.

Licence: CC BY-NC-SA 4.0. Cite: Bergmann, Batzner, Fauser, Sattlegger, Steger, "The MVTec Anomaly Detection
Dataset", Int. J. Computer Vision 129, 2021, doi:10.1007/s11263-020-01400-4.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, Field

from trainables.data.readers.base import (
    Entry,
    Listing,
    MaskOptions,
    Reader,
    images_in,
    mask_beside,
    options_of,
)
from trainables.data.sources import DataFolders
from trainables.data.spec import DataSpec
from trainables.data.unread import unread_files
from trainables.errors import InputError

__all__ = ["READER"]


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
    entries = (*_list_part(root, "train"), *_list_part(root, "test"))
    read = {path for entry in entries for path in (entry.image, entry.mask or "")}
    return Listing(
        root,
        entries,
        mask_above=options.mask_above,
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
    return (folder / "train" / "good").is_dir() and (folder / "test").is_dir()


def _holds_categories(folder: Path) -> bool:
    return folder.is_dir() and any(_is_category(path) for path in folder.iterdir())


def _list_part(root: Path, split: str) -> Iterator[Entry]:
    for folder in sorted(path for path in (root / split).iterdir() if path.is_dir()):
        for path in images_in(folder):
            sample, image = f"{split}/{folder.name}/{path.stem}", path.relative_to(root).as_posix()
            if folder.name == "good":
                yield Entry(sample, image, False, None, None, sample, split)
            else:
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
)
