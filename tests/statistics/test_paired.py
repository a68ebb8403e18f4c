"""Exact p, t interval and effect size: equal to the libraries where those are right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from assay.statistics.paired import (
    enough_repeats,
    exact_p,
    hedges_g,
    holm,
    rounded,
    smallest_p,
    t_half_width,
    t_p,
)
from tests.statistics.tables import sign_flip_of_scipy

RNG = np.random.default_rng(7)
STEPS = st.lists(st.integers(-20, 20), min_size=3, max_size=12).map(lambda k: np.array(k) / 17)


@pytest.mark.parametrize("n", [2, 3, 5, 6, 9, 12])
@pytest.mark.parametrize("kind", ["normal", "ties"])
def test_the_sign_flip_p_is_that_of_scipy(n: int, kind: str) -> None:
    for _ in range(5):
        d = RNG.standard_normal(n) + 0.5
        d = np.round(d * 3) / 17 if kind == "ties" else d
        if d.any():
            assert exact_p(rounded(d)) == pytest.approx(sign_flip_of_scipy(d), abs=1e-12)


@pytest.mark.parametrize(
    ("d", "p"),
    [
        ([1, 2, 3], 2 / 8),
        ([1, 2, -3], 1.0),  # the mean is 0: every vector of signs is at least as far from it
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 2 / 64),
        ([0.1, 0.2, 0.3, 0.4, 0.5, -0.1], 6 / 64),  # 1.6 or 1.4 (twice) in each tail
        ([0, 0, 1, 1, 1], 2 / 8),  # zeros carry no sign
        ([0, 0, 0], 1.0),
    ],
)
def test_sign_flips_counted_by_hand(d: list[float], p: float) -> None:
    assert exact_p(rounded(np.array(d, float))) == pytest.approx(p, abs=1e-15)


def test_thirty_repeats_are_still_exact() -> None:
    assert exact_p(np.ones(30)) == 2 / 2**30
    sums = np.sort(np.abs(np.sum(np.array(np.meshgrid(*[[-1, 1]] * 16)).reshape(16, -1), axis=0)))
    d = np.array([1.0] * 12 + [-1.0] * 4)
    assert exact_p(d) == np.mean(sums >= 8)


def test_beyond_forty_repeats_signs_are_drawn_and_the_same_again() -> None:
    d = rounded(np.random.default_rng(1).standard_normal(60) + 0.3)
    assert exact_p(d) == exact_p(d)
    assert exact_p(d) == pytest.approx(float(stats.ttest_1samp(d, 0).pvalue), abs=0.01)


@pytest.mark.parametrize("d", [[0, 0, 1, 2, 3], [1, 1, 2, 2, -1, 3], [0.1, -0.2, 0.3, 0.5]])
def test_the_wilcoxon_option_is_exact_with_ties_and_zeros(d: list[float]) -> None:
    values = np.array([x for x in d if x])
    ranks = stats.rankdata(np.abs(values))
    signs = np.array(np.meshgrid(*[[0, 1]] * len(values))).reshape(len(values), -1)
    sums = ranks @ signs
    centre = ranks.sum() / 2
    by_hand = np.mean(np.abs(sums - centre) >= abs(ranks[values > 0].sum() - centre) - 1e-9)
    assert exact_p(np.array(d, float), "wilcoxon") == pytest.approx(by_hand)


def test_the_exact_test_can_speak_from_six_repeats_on() -> None:
    assert enough_repeats() == 6
    assert smallest_p(6) <= 0.05 < smallest_p(5)


def test_interval_and_p_are_those_of_the_paired_t_test() -> None:
    a, b = RNG.standard_normal((2, 8))
    d = a - b
    found = stats.ttest_rel(a, b)
    low, high = found.confidence_interval()
    half = t_half_width(float(np.std(d, ddof=1)), 1 / 8, 7)
    assert (d.mean() - half, d.mean() + half) == pytest.approx((low, high))
    assert t_p(float(d.mean()), float(np.std(d, ddof=1)), 1 / 8, 7) == pytest.approx(found.pvalue)


@pytest.mark.parametrize(("n", "sd_of_g", "raw"), [(3, 1.2, 0.87), (5, 0.56, 0.63), (10, 0.36, 0.55)])
def test_g_takes_back_what_few_repeats_add(n: int, sd_of_g: float, raw: float) -> None:
    draws = np.random.default_rng(0).standard_normal((20_000, n)) + 0.5
    g = np.array([hedges_g(d) for d in draws])
    d_z = draws.mean(axis=1) / draws.std(axis=1, ddof=1)
    assert np.mean(d_z) == pytest.approx(raw, abs=0.03)
    assert np.mean(g) == pytest.approx(0.5, abs=0.03)
    assert np.std(g) == pytest.approx(sd_of_g, rel=0.15)


@pytest.mark.parametrize("p", [[0.5, 0.02, 0.02, 1.0], [0.01, 0.04, 0.03, 0.005, 0.9]])
def test_holm_is_that_of_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


@settings(deadline=None)
@given(STEPS)
def test_p_lies_on_the_grid_of_what_can_be_reached(d: np.ndarray) -> None:
    d = rounded(d)
    p, nonzero = exact_p(d), int(np.count_nonzero(d))
    assert smallest_p(nonzero) <= p <= 1
    assert (p * 2**nonzero).is_integer()


@settings(deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_neither_order_nor_sign_nor_unit_changes_p(d: np.ndarray, random: object) -> None:
    p = exact_p(rounded(d))
    order = list(d)
    random.shuffle(order)  # type: ignore[attr-defined]
    assert exact_p(rounded(np.array(order))) == p
    assert exact_p(rounded(-d)) == p
    assert exact_p(rounded(d * 100)) == p
