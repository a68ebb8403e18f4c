"""Your own images in folders: ``good/``, ``defect/`` and, where they exist, ``masks/``.

Layout: ``good/a.jpg``, ``defect/b.jpg``, ``masks/b.png``: a mask has the stem of its image. With
several defect classes: ``defect/scratch/b.jpg`` and ``masks/scratch/b.png``. With a split of your own,
the same below ``train/`` and ``test/``. ``data.path`` names the folder (or a zip of it) below the data
root. Other names of the three folders, and a suffix of masks' names, are options:
``{good: ok, defect: ng, masks: ground_truth, mask_suffix: _mask}``.

Rules: the folder is the label; a defective image without a mask has an image label only. Every image is
taken for an item of its own: when one part was photographed several times, use ``data.item``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

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
from trainables.errors import InputError

__all__ = ["READER"]


_FolderName = Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$")]


class FolderOptions(BaseModel, frozen=True, extra="forbid"):
    """Settings of reader folder."""

    mask_above: int = Field(
        0, ge=0, le=65534, description="A mask pixel is a defect when its value is greater; grey levels."
    )
    good: _FolderName = Field("good", description="Folder of normal images.")
    defect: _FolderName = Field("defect", description="Folder of defective images.")
    masks: _FolderName = Field("masks", description="Folder of masks.")
    mask_suffix: str = Field(
        "", pattern=r"^[^/\\]*$", description="What a mask's name has after that of its image, as in `_mask`."
    )


def read_folder(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index ``good/``, ``defect/`` and ``masks/``, directly or below ``train/`` and ``test/``."""
    options = options_of(FolderOptions, spec)
    start = folders.below_root(READER.name, spec.path)
    below = [path for path in start.iterdir() if path.is_dir()] if start.is_dir() else []
    candidates = [start, *below] if len(below) == 1 else [start]  # a zip often has one folder on top
    root = next((folder for folder in candidates if _parts(folder, options)), None)
    if root is None:
        raise InputError(
            f"{start} is not laid out for reader folder: expected the folders {options.good} and "
            f"{options.defect} (and {options.masks}), directly or below train and test. Name the folder in "
            "data.path."
        )
    entries = tuple(entry for split in _parts(root, options) for entry in _list_part(root, split, options))
    return Listing(
        root,
        entries,
        options.mask_above,
        unsplit=f"{root} has no folders train and test: use `splits: per_seed`.",
        missing_mask_way_out="Add it, or use supervision: weak or mixed with the masks there are",
        mask_options=MaskOptions.of(options),
    )


def _parts(root: Path, options: FolderOptions) -> list[str | None]:
    if (root / options.good).is_dir() and (root / options.defect).is_dir():
        return [None]
    below = [part for part in ("train", "test") if (root / part / options.good).is_dir()]
    return list(below) if len(below) == 2 else []


def _list_part(root: Path, split: str | None, options: FolderOptions) -> Iterator[Entry]:
    base = root / split if split else root
    for path in images_in(base / options.good):
        yield _entry(root, path, split, None, None)
    defect = base / options.defect
    if not defect.is_dir():  # a training part of normal images only
        return
    masks = base / options.masks
    for path in images_in(defect):
        mask = mask_beside(masks / f"{path.stem}{options.mask_suffix}", root)
        yield _entry(root, path, split, "defect", mask)
    for folder in sorted(folder for folder in defect.iterdir() if folder.is_dir()):
        for path in images_in(folder):
            mask = mask_beside(masks / folder.name / f"{path.stem}{options.mask_suffix}", root)
            yield _entry(root, path, split, folder.name, mask)


def _entry(root: Path, path: Path, split: str | None, defect_class: str | None, mask: str | None) -> Entry:
    image = path.relative_to(root)
    sample = image.with_suffix("").as_posix()
    return Entry(sample, image.as_posix(), defect_class is not None, mask, defect_class, sample, split)


READER = Reader(
    name="folder",
    title="Folders good/, defect/ and masks/ of your own images",
    licence="yours",
    citation="none",
    Options=FolderOptions,
    read=read_folder,
)
