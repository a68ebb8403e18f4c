"""Verdicts and their words, families, looks, and repeats until settled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from assay.analysis.statistics import compare, comparison, sentence
from assay.analysis.statistics.more_repeats import more_repeats
from assay.analysis.statistics.paired import enough_repeats
from assay.analysis.statistics.wording import p_text
from tests.analysis.statistics.tables import ask, from_differences, tidy_table

FIVE = [0.010, 0.018, 0.021, 0.024, 0.032]
TEN = [0.01, 0.02, 0.03, 0.02, 0.01, 0.025, 0.015, 0.03, 0.02, 0.01]


def family(m: int, d: list[float]) -> list:
    """One comparison with differences ``d`` among m − 1 of pure noise."""
    rng = np.random.default_rng(3)
    n = len(d)
    base = rng.normal(0.5, 0.05, n)
    cells = {"base": base, "a": base + d} | {f"n{i}": rng.normal(0.5, 0.05, n) for i in range(m - 1)}
    others = [comparison(name, "base", name) for name in cells if name != "base"]
    return list(compare(tidy_table(cells), others, metric="image_ap"))


@pytest.mark.parametrize(
    ("d", "verdict"),
    [
        (FIVE, "suggested"),
        (TEN, "shown"),
        ([0.01, 0.03, 0.02, 0.04, 0.015, 0.02], "shown"),
        ([0.01, -0.03, 0.02, 0.04, -0.015, 0.02], "open"),
        ([0.01, -0.03, 0.02, 0.04, -0.015], "open"),
        ([0.0] * 5, "identical"),
        ([0.01, 0.02], "too few"),
        ([0.02, 0.0, 0.021, 0.019, 0.02, 0.02], "suggested"),  # a tie leaves five differences: p_min .0625
    ],
)
def test_the_verdict_of_one_comparison(d: list[float], verdict: str) -> None:
    assert from_differences(d).verdict == verdict


def test_with_five_repeats_the_answer_says_what_the_exact_test_cannot() -> None:
    answer = family(4, [0.019, 0.0205, 0.021, 0.0215, 0.023])[0]
    assert answer.verdict == "suggested"
    assert (
        "With 5 repeats the exact test cannot go below p = .0625; 1 more could reach .031, "
        "this family of 4 needs 3 more."
    ) in sentence(answer, 3)
    assert sentence(answer, 3).startswith("suggested: +0.021 [0.019, 0.023], better in 5 of 5, p = .25.")


def test_six_repeats_speak_alone_and_not_in_a_family_of_four() -> None:
    d = [0.019, 0.0205, 0.021, 0.0215, 0.023, 0.0222]
    assert from_differences(d).verdict == "shown"
    in_family = family(4, d)[0]
    assert in_family.verdict == "suggested"
    assert "cannot go below p = .031; this family of 4 needs 2 more." in sentence(in_family, 3)


def test_holm_is_over_the_whole_family() -> None:
    answers = family(5, TEN)
    order = sorted(answers, key=lambda one: one.p)
    adjusted = np.maximum.accumulate([(5 - i) * one.p for i, one in enumerate(order)])
    assert [one.p_holm for one in order] == pytest.approx(np.minimum(adjusted, 1))
    assert all(one.m == 5 for one in answers)


def test_each_look_at_which_the_test_could_fire_multiplies_p() -> None:
    once, thrice = from_differences(TEN), from_differences(TEN, earlier_looks=(3, 5, 6, 8, 10))
    assert (once.looks, thrice.looks) == (1, 3)  # 6, 8 and now; at 3 and 5 it could not
    assert thrice.p == pytest.approx(3 * once.p)


@pytest.mark.parametrize(
    ("differences", "marked"),
    [
        ([0.001, 0.001, 0.001, 0.001, 0.001, 0.08], True),  # p = .031, and the outlier makes it wide
        (TEN, False),
        (FIVE, False),  # the exact test had no chance: `suggested` says it
    ],
    ids=["an outlier", "ten", "five"],
)
def test_an_interval_that_disagrees_with_the_exact_test_is_marked(
    differences: list[float], marked: bool
) -> None:
    assert from_differences(differences).disagree is marked


def test_one_sided_spread_is_noted() -> None:
    note = "one-sided spread: interval approximate (about 89 % measured)"
    quiet, loud = [0.50, 0.51, 0.52, 0.50, 0.51, 0.53], [0.2, 0.9, 0.4, 0.7, 0.1, 0.8]
    assert ask([1.0, 1.0, 1.0, 0.9, 0.8, 0.95], quiet).note == note
    assert ask(quiet, loud).note == note
    assert ask(quiet, [x + 0.01 * i for i, x in enumerate(quiet)]).note == ""
    assert ask([0, 0, 0, 1, 2, 1], [4, 5, 6, 5, 4, 7], metric="fp").note == note  # no error is its bound


def test_better_means_lower_where_the_metric_counts_errors() -> None:
    answer = ask([3, 4, 5, 6], [2, 5, 4, 5], metric="fp")
    assert (answer.difference, answer.better, answer.tied) == (-0.5, 3, 0)


@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize("effect", [0.5, 0.7, 1.0, 1.5, 2.0, 5.0])
def test_repeats_until_settled_are_those_of_the_power_analysis(effect: float, m: int) -> None:
    n, sd = 5, 0.02
    powered = np.ceil(TTestPower().solve_power(effect_size=effect, alpha=0.05 / m, power=0.8))
    more = more_repeats(n, sd, effect * sd, m)
    expected = max(enough_repeats(m), int(powered))
    assert more.estimate == (expected - n if expected <= 50 else None)


def test_the_range_comes_from_what_five_repeats_know_of_the_spread() -> None:
    more = more_repeats(5, 0.01, 0.01, 1)
    low, high = (0.01 * np.sqrt(4 / stats.chi2.ppf(q, 4)) for q in (0.8, 0.2))
    assert more.estimate == 10 - 5
    assert more.low == more_repeats(5, low, 0.01, 1).estimate
    assert more.high == more_repeats(5, high, 0.01, 1).estimate


def test_what_fifty_repeats_would_not_show_is_said_so() -> None:
    d = np.random.default_rng(0).normal(0, 0.05, 6)
    text = sentence(from_differences(list(d), resolve=0.001), 3)
    assert "To show a difference of 0.001: not within 50; at 50 the interval would be ± 0.0" in text


def test_without_resolve_the_difference_that_was_found_is_meant() -> None:
    answer = from_differences(FIVE)
    assert answer.more is not None
    assert answer.more.delta == pytest.approx(answer.difference)
    assert from_differences(TEN).more is None  # shown


def test_own_splits_never_average_the_overlap_away() -> None:
    alone, overlapping = more_repeats(5, 0.02, 0.02, 1), more_repeats(5, 0.02, 0.02, 1, overlap=0.5)
    assert alone.estimate == 5
    assert overlapping.estimate is None
    assert overlapping.half_width == pytest.approx(stats.t.ppf(0.975, 49) * 0.02 * np.sqrt(1 / 50 + 0.5))


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0625, ".0625"), (0.03125, ".031"), (0.5, ".5"), (1.0, "1"), (0.0004, "< .001"), (0.05, ".05")],
)
def test_p_is_written_without_its_zero(p: float, text: str) -> None:
    assert p_text(p) == text


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=9), st.randoms(use_true_random=False))
def test_an_answer_depends_on_neither_the_order_of_rows_nor_the_names(d: list[float], random: object) -> None:
    base = list(np.linspace(0.4, 0.6, len(d)))
    table = tidy_table({"b": base, "a": [x + y for x, y in zip(base, d, strict=True)]})
    order = list(range(len(table)))
    random.shuffle(order)  # type: ignore[attr-defined]
    renamed = table.assign(cell=table["cell"].map({"a": "z", "b": "y"}), seed=table["seed"] * 7 + 3)
    one = compare(table, [comparison("x", "b", "a")], metric="image_ap")[0]
    other = compare(renamed.iloc[order], [comparison("x", "y", "z")], metric="image_ap")[0]
    swapped = compare(table, [comparison("x", "a", "b")], metric="image_ap")[0]
    assert (other.p, other.low, other.verdict) == (one.p, one.low, one.verdict)
    assert (swapped.p, swapped.verdict, swapped.better) == (one.p, one.verdict, one.n_nonzero - one.better)
    assert swapped.difference == pytest.approx(-one.difference, abs=1e-12)
