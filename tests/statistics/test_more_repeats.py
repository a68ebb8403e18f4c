"""Repeats until a difference is shown: those of the power analysis, six only where the test can say it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from assay.statistics.contrasts import comparison
from assay.statistics.families import Rules, compare
from assay.statistics.more_repeats import more_repeats, repeats_until_negligible
from assay.statistics.paired import enough_repeats, exact_p, rounded, sign_vectors, signed_ranks, stepdown_p
from tests.statistics.tables import ask, tidy_table


@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize("effect", [0.05, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 5.0, 10.0])
def test_repeats_until_settled_are_those_of_the_power_analysis(effect: float, m: int) -> None:
    n, sd = 5, 0.02
    powered = np.ceil(TTestPower().solve_power(effect_size=effect, alpha=0.05 / m, power=0.8))
    more = more_repeats(n, sd, effect * sd, m)
    expected = max(enough_repeats(), int(powered))
    if expected == 6 and effect < {1: 1.79, 4: 2.6}[m]:  # six have to go one way, clearer than all others
        expected = 7
    assert more.estimate == (expected - n if expected <= 50 else None)


@pytest.mark.parametrize("effect", [1.45, 1.6, 1.75, 1.8, 2.5])
def test_the_exact_test_has_the_chance_that_is_told(effect: float) -> None:
    n = more_repeats(3, 1.0, effect, 1).estimate
    assert n is not None
    draws = np.random.default_rng(0).normal(effect, 1, (1500, 3 + n))
    assert np.mean([exact_p(rounded(d)) <= 0.05 for d in draws]) > 0.78


@pytest.mark.parametrize(("m", "effect"), [(2, 1.8), (2, 2.2), (4, 2.05), (4, 2.65), (8, 2.4), (8, 3.1)])
def test_so_has_max_t_where_nothing_else_in_the_family_differs(m: int, effect: float) -> None:
    n = more_repeats(5, 1.0, effect, m).estimate
    assert n is not None
    rng = np.random.default_rng(0)
    vectors = sign_vectors(5 + n, 0)
    scores = rng.normal(0, np.sqrt(0.5), (2000, 5 + n, m + 1))
    scores[:, :, 1] += effect
    shown = [stepdown_p(of_draw[:, 1:] - of_draw[:, :1], vectors)[0] <= 0.05 for of_draw in scores]
    assert np.mean(shown) > 0.77


@pytest.mark.parametrize(("m", "fewest"), [(1, 6), (2, 7), (4, 8), (8, 9), (28, 11)])
def test_of_ranks_the_fewest_repeats_grow_with_the_family(m: int, fewest: int) -> None:
    """However clear a comparison is: the first number with which signed ranks show it beside m - 1 others."""
    assert more_repeats(5, 1.0, 100.0, m, ranks=True).estimate == fewest - 5
    rng = np.random.default_rng(0)
    for n, shown in ((fewest - 1, False), (fewest, True)):
        d = rng.normal(0, 1, (n, m))
        d[:, 0] = 100 + rng.normal(0, 1, n)
        ranks = np.apply_along_axis(signed_ranks, 0, d)
        assert (stepdown_p(ranks, sign_vectors(n, 0))[0] <= 0.05) == shown


@pytest.mark.parametrize(("m", "effect"), [(2, 1.9), (4, 1.95), (8, 2.0)])
def test_at_the_fewest_repeats_ranks_have_the_chance_that_is_told(m: int, effect: float) -> None:
    n = 5 + (more_repeats(5, 1.0, effect, m, ranks=True).estimate or 0)
    assert n == enough_repeats(m)
    draws = np.random.default_rng(0).normal(effect, 1, (5_000, n))
    assert np.mean((draws > 0).all(axis=1)) > 0.79


@pytest.mark.parametrize(("m", "least"), [(1, 1.793), (2, 2.17), (4, 2.6), (8, 3.05)])
def test_six_repeats_are_enough_from_a_size_that_grows_with_the_family(m: int, least: float) -> None:
    assert more_repeats(5, 1.0, least - 0.03, m).estimate == 2
    assert more_repeats(5, 1.0, least + 0.03, m).estimate == 1


def test_the_range_comes_from_what_five_repeats_know_of_the_spread() -> None:
    more = more_repeats(5, 0.01, 0.01, 1)
    low, high = (0.01 * np.sqrt(4 / stats.chi2.ppf(q, 4)) for q in (0.8, 0.2))
    assert more.estimate == 10 - 5
    assert more.low == more_repeats(5, low, 0.01, 1).estimate
    assert more.high == more_repeats(5, high, 0.01, 1).estimate


@pytest.mark.parametrize(("seeds", "folds", "effect"), [(2, 3, 2.5), (2, 2, 3.0), (3, 5, 2.0)])
def test_on_own_splits_with_folds_the_number_is_that_of_whole_seeds(
    seeds: int, folds: int, effect: float
) -> None:
    """S seeds of K folds know the spread with S + K − 2 degrees of freedom, not with S·K − 1."""
    overlap = 1 / (folds - 1)

    def power(number: int) -> float:
        df = number + folds - 2
        noncentrality = effect / np.sqrt(1 / (number * folds) + overlap)
        return float(stats.nct.sf(stats.t.ppf(0.975, df), df, noncentrality))

    enough = next(number for number in range(seeds, 99) if power(number) >= 0.8)
    more = more_repeats(seeds * folds, 1.0, effect, 1, overlap=overlap, folds=folds)
    assert more.estimate == (enough - seeds) * folds
    df = 50 / folds + folds - 2
    assert more.half_width == pytest.approx(stats.t.ppf(0.975, df) * np.sqrt(1 / 50 + overlap))


def test_folds_of_own_splits_reach_the_forecast_of_a_comparison() -> None:
    d = np.random.default_rng(1).normal(0, 0.05, (2, 3))
    base = np.random.default_rng(2).normal(0.5, 0.02, (2, 3))
    table = tidy_table({"b": base.tolist(), "a": (base + d).tolist()}, folds=3)
    rules = Rules(splits="per_seed", resolve=0.1)
    results = compare(table, [comparison("x: b → a", "b", "a")], metric="image_ap", rules=rules)
    (result,) = (each for each in results if each.claim == "new data")
    sd = float(np.std(result.differences, ddof=1))
    assert result.more == more_repeats(6, sd, 0.1, 1, overlap=0.5, folds=3)
    needed = repeats_until_negligible(0.1 / sd, 1, overlap=0.5, folds=3)
    assert needed is not None
    assert result.more_negligible == needed - 6


def test_differences_that_cancel_but_for_rounding_have_no_forecast() -> None:
    """Without `resolve` the difference found is what is to be shown, and there is none."""
    result = ask([0.5, 0.5, 0.5], [0.6, 0.7, 0.2])
    assert result.difference != 0.0
    assert result.more is None
