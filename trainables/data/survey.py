"""A look at a folder of one's own images: how it is laid out, what it holds, how large the defects are.

``survey_images`` finds the reader and its options by the names that such folders usually have; everything
after that is what every data set goes through, so what it reports can be trained.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.class_indices import with_mask_classes
from trainables.data.formats import BrokenImageError
from trainables.data.inspection import ImageRow
from trainables.data.items import propose_pattern
from trainables.data.manifest import Manifest, list_images, open_manifest
from trainables.data.mask_statistics import FEW_VALUES, stored_values
from trainables.data.readers import READERS
from trainables.data.readers.base import images_in
from trainables.data.seeds import shuffled
from trainables.data.sources import FULL_WHITE, decode_image, decode_mask, read_bytes
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["Survey", "survey_images"]

_GOOD = ("good", "ok", "normal", "pass", "free", "defect_free")
_DEFECT = ("defect", "defects", "defective", "ng", "nok", "bad", "anomaly", "anomalies", "fail")
_MASKS = ("masks", "mask", "ground_truth", "groundtruth", "gt", "labels", "label", "annotations")
_LEAST = 3  # images of a kind: one each for training, validation and test
_LOOKED_AT = 64  # images whose colours, and masks whose defects, are measured


@dataclass(frozen=True)
class Survey:
    """Contents of a folder of images.

    Attributes:
        spec: How to read it, divided anew for each seed.
        manifest: All images, checked.
        size: Median height and width, pixels.
        colour: Whether images have colours.
        defect_share: Median share of a defective image that its mask covers; None without masks.
    """

    spec: DataSpec
    manifest: Manifest
    size: tuple[int, int]
    colour: bool
    defect_share: float | None

    @property
    def normal(self) -> int:
        """Number of normal images."""
        return sum(not row.label for row in self.manifest.rows)

    @property
    def items(self) -> str:
        """Number of parts and of images of each; "" where every image is an item of its own."""
        items = len({row.group for row in self.manifest.rows})
        return f"{items} parts with {len(self.manifest.rows) // items} images each" if self.spec.item else ""

    @property
    def defective(self) -> int:
        """Number of defective images."""
        return sum(row.label for row in self.manifest.rows)

    @property
    def with_mask(self) -> int:
        """Number of defective images whose mask is known."""
        return sum(row.mask is not None for row in self.manifest.rows)


def survey_images(folder: Path, cache: Path) -> Survey:
    """Look at ``folder``, which becomes the data root of a study.

    Raises:
        InputError: If it has no layout that a reader knows, too few images, or files that are damaged.
    """
    if not folder.is_dir():
        raise InputError(f"--images names a folder of images, found none at {folder}. Check the path.")
    spec = with_mask_classes(_find_layout(folder, cache), folder, cache)
    spec = _with_items(spec, folder, cache)
    manifest = open_manifest(spec, folder, cache)
    _refuse_few(manifest, folder)
    spec = _as_published(spec, manifest)
    shares = [float(mask.mean()) for mask in _masks(manifest)]
    return Survey(
        spec,
        manifest,
        size=(
            round(median(row.height for row in manifest.rows)),
            round(median(row.width for row in manifest.rows)),
        ),
        colour=any(_has_colour(manifest, row) for row in _some(manifest.rows)),
        defect_share=median(shares) if shares else None,
    )


def _refuse_few(manifest: Manifest, folder: Path) -> None:
    """Refuse what no method can learn from: too few images of a kind, or neither normal images nor masks."""
    defective, normal = _rows(manifest, True), _rows(manifest, False)
    needed = "a study needs {} {} or more, for training, validation and test; {} has {}. Add some."
    if len(defective) < _LEAST:
        raise InputError(needed.format(_LEAST, "defective images", folder, len(defective)))
    masks = sum(row.mask is not None for row in defective)
    if not normal and masks < len(defective):
        raise InputError(
            "without normal images methods learn from masks alone, and every image has one; "
            f"{folder} has no normal image, and masks of {masks} of {len(defective)} images. Add the "
            f"masks, or {_LEAST} normal images or more."
        )
    if normal and len(normal) < _LEAST:
        raise InputError(needed.format(_LEAST, "normal images", folder, len(normal)))


def _as_published(spec: DataSpec, manifest: Manifest) -> DataSpec:
    """``spec`` with the parts that the data name, where each has what training with labels needs."""
    parts = {row.split for row in manifest.rows}
    if not parts >= {"train", "test"} or None in parts:
        return spec
    kinds = {row.label for row in manifest.rows}
    for part in parts:
        if {row.label for row in manifest.rows if row.split == part} != kinds:
            return spec
    return spec.model_copy(update={"splits": "published"})


def _rows(manifest: Manifest, label: bool) -> list[ImageRow]:
    return [row for row in manifest.rows if row.label is label]


def _some(rows: Iterable[ImageRow]) -> list[ImageRow]:
    by_sample = {row.sample: row for row in rows}
    return [by_sample[sample] for sample in shuffled(by_sample, 0)[:_LOOKED_AT]]


def _masks(manifest: Manifest) -> Iterable[NDArray[np.uint8]]:
    for row in _some(row for row in manifest.rows if row.mask is not None):
        data = read_bytes(manifest.mask_root or manifest.root, row.mask or "")
        yield decode_mask(data, manifest.mask_above, manifest.indices)


def _has_colour(manifest: Manifest, row: ImageRow) -> bool:
    pixels = decode_image(read_bytes(manifest.root, row.image), 3, manifest.white).astype(np.int16)
    return bool(np.ptp(pixels, axis=2).max() > 8)  # JPEG tints greys a little


# Layouts


def _find_layout(folder: Path, cache: Path) -> DataSpec:
    table = _find_table(folder)
    if table is not None:
        return _spec("table", table)
    below = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    for start in [folder, *below] if len(below) == 1 else [folder]:
        path = None if start == folder else start.name
        as_mvtec = (start / "train" / "good").is_dir() and (start / "test").is_dir()
        if as_mvtec and (start / "ground_truth").is_dir():
            return _spec("mvtec", path)
        options = _folder_options(start)
        if options is not None:
            return _spec("folder", path, options)
        if as_mvtec:
            return _spec("mvtec", path)
    recognised = [name for name, reader in READERS.items() if reader.recognised]
    known = [name for name in recognised if _reads(name, folder, cache)]
    if len(known) == 1:
        return _spec(known[0], None)
    present = ", ".join(known or [path.name for path in below]) or "none"
    raise InputError(
        f"{folder} has no layout that assay init knows: expected a folder of normal images "
        f"({', '.join(_GOOD[:3])}) and one of defective images ({', '.join(_DEFECT[:4])} …), and perhaps one "
        f"of masks ({', '.join(_MASKS[:4])} …); found {present}. Name one folder of them, rename folders, or "
        "list the images in a CSV file with the columns image and label."
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


def _with_items(spec: DataSpec, folder: Path, cache: Path) -> DataSpec:
    """``spec`` with the pattern of several images of one part, where the names show it."""
    reader, listing = list_images(spec, folder, cache)
    known = reader.recognised or any(
        entry.group not in (entry.sample, entry.image) for entry in listing.entries
    )
    pattern = None if known else propose_pattern(entry.image for entry in listing.entries)
    return spec.model_copy(update={"item": pattern})


def _find_table(folder: Path) -> str | None:
    """The name of the one CSV file with the columns image and label."""
    named: list[str] = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
            if {"image", "label"} <= set(next(csv.reader(lines), [])):
                named.append(path.name)
    if len(named) > 1:
        raise InputError(
            f"{folder}: one table lists the images, found {', '.join(named)}. Remove the others."
        )
    return named[0] if named else None


def _folder_options(start: Path) -> dict[str, Any] | None:
    """Options of reader folder for the names found in ``start``, or in its parts train and test."""
    parts = [start / "train", start / "test"]
    if not all(part.is_dir() for part in parts):
        parts = [start]
    names = {
        role: _named(parts, usual)
        for role, usual in (("good", _GOOD), ("defect", _DEFECT), ("masks", _MASKS))
    }
    if names["good"] is None or names["defect"] is None:
        return None
    options: dict[str, Any] = {role: name for role, name in names.items() if name not in (None, role)}
    if names["masks"] is not None:
        suffix, above = _mask_style(parts, names["defect"], names["masks"])
        options |= {"mask_suffix": suffix} if suffix else {}
        options |= {"mask_above": above} if above else {}
    return options


def _named(parts: Sequence[Path], usual: Sequence[str]) -> str | None:
    """The folder of a usual name, however it is capitalised."""
    present = {path.name.lower(): path.name for part in parts for path in part.iterdir() if path.is_dir()}
    return next((present[name] for name in usual if name in present), None)


def _mask_style(parts: Sequence[Path], defect: str, masks: str) -> tuple[str, int]:
    """Ending that masks' names add to those of their images, and grey value that defects are above."""
    images = {path.stem for part in parts for path in _images_below(part / defect)}
    files = [path for part in parts for path in _images_below(part / masks)]
    added: Counter[str] = Counter()
    for path in files:
        ends = (end for end in range(len(path.stem), 0, -1) if path.stem[:end] in images)
        end = next(ends, None)
        if end is not None:
            added[path.stem[end:]] += 1
    return (added.most_common(1)[0][0] if added else "", 127 if _have_soft_edges(files[:_LOOKED_AT]) else 0)


def _have_soft_edges(masks: Sequence[Path]) -> bool:
    """Say if masks fade out; a few values in all of them may be classes, which are asked about instead."""
    values: set[int] = set()
    for mask in masks:
        # Broken files are named with all other faults when the data set is opened.
        with suppress(BrokenImageError):
            values.update(stored_values(decode_image(mask.read_bytes(), 1, FULL_WHITE)))
    return len(values - {0}) > FEW_VALUES and min(values - {0}) < 128 <= max(values)


def _images_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    below = (path for path in sorted(folder.iterdir()) if path.is_dir())
    return [*images_in(folder), *(image for inner in below for image in images_in(inner))]
