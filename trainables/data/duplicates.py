"""Identical images: told by the items that they belong to, with the way out that helps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from trainables.data.findings import Finding, summarise

if TYPE_CHECKING:
    from trainables.data.inspection import ImageRow
    from trainables.data.readers.base import Entry

__all__ = ["duplicate_advice", "duplicate_findings", "part_name"]

_TOLD = 4  # pairs of items; more are summed up


def duplicate_findings(rows: Sequence[ImageRow]) -> Iterator[Finding]:
    """Identical images, told by pair of items: one sentence for eight surfaces of one part.

    Many pairs are summed up in one sentence.
    """
    same: defaultdict[str, list[ImageRow]] = defaultdict(list)
    for row in rows:
        same[row.image_hash].append(row)
    by_items: defaultdict[tuple[str, ...], list[list[ImageRow]]] = defaultdict(list)
    for copies in same.values():
        if len(copies) > 1:
            by_items[tuple(sorted({row.group for row in copies}))].append(copies)
    if len(by_items) > _TOLD:
        yield _finding("", [copies for sets in by_items.values() for copies in sets])
        return
    for items, sets in sorted(by_items.items()):
        yield _finding(f"{' and '.join(islice(items, 4))}: ", sets)


def _finding(head: str, sets: Sequence[Sequence[ImageRow]]) -> Finding:
    flat = [row for copies in sets for row in copies]
    parts = sorted({part_name(row) for row in flat} - {""})
    across = f", in different parts ({', '.join(parts)})" if len(parts) > 1 else ""
    if any(len({row.label for row in copies}) > 1 for copies in sets):
        across += "; one is labelled defective, another normal"
    names = summarise([_equation(copies) for copies in sets], 2)
    number = "1 image is there more than once," if len(sets) == 1 else f"{len(sets)} images are identical"
    text = f"{head}{number} byte for byte ({names}){across}."
    return Finding(kind="duplicate", text=text, samples=tuple(row.sample for row in flat))


def _equation(copies: Sequence[ImageRow], shown: int = 8) -> str:
    """``a = b``; of many copies the first ones."""
    names = [row.sample for row in copies[:shown]]
    return " = ".join([*names, f"{len(copies) - shown} more"] if len(copies) > shown else names)


def duplicate_advice(finding: Finding, rows: Mapping[str, ImageRow]) -> str:
    """The text of a finding; with the split that helps, where a test image has copies in training."""
    parts = {part_name(rows[sample]) for sample in finding.samples if sample in rows}
    if len(parts) > 1 and any(part.startswith("test") for part in parts):
        return f"{finding.text} `splits: deduplicated` leaves training copies of test images out."
    return finding.text


def part_name(image: ImageRow | Entry) -> str:
    """The published part of an image, "" where there is none."""
    if image.fold is not None:
        return f"test of fold {image.fold}"
    return image.split or ""
