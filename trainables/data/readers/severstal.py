"""Severstal: steel sheets with four classes of defects, given as run lengths.

Layout: ``train_images/0002cc93b.jpg`` and ``train.csv`` with the columns ImageId, ClassId, EncodedPixels;
12568 images of 256 × 1600 pixels, 6666 defective. The root holds ``severstal-steel-defect-detection.zip``,
or the folder of that name (or ``Severstal``), or is it. The older table with ImageId_ClassId is read too.

Rules: run lengths count pixels from 1, down each column. Several rows of an image are united. An image
without a row is normal. ``classes: ["3"]`` keeps the defects of class 3: an image that shows only other
classes is left out, and of one that shows several the mask holds class 3 alone; with ``other_classes: drop``
such an image is left out as well. Published results use 4759 images of class 3: those that show no other
class. Every image is an item of its own.

Split: the makers' test images have no labels. The split of Božič et al. 2021 is read from their files
``splits/STEEL/split_P_N.pyb`` below the root (:mod:`~trainables.data.readers.published_lists`): P defective
training images, N of them with masks. Without them use ``splits: per_seed``.

Licence: rules of the Kaggle competition severstal-steel-defect-detection (2019). Cite: PAO Severstal,
Kaggle 2019; for the split Božič, Tabernik, Skočaj 2021, doi:10.1016/j.compind.2021.103459.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv
from pydantic import BaseModel, Field, TypeAdapter

from trainables.data.files.atomic import made_once
from trainables.data.files.formats import BrokenImageError, measure
from trainables.data.files.sources import DataFolders, read_bytes
from trainables.data.masks import RUNS_SUFFIX, encode_runs, parse_runs
from trainables.data.readers.base import (
    Entry,
    Expected,
    Listing,
    PublishedSets,
    Reader,
    images_in,
    options_of,
)
from trainables.data.readers.published_lists import (
    Listed,
    find_lists,
    has_masks,
    place_of_lists,
    read_lists,
)
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["READER"]

_CLASSES = ("1", "2", "3", "4")
_IMAGES = "train_images"
_LISTS = TypeAdapter(tuple[Listed, Listed, Listed])
_PARTS = ("train", "test", "validation")  # in the files' order
_SHAPE = "(train, test, validation), each [(image, has mask), …]"
_MASKS = 1  # raised when the same table gives other masks

_Rows = Mapping[str, Mapping[str, list[str]]]  # image → class → run lengths


class SeverstalOptions(BaseModel, frozen=True, extra="forbid"):
    """Settings of reader severstal."""

    other_classes: Literal["keep", "drop"] = Field(
        "keep",
        description="Images that show a class of `classes` and another one: keep them, or drop them as the "
        "published 4759 images of class 3 do.",
    )
    train_positives: Literal[300, 750, 1000, 1500, 3000] | None = Field(
        None, description="Published training set, by its number of defective images; default: the largest."
    )


def read_severstal(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index Severstal: ``train_images/0002cc93b.jpg`` with its rows of ``train.csv``."""
    options = options_of(SeverstalOptions, spec)
    start = folders.below_root(READER.name, spec.path)
    names = ("severstal-steel-defect-detection", "Severstal")
    expected = (
        f"Severstal: expected train.csv beside a folder {_IMAGES}, or a folder or zip {names[0]} that "
        "holds them"
    )
    root = folders.find(start, _holds_images, *names, expected=expected)
    chosen = _CLASSES if spec.classes is None else tuple(name for name in _CLASSES if name in spec.classes)

    # Masks are made of the table's run lengths and lie in the cache.
    images = images_in(root / _IMAGES, (".jpg",))
    rows = _read_rows(root / "train.csv", {path.name for path in images})
    mask_root = _write_masks(rows, root, chosen, folders.cache)
    files: Mapping[tuple[int, ...], Path] = {}
    if spec.splits != "per_seed":
        files = find_lists("STEEL", 2, folders, start, root)
    parts, published = _published(files, options.train_positives)
    entries: list[Entry] = []
    for path in images:
        # An image that shows only other classes is no normal image, and leaves the set.
        shown = rows.get(path.name, {})
        kept = [name for name in chosen if name in shown]
        dropped = len(kept) < len(shown) and (not kept or options.other_classes == "drop")
        if not dropped and (not parts or path.stem in parts):
            entries.append(_entry(path, kept, parts.get(path.stem)))
    return Listing(
        root,
        tuple(entries),
        mask_above=0,
        published=published,
        unsplit=f"Severstal's published split is read from {published.file}, and there is no such file. Put "
        "them there, or use `splits: per_seed`.",
        mask_root=mask_root,
        classes=_CLASSES,
        expected=None if parts else _expected(chosen, options.other_classes),
    )


def _holds_images(folder: Path) -> bool:
    return (folder / _IMAGES).is_dir() and (folder / "train.csv").is_file()


def _entry(path: Path, shown: list[str], split: str | None) -> Entry:
    sample = path.stem
    return Entry(
        sample,
        f"{_IMAGES}/{path.name}",
        bool(shown),
        f"{sample}{RUNS_SUFFIX}" if shown else None,
        "+".join(shown) or None,
        sample,
        split,
    )


