"""Class indices in masks, given names: by the class of images that show one alone, where they have one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np

from trainables.data.formats import BrokenImageError
from trainables.data.manifest import list_images
from trainables.data.readers import Listing
from trainables.data.sources import decode_indices, read_bytes
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["with_mask_classes"]

_HIGHEST = 32  # grey levels above it are shades of white
_UNNAMED = "defect"  # class of a row that names none


def with_mask_classes(spec: DataSpec, root: Path, cache: Path) -> DataSpec:
    """``spec`` with `mask_classes` where masks of a table or of folders hold indices, such as 0, 1, 2 and 3.

    A class is called what table or folders call the images that show it alone, else ``class_2`` by its value.
    """
    if spec.reader not in ("folder", "table") or not spec.options.keys().isdisjoint(
        ("mask_above", "mask_classes")
    ):
        return spec
    _, listing = list_images(spec, root, cache)
    names = _named_values(listing)
    if len(names) < 2 or len(set(names.values())) < len(names):
        return spec
    options = {**spec.options, "mask_classes": dict(sorted(names.items()))}
    return spec.model_copy(update={"options": options})


def _named_values(listing: Listing) -> dict[int, str]:
    """Values of all masks beside 0, each with a name; none where one of them is a shade of white."""
    shown: dict[int, set[str | None]] = {}
    for entry in listing.entries:
        if entry.mask is None or entry.label is False:
            continue
        # What cannot be read is named with all other faults when the data set is opened.
        with suppress(BrokenImageError, InputError, OSError):
            data = read_bytes(listing.mask_root or listing.root, entry.mask)
            values = [int(value) for value in np.unique(decode_indices(data)) if value]
            if max(values, default=0) > _HIGHEST:
                return {}
            for value in values:
                shown.setdefault(value, set()).update([entry.defect_class] if len(values) == 1 else [])
    return {value: _name(value, called - {None, _UNNAMED}) for value, called in shown.items()}


def _name(value: int, called: set[str | None]) -> str:
    name = next(iter(called)) if len(called) == 1 else None
    return f"class_{value}" if name is None or "+" in name else name
