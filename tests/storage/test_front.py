"""The front: points that none beats, the ends first."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.storage.search_points import beats, front_of

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


@given(POINTS, st.tuples(st.sampled_from([1, -1]), st.sampled_from([1, -1])))
def test_the_front_is_the_points_that_no_point_beats(
    points: list[tuple[int, int]], signs: tuple[int, int]
) -> None:
    beaten = {i for i, j in product(range(len(points)), repeat=2) if beats(points[j], points[i], signs)}
    assert sorted(front_of(points, signs)) == sorted(set(range(len(points))) - beaten)


@pytest.mark.parametrize(
    ("points", "order"),
    [
        ([(0.1, 1), (0.2, 2), (0.3, 3)], [0, 2, 1]),
        ([(0.1, 1), (0.2, 2), (0.5, 5), (0.6, 9), (0.9, 10)], [0, 4, 2, 3, 1]),
        ([(0.5, 1), (0.5, 1)], [0, 1]),
        ([], []),
    ],
)
def test_the_ends_of_a_front_come_first_then_where_it_is_emptiest(
    points: list[tuple[float, float]], order: list[int]
) -> None:
    assert front_of(points, (1, -1)) == order