def _read_rows(path: Path, images: set[str]) -> _Rows:
    """Run lengths by image and class; rows without run lengths say "not this class" and are skipped."""
    text = pa.string()
    names = ("ImageId", "ClassId", "EncodedPixels", "ImageId_ClassId")
    convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, text), strings_can_be_null=False)
    try:
        table = pyarrow.csv.read_csv(path, convert_options=convert)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}. Unpack it again.") from error
    columns = table.column_names
    if "EncodedPixels" not in columns or not ({"ImageId", "ClassId"} <= set(columns) or names[3] in columns):
        raise InputError(
            f"{path}: expected the columns ImageId, ClassId, EncodedPixels, found {', '.join(columns)}. "
            "Unpack it again."
        )
    rows: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for number, row in enumerate(table.to_pylist(), start=1):
        # The older table has a row for every class of every image, mostly without run lengths.
        joined = row.get("ImageId_ClassId")
        image, class_id = joined.rpartition("_")[::2] if joined else (row["ImageId"], row["ClassId"])
        if not row["EncodedPixels"]:
            continue
        if image not in images or class_id not in _CLASSES:
            raise InputError(
                f"{path}, row {number}: image {image!r} and class {class_id!r}; expected an image in "
                f"{_IMAGES} and a class of {', '.join(_CLASSES)}. Unpack again."
            )
        rows[image][class_id].append(row["EncodedPixels"])
    return rows


def _write_masks(rows: _Rows, root: Path, chosen: Iterable[str], cache: Path) -> Path:
    """A folder with a file of run lengths for each image that shows a chosen class; made once."""
    # The key is of all that the masks are made of, so another choice of classes has a folder of its own.
    wanted = {
        image: [text for name in chosen for text in shown.get(name, [])]
        for image, shown in sorted(rows.items())
    }
    key = hashlib.sha256(json.dumps([_MASKS, str(root), wanted]).encode()).hexdigest()[:16]

    def fill(folder: Path) -> None:
        for image, texts in wanted.items():
            if texts:
                _write_mask(root, image, texts, folder)

    return made_once(cache / "severstal" / key, fill)


def _write_mask(root: Path, image: str, texts: list[str], folder: Path) -> None:
    try:
        width, height = measure(read_bytes(root, f"{_IMAGES}/{image}"))
    except BrokenImageError as error:
        raise InputError(f"{_IMAGES}/{image}: {error.advice}.") from error
    try:
        runs = [run for text in texts for run in parse_runs(text, height * width)]
    except ValueError as error:
        raise InputError(
            f"{root / 'train.csv'}: run lengths of {image}: {error}. Unpack it again."
        ) from error
    (folder / f"{Path(image).stem}{RUNS_SUFFIX}").write_bytes(encode_runs(height, width, runs))


def _published(
    files: Mapping[tuple[int, ...], Path], train_positives: int | None
) -> tuple[dict[str, str], PublishedSets]:
    """The part of each image (none without the lists), and the mask subsets.

    Raises:
        InputError: If no file is for this number of defective images, or files divide the images differently.
    """
    sizes = sorted({size for size, _ in files})
    if not sizes:
        return {}, PublishedSets(file=place_of_lists("STEEL/split_P_N.pyb"))
    size = train_positives or sizes[-1]
    place = place_of_lists(f"STEEL/split_{size}_*.pyb")
    if size not in sizes:
        raise InputError(
            f"data.options.train_positives: there are lists for {', '.join(map(str, sizes))}; found {size}, "
            f"expected {place}. Put them there, or choose one of these."
        )
    parts: dict[str, str] = {}
    masks: dict[tuple[int, int | None], frozenset[str]] = {}
    for (positives, number), path in files.items():
        if positives != size:
            continue
        lists = read_lists(path, _LISTS, _SHAPE)
        masks[number, None] = has_masks(lists[0])
        for part, listed in zip(_PARTS, lists, strict=True):
            for image, _ in listed:
                if parts.setdefault(image, part) != part:
                    raise InputError(
                        f"{path}: {image} is in part {part}, and in {parts[image]} elsewhere in the lists "
                        f"for {size} defective images. Fetch them again: {place}."
                    )
    return parts, PublishedSets(masks, all_masks=size, file=place)


def _expected(chosen: tuple[str, ...], other_classes: str) -> Expected | None:
    if chosen == _CLASSES:
        return Expected({"all": (6666, 5902)}, "Kaggle, train.csv")
    if chosen == ("3",) and other_classes == "drop":
        source = (
            "Božič, Tabernik, Skočaj 2021, Table 2, for the defective; it prints 6666 for the normal ones"
        )
        return Expected({"all": (4759, 5902)}, source)
    return None


READER = Reader(
    name="severstal",
    title="Severstal: steel sheets with four classes of defects, 12568 images, 6666 defective",
    licence="rules of the Kaggle competition severstal-steel-defect-detection",
    citation="PAO Severstal, Kaggle 2019, kaggle.com/c/severstal-steel-defect-detection",
    Options=SeverstalOptions,
    read=read_severstal,
    recognised=True,
)
