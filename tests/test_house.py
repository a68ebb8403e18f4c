"""The house rules that can be counted (``tests/house.py``), held."""

from __future__ import annotations

import pytest

from tests import house


@pytest.fixture(scope="module")
def counts() -> dict[str, float]:
    return house.counts()


@pytest.mark.parametrize(
    ("rule", "most"),
    [
        ("functions with loose plan and records", 0),
        ("docstrings that open with a question word", 0),
        ("private words", 0),
        ("locals called one, found, told, own, asked", 0),
        ("lines of a file, median", 121),
        ("lines of a file, most", 450),
        ("lines of a function, median", 7),
        ("lines of a function, 90 % below", 23),
        ("lines of a function, most", 80),
        ("words of the README", 1200),
        ("semicolons per 100 sentences, README", 3),
        ("semicolons per 100 sentences, worst page", 3),
    ],
)
def test_there_is_no_more_of_it_than(counts: dict[str, float], rule: str, most: float) -> None:
    assert counts[rule] <= most


@pytest.mark.parametrize(
    ("rule", "least"), [("raises that show the value, %", 95), ("parametrized tests, %", 30)]
)
def test_there_is_no_less_of_it_than(counts: dict[str, float], rule: str, least: float) -> None:
    assert counts[rule] >= least
