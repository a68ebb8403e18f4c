"""Copies of images, byte for byte or not: named by their items, with the way out that helps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trainables.data.inspect.findings import Finding, FindingKind, summarise

if TYPE_CHECKING:
    from trainables.data.inspect.findings import ImageRow
    from trainables.data.readers.base import Entry

__all__ = [
    "details_of",
    "duplicate_advice",
    "duplicate_findings",
    "near_copies",
    "part_name",
    "with_copies",
]

_TOLD = 4  # pairs of items; more are summed up


def with_copies(
    rows: Sequence[ImageRow], details: Sequence[NDArray[np.float32] | None]
) -> tuple[ImageRow, ...]:
    """``rows``, of which those that show the same as an image of another item name the first of them."""
    # Copies of copies belong together, hence connected components and not pairs.
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
    # The same bytes are certain, likeness is a measurement: they are told apart.
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
    # Copies do harm where they lie in different parts or have different labels, so the sentence says that.
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


# Near copies --------------------------------------------------------------------------------------
# Copies that are not the same bytes: re-encoded, resized, brightened, flipped or turned images of a set.
#
# An image is remembered by what a reduced version of it holds between 1.5 and 12 periods along a side (a
# discrete cosine transform): light that changes slowly is left out, and so is what a JPEG or a smaller size
# loses. Two images are near-copies if these details correlate by 0.95 or more in one of the eight positions
# of a flipped or turned image. Flips and turns are signs and a transposition of the transform.
#
# Photos of one kind of part resemble each other without being copies. So first all that the set has in
# common is taken away: its mean, and as many principal components as it takes until the rest has so many
# independent directions that no two of the images would correlate by chance. Where that is never reached,
# nothing is said.
#
# On KolektorSDD, MTD and synthetic surfaces all copies are found that were saved as JPEG, resized,
# brightened, blurred, mirrored or turned (docs/data.md).
#
# Trade-off: of parts without a texture, all in one position, a JPEG copy may stay unseen, for little but
# the noise of the camera tells such photos apart. So may small crops and strong changes of light.


# n images, each F × F coefficients of its transform, of which D lie in the band.

Floats = NDArray[np.float32]

_SIDE = 64  # pixels of a reduced image
_LOW, _HIGH = 3, 24  # half periods along a side that are compared
_RADIUS = np.hypot(*np.meshgrid(np.arange(_HIGH), np.arange(_HIGH)))
_BAND = (_RADIUS >= _LOW) & (_RADIUS < _HIGH)
_ODD = np.where(np.arange(_HIGH) % 2, -1, 1).astype(np.float32)  # signs of the transform of a flipped image
_FLATTEST = 0.1  # grey levels, root mean square of the band: below, rounding is compared with rounding

_LEAST_CORRELATION = 0.95
_CHANCE = 0.85  # so much no two of a set's images may correlate by chance
_DIFFERENT = 0.75  # images that correlate less are different ones, where a set's images are counted
_FEWEST = 6  # different images: fewer do not show what they have in common
_MOST_COMPONENTS = 16
_SAMPLE = 512  # images whose common features are measured
_ROWS = 1024  # images compared with all others at once
_COARSE = 63  # leading coefficients by which pairs are left out


def details_of(pixels: NDArray[Any]) -> Floats | None:
    """Details of an image, h × w or h × w × channels, F × F; None where there is nothing but flat grey."""
    image = pixels if pixels.ndim == 2 else pixels.mean(axis=2, dtype=np.float32)
    # Halving is the fast way to average. From 128 to 255 pixels on fractions of grey levels are kept.
    while min(image.shape) >= 2 * _SIDE:
        image = image if min(image.shape) >= 4 * _SIDE else image.astype(np.float32)
        height, width = image.shape[0] // 2, image.shape[1] // 2
        # The whole image, also where a side is odd: without its last row a flipped image is another one.
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    reduced = cv2.resize(image.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    if pixels.dtype != np.uint8:
        reduced *= 255 / max(float(reduced.max()), 1e-12)
    details = np.ascontiguousarray(cv2.dct(reduced)[:_HIGH, :_HIGH], np.float32)
    return details if np.linalg.norm(details[_BAND]) / _SIDE >= _FLATTEST else None


def near_copies(details: Sequence[Floats | None], items: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of images of different items that are copies of one another: their places, the first one first.

    Args:
        details: Of each image, by :func:`details_of`.
        items: The item of each image.
    """
    # Flat images have no details to compare.
    places = [place for place, each in enumerate(details) if each is not None]
    if len(places) < _FEWEST:
        return []
    spectra = np.stack([each for each in details if each is not None])
    common = _common_features(_vectors(spectra))
    if common is None:
        return []
    mean, own = common
    _, item = np.unique([items[place] for place in places], return_inverse=True)

    # One image stays upright and the other is turned in all eight ways, which covers every pair.
    upright = _unit(np.asarray((_vectors(spectra) - mean) @ own, np.float32))
    pairs: set[tuple[int, int]] = set()
    for turned in _positions(spectra):
        other = _unit(np.asarray((_vectors(turned) - mean) @ own, np.float32))
        for first, second in _alike(upright, other, item):
            pairs.add((places[first], places[second]))
    return sorted(pairs)


