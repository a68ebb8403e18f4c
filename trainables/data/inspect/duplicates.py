"""Copies of images, byte for byte or not: named by their items, with the way out that helps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trainables.data.inspect.findings import Finding, FindingKind, summarise
from trainables.data.inspect.near_copies import near_copies

if TYPE_CHECKING:
    from trainables.data.image_row import ImageRow
    from trainables.data.readers.base import Entry

__all__ = ["duplicate_advice", "duplicate_findings", "part_name", "with_copies"]

_TOLD = 4  # pairs of items; more are summed up


def with_copies(
    rows: Sequence[ImageRow], details: Sequence[NDArray[np.float32] | None]
) -> tuple[ImageRow, ...]:
    """``rows``, of which those that show the same as an image of another item name the first of them."""
    pairs = np.array(near_copies(details, [row.group for row in rows]), dtype=int).reshape(-1, 2)
    edges = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(rows), len(rows)))
    _, cluster = connected_components(edges, directed=False)
    _, first, size = np.unique(cluster, return_index=True, return_counts=True)
    return tuple(
        row.model_copy(update={"copy_of": rows[int(first[at])].sample}) if size[at] > 1 else row
        for row, at in zip(rows, cluster.tolist(), strict=True)
    )


def duplicate_findings(rows: Sequence[ImageRow]) -> Iterator[Finding]:
    """Copies, named by pair of items: one sentence for eight surfaces of one part.

    Many pairs are summed up in one sentence.
    """
    identical: defaultdict[str, list[ImageRow]] = defaultdict(list)
    alike: defaultdict[str, list[ImageRow]] = defaultdict(list)
    for row in rows:
        identical[row.image_hash].append(row)
        if row.copy_of is not None:
            alike[row.copy_of].append(row)
    yield from _findings([copies for copies in identical.values() if len(copies) > 1], "=")
    # Copies that are all the same bytes were named just now.
    yield from _findings([each for each in alike.values() if len({row.image_hash for row in each}) > 1], "~")


def _findings(sets: Sequence[Sequence[ImageRow]], sign: str) -> Iterator[Finding]:
    by_items: defaultdict[tuple[str, ...], list[Sequence[ImageRow]]] = defaultdict(list)
    for copies in sets:
        by_items[tuple(sorted({row.group for row in copies}))].append(copies)
    if len(by_items) > _TOLD:
        yield _finding("", [copies for several in by_items.values() for copies in several], sign)
        return
    for items, several in sorted(by_items.items()):
        yield _finding(f"{' and '.join(islice(items, 4))}: ", several, sign)


def _finding(head: str, sets: Sequence[Sequence[ImageRow]], sign: str) -> Finding:
    flat = [row for copies in sets for row in copies]
    parts = sorted({part_name(row) for row in flat} - {""})
    across = f", in different parts ({', '.join(parts)})" if len(parts) > 1 else ""
    if any(len({row.label for row in copies}) > 1 for copies in sets):
        across += "; one is labelled defective, another normal"
    names = summarise([_equation(copies, sign) for copies in sets], 2)
    if sign == "=":
        number = "1 image is there more than once," if len(sets) == 1 else f"{len(sets)} images are identical"
        text = f"{head}{number} byte for byte ({names}){across}."
    else:
        number = "1 image is" if len(sets) == 1 else f"{len(sets)} images are"
        text = (
            f"{head}{number} there more than once, in other bytes ({names}){across}: re-encoded, resized, "
            "brightened, flipped or turned copies, or further photos of one part."
        )
    kind: FindingKind = "duplicate" if sign == "=" else "near_copy"
    return Finding(kind=kind, text=text, samples=tuple(row.sample for row in flat))


def _equation(copies: Sequence[ImageRow], sign: str, shown: int = 8) -> str:
    """``a = b``, or ``a ~ b``; of many copies the first ones."""
    names = [row.sample for row in copies[:shown]]
    return f" {sign} ".join([*names, f"{len(copies) - shown} more"] if len(copies) > shown else names)


def duplicate_advice(finding: Finding, rows: Mapping[str, ImageRow]) -> str:
    """The text of a finding, with what helps: the split, where a test image has copies in training.

    Parts that every seed draws anew keep images of the same bytes together. Whether others are copies is a
    measurement, which draws no split: whoever looked at them says so.
    """
    parts = {part_name(rows[sample]) for sample in finding.samples if sample in rows}
    if len(parts) > 1 and any(part.startswith("test") for part in parts):
        return f"{finding.text} `splits: deduplicated` leaves training copies of test images out."
    if finding.kind == "near_copy" and parts == {""}:
        return (
            f"{finding.text} Look at them: what shows one part is one item (`item:`, or column `group` of a "
            "table), else it may be trained on and tested."
        )
    return finding.text


def part_name(image: ImageRow | Entry) -> str:
    """The published part of an image, "" where there is none."""
    if image.fold is not None:
        return f"test of fold {image.fold}"
    return image.split or ""
