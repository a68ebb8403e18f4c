"""Opens every file of a listing once: labels, sizes, hashes, and all that is wrong, at once.

The result is kept in the cache under names, sizes and times of the files: the second look costs a
``stat`` each.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from trainables.data.files.atomic import exclusive, new_file
from trainables.data.files.formats import BrokenImageError, Header, examine, orientation_of
from trainables.data.files.sources import (
    confine,
    decode_indices,
    decode_stored,
    defect_pixels,
    read_bytes,
    read_samples,
    strongest_channel,
)
from trainables.data.inspect.duplicates import details_of, duplicate_findings, part_name, with_copies
from trainables.data.inspect.findings import Fault, Finding, ImageRow, counted, sum_up, summarise
from trainables.data.inspect.look_alikes import LookAlikes, Seen, content_of
from trainables.data.inspect.mask_statistics import MaskStatistics, examine_masks, measure_mask
from trainables.data.masks import highest_index, holds_runs
from trainables.data.readers.base import ClassIndices, Entry, Listing
from trainables.errors import InputError, StorageError

__all__ = ["Finding", "Inspection", "inspect"]

_INSPECTION = 13  # raised when inspection finds something else in the same files
_LARGE_PIXELS = 1 << 24  # of an image whose mask is measured alone: one of 64 million takes half a gigabyte
_one_at_a_time = Lock()


class Inspection(BaseModel, frozen=True):
    """Results of an inspection: usable images, findings that warn, and faults that refuse."""

    model_config = ConfigDict(extra="forbid")
    rows: tuple[ImageRow, ...]
    findings: tuple[Finding, ...]
    faults: tuple[str, ...]
    masks: tuple[MaskStatistics, ...] = ()  # of defective images, one for each class that a mask shows


_TURN = "as `mogrify -auto-orient` does"


class _MaskSeen(NamedTuple):
    """A look at a mask: what it makes of its image, and its measurements."""

    label: bool = False
    hash: str | None = None  # of the mask of a defective image
    state: Literal["known", "missing", "empty"] = "known"
    defect_class: str | None = None
    has_pages: bool = False  # of which the first is read
    masks: tuple[MaskStatistics, ...] = ()
    shows_others: bool = False


class _Seen(NamedTuple):
    """An image after a look at it; no row and no fault: only classes that were not asked for."""

    row: ImageRow | None = None
    faults: tuple[Fault, ...] = ()
    mask: _MaskSeen = _MaskSeen()
    orientation: int = 1  # as EXIF states it
    pixels: Seen | None = None  # of an image whose name could be that of another one's mask
    details: NDArray[np.float32] | None = None  # by which copies are found


def inspect(listing: Listing, cache: Path) -> Inspection:
    """Inspect all files of ``listing``, or take what an earlier look at the same files found."""
    stored = cache / "inspected" / f"{_fingerprint(listing)}.json"
    inspection = _load(stored)
    if inspection is None:
        with exclusive(stored):
            inspection = _load(stored)
            if inspection is None:
                inspection = _inspect(listing)
                with new_file(stored) as unfinished:
                    unfinished.write_text(inspection.model_dump_json(), encoding="utf-8")
    texts = (*listing.remarks, *map(str, listing.unread))
    unread = [Finding(kind="unread", text=text, samples=()) for text in texts]
    return inspection.model_copy(update={"findings": (*inspection.findings, *unread)})


def _load(stored: Path) -> Inspection | None:
    try:
        return Inspection.model_validate_json(stored.read_bytes())
    except (FileNotFoundError, ValidationError):  # nothing yet, or damaged: look again
        return None


def _fingerprint(listing: Listing) -> str:
    """Hash of the listing and of every file's size and time."""
    digest = hashlib.sha256(f"{_INSPECTION}|{listing.root}|{listing.mask_above}".encode())
    digest.update(listing.missing_mask_way_out.encode())
    digest.update(repr(listing.mask_options).encode())
    digest.update(f"{listing.look_alike_way_out}|{listing.binary_photos}".encode())
    if listing.indices is not None:
        digest.update(json.dumps(sorted(listing.indices.names.items())).encode())
        digest.update(json.dumps(listing.indices.kept).encode())
        digest.update(b"normal" if listing.indices.others == "normal" else b"")
    masks = listing.mask_root or listing.root
    for entry in listing.entries:
        state = [_state(listing.root / entry.image)]
        state += [_state(masks / entry.mask)] if entry.mask is not None else []
        digest.update(json.dumps([list(asdict(entry).values()), state]).encode())
    return digest.hexdigest()[:32]


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        entry = os.lstat(path)  # a file that became a link is another file
    except (OSError, ValueError):  # absent, or no path at all: inspection says which
        return None
    try:
        target = os.stat(path)
    except OSError:  # a link that leads nowhere
        return 0, 0, entry.st_mode
    return target.st_size, target.st_mtime_ns, entry.st_mode


