"""Rows of the mask grid: which probe images are shown, in which order, and their bytes for the browser.

A :class:`MaskColumn` is a cell, or one stage of a cell's model; both have a picture of each probe image.
:func:`arrange` sorts and filters the images of all columns, :func:`page_payload` writes one page of them::

    u32 length of the header | header (JSON) | blobs

A blob is what ``maps.parquet`` holds (photo, levels, defect numbers, counts), byte for byte: nothing is
decoded here, and the browser looks every number up in counts that were made at full size. The header names a
blob as ``[offset, length]`` from its end; equal blobs (the photo of an image in six cells) are sent once.

Trade-off: what two cells disagree in is measured at display size. It orders images and is never a number.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from assay.report.masks.targets import PICTURES, ShownTargets, packed_target
from assay.storage import Result
from trainables.contract import MaskTarget
from trainables.evaluation.heatmaps import THRESHOLD_LEVEL, Scale, defect_numbers

__all__ = [
    "FALSE_ALARMS",
    "FOUND_BY_ONE",
    "LOWEST_LEVEL",
    "MISSED_BY_ALL",
    "MOST_CELLS",
    "PAGE_ROWS",
    "SORTS",
    "Display",
    "MaskColumn",
    "Pair",
    "Sort",
    "arrange",
    "cell_column",
    "defect_classes",
    "have_common_defects",
    "one_photo_each",
    "page_payload",
    "peaks_in",
    "stage_columns",
]

PAGE_ROWS = 6  # images of a page: more would not be looked at, and are not sent
MOST_CELLS = 6
LOWEST_LEVEL = 1  # of a threshold: at 0 every pixel is defect

Sort = Literal["disagreement", "sample", "score", "loss", "size", "class"]
SORTS: tuple[Sort, ...] = get_args(Sort)
FoundByOne = Literal["A finds, B misses", "B finds, A misses"]
FOUND_BY_ONE: tuple[FoundByOne, ...] = get_args(FoundByOne)
MISSED_BY_ALL = "no variant finds"
FALSE_ALARMS = "false alarms of B"

_MapRow = Mapping[str, Any]  # of `maps.parquet`, or as `_stage_row` makes it

_STAGE_SCALE = Scale(0.0, 0.5, 1.0)  # stages are decided at 0.5
_SMALLEST = 1e-12  # of a probability, before its logarithm
_COUNTS = ("positives", "negatives")


class TestedImages(NamedTuple):
    """All images of a test with their scores, defective ones first."""

    defective: int
    scores: NDArray[np.float64]
    names: tuple[str, ...]
    independent: bool = True  # no part has two photos: a limit of a rate may count images


@dataclass(frozen=True, eq=False)
class MaskColumn:
    """Pictures that the page shows below one another: those of a cell, or of one stage of its model.

    ``rows`` maps a sample's id to its row of ``maps.parquet``. Rows of a stage have no counts: only its
    picture is kept.
    """

    name: str
    rows: Mapping[str, _MapRow]
    note: str = ""  # where its threshold comes from
    image_threshold: float | None = None  # of an image's score, from which on it is decided defective
    test_iou: float | None = None  # of all test images, at the model's own threshold
    tested: TestedImages | None = None  # None: not known, and the image threshold stays
    targets: ShownTargets | None = None  # None: not asked for

    @property
    def scale(self) -> Scale | None:
        """Scores that its levels stand for; None where it shows pictures without scores."""
        first = next((row for row in self.rows.values() if row["heatmap"] is not None), None)
        return None if first is None else Scale(first["lo"], first["threshold"], first["hi"])


class Pair(NamedTuple):
    """Two columns that are compared: A and B."""

    a: MaskColumn
    b: MaskColumn


class Display(NamedTuple):
    """Threshold and mode of a page, with which the browser starts, and anew whenever ``restored`` rises."""

    level: int = THRESHOLD_LEVEL  # of the threshold; 128 is each model's own
    difference: bool = False  # to A
    picture: str = PICTURES[0]
    shows_targets: bool = False  # some cell's method tells what it is taught
    image: int = THRESHOLD_LEVEL  # of the threshold of images' scores; 128 is each model's own
    alarms: int | str = ""  # the most false alarms that are wanted instead; empty: any number
    restored: int = 0  # times that Back or Forward led to the page


def cell_column(
    name: str, maps: pa.Table, result: Result | None = None, predictions: pa.Table | None = None
) -> MaskColumn:
    """A cell by its ``maps.parquet``, what its record says of thresholds, and scores of all test images."""
    rows = {row["sample"]: row for row in maps.to_pylist()}
    thresholds = result.thresholds if result is not None else None
    return MaskColumn(
        name,
        rows,
        note=thresholds.pixel_source if thresholds is not None else "",
        image_threshold=thresholds.image if thresholds is not None else None,
        test_iou=result.metrics.get("pixel_iou") if result is not None else None,
        tested=None if predictions is None else _tested_images(predictions),
    )


def one_photo_each(predictions: pa.Table) -> bool:
    """True where no part of a test has two photos, as ``predictions.parquet`` names their parts."""
    items = [item for item in predictions["item"].to_pylist() if item]
    return len(items) == len(set(items))


def _tested_images(predictions: pa.Table) -> TestedImages:
    table = predictions.sort_by([("label", "descending"), ("sample", "ascending")])
    return TestedImages(
        defective=int(np.sum(table["label"].to_numpy())),
        scores=table["score"].to_numpy(),
        names=tuple(table["sample"].to_pylist()),
        independent=one_photo_each(predictions),
    )


def stage_columns(cell: MaskColumn, lineage: pa.Table, notes: Mapping[str, str]) -> list[MaskColumn]:
    """The stages of a cell's model in the order of their chain, then the cell itself.

    Args:
        cell: The last stage, with counts.
        lineage: Its ``lineage.parquet``; samples that ``cell`` does not hold are left out.
        notes: By stage: what is known of it.
    """
    stages: dict[str, dict[str, dict[str, Any]]] = {}
    for kept in lineage.sort_by("order").to_pylist():
        of_cell = cell.rows.get(kept["sample"])
        if of_cell is not None:
            stages.setdefault(kept["stage"], {})[kept["sample"]] = _stage_row(of_cell, kept)
    return [*(MaskColumn(stage, rows, notes.get(stage, "")) for stage, rows in stages.items()), cell]


def _stage_row(of_cell: _MapRow, kept: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's picture as a row of maps: a map over the photo, or a picture of its own."""
    picture = cv2.imdecode(np.frombuffer(kept["png"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None, "lineage.parquet holds readable PNGs"
    unknown = dict.fromkeys(("score", "peaks", "areas", *_COUNTS))
    size = {"height": picture.shape[0], "width": picture.shape[1]}
    if kept["kind"] == "picture":
        return {**of_cell, **unknown, **size, "thumbnail": kept["png"], "heatmap": None, "truth": None}
    levels = zlib.compress(np.ascontiguousarray(picture).tobytes(), 1)
    same_size = size == {"height": of_cell["height"], "width": of_cell["width"]}
    truth = of_cell["truth"] if same_size else None
    return {**of_cell, **unknown, **size, **_STAGE_SCALE._asdict(), "heatmap": levels, "truth": truth}


# Order and choice -----------------------------------------------------------------------------------------


@dataclass
class _Image:
    """A probe image in all columns that have it."""

    sample: str
    rows: list[_MapRow] = field(default_factory=list)

    @property
    def defective(self) -> bool:
        return self.rows[0]["label"]

    @property
    def defect_class(self) -> str:
        return self.rows[0]["defect_class"] or ""

    @property
    def size(self) -> float:
        """Share of the image that is defect; −1 where its mask is unknown."""
        row = next((row for row in self.rows if row["areas"] is not None), None)
        if row is None:
            return -1.0
        return float(np.frombuffer(row["areas"], "<i4").sum() / (row["full_height"] * row["full_width"]))

    @property
    def score(self) -> float:
        """Score of the image, mean over columns."""
        return float(np.mean(self._scores() or [0.0]))

    @property
    def loss(self) -> float:
        """Cross-entropy of the image's label, mean over columns; nats."""
        right = (score if self.defective else 1 - score for score in self._scores())
        return float(np.mean([-math.log(max(share, _SMALLEST)) for share in right] or [0.0]))

    def _scores(self) -> list[float]:
        return [row["score"] for row in self.rows if row["score"] is not None]


def arrange(
    columns: Sequence[MaskColumn],
    *,
    sort: Sort = "sample",
    show: str | None = None,
    defect_class: str | None = None,
    pair: Pair | None = None,
    level: int = THRESHOLD_LEVEL,
) -> list[str]:
    """Samples in the order of the page.

    Args:
        columns: What is shown; an image that any of them has takes part.
        sort: ``sample``: by name; ``class``: by class, normal images last; else the largest first:
            ``disagreement`` of the pair, mean ``score`` or ``loss`` of the columns, ``size`` of the defects.
        show: One of ``FOUND_BY_ONE``: images with a defect that only that one of the pair finds;
            ``MISSED_BY_ALL``: with a defect that no column finds; ``FALSE_ALARMS``: normal images that B
            decides defective; ``defective`` or ``normal`` images; None: all.
        defect_class: Images of this class only.
        pair: What is compared; without it nothing is, and all images take part.
        level: The threshold, 1 to 255. A defect is found when its highest level reaches it.
    """
    images: dict[str, _Image] = {}
    for column in columns:
        for sample, row in column.rows.items():
            images.setdefault(sample, _Image(sample)).rows.append(row)
    chosen = [
        image
        for image in images.values()
        if _is_shown(image, show, pair, level) and defect_class in (None, image.defect_class)
    ]
    # The order is that of the models' own thresholds: images stay where they are while a threshold moves.
    key = _sort_key(sort, pair)
    return [image.sample for image in sorted(chosen, key=lambda image: (key(image), image.sample))]


def have_common_defects(pair: Pair) -> bool:
    """True where a defect is known in both. Only then can one of them find what the other misses."""
    rows = ((row, pair.b.rows.get(sample)) for sample, row in pair.a.rows.items())
    return any(bool(np.any(peaks_in(other, row) >= 0)) for row, other in rows)


def defect_classes(columns: Sequence[MaskColumn]) -> list[str]:
    """The classes of their images, by name."""
    rows = (row for column in columns for row in column.rows.values())
    return sorted({row["defect_class"] for row in rows if row["defect_class"]})


def _is_shown(image: _Image, show: str | None, pair: Pair | None, level: int) -> bool:
    match show:
        case "defective" | "normal":
            return image.defective == (show == "defective")
        case "A finds, B misses" | "B finds, A misses":
            if pair is None:
                return True
            first, second = pair if show == FOUND_BY_ONE[0] else (pair.b, pair.a)
            return _found_by_one(first.rows.get(image.sample), second.rows.get(image.sample), level)
        case "no variant finds":
            return _missed_by_all(image.rows, level)
        case "false alarms of B":
            return pair is not None and _is_false_alarm(image.sample, pair.b)
        case _:
            return True


def _found_by_one(finder: _MapRow | None, other: _MapRow | None, level: int) -> bool:
    """True where ``finder`` finds a defect that ``other`` knows and misses."""
    if finder is None or finder["peaks"] is None:
        return False
    finds, known = np.frombuffer(finder["peaks"], np.uint8) >= level, peaks_in(other, finder)
    return bool(np.any(finds & (known >= 0) & (known < level)))


def _missed_by_all(rows: Sequence[_MapRow], level: int) -> bool:
    """True where a defect of the image reaches the threshold in none of its maps."""
    known = [row for row in rows if row["peaks"]]
    highest = [np.stack([peaks_in(other, row) for other in known]).max(axis=0) for row in known]
    return any(bool(np.any(peaks < level)) for peaks in highest)


def _is_false_alarm(sample: str, column: MaskColumn) -> bool:
    row, threshold = column.rows.get(sample), column.image_threshold
    if row is None or row["label"] or row["score"] is None or threshold is None:
        return False
    return row["score"] >= threshold


def peaks_in(other: _MapRow | None, row: _MapRow) -> NDArray[np.int16]:
    """For each defect of ``row`` its highest level in ``other``; −1: it is not known there.

    Defects are the same where their masks overlap, at the larger of both sizes, at which none is lost;
    ``matchedPeaks`` in ``mask_pixels.js`` is the same.
    """
    peaks = np.full(len(row["peaks"] or b""), -1, np.int16)
    if other is None or not row["peaks"] or not other["peaks"]:
        return peaks
    theirs = np.frombuffer(other["peaks"], np.uint8).astype(np.int16)
    if row["truth"] == other["truth"]:
        return theirs
    size = (max(row["height"], other["height"]), max(row["width"], other["width"]))
    here, there = (_resized(defect_numbers(maps).astype(np.int64), size) for maps in (row, other))
    both = (here > 0) & (there > 0)
    np.maximum.at(peaks, here[both] - 1, theirs[there[both] - 1])
    return peaks


def _sort_key(sort: Sort, pair: Pair | None) -> Callable[[_Image], tuple[Any, ...]]:
    match sort:
        case "disagreement":
            return lambda image: (-_disagreement(image.sample, pair),)
        case "score" | "loss" | "size":
            return lambda image: (-getattr(image, sort),)
        case "class":
            return lambda image: (not image.defective, image.defect_class)
        case "sample":
            return lambda image: ()


def _disagreement(sample: str, pair: Pair | None) -> float:
    """Share of the display's pixels that the two decide differently by themselves; −1 without both."""
    rows = [column.rows.get(sample) for column in pair] if pair is not None else []
    maps = [_levels(row) for row in rows if row is not None and row["heatmap"] is not None]
    if len(maps) < 2:
        return -1.0
    a, b = maps
    return float(np.mean((a >= THRESHOLD_LEVEL) != (_resized(b, a.shape) >= THRESHOLD_LEVEL)))


def _levels(row: _MapRow) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.decompress(row["heatmap"]), np.uint8).reshape(row["height"], row["width"])


def _resized(picture: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """At another height and width, by the nearest pixel."""
    if picture.shape == size:
        return picture
    rows, columns = (
        ((np.arange(to) + 0.5) * of / to).astype(int) for to, of in zip(size, picture.shape, strict=True)
    )
    return picture[rows[:, None], columns]


# Bytes ----------------------------------------------------------------------------------------------------


class _Blobs:
    """Bytes behind one another, equal ones once."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._places: dict[bytes, list[int]] = {}
        self._end = 0

    def add(self, data: bytes | None) -> list[int] | None:
        """The place of ``data``; None for None."""
        if data is None:
            return None
        if data not in self._places:
            self._places[data] = [self._end, len(data)]
            self.parts.append(data)
            self._end += len(data)
        return self._places[data]


def page_payload(
    samples: Sequence[str],
    columns: Sequence[MaskColumn],
    *,
    base: MaskColumn | None = None,
    other: MaskColumn | None = None,
    view: Display | None = None,
) -> bytes:
    """One page as a payload; see the module's text.

    Args:
        samples: The images of this page.
        columns: As shown. Their totals are of all their images, not of the page.
        base: A, the column that differences are to, one of ``columns``.
        other: B, with which A is compared in order and choice of the images.
        view: What the browser starts with. It is no part of ``key``, by which the browser knows its page.
    """
    blobs = _Blobs()
    content = {
        "columns": [
            {"mark": "A" if column is base else "B" if column is other else "", **_column(column, blobs)}
            for column in columns
        ],
        "rows": [_row(sample, columns, blobs) for sample in samples],
        "base": next((i for i, column in enumerate(columns) if column is base), -1),
    }
    body = b"".join(blobs.parts)
    digest = hashlib.sha256(json.dumps(content).encode() + body).hexdigest()
    content |= {"key": digest, "view": (view or Display())._asdict()}
    header = json.dumps(content, allow_nan=False).encode()
    return struct.pack("<I", len(header)) + header + body


def _column(column: MaskColumn, blobs: _Blobs) -> dict[str, Any]:
    tested = column.tested
    return {
        "name": column.name,
        "note": column.note,
        "scale": column.scale,
        "imageThreshold": column.image_threshold,
        "testIou": column.test_iou,
        "totals": blobs.add(_totals(column)),
        "images": len(column.rows),
        "scores": blobs.add(None if tested is None else tested.scores.tobytes()),
        "samples": blobs.add(None if tested is None else json.dumps(tested.names).encode()),
        "defective": 0 if tested is None else tested.defective,
        "independent": tested is not None and tested.independent,
        "lesson": None if column.targets is None else column.targets.note,
    }


def _totals(column: MaskColumn) -> bytes | None:
    """Pixels of defects, of background, and highest levels of defects: 3 × 256 counts (float64) by level.

    Of all images whose masks are known; None where there is none.
    """
    known = [row for row in column.rows.values() if row["positives"] is not None]
    if not known:
        return None
    counts = [sum(np.frombuffer(row[name], "<i4").astype(np.float64) for row in known) for name in _COUNTS]
    peaks = np.frombuffer(b"".join(row["peaks"] for row in known), np.uint8)
    return np.stack([*counts, np.bincount(peaks, minlength=256).astype(np.float64)]).astype("<f8").tobytes()


def _row(sample: str, columns: Sequence[MaskColumn], blobs: _Blobs) -> dict[str, Any]:
    rows = [column.rows.get(sample) for column in columns]
    targets = [column.targets.maps.get(sample) if column.targets else None for column in columns]
    first = next(row for row in rows if row is not None)
    return {
        "sample": sample,
        "label": first["label"],
        "class": first["defect_class"],
        "cells": [row and _cell(row, blobs, maps) for row, maps in zip(rows, targets, strict=True)],
    }


def _cell(row: _MapRow, blobs: _Blobs, target: MaskTarget | None) -> dict[str, Any]:
    counts = None if row["positives"] is None else row["positives"] + row["negatives"]
    return {
        "width": row["width"],
        "height": row["height"],
        "score": row["score"],
        "bits": row["truth_bits"],
        "photo": blobs.add(row["thumbnail"]),
        "levels": blobs.add(row["heatmap"]),
        "truth": blobs.add(row["truth"]),
        "peaks": blobs.add(row["peaks"]),
        "counts": blobs.add(counts),
        "taught": packed_target(target, blobs.add),
    }
