"""A data set as a table: every image with label, mask, class, item and published part, checked against its
files.

``open_manifest(spec, root, cache)`` reads it; the second time, in any process, costs a look at names,
sizes and times. The hash of a manifest is part of every trial's id: it covers the content of all files,
and no path of this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from trainables.data.files.atomic import why_unread
from trainables.data.files.names import as_text
from trainables.data.files.sources import DataFolders
from trainables.data.inspect.bits import Pixels, settle_pixels
from trainables.data.inspect.findings import Finding, ImageRow, first_lines
from trainables.data.inspect.inspection import inspect
from trainables.data.inspect.mask_statistics import MaskStatistics
from trainables.data.items import items_of
from trainables.data.readers import READERS, Listing, PublishedSets, Reader
from trainables.data.readers.base import Entry
from trainables.data.spec import DataSpec, Others
from trainables.errors import InputError, StorageError

__all__ = ["COLUMNS", "Manifest", "list_images", "open_manifest"]

# Of an image in a manifest's hash, and wherever a manifest is written down.
COLUMNS = (
    "sample",
    "image",
    "label",
    "mask",
    "defect_class",
    "group",
    "split",
    "fold",
    "image_hash",
    "mask_hash",
    "width",
    "height",
)


@dataclass(frozen=True, eq=False)
class Manifest:
    """A data set, ready to be split and loaded."""

    rows: tuple[ImageRow, ...]  # one per image, sorted by their ids
    reader: str  # its name
    root: Path  # folder that the paths start at (in the cache, where a zip was unpacked)
    mask_above: int  # a mask pixel is a defect when its stored value is greater
    published: PublishedSets
    findings: tuple[Finding, ...]  # warnings: identical images, missing and empty masks
    # Grey values that are defects, where masks hold class indices; None: all above ``mask_above``.
    indices: tuple[int, ...] | None = None
    mask_root: Path | None = None  # folder that the masks' paths start at, where it is another than ``root``
    masks: tuple[MaskStatistics, ...] = ()  # of defective images, one for each class that a mask shows
    classes: tuple[str, ...] = ()  # names of those of ``indices``
    ignored: tuple[int, ...] = ()  # grey values that are neither defect nor background (`others: ignore`)
    pixels: Pixels = field(default_factory=Pixels)

    @property
    def white(self) -> float:
        """The value of image files that becomes 255."""
        return self.pixels.white

    @property
    def listed(self) -> Iterator[list[str | bool | int | None]]:
        """The values of ``COLUMNS`` of each image."""
        return ([getattr(row, column) for column in COLUMNS] for row in self.rows)

    @cached_property
    def by_sample(self) -> Mapping[str, ImageRow]:
        """The rows by sample id."""
        return {row.sample: row for row in self.rows}

    @cached_property
    def hash(self) -> str:
        """sha256 over reader, mask rule and rows; the same on every machine."""
        # A setting that came later joins only where it says something new, so ids of older studies stay
        # what they were.
        rule: Mapping[str, object] = {"mask_above": self.mask_above}
        if self.indices is not None:
            rule = {"indices": self.indices} | ({"ignored": self.ignored} if self.ignored else {})
        head: dict[str, object] = {"reader": self.reader, **rule, "columns": COLUMNS}
        if not self.pixels.is_as_ever:  # ids of trials on 8 bits, and on true 16, stay what they were
            head["white"] = self.white
        digest = hashlib.sha256(json.dumps(head).encode())
        for values in self.listed:
            digest.update(json.dumps(values).encode())
        return digest.hexdigest()

    @cached_property
    def folds(self) -> tuple[int, ...]:
        """The published folds; () when the makers publish none."""
        folds = {row.fold for row in self.rows} - {None}
        return tuple(sorted(fold for fold in folds if fold is not None))

    def property(self, name: str) -> Mapping[str, str]:
        """A property of each image, by sample id.

        Raises:
            InputError: If the reader knows none of this name.
        """
        known = READERS.find(self.reader).properties
        if name not in known:
            names = ", ".join(known) or "none"
            raise InputError(f"reader {self.reader} knows these properties of images: {names}; found {name}")
        return {row.sample: known[name](row.image) for row in self.rows}

    def can_teach(self, row: ImageRow) -> bool:
        """True where the image has a mask to learn from: none where it shows an ignored class."""
        return row.mask is not None and not (self.ignored and row.shows_others)

    def samples_with(self, kind: str) -> frozenset[str]:
        """Samples that the findings of one kind are about."""
        return frozenset(
            sample for finding in self.findings if finding.kind == kind for sample in finding.samples
        )


def open_manifest(spec: DataSpec, root: Path | None, cache: Path) -> Manifest:
    """Read the data set that ``spec`` names.

    Args:
        spec: The study's ``data:`` block.
        root: Folder or mount that holds the data; None for readers that make their own.
        cache: Folder on this machine for unpacked archives and results of inspection.

    Raises:
        InputError: If the reader, a setting or a class is unknown, if files are missing, damaged or
            contradict each other (the first 20 faults at once), or if the asked split is not published.
    """
    reader, listing = list_images(spec, root, cache)
    # All faults of files and of brightness are told at once.
    inspection = inspect(listing, cache)
    settled = settle_pixels(inspection.rows, spec.white)
    if faults := (*inspection.faults, *settled.faults):
        head = f"{len(faults)} faults in the data below {listing.root}:\n" if len(faults) > 1 else ""
        raise InputError(head + first_lines([f"{fault}." for fault in faults]))
    if spec.splits != "per_seed" and not listing.is_split:
        raise InputError(f"data.splits: the study asks for published splits. {listing.unsplit}")

    # Classes that nobody asked for are background, unless the study says that their pixels count for nothing.
    indices, ignored = listing.indices, tuple[int, ...]()
    if indices is not None and indices.others == "ignore":
        ignored = tuple(value for value in sorted(indices.names) if value not in indices.kept)
    return Manifest(
        inspection.rows,
        reader.name,
        listing.root,
        listing.mask_above,
        listing.published,
        (*inspection.findings, *settled.findings),
        indices=indices.kept if indices is not None else None,
        mask_root=listing.mask_root,
        masks=inspection.masks,
        classes=tuple(indices.names[value] for value in indices.kept) if indices is not None else (),
        ignored=ignored,
        pixels=settled.pixels,
    )


def _refuse_unwritable(listing: Listing) -> None:
    """Refuse names that no table can hold."""
    for entry in listing.entries:
        for name in (entry.image, entry.mask or ""):
            if (shown := as_text(name)) != name:
                raise InputError(
                    f"{listing.root}: names of files are text in UTF-8, found {shown}. Rename it, or convert "
                    "all names, as `convmv -r -f latin1 -t utf8 --notest FOLDER` does."
                )


def _with_items(listing: Listing, pattern: str | None) -> Listing:
    """``listing`` with the items that a pattern makes of file names."""
    if pattern is None:
        return listing
    # Two sources for one fact would contradict each other sooner or later.
    grouped = [entry for entry in listing.entries if entry.group not in (entry.sample, entry.image)]
    if grouped:
        raise InputError(
            f"data.item: the data say themselves which item an image shows, found {grouped[0].group} for "
            f"{grouped[0].image}. Leave data.item out, or empty the column group."
        )
    items = items_of(pattern, [entry.image for entry in listing.entries])
    entries = zip(listing.entries, items, strict=True)
    return replace(listing, entries=tuple(replace(entry, group=item) for entry, item in entries))


def _read(reader: Reader, spec: DataSpec, root: Path | None, cache: Path) -> Listing:
    """The listing of a reader, which may be barred from a folder of the data or find it gone."""
    try:
        return reader.read(spec, DataFolders(root, cache))
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
        if root is None or named is None or isinstance(error, StorageError):
            raise
        below = any(named.is_relative_to(base) for base in (root, root.resolve()))
        why = why_unread(error, named, root) if below else None
        if why is None:
            raise
        raise InputError(f"reader {reader.name} looks into all folders of the data: {why}.") from error


def list_images(spec: DataSpec, root: Path | None, cache: Path) -> tuple[Reader, Listing]:
    """The reader that ``spec`` names, and the images it lists: only the classes that are asked for.

    Raises:
        InputError: If the reader or a class is unknown, or the data set is not there.
    """
    reader = READERS.find(spec.reader)
    listing = _with_items(_read(reader, spec, root, cache), spec.item)
    listing = replace(listing, binary_photos=spec.binary_photos)
    _refuse_unwritable(listing)
    if not listing.entries and listing.classes is None:
        raise InputError(f"{listing.root}: no images for reader {reader.name}. Check data.path and --data.")
    if spec.classes is None:
        return reader, listing

    # Readers whose masks hold several classes keep to the chosen ones themselves; for all others the
    # image's class decides.
    known = listing.classes or sorted(
        {entry.defect_class for entry in listing.entries if entry.defect_class is not None}
    )
    unknown = sorted(set(spec.classes) - set(known))
    if unknown or not spec.classes:
        raise InputError(
            f"data.classes: unknown class {', '.join(unknown) or '(empty list)'}. This data set has: "
            f"{', '.join(known) or 'none'}; normal images always stay."
        )
    if listing.classes is not None:
        if listing.indices is None and spec.others not in listing.others:
            raise InputError(
                f"data.others: reader {reader.name} itself keeps to data.classes and knows "
                f"{', '.join(listing.others)}, found {spec.others}. Choose one of these, or use masks of "
                "class indices (`mask_classes` of reader folder or table)."
            )
        if not listing.entries:
            raise InputError(f"{listing.root}: no images of {', '.join(spec.classes)}. Check data.classes.")
        return reader, listing
    kept = (_as_asked(entry, spec.classes, spec.others) for entry in listing.entries)
    entries = tuple(entry for entry in kept if entry is not None)
    return reader, replace(listing, entries=entries, expected=None)


def _as_asked(entry: Entry, classes: Collection[str], others: Others) -> Entry | None:
    """An image of a kept class or of none; of another class normal, or None."""
    if entry.defect_class is None or entry.defect_class in classes:
        return entry
    normal = others == "normal" and entry.label is not None
    return replace(entry, label=False, mask=None, defect_class=None) if normal else None