def _inspect(listing: Listing) -> Inspection:
    entries = sorted(listing.entries, key=lambda entry: entry.sample)
    # One look at each file, in threads, gives all that the questions below need.
    look_alikes = LookAlikes([] if listing.binary_photos else [entry.image for entry in entries])
    look = partial(_inspect_entry, listing, look_alikes.looked_at)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:  # OpenCV and hashlib release the GIL
        seen = list(pool.map(look, entries))
    faults = [fault for each in seen for fault in each.faults]
    pixels = {
        entry.image: each.pixels for entry, each in zip(entries, seen, strict=True) if each.pixels is not None
    }
    faults += look_alikes.faults(pixels, listing.look_alike_way_out)
    faults += [
        Fault(
            sample,
            f"duplicate id {sample}: {count} images have it; expected one. Rename or remove the others",
        )
        for sample, count in Counter(entry.sample for entry in entries).items()
        if count > 1
    ]
    faults += _divided_items(entries)

    # Copies and masks are judged across the whole set, so these come after all files were seen.
    usable = [(each.row, each.details) for each in seen if each.row is not None]
    rows = with_copies([row for row, _ in usable], [details for _, details in usable])
    masks = tuple(statistics for each in seen for statistics in each.mask.masks)
    mask_findings, mask_faults = examine_masks(masks, listing.mask_above, listing.mask_options)
    findings = [
        *_mask_findings(listing, entries, seen),
        *mask_findings,
        *duplicate_findings(rows),
        *_turned_images(entries, seen),
    ]
    return Inspection(
        rows=rows, findings=tuple(findings), faults=(*mask_faults, *sum_up(faults)), masks=masks
    )


def _inspect_entry(listing: Listing, looked_at: Collection[str], entry: Entry) -> _Seen:
    faults: list[Fault] = []
    image_hash, header, peak, orientation, seen, details = "", None, 0.0, 1, None, None
    try:
        data = read_bytes(listing.root, entry.image)
        orientation = orientation_of(data)
        image_hash = hashlib.sha256(data).hexdigest()
        header, pixels = read_samples(data)
        peak = float(pixels.max())
        details = details_of(pixels)
        if entry.image in looked_at:
            seen = Seen(content_of(strongest_channel(pixels)), header.height, header.width)
        del pixels  # of a line-scan image a lot
    except BrokenImageError as error:
        faults.append(Fault(entry.image, f"{entry.image}: {error.advice}"))
    except InputError as error:
        faults.append(Fault(entry.image, str(error).rstrip(".")))
    try:
        # Masks of very large images are measured one after another, or a few of them would fill the memory.
        size = header.width * header.height if header is not None else 0
        with _one_at_a_time if size > _LARGE_PIXELS else nullcontext():
            mask = _inspect_mask(listing, entry, header, orientation)
    except _MaskFaultError as fault:
        file = entry.mask if entry.mask is not None and listing.mask_root is None else entry.image
        return _Seen(faults=(*faults, Fault(file, str(fault))), pixels=seen)

    # A defective image of classes that nobody asked for is left out, or is normal, as the study says.
    if mask.label and listing.indices is not None and _shows_others_alone(listing.indices, mask.defect_class):
        if listing.indices.others != "normal":
            return _Seen(pixels=seen)
        mask = _MaskSeen(has_pages=mask.has_pages)
    if header is None:
        return _Seen(faults=tuple(faults))
    row = ImageRow(
        sample=entry.sample,
        image=entry.image,
        label=mask.label,
        mask=entry.mask if mask.hash else None,
        defect_class=mask.defect_class if mask.label else None,
        group=entry.group,
        split=entry.split,
        fold=entry.fold,
        image_hash=image_hash,
        mask_hash=mask.hash,
        width=header.width,
        height=header.height,
        samples=header.samples.partition("float")[0] or "float",  # of 32 bits or 64
        peak=peak,
        traits=header.traits,
        shows_others=mask.shows_others,
    )
    return _Seen(row, mask=mask, orientation=orientation, pixels=seen, details=details)


class _MaskFaultError(ValueError):
    """A mask that contradicts its image; the text is the fault."""


def _shows_others_alone(indices: ClassIndices, defect_class: str | None) -> bool:
    """True where a defective image shows only classes that the study does not ask for.

    Of one whose mask is missing or empty nobody knows that, unless its folder or table names such a class.
    """
    if len(indices.kept) == len(indices.names) or defect_class is None:
        return False
    shown, kept = set(defect_class.split("+")), {indices.names[value] for value in indices.kept}
    return shown.isdisjoint(kept) and shown <= set(indices.names.values())


