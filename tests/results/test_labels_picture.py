"""The picture of scores against hours of labelling: it says what it shows, in the same bytes every time."""

from __future__ import annotations

from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from assay.results.labels import LabelCosts, label_costs
from assay.results.labels_picture import draw_label_costs
from tests.results.label_studies import GRID, LINE, trained


def costs_of(text: str) -> LabelCosts:
    costs = label_costs(*trained(text, lambda images, masks: 0.6 + 0.001 * images + 0.005 * masks))
    assert costs is not None
    return costs


def words(costs: LabelCosts) -> list[str]:
    """The text of the picture: matplotlib notes each as a comment beside its letters."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.fromstring(draw_label_costs(costs, "svg"), parser)
    return [(node.text or "").strip() for node in root.iter() if node.tag is ElementTree.Comment]


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_same_records_give_the_same_bytes(form: str) -> None:
    one, two = (draw_label_costs(costs_of(GRID), form) for _ in range(2))  # type: ignore[arg-type]
    assert one == two


def test_the_picture_names_prices_unit_repeats_and_front() -> None:
    found = words(costs_of(LINE))
    for part in (
        "AP on test data (0–1)",
        "Minutes of labelling (3 s per image label, 90 s per mask; log scale)",
        "one repeat (5 seeds)",
        "on the front: no cell is better for fewer or as many hours",
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
    image = cv2.imdecode(np.frombuffer(draw_label_costs(costs_of(LINE), "png"), np.uint8), 1)
    assert image is not None
    assert image.shape == (1000, 1600, 3)
    assert (image == (0xB2, 0x72, 0x00)).all(axis=2).any()  # blue, as BGR
