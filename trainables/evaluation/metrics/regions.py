"""Defects one by one: which regions of the test masks a model found, outlined or missed.

A region is an 8-connected defect of one class, in the mask as it is stored: its area and width are in pixels
of the photograph. It is compared with the heatmap at the network's input size, where it takes the cells of
which it covers at least half, or, if there is none, those that it covers most: a speck that the network
cannot resolve is missed, not passed over.

* found: some cell of it reaches the pixel threshold;
* outlined: its IoU is at least 0.5. To it belong all decided pieces that touch it, without what they cover of
  other defects: a piece over two scratches outlines both, a piece over the whole image none.

Trade-off: sizes are thirds of the test part's regions by area, not fixed numbers of pixels: what is small
depends on the product. Bounds of other splits differ a little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from trainables.data.inspect.mask_statistics import defect_width
from trainables.evaluation.metrics.areas import HALF, cover_of

__all__ = ["REGIONS_SCHEMA", "SIZES", "DefectScore", "defect_scores", "regions_of"]

SIZES = ("small", "medium", "large")
_OUTLINED = 0.5  # IoU
_UNNAMED = "defect"  # class of a defect whose data set names none

REGIONS_SCHEMA = pa.schema(
    [
        pa.field("sample", pa.string(), nullable=False),
        pa.field("region", pa.int32(), nullable=False),  # its number in the image, from 0
        pa.field("defect_class", pa.string(), nullable=False),
        pa.field("area", pa.int64(), nullable=False),  # pixels of the mask as stored
        pa.field("width", pa.float64(), nullable=False),  # of the largest disc inside, the same pixels
        pa.field("cells", pa.int64(), nullable=False),  # pixels at the network's input size
        pa.field("peak", pa.float64(), nullable=False),  # highest score inside
        pa.field("found", pa.bool_(), nullable=False),
        pa.field("covered", pa.float64(), nullable=False),  # share of its cells that reach the threshold
        pa.field("iou", pa.float64(), nullable=False),
        pa.field("outlined", pa.bool_(), nullable=False),
    ]
)


class DefectScore(BaseModel, frozen=True, extra="forbid"):
    """Defects of one class or size in known test masks, and how many were found and outlined."""

    of: Literal["all", "class", "size"]
    name: str = Field(description="`scratch`, `small`; of all `all`.")
    regions: int = Field(ge=0, description="Connected regions of one class.")
    detected: int = Field(ge=0, description="Some pixel reaches the pixel threshold.")
    outlined: int = Field(ge=0, description="IoU at least 0.5.")
    largest: int = Field(ge=0, description="Area of the largest region, pixels as stored; 0 without one.")
    images: int | None = Field(
        default=None, description="Defective images that show the class; null: of a size."
    )
    flagged: int | None = Field(default=None, description="Those among them decided defective.")


class _Place(NamedTuple):
    """Cells of a region at the network's input size."""

    rows: slice
    columns: slice
    cells: NDArray[np.bool_]  # within these rows and columns

    def of(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The values of a picture (H × W) in the cells."""
        return picture[self.rows, self.columns][self.cells]


class _Region(NamedTuple):
    defect_class: str
    area: int
    width: float
    place: _Place


def regions_of(
    sample: str,
    heatmap: NDArray[np.float32],
    mask: NDArray[np.integer[Any]],
    names: Sequence[str | None],
    threshold: float,
) -> list[dict[str, Any]]:
    """The regions of one image as rows of ``REGIONS_SCHEMA``.

    Args:
        sample: Id of the image.
        heatmap: H × W, in [0, 1].
        mask: h × w as stored; value k > 0 is a defect of class ``names[k - 1]``.
        names: Classes; None: the data set names none.
        threshold: A pixel is decided defect when its score ≥ ``threshold``.
    """
    size = (heatmap.shape[0], heatmap.shape[1])
    # Every decided piece that touches a defect is counted against it, with the background it covers; what
    # it covers of other defects is no fault of its own.
    regions = list(_regions(mask, names, size))
    decided = (heatmap >= np.float32(threshold)).astype(np.uint8)
    _, pieces = cv2.connectedComponents(decided, connectivity=8)
    defect = np.zeros(size, np.bool_)
    for region in regions:
        defect[region.place.rows, region.place.columns] |= region.place.cells
    false = np.bincount(pieces[~defect], minlength=int(pieces.max()) + 1)  # pixels of each, on background
    rows: list[dict[str, Any]] = []
    for number, region in enumerate(regions):
        of_pieces = region.place.of(pieces)
        cells, inside = of_pieces.size, int(np.count_nonzero(of_pieces))
        touching = np.unique(of_pieces[of_pieces > 0])
        iou = inside / (cells + int(false[touching].sum()))
        rows.append(
            {
                "sample": sample,
                "region": number,
                "defect_class": region.defect_class,
                "area": region.area,
                "width": region.width,
                "cells": cells,
                "peak": float(region.place.of(heatmap).max()),
                "found": inside > 0,
                "covered": inside / cells,
                "iou": iou,
                "outlined": iou >= _OUTLINED,
            }
        )
    return rows


def defect_scores(regions: pa.Table, images: Iterable[tuple[str | None, bool]]) -> tuple[DefectScore, ...]:
    """Count by class and by size what was found.

    Args:
        regions: Of ``REGIONS_SCHEMA``.
        images: Class and decision of each defective test image; of several classes ``hole+scratch``.

    Returns:
        All defects, then each class where there are several, then the thirds by area where there are three
        regions or more. Empty without defects.
    """
    listed = regions.to_pylist()
    decisions = [(name or _UNNAMED, decision) for name, decision in images]
    if not decisions:
        return ()

    # Classes come from images as well as from masks: a defective image without a known mask still counts
    # for its class.
    classes = sorted({part for name, _ in decisions for part in name.split("+")})
    classes = sorted({*classes, *(row["defect_class"] for row in listed)})
    scores = [_score("all", "all", listed, [decision for _, decision in decisions])]
    if len(classes) > 1:
        for name in classes:
            of_class = [row for row in listed if row["defect_class"] == name]
            flagged = [decision for shown, decision in decisions if name in shown.split("+")]
            scores.append(_score("class", name, of_class, flagged))
    return (*scores, *_by_size(listed))


def _by_size(regions: Sequence[Mapping[str, Any]]) -> Iterator[DefectScore]:
    if len(regions) < len(SIZES):
        return
    areas = np.array([row["area"] for row in regions])
    bounds = np.quantile(areas, [1 / 3, 2 / 3], method="inverted_cdf")
    thirds = np.searchsorted(bounds, areas, side="left")  # a bound belongs to the smaller ones
    for third, name in enumerate(SIZES):
        of_size = [row for row, place in zip(regions, thirds, strict=True) if place == third]
        if of_size:
            yield _score("size", name, of_size, None)


def _score(
    of: Literal["all", "class", "size"],
    name: str,
    regions: Sequence[Mapping[str, Any]],
    decisions: Sequence[bool] | None,
) -> DefectScore:
    return DefectScore(
        of=of,
        name=name,
        regions=len(regions),
        detected=sum(row["found"] for row in regions),
        outlined=sum(row["outlined"] for row in regions),
        largest=max((row["area"] for row in regions), default=0),
        images=None if decisions is None else len(decisions),
        flagged=None if decisions is None else sum(decisions),
    )


def _regions(
    mask: NDArray[np.integer[Any]], names: Sequence[str | None], size: tuple[int, int]
) -> Iterator[_Region]:
    """Every defect of a mask: class by class, and within a class in reading order."""
    for value in np.unique(mask[mask > 0]).tolist():
        of_class = (mask == value).astype(np.uint8)
        count, numbers, stats, _ = cv2.connectedComponentsWithStats(of_class, connectivity=8)
        for number in range(1, count):
            x, y, across, down, area = (int(entry) for entry in stats[number])
            # Area and width are measured in the stored mask, before anything is resized.
            crop = numbers[y : y + down, x : x + across] == number
            place = _place(crop, (y, x), (mask.shape[0], mask.shape[1]), size)
            width = defect_width(crop.astype(np.uint8))
            yield _Region(names[value - 1] or _UNNAMED, area, width, place)


def _place(
    crop: NDArray[np.bool_], corner: tuple[int, int], stored: tuple[int, int], size: tuple[int, int]
) -> _Place:
    """The cells at ``size`` of a region in a mask of size ``stored``."""
    rows, columns, shares = cover_of(crop, corner, stored, size)
    # A speck below half a cell keeps the cells it covers most, so that it is missed and not passed over.
    cells = shares >= HALF
    if not cells.any():
        cells = shares >= shares.max() * (1 - 1e-5)
    return _Place(rows, columns, cells)
