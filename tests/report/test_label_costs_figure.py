"""The picture of scores against hours of labelling: it says what it shows, in the same bytes every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from types import MappingProxyType
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from assay.analysis.labels import LabelCosts, label_costs
from assay.analysis.results.results import StudyResults
from assay.report.figures.drawing import MARKERS
from assay.report.figures.label_costs import draw_label_costs, draw_ladder, score_range
from assay.report.figures.name_placement import Box, place_names
from assay.statistics.intervals import MeanInterval
from tests.analysis.label_studies import GRID, LINE, RUNGS, ladder, trained


def costs_of(text: str) -> LabelCosts:
    study = trained(text, lambda images, masks: 0.6 + 0.001 * images + 0.005 * masks)
    costs = label_costs(StudyResults(*study))
    assert costs is not None
    return costs


def intervals_of(costs: LabelCosts) -> dict[str, MeanInterval]:
    """An interval for each cell but one."""
    return {
        cell.cell.name: MeanInterval(cell.mean - 0.05, cell.mean + 0.05, "t", 3, "seeds", "this split", False)
        for cell in costs.cells
        if cell.cell.name != "cam"
    }


def words(costs: LabelCosts, intervals: Mapping[str, MeanInterval] = MappingProxyType({})) -> list[str]:
    """The text of the picture: matplotlib notes each as a comment beside its letters."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.fromstring(draw_label_costs(costs, intervals, "svg"), parser)
    return [(node.text or "").strip() for node in root.iter() if node.tag is ElementTree.Comment]


def test_the_same_records_give_the_same_bytes() -> None:
    one, two = (draw_label_costs(costs_of(GRID), {}, "svg") for _ in range(2))
    assert one == two


def test_the_picture_names_prices_unit_repeats_and_front() -> None:
    found = words(costs_of(LINE))
    for part in (
        "AP on test data (0–1)",
        "Minutes of labelling (3 s per image label, 90 s per mask; log scale)",
        "one repeat (5 seeds)",
        "Pareto front: no variant is better for fewer or as many hours",
    ):
        assert part in found


def test_a_span_below_ten_times_is_drawn_straight_and_long_work_in_hours() -> None:
    found = words(
        costs_of(GRID.replace("mask_seconds: 90", "mask_seconds: 900").replace("_seconds: 3", "_seconds: 30"))
    )
    assert "Hours of labelling (30 s per image label, 900 s per mask)" in found


def test_lines_are_named_and_a_crowd_is_pale() -> None:
    assert {"p20", "p30", "p40", "images"} <= set(words(costs_of(GRID)))
    levels = ", ".join(f"p{n}: {{data: {{positives: {n}}}}}" for n in range(20, 28))
    crowd = words(costs_of(GRID.replace("p20: {data: {positives: 20}}", levels)))
    assert "mean of the repeats, a line for each level of images" in crowd


def test_the_png_is_sharp_at_800_pixels_and_shows_the_first_colour() -> None:
    image = cv2.imdecode(np.frombuffer(draw_label_costs(costs_of(LINE), {}, "png"), np.uint8), 1)
    assert image is not None
    assert image.shape == (1000, 1600, 3)
    assert (image == (0xB2, 0x72, 0x00)).all(axis=2).any()  # blue, as BGR


# Several methods


@cache
def ladder_costs() -> LabelCosts:
    costs = label_costs(StudyResults(*ladder()))
    assert costs is not None
    return costs


def test_every_cell_of_a_ladder_is_named_beside_its_point_and_the_signs_are_explained() -> None:
    costs = ladder_costs()
    found = words(costs, intervals_of(costs))
    assert {cell.variant for cell in costs.cells} <= set(found)
    for part in (
        "mean of the repeats (3 seeds)",
        "95 % interval of the mean, t over 3 seeds",
        "one repeat, where there is no interval",
        "one method with more labels",
        "Pareto front: no variant is better for fewer or as many hours",
    ):
        assert part in found


def test_no_name_lies_on_the_line_from_the_last_of_the_front_to_the_edge() -> None:
    costs = ladder_costs()
    figure = Figure(figsize=(8, 5), dpi=100)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    last = costs.fronts[0][-1]
    axes.set_xlim(min(cell.hours for cell in costs.cells) / 2, 3 * last.hours)
    axes.set_ylim(*score_range(costs, {}))
    draw_ladder(figure, axes, costs, {}, times=1)
    line_y = axes.transData.transform((last.hours, last.mean))[1]
    variants = {cell.variant for cell in costs.cells}
    names = [text.get_window_extent() for text in axes.texts if text.get_text() in variants]
    point_x = axes.transData.transform((last.hours, last.mean))[0]
    assert len(names) == len(variants)
    assert not [name for name in names if name.x1 > point_x and name.y0 < line_y < name.y1]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_no_point_that_stands_aside_is_cut_by_the_edge(scale: str) -> None:
    costs = ladder_costs()
    figure = Figure(figsize=(8, 5), dpi=100)
    axes = figure.add_subplot()
    axes.set_xscale(scale)
    axes.set_xlim(0.99 * min(cell.hours for cell in costs.cells), 2 * max(cell.hours for cell in costs.cells))
    axes.set_ylim(*score_range(costs, {}))
    draw_ladder(figure, axes, costs, {}, times=1)
    points = [line for line in axes.lines if line.get_marker() in MARKERS and np.size(line.get_xdata()) == 1]
    at = [axes.transData.transform((float(np.asarray(line.get_xdata())[0]), 0.0))[0] for line in points]
    assert len(at) == len(RUNGS)
    assert min(at) > axes.get_window_extent().x0 + 8 * figure.dpi / 72  # a marker has 8 points, a ring 15


def test_a_ladder_has_the_same_bytes_every_time() -> None:
    one, two = (draw_label_costs(costs, {}, "svg") for costs in (ladder_costs(), ladder_costs.__wrapped__()))
    assert one == two


def boxes(points: Sequence[tuple[float, float]], size: tuple[float, float]) -> list[Box]:
    width, height = size
    taken = [Box(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    places = place_names(points, [size] * len(points), taken, Box(0, 0, 500, 300))
    names = [Box(p.x - width / 2, p.y - height / 2, p.x + width / 2, p.y + height / 2) for p in places]
    return [*names, *taken]


@pytest.mark.parametrize(
    "points",
    [
        [(100.0 + 13 * n, 150.0) for n in range(6)],
        [(100.0, 150.0 + 3 * n) for n in range(5)],
        [(5.0, 5.0), (495.0, 295.0), (495.0, 5.0), (5.0, 295.0)],
        [(250.0, 150.0)] * 4,
    ],
    ids=["in a row", "on top of each other", "in the corners", "in one place"],
)
def test_no_name_hides_another_or_a_point_or_leaves_the_picture(points: list[tuple[float, float]]) -> None:
    found = boxes(points, (60.0, 11.0))
    assert all(one.common(other) == 0 for one, other in combinations(found[: len(points)], 2))
    assert all(name.common(point) == 0 for name in found[: len(points)] for point in found[len(points) :])
    assert all(
        name.left >= 0 and name.right <= 500 and name.bottom >= 0 and name.top <= 300 for name in found[:4]
    )
