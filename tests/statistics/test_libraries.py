"""What the libraries do with awkward input, in the versions that are pinned, and what comes of it here.

Each test shows the trap first: when it stops, a newer version mended it and the way around can go.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from assay.statistics.contrasts import comparison
from assay.statistics.families import compare
from assay.statistics.intervals import ItemBootstrap
from assay.statistics.more_repeats import more_repeats
from assay.statistics.paired import exact_p, rounded
from tests.statistics.tables import ask, from_differences, sign_flip_of_scipy, tidy_table
from tests.statistics.test_item_bootstrap import predictions

# scipy's permutation_test ----------------------------------------------------------------------------


def test_nan_gives_scipy_a_p_of_0_and_is_no_value_here() -> None:
    d = np.array([0.1, 0.2, np.nan, -0.3, 0.1, 0.2])
    assert sign_flip_of_scipy(d) == 0.0
    with pytest.raises(ValueError, match="a difference is a number, found nan"):
        exact_p(rounded(d))
    answer = from_differences(list(d))
    assert (answer.n, answer.p) == (5, exact_p(rounded(np.delete(d, 2))))


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_a_value_without_bounds_is_refused(value: float) -> None:
    with pytest.raises(
        ValueError, match=r"a value is a finite number, found -?inf for image_ap of a, seed 1"
    ):
        ask([0.5, 0.6, 0.7], [0.5, value, 0.7])


def test_one_difference_raises_in_scipy_and_is_too_few_here() -> None:
    with pytest.raises(ValueError, match="two or more observations"):
        sign_flip_of_scipy(np.array([0.1]))
    assert from_differences([0.1]).verdict == "too few"
    assert exact_p(np.array([0.1])) == 1.0


@pytest.mark.parametrize(("n", "exact"), [(13, True), (14, False)])
def test_scipy_draws_from_14_repeats_on_by_default_and_here_p_stays_exact(n: int, exact: bool) -> None:
    d = rounded(np.arange(1, n + 1) / 10)
    assert (sign_flip_of_scipy(d, resamples=9999) == pytest.approx(2 / 2**n, rel=1e-9)) is exact
    assert exact_p(d) == 2 / 2**n


def test_sums_that_should_be_equal_are_so_here_only() -> None:
    d = rounded(np.array([-3, -2, -2, 4]) / 17)  # on 12 digits 4/17 is not twice 2/17
    assert exact_p(d) == exact_p(np.array([-3.0, -2, -2, 4])) == 12 / 16
    assert sign_flip_of_scipy(d) == 10 / 16


# The paired t test -----------------------------------------------------------------------------------

BASE = np.array([0.5, 0.52, 0.48, 0.51, 0.55, 0.47])


def test_constant_differences_are_certain_for_the_t_test_and_never_suggested_here() -> None:
    with pytest.warns(RuntimeWarning, match="Precision loss"):
        assert stats.ttest_rel(BASE[:5] + 0.1, BASE[:5]).pvalue < 1e-30
    answer = ask(list(BASE[:5]), list(BASE[:5] + 0.1))
    assert (answer.p, answer.verdict, answer.g) == (0.0625, "open", None)


def test_equal_scores_are_nan_for_the_t_test_and_identical_here() -> None:
    assert math.isnan(stats.ttest_rel(BASE, BASE).pvalue)
    answer = ask(list(BASE), list(BASE))
    assert (answer.p, answer.verdict) == (1.0, "identical")


def test_one_repeat_is_nan_for_the_t_test_and_has_no_interval_here() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = stats.ttest_rel([0.6], [0.5]).confidence_interval()
    assert math.isnan(interval.low)
    answer = ask([0.5], [0.6])
    assert (answer.low, answer.p, answer.verdict) == (None, None, "too few")


# Wilcoxon --------------------------------------------------------------------------------------------

FOURTEEN = [-3, 0, 1, 3, -1, 0, 0, 0, -1, 1, 1, 1, 1, 0]  # ties and zeros


def test_wilcoxon_is_exact_to_13_repeats_in_scipy_and_beyond_here() -> None:
    thirteen, fourteen = np.array(FOURTEEN[:13], float), np.array(FOURTEEN, float)
    assert stats.wilcoxon(thirteen).pvalue == pytest.approx(exact_p(thirteen, "wilcoxon"))
    assert exact_p(fourteen, "wilcoxon") == pytest.approx(exact_p(thirteen, "wilcoxon"))  # a zero more
    assert abs(stats.wilcoxon(fourteen).pvalue - exact_p(fourteen, "wilcoxon")) > 0.1


@pytest.mark.parametrize(
    ("d", "zeros", "wrong", "right"),
    [([1, 1, -1], "wilcox", 0.75, 1.0), ([0, 0, 1, 1, 1], "zsplit", 0.1875, 0.25)],
)
def test_wilcoxon_asked_to_be_exact_is_wrong_with_ties_and_zeros_in_scipy_only(
    d: list[float], zeros: str, wrong: float, right: float
) -> None:
    asked = stats.wilcoxon(np.array(d, float), method="exact", zero_method=zeros)
    assert asked.pvalue == pytest.approx(wrong)
    assert exact_p(np.array(d, float), "wilcoxon") == right


@pytest.mark.parametrize("n", [6, 10])
def test_wilcoxon_without_ties_is_that_of_scipy(n: int) -> None:
    for seed in range(10):
        d = rounded(np.random.default_rng(seed).normal(0.5, 1, n))
        assert exact_p(d, "wilcoxon") == pytest.approx(stats.wilcoxon(d).pvalue)


# Bootstrap -------------------------------------------------------------------------------------------


def test_bca_of_constant_data_is_nan_and_perfect_scores_have_a_bound_here() -> None:
    with pytest.warns() as caught:
        interval = stats.bootstrap((np.ones(6),), np.mean, method="BCa").confidence_interval
    assert any(isinstance(one.message, stats.DegenerateDataWarning) for one in caught)
    assert math.isnan(interval.low)
    table = predictions(0)
    luck = ItemBootstrap(table.assign(score=table["label"].astype(float))).cell(["t"])
    assert (luck.low, luck.high) == (None, None)
    assert luck.note.startswith("no error on 7 defective items; at most 35 % missed")


# statsmodels -----------------------------------------------------------------------------------------


def test_holm_with_nan_counts_it_in_statsmodels_and_it_enters_as_1_here() -> None:
    p = [0.01, np.nan, 0.03]
    corrected = multipletests(p, method="holm")[1]
    assert corrected[0] == pytest.approx(0.03)
    assert math.isnan(corrected[1])
    d = np.linspace(0.01, 0.05, 8)
    table = tidy_table({"b": [0.5] * 8, "a": 0.5 + d, "lost": [None] * 8})
    asked = [comparison("x", "b", "a"), comparison("y", "b", "lost")]
    found, lost = compare(table, asked, metric="image_ap")
    assert (found.p_adjusted, lost.p, lost.p_adjusted) == (found.p, None, None)


@pytest.mark.parametrize("effect", [20.0, 1e3, 1e9])
def test_power_of_huge_effects_is_not_solved_by_statsmodels_and_is_here(effect: float) -> None:
    with pytest.warns(ConvergenceWarning):
        assert math.isnan(TTestPower().solve_power(effect_size=effect, alpha=0.05, power=0.8))
    assert more_repeats(3, 0.01, effect * 0.01, 1)[:3] == (3, 3, 3)


def test_the_noncentral_t_turns_nan() -> None:
    assert math.isnan(stats.nct.cdf(-2.5, 9, 10.0))


@pytest.mark.parametrize("m", [1, 25, 1000])
def test_no_number_of_repeats_turns_nan(m: int) -> None:
    for effect in np.geomspace(0.01, 1e6, 60):
        more = more_repeats(5, 0.01, effect * 0.01, m)
        assert math.isfinite(more.half_width)
        assert more.estimate is None or more.estimate >= 0
