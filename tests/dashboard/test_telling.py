"""The pair of pictures on the first page, and its words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assay_dashboard.first_look import TellingPair, pair_html
from tests.dashboard.test_masks import probe
from trainables.evaluation.heatmaps import Probe, maps_table

DEFECTIVE, NORMAL = probe("a", "x"), probe("a", "")
UNKNOWN = replace(DEFECTIVE, truth=None)


@pytest.mark.parametrize(
    ("image", "outlined"),
    [(DEFECTIVE, True), (NORMAL, False), (UNKNOWN, False)],
    ids=["a mask", "no defect", "a defect without a mask"],
)
def test_an_outline_of_the_truth_is_spoken_of_where_it_is_drawn(image: Probe, outlined: bool) -> None:
    (row,) = maps_table([image], 0.5).to_pylist()
    pair = TellingPair(("off", "on"), "seed 0", "a", (row, row))
    assert pair.has_truth is outlined
    assert pair_html(pair).count("with the truth outlined") == 2 * outlined
