"""Sentences about results: their numbers have the decimals that what is asked needs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assay.statistics.wording import claimed_text, negligible_text
from tests.statistics.tables import from_differences

QUIET = [0.00004, -0.00003, 0.00006, -0.00002, 0.00001, 0.00003]


@pytest.mark.parametrize(
    ("resolve", "text"),
    [(0.01, "(95 % interval 0.000 to 0.000)"), (0.0004, "(95 % interval 0.0000 to 0.0001)")],
)
def test_an_interval_is_written_at_least_as_finely_as_resolve(resolve: float, text: str) -> None:
    assert text in negligible_text(from_differences(QUIET, resolve=resolve))


def test_a_cell_with_a_cross_in_its_name_makes_no_interaction() -> None:
    result = replace(from_differences(QUIET, resolve=0.01), comparison="a → a × 2")
    assert negligible_text(result).startswith("a → a × 2 changes AP by less than 0.01 (95 %")
    crossed = replace(result, comparison="p × q", family="interactions", cell_a=None, cell_b=None)
    assert negligible_text(crossed).startswith("p × q makes less than 0.01 of AP (95 %")


def test_a_difference_that_matters_is_not_written_as_0() -> None:
    result = from_differences([d + 0.0004 for d in QUIET], resolve=0.0004)
    assert claimed_text(result).startswith("+0.0004 [")
