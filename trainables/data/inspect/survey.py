"""A look at a folder of one's own images: how it is laid out, what it holds, how large the defects are.

``survey_images`` finds the reader and its options by the names that such folders usually have; everything
after that is what every data set goes through, so what it reports can be trained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainables.data.files.formats import BrokenImageError
from trainables.data.files.sources import decode_image, decode_indices, decode_mask, read_bytes
from trainables.data.inspect.findings import ImageRow
from trainables.data.inspect.layouts import find_layout
from trainables.data.items import propose_pattern
from trainables.data.manifest import Manifest, list_images, open_manifest
from trainables.data.readers import Listing
from trainables.data.seeds import shuffled
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["Survey", "survey_images"]

_LEAST = 3  # images of a kind: one each for training, validation and test
_LOOKED_AT = 64  # images whose colours, and masks whose defects, are measured
_HIGHEST_INDEX = 32  # grey levels above it are shades of white
_UNNAMED = "defect"  # class of a row that names none


@dataclass(frozen=True)
class Survey:
    """Contents of a folder of images."""

    spec: DataSpec  # how to read it
    manifest: Manifest  # all images, checked
    size: tuple[int, int]  # median height and width, pixels
    colour: bool
    defect_share: float | None  # median share of a defective image that its mask covers; None without masks

    @property
    def normal(self) -> int:
        """Number of normal images."""
        return sum(not row.label for row in self.manifest.rows)

    @property
    def items(self) -> str:
        """Number of parts and of images of each; "" where every image is an item of its own."""
        if not self.spec.item:
            return ""
        counts = Counter(row.group for row in self.manifest.rows).values()
        least, most = min(counts), max(counts)
        each = f"{most}" if least == most else f"{least} to {most}"
        return f"{len(counts)} parts with {each} images each"

    @property
    def unkept_parts(self) -> str:
        """Reason why the parts that the data name are not kept; "" where they are, or there are none."""
        named = any(row.split is not None for row in self.manifest.rows)
        return _gap(self.manifest) if named and self.spec.splits == "per_seed" else ""

    @property
    def defective(self) -> int:
        """Number of defective images."""
        return sum(row.label for row in self.manifest.rows)

    @property
    def with_mask(self) -> int:
        """Number of defective images whose mask is known."""
        return sum(row.mask is not None for row in self.manifest.rows)


def survey_images(
    folder: Path,
    cache: Path,
    options: Mapping[str, Any] | None = None,
    white: float | Literal["auto"] = "auto",
    *,
    binary_photos: bool = False,
) -> Survey:
    """Look at ``folder``, which becomes the data root of a study.

    Args:
        folder: With images.
        cache: Folder on this machine.
        options: Settings of the reader on top of those that its files show.
        white: Pixel value that is white, of images with more than 8 bits.
        binary_photos: Images that look like masks of other images are photos.

    Raises:
        InputError: If it has no layout that a reader knows, too few images, or files that are damaged.
    """
    if not folder.is_dir():
        raise InputError(f"--images names a folder of images, found none at {folder}. Check the path.")
    # Each step adds what the files show: the layout, the classes of masks, the items.
    layout = find_layout(folder, cache)
    changes = {"options": {**layout.options, **(options or {})}, "white": white}
    changes["binary_photos"] = binary_photos
    layout = DataSpec.model_validate({**layout.model_dump(), **changes})
    spec = _with_mask_classes(layout, folder, cache)
    spec = _with_items(spec, folder, cache)
    manifest = open_manifest(spec, folder, cache)
    _refuse_few(manifest, folder)

    # Parts that the data name are kept where they can train and test something.
    if not _gap(manifest):
        spec = spec.model_copy(update={"splits": "published"})
    # A sample of the masks is enough for a median by which sizes are chosen.
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


def _with_mask_classes(spec: DataSpec, root: Path, cache: Path) -> DataSpec:
    """``spec`` with `mask_classes` where masks of a table or of folders hold indices, such as 0, 1, 2 and 3.

    A class is called what table or folders call the images that show it alone, else ``class_2`` by its value.
    """
    if spec.reader not in ("folder", "table") or not spec.options.keys().isdisjoint(
        ("mask_above", "mask_classes")
    ):
        return spec
    _, listing = list_images(spec, root, cache)
    # One value alone is a defect and no class; values of the same name could not be told apart.
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
            # A mask with one value names it: its image shows that class alone. High values are grey levels
            # of soft edges.
            values = [int(value) for value in np.unique(decode_indices(data)) if value]
            if max(values, default=0) > _HIGHEST_INDEX:
                return {}
            for value in values:
                shown.setdefault(value, set()).update([entry.defect_class] if len(values) == 1 else [])
    return {value: _name(value, called - {None, _UNNAMED}) for value, called in shown.items()}


def _name(value: int, called: set[str | None]) -> str:
    name = next(iter(called)) if len(called) == 1 else None
    return f"class_{value}" if name is None or "+" in name else name


def _with_items(spec: DataSpec, folder: Path, cache: Path) -> DataSpec:
    """``spec`` with the pattern of several images of one part, where the names show it."""
    reader, listing = list_images(spec, folder, cache)
    known = reader.recognised or any(
        entry.group not in (entry.sample, entry.image) for entry in listing.entries
    )
    pattern = None if known else propose_pattern(entry.image for entry in listing.entries)
    return spec.model_copy(update={"item": pattern})


def _refuse_few(manifest: Manifest, folder: Path) -> None:
    """Refuse what no method can learn from: too few images of a kind, or neither normal images nor masks."""
    # One image of a kind for each of three parts is the least.
    defective = [row for row in manifest.rows if row.label]
    normal = len(manifest.rows) - len(defective)
    needed = "a study needs {} {} or more, for training, validation and test; {} has {}. Add some."
    if len(defective) < _LEAST:
        raise InputError(needed.format(_LEAST, "defective images", folder, len(defective)))
    masks = sum(row.mask is not None for row in defective)
    if not normal and masks < len(defective):
        number = len(manifest.samples_with("empty_mask"))
        empty = (
            f"The masks of {number} of them show nothing: if these are normal, move them into a folder good, "
            "or name the folder of all images `images`. "
            if number
            else ""
        )
        raise InputError(
            "without normal images methods learn from masks alone, and every image has one; "
            f"{folder} has no normal image, and masks of {masks} of {len(defective)} images. {empty}Add the "
            f"masks, or {_LEAST} normal images or more."
        )
    if 0 < normal < _LEAST:
        raise InputError(needed.format(_LEAST, "normal images", folder, normal))


def _gap(manifest: Manifest) -> str:
    """Reason why the parts that the data name cannot be trained with; "" where they can."""
    # Every kind of image that there is has to be in both parts.
    shown = Counter((row.split, row.label) for row in manifest.rows)
    if unnamed := sum(row.split is None for row in manifest.rows):
        return f"{unnamed} of {len(manifest.rows)} images without a part"
    for part in sorted({"train", "test", *(part for part, _ in shown if part)}):
        for label in sorted({label for _, label in shown}):
            if not shown[part, label]:
                return f"no {'defective' if label else 'normal'} image in {part}"
    return ""


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