def _inspect_mask(listing: Listing, entry: Entry, image: Header | None, orientation: int) -> _MaskSeen:
    if entry.mask is None:
        if entry.label is None:
            raise _MaskFaultError(f"{entry.image} has neither label nor mask; expected one. Add it")
        return _MaskSeen(entry.label, None, "missing" if entry.label else "known", entry.defect_class)

    # A mask that should be there and is not is told apart from an image that never had one.
    mask_root = listing.mask_root or listing.root
    try:
        if not confine(mask_root, entry.mask).exists():
            if (mask_root / entry.mask).is_symlink():
                raise _MaskFaultError(
                    f"{entry.mask} is a link to a file that is missing. "
                    "Copy the file there, or remove the link"
                )
            if entry.label is None:
                raise _MaskFaultError(
                    f"{entry.image} has no mask: expected {entry.mask}. Add it, or unpack again"
                )
            return _MaskSeen(entry.label, None, "missing" if entry.label else "known", entry.defect_class)
        data = read_bytes(mask_root, entry.mask)
        stored = decode_stored(data) if listing.indices is None else decode_indices(data)
    except BrokenImageError as error:
        raise _MaskFaultError(f"{entry.mask}: {error.advice}") from error
    except InputError as error:
        raise _MaskFaultError(str(error).rstrip(".")) from error
    except OSError as error:  # of a folder that may not be entered, or a name that no disk holds
        if isinstance(error, StorageError):  # the data are gone: no file can be read
            raise
        raise _MaskFaultError(f"{entry.mask} cannot be looked for: {error.strerror}. Correct it") from error
    # As its user knows it: by its file, or by its image where the reader made it in the cache.
    name = entry.mask if listing.mask_root is None else f"the mask of {entry.image}"
    has_pages = not holds_runs(data) and "pages" in examine(data).traits
    mask, defect_class, classes = _read_mask(stored, entry, listing)

    # A mask of another size would be stretched over its image without anybody noticing.
    size = (image.height, image.width) if image is not None else mask.shape
    if size != mask.shape:
        raise _MaskFaultError(
            f"{name} is {mask.shape[1]} × {mask.shape[0]} pixels, its image {entry.image} "
            f"{size[1]} × {size[0]}; expected the same. {_way_out(mask.shape, size, orientation)}"
        )

    # Label and mask must agree: a normal image with defect pixels is a mistake in one of the two.
    pixels = int(np.count_nonzero(mask))
    shown = pixels if listing.indices is None else np.count_nonzero(stored)  # of classes not asked for too
    label = shown > 0 if entry.label is None else entry.label
    if not label and pixels:
        raise _MaskFaultError(
            f"{entry.image} is labelled normal, and {name} shows {pixels} defect pixels. "
            f"{'Is it inverted?' if pixels > mask.size / 2 else 'Correct one of them'}"
        )
    if not label:
        return _MaskSeen(False, None, "known", defect_class, has_pages)
    indices = np.unique(decode_indices(data)).tolist() if highest_index(data) else []
    masks = tuple(
        measure_mask(
            stored,
            shown,
            is_jpeg=data.startswith(b"\xff\xd8"),
            palette=[index for index in indices if index],
            sample=entry.sample,
            mask=entry.mask,
            defect_class=of_class,
        )
        for of_class, shown in classes.items()
    )

    # A defective image with an empty mask keeps its label, and its mask counts as unknown: as a mask it
    # would teach "no defect anywhere".
    if not pixels:
        return _MaskSeen(True, None, "empty", defect_class, has_pages, masks)
    hash_ = hashlib.sha256(data).hexdigest()
    return _MaskSeen(True, hash_, "known", defect_class, has_pages, masks, bool(shown > pixels))


def _way_out(mask: tuple[int, ...], image: tuple[int, int], orientation: int) -> str:
    """The remedy for a mask of another size than its image."""
    if mask != image[::-1]:
        return "Draw the mask on the image as it is stored"
    if orientation > 1:
        return f"Its EXIF orientation {orientation} turns it in viewers only: turn the image itself, {_TURN}"
    return "The mask fits when one of the two is turned by a quarter. Turn it"


def _turned_images(entries: Sequence[Entry], seen: Sequence[_Seen]) -> Iterator[Finding]:
    turned = [entry for entry, each in zip(entries, seen, strict=True) if each.orientation > 1]
    if turned:
        yield Finding(
            kind="turned",
            text=f"{counted(len(turned), 'image')} with an EXIF orientation, which viewers turn and which "
            f"{'is' if len(turned) == 1 else 'are'} read as stored: "
            f"{summarise([entry.image for entry in turned])}. Masks drawn in a viewer do not fit. Turn the "
            f"images themselves, {_TURN}.",
            samples=tuple(entry.sample for entry in turned),
        )


