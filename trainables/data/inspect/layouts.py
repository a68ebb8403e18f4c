"""The reader and its options that fit a folder of one's own images, by the usual names of such folders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.files.formats import BrokenImageError
from trainables.data.files.names import (
    DEFECT_FOLDERS,
    GOOD_FOLDERS,
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    Naming,
    compared,
    in_words,
    is_of_masks,
    naming_of,
    part_of,
    rest_of_images,
    split_beside,
)
from trainables.data.files.sources import decode_stored, strongest_channel
from trainables.data.inspect.findings import counted
from trainables.data.inspect.look_alikes import content_of
from trainables.data.inspect.mask_statistics import FEW_VALUES, are_indices, middle_of_edges, stored_values
from trainables.data.manifest import list_images
from trainables.data.readers import READERS
from trainables.data.readers.annotated import annotation_files, foreign_files
from trainables.data.readers.base import folders_in, images_below
from trainables.data.readers.folder import FolderOptions, Found, find_pictures
from trainables.data.readers.table import is_table, names_images_of
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["find_layout"]

_FEW = 8  # pictures of a folder by which it is known to hold masks
_LOOKED_AT = 64  # masks whose edges are looked at


def find_layout(folder: Path, cache: Path) -> DataSpec:
    """The ``data:`` block that reads ``folder``, divided anew for each seed.

    Raises:
        InputError: If it has no layout that a reader knows.
    """
    # From the surest to the vaguest: a table whose paths fit, folders of usual names, annotations, a
    # published set, and a table after all.
    table, names_images = _find_table(folder)
    if table is not None and names_images:
        return _spec("table", table)
    below = folders_in(folder)
    for start in [folder, *below] if len(below) == 1 else [folder]:
        spec = _folder_spec(start, None if start == folder else start.name)
        if spec is not None:
            return spec
    if annotation_files(folder):
        return _spec("annotated", None)
    recognised = [name for name, reader in READERS.items() if reader.recognised]
    known = [name for name in recognised if _reads(name, folder, cache)]
    if len(known) == 1:
        return _spec(known[0], None)
    if table is not None:
        return _spec("table", table)
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


def _folder_spec(start: Path, path: str | None) -> DataSpec | None:
    """The block that reads folders of normal and defective images, or a category of MVTec AD."""
    trained = [start / "train" / name for name in ("good", "ok")]
    as_mvtec = (start / "test").is_dir() and any(folder.is_dir() for folder in trained)
    if as_mvtec and _has_masks_of_mvtec(start):
        return _spec("mvtec", path)
    read = _folder_options(start)
    if read is not None:
        options, has_masks = read
        drawn = not has_masks and annotation_files(start)
        return _spec("annotated", path) if drawn else _spec("folder", path, options)
    return _spec("mvtec", path) if as_mvtec else None


def _has_masks_of_mvtec(start: Path) -> bool:
    """True where masks in ``ground_truth``, or their folders, are called as reader mvtec expects."""
    stems = {path.stem for path in images_below(start / "test")}
    return any(
        not stems.isdisjoint((mask.stem, mask.stem.removesuffix("_mask"), mask.parent.name))
        for mask in images_below(start / "ground_truth")
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


def _find_table(folder: Path) -> tuple[str | None, bool]:
    """The name of the one CSV file with the columns image and label, and if it names images that are there.

    Published sets have tables whose paths start at a folder further up.
    """
    named = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() == ".csv" and path.is_file() and is_table(path)
    ]
    fitting = [path for path in named if names_images_of(path)]
    if len(fitting or named) > 1:
        listed = ", ".join(path.name for path in fitting or named)
        raise InputError(f"{folder}: one table lists the images, found {listed}. Remove the others.")
    return (fitting or named)[0].name if named else None, bool(fitting)


def _folder_options(start: Path) -> tuple[dict[str, Any], bool] | None:
    """Options of reader folder for the names below ``start``, and if there are masks; None if none fit."""
    # First the names of the folders of good and defective images.
    depths = _depths_of_names(start)
    good, defect = _named(depths, GOOD_FOLDERS), _named(depths, DEFECT_FOLDERS)
    if good is not None and defect is not None and _depth(depths, defect) > _depth(depths, good):
        defect = None  # within a class, or within a folder of normal images
    if defect is None:
        # The masks say what is defective, or every folder beside that of normal images is a class of defects.
        defect = _named_images(list(depths)) if good is None else "*"
    options: dict[str, Any] = {"good": good or "good", "defect": defect}
    options = {role: name for role, name in options.items() if name != role}
    found = find_pictures(start, FolderOptions.model_validate(options))

    # Then the masks: by the names of their folders, and where none is usual by looking at pixels.
    masks = _named_masks(
        {mask.home.name for mask in found.masks} or {path.name for path in found.mask_folders}
    )
    if masks not in (None, "masks"):
        options["masks"] = masks
        found = find_pictures(start, FolderOptions.model_validate(options))
    # Where a folder says defective, and none says normal, what lies beside it may be either.
    says_too_little = good is None and rest_of_images(defect) != "" and found.others
    if not found.defective or found.several or says_too_little:
        return None
    if not found.masks and masks is None and (unknown := _folder_of_masks(found)) is not None:
        options["masks"] = unknown
        found = find_pictures(start, FolderOptions.model_validate(options))
    images, masks_found = list(found.images), [mask.path for mask in found.masks]
    if not masks_found and not found.holds_masks:
        _, masks_found = split_beside([image.path for image in images])
        among = set(masks_found)
        images = [image for image in images if image.path not in among]
        options |= {"masks": defect} if masks_found else {}
    if not found.has_good and not masks_found and not found.holds_masks:
        return None

    # Then how masks are called after their images.
    stems = {image.path.stem for image in images}
    naming = naming_of(stems, [path.stem for path in masks_found]) or Naming()
    exact = set(map(compared, stems)) & {compared(path.stem) for path in masks_found}
    # A folder for each image, called like it, holds masks of any names.
    united = set(map(compared, stems)) & {compared(path.parent.name) for path in masks_found}
    if len(exact) * 2 < len(masks_found) and not united:
        options |= {"mask_prefix": naming.prefix} if naming.prefix else {}
        options |= {"mask_suffix": naming.suffix} if naming.suffix else {}

    # And where their soft edges are to be cut.
    middle = _middle_of_edges([found.root / path for path in masks_found[:_LOOKED_AT]])
    return options | ({} if middle is None else {"mask_above": middle}), bool(
        masks_found
    ) or found.holds_masks


def _folder_of_masks(found: Found) -> str | None:
    """The one folder, whatever its name, that holds masks of the images by their names and pixels."""
    # Names alone may fool, so pixels must look like masks as well.
    stems = {image.path.stem for image in found.defective}
    above = {parent for image in found.images for parent in image.path.parents}
    others: defaultdict[str, list[Path]] = defaultdict(list)
    for path in found.others:
        folder = next((name for name, parent in _folders_above(path) if parent not in above), None)
        if folder is not None and naming_of(stems, [path.stem]) is not None:
            others[folder].append(found.root / path)
    fitting = [name for name, paths in others.items() if all(map(_looks_like_mask, paths[:_FEW]))]
    return fitting[0] if len(fitting) == 1 else None


def _folders_above(path: PurePosixPath) -> list[tuple[str, PurePosixPath]]:
    """The folders of a file from the top, each with its name."""
    return [(folder.name, folder) for folder in reversed(path.parents) if folder.name]


def _looks_like_mask(path: Path) -> bool:
    try:
        return content_of(strongest_channel(decode_stored(path.read_bytes()))) in ("mask", "constant")
    except (BrokenImageError, OSError):  # named with all other faults when the data set is opened
        return False


def _depths_of_names(start: Path) -> dict[str, int]:
    """Names of all folders that pictures lie below, with the number of batches and classes above them."""
    depths: dict[str, int] = {}
    for path in images_below(start):
        depth = 0
        for name in path.parts[:-1]:
            depths[name] = min(depth, depths.get(name, depth))
            depth += part_of(name) is None and rest_of_images(name) != "" and not is_of_masks(name)
    return depths


def _depth(depths: Mapping[str, int], word: str) -> int:
    """Least depth of a folder of this name, or of one that says it of images, as ``good_images`` does."""
    return min(depth for name, depth in depths.items() if word in (name, rest_of_images(name)))


def _named(names: Iterable[str], usual: Sequence[str]) -> str | None:
    """The folder of a usual name, however it is spelt; in small letters if there are several.

    Of ``good_images`` it is ``good``.
    """
    names = sorted(names)  # small letters come last
    present = {in_words(name): name for name in names}
    rests = {rest: rest for name in names if (rest := rest_of_images(name))}
    return next((found[name] for found in (present, rests) for name in usual if name in found), None)


def _named_images(names: Sequence[str]) -> str:
    """The folder of images that are good and defective; ``images`` where none is called so alone."""
    plain = [name for name in names if rest_of_images(name) == ""]
    return (_named(plain, IMAGE_FOLDERS) or plain[0]) if plain else "images"


def _named_masks(names: Collection[str]) -> str | None:
    """The folder of masks to name in the options; None where their names need no option, or are several."""
    usual = _named(names, MASK_FOLDERS)
    if usual is not None:
        return usual
    others = [name for name in names if is_of_masks(name)]
    return others[0] if len(others) == 1 else None


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
    if are_indices(sorted(shown)):  # with a border of 255, which is no edge
        return None
    return middle if len(shown) > FEW_VALUES and min(shown) <= middle and max(shown) >= 128 else None


def _is_drawn_on_dark(grey: NDArray[Any]) -> bool:
    """True where over half of a mask has one value, and this is below the middle of its edges."""
    ground = np.median(grey)  # what over half of the pixels have is their median
    return bool(ground <= middle_of_edges(int(grey.max())) and 2 * np.mean(grey == ground) > 1)
