"""Max-T over sign flips of whole repeats: equal to a reference that counts every vector by itself."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.statistics.paired import (
    exact_p,
    rounded,
    sign_vectors,
    stepdown_p,
    studentised,
    vectors_over_looks,
)

FAMILIES = st.integers(2, 6).flatmap(
    lambda n: st.lists(
        st.lists(st.integers(-20, 20), min_size=n, max_size=n).map(lambda steps: [k / 17 for k in steps]),
        min_size=1,
        max_size=4,
    )
)


def counted(family: list[list[float]]) -> list[float]:
    """Adjusted p of each comparison, by going through all 2ⁿ vectors and all sets of less clear ones."""

    def statistic(d: list[float], signs: tuple[int, ...]) -> float:
        length = sum(x * x for x in d) ** 0.5
        return abs(sum(s * x for s, x in zip(signs, d, strict=True))) / length if length else 0.0

    n = len(family[0])
    seen = [statistic(d, (1,) * n) for d in family]
    alone: list[float] = []
    for t in seen:
        rest = [d for d, other in zip(family, seen, strict=True) if other <= t]
        vectors = list(product((1, -1), repeat=n))
        hits = sum(max(statistic(d, signs) for d in rest) >= t - 1e-9 for signs in vectors)
        alone.append(hits / len(vectors))
    return [max(p for p, other in zip(alone, seen, strict=True) if other >= t) for t in seen]


@settings(deadline=None)
@given(FAMILIES)
def test_the_adjusted_p_is_that_of_counting_every_vector(family: list[list[float]]) -> None:
    differences = np.array(family).T
    adjusted = stepdown_p(differences, sign_vectors(len(differences), 0))
    assert adjusted == pytest.approx(counted(family), abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=2, max_size=12))
@example([0, 0, 0, 0, 0, -1, 1, 1, 5, -1, 0, -5])  # a sum of 0 that rounding moves to 1e-12
def test_of_one_comparison_it_is_the_p_of_the_exact_test(steps: list[int]) -> None:
    d = rounded(np.array(steps) / 17)
    assert stepdown_p(d[:, None], sign_vectors(len(d), 0))[0] == exact_p(d)


@settings(deadline=None)
@given(FAMILIES)
def test_a_comparison_that_is_added_makes_no_p_smaller(family: list[list[float]]) -> None:
    differences = np.array(family).T
    signs = sign_vectors(len(differences), 0)
    whole, fewer = stepdown_p(differences, signs), stepdown_p(differences[:, 1:], signs)
    assert (whole[1:] >= fewer - 1e-12).all()


@pytest.mark.parametrize("n", [1, 6, 14])
def test_up_to_fourteen_repeats_there_is_every_vector_once(n: int) -> None:
    signs = sign_vectors(n, 0)
    assert len({bytes(vector) for vector in np.concatenate([signs, -signs])}) == 2**n
    assert (signs[0] == 1).all()


def test_beyond_fourteen_they_are_drawn_and_the_same_for_one_seed() -> None:
    signs, again, other = sign_vectors(15, 3), sign_vectors(15, 3, 20_000), sign_vectors(15, 4)
    assert signs.shape == (20_000, 15)
    assert (signs[0] == 1).all()
    assert (signs == again).all()
    assert (signs != other).any()


@pytest.mark.parametrize(("looks", "kept"), [((6, 8, 16), 8), ((14, 20), 14), ((16, 20), 16)])
def test_over_looks_there_are_the_vectors_of_an_earlier_one_each_equally_often(
    looks: tuple[int, ...], kept: int
) -> None:
    signs, then = vectors_over_looks(looks, 3), sign_vectors(kept, 3)
    assert signs.shape[1] == looks[-1]
    assert (signs[0] == 1).all()
    assert (signs[:, :kept].reshape(-1, *then.shape) == then).all()
    assert abs(signs[:, kept:].mean()) < 0.02
    longer = vectors_over_looks((*looks, looks[-1] + 4), 3)
    assert (longer[:, : looks[-1]] == signs).all()  # what was drawn stays as well


@pytest.mark.parametrize(("looks", "size"), [((8, 16), 4_096), ((14, 20), 8_192), ((16, 20), 4_096)])
def test_where_looks_are_planned_fewer_signs_are_drawn(looks: tuple[int, ...], size: int) -> None:
    signs = vectors_over_looks(looks, 3, planned=True)
    assert signs.shape == (size, looks[-1])
    kept = [n for n in looks if n <= 14]
    assert all(
        np.unique(signs[:, :n], axis=0, return_counts=True)[1].tolist() == [size >> n - 1] * 2 ** (n - 1)
        for n in kept
    )


def test_up_to_fourteen_repeats_looks_have_every_vector_once() -> None:
    assert (vectors_over_looks((6, 10), 0) == sign_vectors(10, 0)).all()


def test_a_family_of_any_size_reaches_what_six_repeats_reach() -> None:
    differences = np.random.default_rng(0).normal(0, 0.01, (6, 28))
    differences[:, 3] = [0.0101, 0.0102, 0.0103, 0.0104, 0.0105, 0.0106]
    assert stepdown_p(differences, sign_vectors(6, 0))[3] == 2 / 64


def test_a_comparison_without_a_difference_has_the_statistic_zero() -> None:
    differences = np.array([[0.0, 0.1], [0.0, 0.2]])
    assert (studentised(differences, sign_vectors(2, 0))[:, 0] == 0).all()
    assert stepdown_p(differences, sign_vectors(2, 0))[0] == 1