def _read_mask(
    stored: NDArray[Any], entry: Entry, listing: Listing
) -> tuple[NDArray[np.uint8], str | None, dict[str, NDArray[np.uint8]]]:
    """The mask of stored pixels, the classes it shows (``hole+scratch``), and the mask of each of them."""
    indices, name = listing.indices, entry.defect_class
    if indices is None:
        mask = defect_pixels(stored, listing.mask_above)
        return mask, name, {name or "defect": mask}
    mask, name = _read_classes(stored, entry, indices)
    shown = {value: (stored == value).astype(np.uint8) for value in indices.kept}
    classes = {indices.names[value]: of_class for value, of_class in shown.items() if of_class.any()}
    return mask, name, classes or {name or "defect": mask}


def _read_classes(
    values: NDArray[Any], entry: Entry, indices: ClassIndices
) -> tuple[NDArray[np.uint8], str | None]:
    """The mask of class indices (of a normal image: every class), and the classes it shows."""
    # An index that no class has would be background, so it is refused.
    present = [int(value) for value in np.unique(values) if value]
    unknown = [value for value in present if value not in indices.names]
    if unknown:
        known = ", ".join(f"{value}: {name}" for value, name in sorted(indices.names.items()))
        raise _MaskFaultError(
            f"{entry.mask} has the values {', '.join(map(str, unknown[:4]))}, which are no class; expected 0 "
            f"and those of mask_classes ({known}). Add them there{_if_void(unknown, indices)}, or correct "
            "the mask"
        )
    if entry.label is False:
        return (values > 0).astype(np.uint8), None
    shown = indices.shown(present)
    if shown is None and present:  # other classes alone
        return np.zeros(values.shape, np.uint8), "+".join(indices.names[value] for value in present)
    return np.isin(values, indices.kept).astype(np.uint8), shown or entry.defect_class


def _if_void(unknown: Sequence[int], indices: ClassIndices) -> str:
    """The way to read 255 beside class indices: Pascal VOC writes it where pixels are to be ignored."""
    if unknown != [255]:
        return ""
    kept = ", ".join(indices.names[value] for value in indices.kept)
    return f" (VOC's void, 255: void, with data.classes: [{kept}] and data.others: ignore)"


def _mask_findings(listing: Listing, entries: Sequence[Entry], seen: Sequence[_Seen]) -> Iterator[Finding]:
    # Missing and empty masks look alike in training, both count as unknown, but a missing one can be
    # brought back and an empty one may be a wrong label.
    missing = [entry for entry, each in zip(entries, seen, strict=True) if each.mask.state == "missing"]
    empty = [entry for entry, each in zip(entries, seen, strict=True) if each.mask.state == "empty"]
    if missing:
        first = missing[0]
        expected = first.mask or "one"
        more = len(missing) - 1
        others = f" (and {counted(more, 'more defective image')} {'has' if more == 1 else 'have'} none)"
        expected += others if more else ""
        yield Finding(
            kind="missing_mask",
            text=f"{first.image} has no mask: expected {expected}. {listing.missing_mask_way_out}; only "
            "supervision: full needs every mask.",
            samples=tuple(entry.sample for entry in missing),
            files=tuple(entry.mask or "" for entry in missing),
        )
    if empty:
        yield Finding(
            kind="empty_mask",
            text=f"{counted(len(empty), 'defective image')} {'has' if len(empty) == 1 else 'have'} a mask "
            f"without defect pixels (values above {listing.mask_above}): "
            f"{summarise([entry.image for entry in empty], 4)}. They stay defective; "
            "their masks count as unknown, in training and in pixel metrics.",
            samples=tuple(entry.sample for entry in empty),
        )
    paged = [entry for entry, each in zip(entries, seen, strict=True) if each.mask.has_pages]
    if paged:
        yield Finding(
            kind="pixels",
            text="Of several pages of a mask the first is read (merge them): "
            f"{counted(len(paged), 'mask')}, {summarise([entry.mask or '' for entry in paged])}.",
            samples=tuple(entry.sample for entry in paged),
        )


def _divided_items(entries: Sequence[Entry]) -> Iterator[Fault]:
    """Items with images in several published parts: the model would be tested on what it has seen."""
    parts_of: defaultdict[str, dict[str, str]] = defaultdict(dict)  # item: its parts, each with an image
    for entry in entries:
        if part := part_name(entry):
            parts_of[entry.group].setdefault(part, entry.image)
    for item, parts in sorted(parts_of.items()):
        if len(parts) > 1:
            places = summarise([f"{image} in {part}" for part, image in parts.items()], 4)
            yield Fault(
                item,
                f"item {item} is divided between published parts: {places}; expected all of its images in "
                "one. Correct the part, or the item (group)",
            )