def _vectors(spectra: Floats) -> Floats:
    """The band of each image, n × D, of length 1: a brighter copy has the same."""
    return _unit(spectra[:, _BAND])


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def _positions(spectra: Floats) -> Iterator[Floats]:
    """The transforms of all images in each of the eight positions."""
    for transposed, down, across in product((False, True), repeat=3):
        turned = spectra.transpose(0, 2, 1) if transposed else spectra
        turned = turned * _ODD[:, None] if down else turned
        yield turned * _ODD if across else turned


def _common_features(vectors: Floats) -> tuple[Floats, Floats] | None:
    """The mean of a set, D, and an orthonormal basis of what is not common to it; None if all seems common.

    The effective number of directions of n vectors is (Σλ)² / Σλ² over the eigenvalues λ of their
    covariance. Random vectors of K directions correlate by more than c in about (1 - c²)^((K-1)/2) of pairs.
    """
    count = len(vectors)
    sample = vectors[np.linspace(0, count - 1, min(count, _SAMPLE)).astype(int)]
    mean = sample.mean(axis=0)
    centred = sample - mean

    # Copies among the images make their number larger than that of the directions they can have.
    directions = _unit(centred)
    different: list[int] = []
    for place, direction in enumerate(directions):
        if not different or (directions[different] @ direction).max() < _DIFFERENT:
            different.append(place)
    if len(different) < _FEWEST:
        return None
    wanted = min(
        1 + 2 * np.log(40 * count**2) / -np.log(1 - _CHANCE**2),  # 4 n² pairs and positions, one in ten sets
        (len(different) - 1) / 2,
    )
    values, basis = np.linalg.eigh((centred.T @ centred).astype(np.float64) / len(centred))
    values, basis = np.maximum(values[::-1], 0), basis[:, ::-1]
    for removed in range(min(_MOST_COMPONENTS, len(different) - 2) + 1):
        rest = values[removed:]
        if rest.sum() ** 2 >= wanted * (rest**2).sum() > 0:
            return mean, basis[:, removed:].astype(np.float32)
    return None


def _alike(upright: Floats, turned: Floats, item: NDArray[np.int_]) -> Iterator[tuple[int, int]]:
    """Pairs of images of different items of which the second, turned, correlates with the first."""
    # The leading coefficients and the length of the rest bound a correlation from above (Cauchy-Schwarz).
    coarse, other = (
        np.hstack([each[:, :_COARSE], np.linalg.norm(each[:, _COARSE:], axis=1, keepdims=True)])
        for each in (upright, turned)
    )
    for start in range(0, len(upright), _ROWS):
        # A cheap bound leaves out nearly all pairs; the few that remain are compared exactly.
        bound = coarse[start : start + _ROWS] @ other[start:].T
        first, second = divmod(np.flatnonzero(bound >= _LEAST_CORRELATION), bound.shape[1])
        first, second = first + start, second + start
        apart = (first < second) & (item[first] != item[second])
        first, second = first[apart], second[apart]
        for at in range(0, len(first), 100 * _ROWS):
            one, two = first[at : at + 100 * _ROWS], second[at : at + 100 * _ROWS]
            correlation = np.einsum("nd,nd->n", upright[one], turned[two])
            kept = correlation >= _LEAST_CORRELATION
            yield from zip(one[kept].tolist(), two[kept].tolist(), strict=True)
