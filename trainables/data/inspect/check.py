"""All that there is to know about a data set before a study is written for it, good and bad, at once.

``check_data`` stops at nothing that concerns single files: faults and findings of all of them are in its
report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainables.data.inspect.bits import settle_pixels
from trainables.data.inspect.duplicates import duplicate_advice, part_name
from trainables.data.inspect.findings import ImageRow, counted
from trainables.data.inspect.inspection import inspect
from trainables.data.inspect.mask_statistics import mask_table
from trainables.data.manifest import list_images
from trainables.data.readers import Expected
from trainables.data.spec import DataSpec

__all__ = ["DataReport", "check_data"]

_SIZES_SHOWN = 8

_Role = Literal["train", "validation", "test"]
_ROLES: tuple[_Role, ...] = ("train", "validation", "test")
_MEND_PARTS = "Correct the parts, or use `splits: per_seed`"
_NO_DEFECTIVE: Mapping[_Role, str] = {
    "train": "it serves `supervision: none` alone. Use `splits: per_seed` to train with labels",
    "validation": "it serves `supervision: none` alone. Use `validation: none` to train with labels",
    "test": "nothing could be measured",
}
_NO_NORMAL: Mapping[_Role, str] = {
    "train": "only a method that learns from masks alone can use it (`trainable: supervised` with "
    "`model: unet` and `image_weight: 0`)",
    "validation": "thresholds are chosen without normal images",
    "test": "image scores have nothing to separate and are not measured",
}


@dataclass(frozen=True)
class DataReport:
    """Contents of a data set and what is wrong with it; ``str(report)`` is the page to print."""

    title: tuple[str, ...]  # the reader's, with licence and citation
    root: Path  # folder that was looked at
    images: int  # usable ones
    defective: int
    with_mask: int  # defective images whose mask is known
    items: int  # physical ones
    by_class: Mapping[str, int]  # images by defect class; "normal" for those without
    by_split: Mapping[str, tuple[int, int]]  # images and defective ones by "train", "test of fold 0" …
    by_size: Mapping[str, int]  # images by "width × height", the most frequent first
    masks: tuple[str, ...]  # measurements by defect class, as lines of a table
    pixels: str  # how values become grey levels, in words
    published: str  # what the makers or the literature count, where the data agree with it; else ""
    findings: tuple[str, ...]  # warnings
    faults: tuple[str, ...]  # what refuses the data set, one sentence per file

    @property
    def usable(self) -> bool:
        """True where a study may use the data: there is no fault."""
        return not self.faults

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        yield from self.title
        yield f"{self.root}"
        yield (
            f"{counted(self.images, 'image')} of {counted(self.items, 'item')}: {self.defective} defective "
            f"({self.with_mask} with mask), {self.images - self.defective} normal"
        )
        if self.published:
            yield self.published
        yield from _block("class", ((name, str(count)) for name, count in self.by_class.items()))
        parts = ((name, f"{images}, {bad} defective") for name, (images, bad) in self.by_split.items())
        yield from _block("published split", parts)
        shown = list(self.by_size.items())[:_SIZES_SHOWN]
        yield from _block("size (width × height)", ((size, str(count)) for size, count in shown))
        if len(self.by_size) > len(shown):
            yield f"  … and {len(self.by_size) - len(shown)} more sizes"
        yield from _block("masks, median (least–greatest)", ((line, "") for line in self.masks))
        yield f"pixels: {self.pixels}"
        yield from _block(counted(len(self.findings), "warning"), ((text, "") for text in self.findings))
        yield from _block(counted(len(self.faults), "fault"), ((text, "") for text in self.faults))
        if not self.faults and not self.findings:
            yield "Nothing to remark."


def check_data(spec: DataSpec, root: Path | None, cache: Path) -> DataReport:
    """Read every file of a data set and report all findings.

    Raises:
        InputError: If there is nothing to look at: unknown reader, setting or class, or no such data set.
    """
    reader, listing = list_images(spec, root, cache)
    inspection = inspect(listing, cache)
    rows = inspection.rows
    settled = settle_pixels(rows, spec.white)

    # Everything goes on to the end: a user wants all faults at once, not one for each run.
    faults = [*inspection.faults, *settled.faults]
    if rows and not inspection.faults and not any(row.label for row in rows):
        faults.append("No image is defective: nothing can be learned or measured. Check labels and masks")

    # Copies matter where the split is the makers': a test image with a copy in training is tested on what
    # was learned. Seeds that draw their own split keep identical images together.
    by_sample = {row.sample: row for row in rows}
    divided = listing.is_split and spec.splits == "published"
    texts = [
        duplicate_advice(finding, by_sample)
        if finding.kind == "near_copy" or (finding.kind == "duplicate" and divided)
        else finding.text
        for finding in (*inspection.findings, *settled.findings)
    ]
    by_split = _by_split(rows)

    # Missing kinds of images are told with what can still be done without them.
    if rows and all(row.label for row in rows):
        texts.append(
            "No image is normal: rankings of image scores (AP, AUROC) are not measured, and methods learn "
            "from masks alone: `trainable: supervised` with `config: {model: unet, image_weight: 0}` and a "
            "metric of masks as `metrics.primary`. `assay init` writes such a study. Add normal images for "
            "other methods."
        )
    if listing.is_split and spec.splits != "per_seed":
        unusable, one_sided = _examine_parts(rows)
        faults += unusable
        texts += one_sided
    if not listing.is_split and spec.splits != "per_seed":
        texts.append(listing.unsplit)

    # Counts that differ from the published ones are the only trace of files that were lost in unpacking.
    published = ""
    if rows and listing.expected is not None:
        published, differing = _compare(listing.expected, rows, by_split)
        texts += differing
    return DataReport(
        title=(reader.title, f"licence: {reader.licence}", f"cite: {reader.citation}"),
        root=listing.root,
        images=len(rows),
        defective=sum(row.label for row in rows),
        with_mask=sum(row.mask is not None for row in rows),
        items=len({row.group for row in rows}),
        by_class=dict(Counter(row.defect_class or "normal" for row in rows).most_common()),
        by_split=by_split,
        by_size=dict(Counter(f"{row.width} × {row.height}" for row in rows).most_common()),
        masks=tuple(mask_table(inspection.masks)),
        pixels=str(settled.pixels),
        published=published,
        findings=tuple(texts),
        faults=tuple(f"{fault}." for fault in faults),
    )


def _examine_parts(rows: Sequence[ImageRow]) -> tuple[list[str], list[str]]:
    """Published parts without one kind of images: faults where nobody can use them, else warnings.

    A kind that all the data lack is told once, of the data, and not of each part again.
    """
    kinds = {row.label for row in rows}
    faults: list[str] = []
    warnings: list[str] = []
    for role, name, part in _parts(rows):
        defective = sum(row.label for row in part)
        if not part:
            faults.append(f"published part {name}: no image. {_MEND_PARTS}")
        elif not defective and True in kinds:
            # A part that can measure nothing is a fault; one that merely teaches less is a warning.
            lacking = f"published part {name}: no defective image among {len(part)}; {_NO_DEFECTIVE[role]}"
            if role == "test":
                faults.append(f"{lacking}. {_MEND_PARTS}")
            else:
                warnings.append(f"{lacking}.")
        elif defective == len(part) and False in kinds:
            lacking = f"published part {name}: no normal image among {len(part)}; {_NO_NORMAL[role]}"
            warnings.append(f"{lacking}. {_MEND_PARTS}.")
    return faults, warnings


def _parts(rows: Sequence[ImageRow]) -> Iterator[tuple[_Role, str, list[ImageRow]]]:
    """Role, name and images of each published part; validation where it is published."""
    # A fold is tested on its own images and trained on all others.
    folds = sorted({row.fold for row in rows if row.fold is not None})
    for fold in folds:
        yield "test", f"test of fold {fold}", [row for row in rows if row.fold == fold]
        yield "train", f"training of fold {fold}", [row for row in rows if row.fold != fold]
    if folds or not rows:
        return
    for role in _ROLES:
        part = [row for row in rows if row.split == role]
        if part or role != "validation":
            yield role, role, part


def _compare(
    expected: Expected, rows: Sequence[ImageRow], by_split: Mapping[str, tuple[int, int]]
) -> tuple[str, list[str]]:
    """A sentence that all counts are the published ones, or one for each that differs."""
    # Files lost in unpacking show in the counts and nowhere else.
    counted = {"all": (len(rows), sum(row.label for row in rows)), **by_split}
    differing: list[str] = []
    counts: list[str] = []
    for part, (defective, normal) in expected.counts.items():
        images, bad = counted.get(part, (0, 0))
        name = "in all" if part == "all" else part
        counts.append(f"{name} {defective} defective and {normal} normal")
        if (bad, images - bad) != (defective, normal):
            differing.append(
                f"{name}: {bad} defective and {images - bad} normal images; published: {defective} and "
                f"{normal} ({expected.source}). Unpack again if files are missing."
            )
    return "" if differing else f"counts as published ({expected.source}): {', '.join(counts)}", differing


def _by_split(rows: Iterable[ImageRow]) -> dict[str, tuple[int, int]]:
    parts: dict[str, tuple[int, int]] = {}
    for row in sorted(rows, key=lambda row: (row.fold or 0, row.split != "train")):
        if name := part_name(row):
            images, defective = parts.get(name, (0, 0))
            parts[name] = (images + 1, defective + row.label)
    return parts


def _block(title: str, entries: Iterable[tuple[str, str]]) -> Iterable[str]:
    """A titled list, or nothing when it is empty."""
    for number, (name, value) in enumerate(entries):
        if number == 0:
            yield f"{title}:"
        yield f"  {name}: {value}" if value else f"  {name}"
