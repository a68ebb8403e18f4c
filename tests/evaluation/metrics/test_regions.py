"""Defects one by one: what counts as found, outlined and missed, computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from trainables.data.inspect.mask_statistics import defect_width, measure_mask
from trainables.evaluation.metrics import truth_at
from trainables.evaluation.metrics.regions import REGIONS_SCHEMA, defect_scores, regions_of

SIZE = (16, 16)


def picture(*boxes: tuple[slice, slice], value: float = 1.0) -> NDArray[np.float32]:
    shown = np.zeros(SIZE, np.float32)
    for box in boxes:
        shown[box] = value
    return shown


def looked_at(heatmap: NDArray[np.float32], mask: NDArray[Any], *names: str) -> list[dict[str, Any]]:
    return regions_of("a", heatmap, mask, names or ("scratch",), 0.5)


LEFT, RIGHT = (slice(4, 8), slice(2, 6)), (slice(4, 8), slice(10, 14))
MASK = picture(LEFT, RIGHT).astype(np.uint8)


@pytest.mark.parametrize(
    ("heatmap", "found", "iou"),
    [
        (picture(LEFT, RIGHT), [True, True], [1.0, 1.0]),
        (picture(LEFT), [True, False], [1.0, 0.0]),
        (picture((slice(4, 8), slice(2, 4))), [True, False], [0.5, 0.0]),
        (picture((slice(0, 1), slice(0, 1))), [False, False], [0.0, 0.0]),
        (picture(LEFT, value=0.499), [False, False], [0.0, 0.0]),
        # One piece over both defects and the 16 pixels between them.
        (picture((slice(4, 8), slice(2, 14))), [True, True], [0.5, 0.5]),
        (picture((slice(0, 16), slice(0, 16))), [True, True], [16 / 240, 16 / 240]),
    ],
)
def test_region_is_found_by_a_pixel_and_outlined_by_half_its_union(
    heatmap: NDArray[np.float32], found: list[bool], iou: list[float]
) -> None:
    rows = looked_at(heatmap, MASK)
    assert [row["found"] for row in rows] == found
    assert [row["iou"] for row in rows] == pytest.approx(iou)
    assert [row["outlined"] for row in rows] == [value >= 0.5 for value in iou]


def test_neighbours_of_two_classes_are_two_regions() -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[4:8, 2:6], mask[4:8, 6:9] = 1, 2
    rows = looked_at(picture(LEFT), mask, "scratch", "hole")
    assert [(row["defect_class"], row["area"], row["outlined"]) for row in rows] == [
        ("scratch", 16, True),
        ("hole", 12, False),
    ]


def test_speck_below_the_networks_resolution_is_a_region_of_its_own() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[8:24, 8:24] = 1
    mask[50, 50] = 1
    assert truth_at(mask, *SIZE).sum() == 16  # the speck is none of them
    square, speck = looked_at(picture((slice(12, 13), slice(12, 13))), mask)
    assert (square["cells"], square["found"]) == (16, False)
    assert (speck["area"], speck["cells"], speck["found"]) == (1, 1, True)


@pytest.mark.parametrize("stored", [(16, 16), (40, 24), (33, 57), (8, 8)])
def test_cells_of_the_only_region_are_the_truth_of_its_mask(stored: tuple[int, int]) -> None:
    mask = np.zeros(stored, np.uint8)
    mask[1 : stored[0] // 2, 2 : stored[1] // 2] = 1
    truth = truth_at(mask, *SIZE)
    (row,) = looked_at(truth.astype(np.float32), mask)
    assert (row["cells"], row["iou"]) == (truth.sum(), 1.0)


@pytest.mark.parametrize(("pixels", "cells", "cell"), [(44, 3, 1), (62, 5, 2), (46, 7, 3), (1706, 1, 0)])
def test_a_cell_that_is_covered_exactly_half_is_a_regions_as_it_is_the_truths(
    pixels: int, cells: int, cell: int
) -> None:
    mask = np.zeros((4, pixels), np.uint8)
    mask[:, : (2 * cell + 1) * pixels // (2 * cells)] = 1
    truth = truth_at(mask, 4, cells)
    (row,) = looked_at(truth.astype(np.float32), mask)
    assert truth.sum() == 4 * (cell + 1)
    assert (row["cells"], row["iou"]) == (truth.sum(), 1.0)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("turned", [False, True])
def test_width_is_that_of_the_largest_disc_inside_wherever_it_is_told(width: int, turned: bool) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[2 : 2 + width, 2:12] = 1
    mask = np.ascontiguousarray(mask.T if turned else mask)
    (row,) = looked_at(picture(), mask)
    checked = measure_mask(mask * 255, mask, sample="a", mask="a.png", defect_class="scratch")
    assert row["width"] == checked.width == width


@pytest.mark.parametrize("diameter", [5, 10, 20, 41])
def test_width_of_a_drawn_disc_is_its_diameter_but_for_the_steps_of_its_edge(diameter: int) -> None:
    rows, columns = np.mgrid[:50, :50] - 24.5
    mask = (np.hypot(rows, columns) <= diameter / 2).astype(np.uint8)
    assert diameter - 1.5 < defect_width(mask) <= diameter


def regions(*rows: tuple[str, int, bool]) -> pa.Table:
    listed = [
        {
            **dict.fromkeys(REGIONS_SCHEMA.names, 0),
            "sample": str(number), "defect_class": name, "area": area, "found": found, "outlined": False,
        }
        for number, (name, area, found) in enumerate(rows)
    ]  # fmt: skip
    return pa.Table.from_pylist(listed, schema=REGIONS_SCHEMA)


def test_classes_count_their_regions_and_the_images_that_show_them() -> None:
    seen = regions(("hole", 4, True), ("hole", 5, False), ("scratch", 90, True))
    scores = {
        score.name: (score.regions, score.detected, score.images, score.flagged)
        for score in defect_scores(seen, [("hole+scratch", True), ("hole", False), ("stain", True)])
        if score.of != "size"
    }
    assert scores == {
        "all": (3, 2, 3, 2),
        "hole": (2, 1, 2, 1),
        "scratch": (1, 1, 1, 1),
        "stain": (0, 0, 1, 1),  # no mask of it is known
    }


def test_sizes_are_thirds_by_area_and_equal_areas_share_one() -> None:
    areas = [1, 1, 2, 5, 5, 9, 40, 50, 60]
    scores = defect_scores(regions(*(("a", area, True) for area in areas)), [("a", True)])
    sizes = {score.name: (score.regions, score.largest) for score in scores if score.of == "size"}
    assert sizes == {"small": (3, 2), "medium": (3, 9), "large": (3, 60)}
    tied = defect_scores(regions(*(("a", 4, True) for _ in range(5))), [("a", True)])
    assert [(score.of, score.name, score.regions) for score in tied] == [
        ("all", "all", 5),
        ("size", "small", 5),
    ]


def test_without_defects_nothing_is_counted() -> None:
    assert defect_scores(regions(), []) == ()
