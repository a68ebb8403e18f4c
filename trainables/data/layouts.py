"""The reader and its options that fit a folder of one's own images, by the usual names of such folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.findings import counted
from trainables.data.formats import MASK_SUFFIXES, BrokenImageError
from trainables.data.manifest import list_images
from trainables.data.mask_statistics import FEW_VALUES, middle_of_edges, stored_values
from trainables.data.readers import READERS
from trainables.data.readers.annotated import annotation_files, foreign_files
from trainables.data.readers.base import folders_in
from trainables.data.readers.folder import part_of
from trainables.data.readers.mask_names import Naming, compared, images_below, naming_of, split_beside
from trainables.data.readers.table import is_table
from trainables.data.sources import decode_stored, strongest_channel
from trainables.data.spec import DataSpec
from trainables.data.unread import DEFECT_FOLDERS, GOOD_FOLDERS, IMAGE_FOLDERS, MASK_FOLDERS
from trainables.errors import InputError

__all__ = ["find_layout"]

_LOOKED_AT = 64  # masks whose edges are looked at


def find_layout(folder: Path, cache: Path) -> DataSpec:
    """The ``data:`` block that reads ``folder``, divided anew for each seed.

    Raises:
        InputError: If it has no layout that a reader knows.
    """
    table = _find_table(folder)
    if table is not None:
        return _spec("table", table)
    below = folders_in(folder)
    for start in [folder, *below] if len(below) == 1 else [folder]:
        path = None if start == folder else start.name
        as_mvtec = (start / "train" / "good").is_dir() and (start / "test").is_dir()
        if as_mvtec and (start / "ground_truth").is_dir():
            return _spec("mvtec", path)
        options = _folder_options(start)
        if options is not None:
            drawn = "masks" not in options and not (start / "masks").is_dir() and annotation_files(start)
            return _spec("annotated", path) if drawn else _spec("folder", path, options)
        if as_mvtec:
            return _spec("mvtec", path)
    if annotation_files(folder):
        return _spec("annotated", None)
    recognised = [name for name, reader in READERS.items() if reader.recognised]
    known = [name for name in recognised if _reads(name, folder, cache)]
    if len(known) == 1:
        return _spec(known[0], None)
    foreign = foreign_files(folder)
    if foreign:
        place, form = next(iter(foreign.items()))
        raise InputError(
            f"{folder} has no layout that assay init knows, found {counted(len(foreign), 'file')} of "
            f"labelling tools, such as {place}: {form}. Or sort images into folders such as good and defect."
        )
    present = ", ".join(known or [path.name for path in below]) or "none"
    raise InputError(
        f"{folder} has no layout that assay init knows: expected a folder of normal images "
        f"({', '.join(GOOD_FOLDERS[:3])}) and one of defective images ({', '.join(DEFECT_FOLDERS[:4])} …), "
        f"and perhaps one of masks ({', '.join(MASK_FOLDERS[:3])} …), or images/ and one "
        f"of masks; found {present}. Name one folder of them, rename folders, or list the images in "
        "a CSV file with the columns image and label."
    )


def _reads(reader: str, folder: Path, cache: Path) -> bool:
    """True where a folder holds the data set of this reader."""
    try:
        list_images(_spec(reader, None), folder, cache)
    except InputError:
        return False
    return True


def _spec(reader: str, path: str | None, options: Mapping[str, Any] | None = None) -> DataSpec:
    settings = {"reader": reader, "path": path, "splits": "per_seed", "options": options or {}}
    return DataSpec.model_validate(settings)


def _find_table(folder: Path) -> str | None:
    """The name of the one CSV file with the columns image and label."""
    named = [
        path.name
        for path in sorted(folder.iterdir())
        if path.suffix.lower() == ".csv" and path.is_file() and is_table(path)
    ]
    if len(named) > 1:
        raise InputError(
            f"{folder}: one table lists the images, found {', '.join(named)}. Remove the others."
        )
    return named[0] if named else None


def _folder_options(start: Path) -> dict[str, Any] | None:
    """Options of reader folder for the names found in ``start``, or in its parts or batches."""
    starts = _starts(start)
    good, defect, masks = (_named(starts, usual) for usual in (GOOD_FOLDERS, DEFECT_FOLDERS, MASK_FOLDERS))
    if good is None:  # the masks say what is defective
        defect = defect or _named(starts, IMAGE_FOLDERS)
        if defect is None or masks is None:
            return None
    if defect is None:  # every folder beside that of normal images is a class of defects
        others = [path for path in folders_in(starts[0]) if path.name not in (good, masks)]
        if len(starts) > 1 or not any(images_below(path) for path in others):
            return None
        defect = "*"
    options: dict[str, Any] = {"good": good or "good", "defect": defect, "masks": masks or "masks"}
    options = {role: name for role, name in options.items() if name != role}
    images = list(_images(starts, defect, (good or "", masks or "")))
    files = [] if masks is None else [path for part in starts for path in _files(part / masks)]
    files = [path for path in files if path.suffix.lower() in MASK_SUFFIXES]
    if good is None and not files:
        return None
    if masks is None and defect != "*":
        kept, beside = split_beside([PurePosixPath(path.relative_to(start).as_posix()) for path in images])
        images, files = ([start / path for path in paths] for paths in (kept, beside))
        options |= {"masks": defect} if files else {}
    naming = naming_of({path.stem for path in images}, [path.stem for path in files]) or Naming()
    exact = {compared(path.stem) for path in images} & {compared(path.stem) for path in files}
    if len(exact) * 2 < len(files):
        options |= {"mask_prefix": naming.prefix} if naming.prefix else {}
        options |= {"mask_suffix": naming.suffix} if naming.suffix else {}
    middle = _middle_of_edges(files[:_LOOKED_AT])
    return options | ({} if middle is None else {"mask_above": middle})


def _starts(start: Path) -> list[Path]:
    """Folders that hold those of good and defective images: ``start``, its parts, or its batches."""
    below = folders_in(start)
    if _named([start], GOOD_FOLDERS) is not None:
        return [start]
    parts = [path for path in below if part_of(path) is not None]
    if {part_of(path) for path in parts} >= {"train", "test"}:
        return parts
    inner = [path for path in below for path in [path, *folders_in(path)]]
    batches = [path for path in inner if _named([path], GOOD_FOLDERS) or _named([path], DEFECT_FOLDERS)]
    return batches or [start]


def _named(parts: Sequence[Path], usual: Sequence[str]) -> str | None:
    """The folder of a usual name, however it is capitalised; in small letters if there are several."""
    names = sorted(path.name for part in parts for path in part.iterdir() if path.is_dir())
    present = {name.lower(): name for name in names}  # small letters come last
    return next((present[name] for name in usual if name in present), None)


def _images(parts: Sequence[Path], defect: str, others: tuple[str, str]) -> Iterator[Path]:
    for part in parts:
        for folder in folders_in(part):
            if folder.name.casefold() == defect.casefold() or (defect == "*" and folder.name not in others):
                yield from _files(folder)


def _files(folder: Path) -> list[Path]:
    return [folder / path for path in images_below(folder)]


def _middle_of_edges(masks: Sequence[Path]) -> int | None:
    """The value in the middle of the edges of masks that fade out; None where they do not.

    A few values in all of them, or small ones, may be classes, which are asked about instead. Masks that are
    inverted, or copies of the photo, have no edges to cut: they are left to be refused.
    """
    values: set[int] = set()
    drawn_on_dark: list[bool] = []
    for mask in masks:
        # Broken files are named with all other faults when the data set is opened.
        with suppress(BrokenImageError, OSError):
            grey = strongest_channel(decode_stored(mask.read_bytes()))
            values.update(stored_values(grey))
            if grey.any():
                drawn_on_dark.append(_is_drawn_on_dark(grey))
    shown = values - {0}
    middle = middle_of_edges(max(values, default=0))
    if 2 * sum(drawn_on_dark) <= len(drawn_on_dark):
        return None
    return middle if len(shown) > FEW_VALUES and min(shown) <= middle and max(shown) >= 128 else None


def _is_drawn_on_dark(grey: NDArray[Any]) -> bool:
    """True where over half of a mask has one value, and this is below the middle of its edges."""
    ground = np.median(grey)  # what over half of the pixels have is their median
    return bool(ground <= middle_of_edges(int(grey.max())) and 2 * np.mean(grey == ground) > 1)
