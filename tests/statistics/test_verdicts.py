"""Verdicts and their words, families, looks, and repeats until settled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.statistics.contrasts import Contrast, comparison
from assay.statistics.families import Rules, compare
from assay.statistics.more_repeats import More, more_repeats, repeats_until_negligible
from assay.statistics.paired import rounded, sign_vectors, signed_ranks, stepdown_p
from assay.statistics.wording import claimed_text, negligible_at_text, number_text, p_text, sentence
from tests.statistics.tables import ask, from_differences, tidy_table
from trainables.evaluation.metrics import ReportedMetric

FIVE = [0.010, 0.018, 0.021, 0.024, 0.032]
MIXED = [0.01, 0.02, 0.03, -0.02, -0.012, 0.025, 0.03, 0.03, 0.02, 0.01]  # clear with the last repeats only
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


@pytest.mark.parametrize(
    ("metric", "told"), [("image_ap", "the exact test cannot go below p = .0625."), ("fp", "not tested.")]
)
@pytest.mark.parametrize("n", [2, 5])
def test_where_a_trial_diverged_no_number_of_repeats_is_said_to_reach_a_p(
    metric: str, told: str, n: int
) -> None:
    lower = [0.1, 0.2, 0.32, 0.41, 0.55]
    upper = [0.5, 0.61, 0.7, 0.82, 0.9]
    says = sentence(ask([*lower[:n], 0.3], [*upper[:n], "diverged"], metric=metric))
    assert "could reach" not in says
    assert "can speak" not in says
    assert (told in says) is (n == 5 or metric == "fp")
    assert ("cannot go below" in says) is (n == 5 and metric == "image_ap")


def test_repeats_that_tie_are_not_all_equal_where_another_diverged() -> None:
    tied = [0.5, 0.6, 0.7, 0.55]
    assert "all equal" in ask(tied, tied).note
    assert "all equal" not in ask([*tied, 0.5], [*tied, "diverged"]).note


def test_a_difference_is_not_small_where_a_trial_diverged() -> None:
    lower = np.linspace(0.5, 0.6, 8)
    upper = lower + 0.001 * np.arange(3, 11)
    assert ask(lower, upper, resolve=0.02).small
    lost = ask([*lower, "diverged"], [*upper, 0.5], resolve=0.02)
    assert (lost.verdict, lost.small) == ("shown", False)


@pytest.mark.parametrize(
    ("size", "decimals", "text"),
    [
        (12.4, 1, "12.4"),
        (0.02475, 3, "0.0248"),
        (0.02475, 4, "0.02475"),
        (2.8, 1, "2.8"),
        (1234.5, 0, "1234"),
        (999.7, 0, "1000"),
    ],
)
def test_the_difference_to_be_shown_is_written_with_its_digits(size: float, decimals: int, text: str) -> None:
    metric = ReportedMetric(name="ap", title="AP", description="", unit="", digits=decimals)
    answer = replace(from_differences(MIXED[:5]), more=More(4, 2, 13, size, 0.1), scored_by=metric)
    assert f"(2–13) would show a difference of {text} with 80 % chance." in sentence(answer)


def test_a_range_without_an_upper_end_is_told_in_words() -> None:
    answer = replace(from_differences(MIXED[:5]), more=More(17, 11, None, 0.01, 0.1))
    assert "About 17 more repeats (11 to more than 50) would show" in sentence(answer)


@pytest.mark.parametrize(
    ("value", "text"),
    [(126.0, "126"), (99.7, "100"), (8.0, "8"), (0.0083, "0.0083"), (0.05 / 506, "0.000099")],
)
def test_no_number_has_an_exponent(value: float, text: str) -> None:
    assert number_text(value, 2) == text


def test_repeats_that_would_have_shown_a_difference_worth_knowing_are_no_few_more() -> None:
    answer = replace(from_differences(MIXED[:5]), more=More(0, 0, 0, 0.01, 0.001))
    assert "5 repeats would show a difference of 0.01 with 80 % chance, and did not." in sentence(answer)


def test_with_five_repeats_the_answer_says_what_the_exact_test_cannot() -> None:
    answer = from_differences([0.019, 0.0205, 0.021, 0.0215, 0.023])
    assert answer.verdict == "suggested"
    says = sentence(answer)
    assert "With 5 repeats the exact test cannot go below p = .0625; 1 more could reach .031." in says
    assert says.startswith("suggested: +0.021 [0.019, 0.023], better in 5 of 5, p = .0625.")


@pytest.mark.parametrize("m", [1, 4, 28])
def test_six_repeats_speak_in_a_family_of_any_size(m: int) -> None:
    clear = family(m, [0.019, 0.0205, 0.021, 0.0215, 0.023, 0.0222])[0]
    assert (clear.m, clear.verdict, clear.p_adjusted) == (m, "shown", 2 / 64)


def test_adjusted_p_are_those_of_max_t_over_the_whole_family() -> None:
    answers = family(5, TEN)
    differences = np.array([answer.differences for answer in answers]).T
    expected = stepdown_p(differences, sign_vectors(len(TEN), 0))
    assert [answer.p_adjusted for answer in answers] == pytest.approx(expected)
    assert all(answer.p_adjusted >= answer.p for answer in answers)


def test_a_repeat_that_one_comparison_lacks_counts_zero_in_it() -> None:
    up = np.linspace(0.4, 0.6, 8)
    gain = 0.02 + 0.001 * np.arange(8)
    other = 0.01 * np.array([1, -1, 2, 1, -1, 1, 1, 0.5])
    table = tidy_table({"b": up, "a": up + gain, "c": [*(up + other)[:6], None, None]})
    asked = [comparison("x", "b", "a"), comparison("y", "b", "c")]
    answers = compare(table, asked, metric="image_ap")
    zeros = np.array([gain, [*other[:6], 0, 0]]).T
    assert [answer.p_adjusted for answer in answers] == pytest.approx(stepdown_p(zeros, sign_vectors(8, 0)))
    assert answers[1].n == 6


def test_ranks_make_the_statistics_of_a_family_where_the_study_says_wilcoxon() -> None:
    d = [[0.01, 0.02, 0.03, 0.04, 0.05, 0.06, -0.9], [0.01, -0.02, 0.01, 0.03, 0.01, 0.02, 0.0]]
    up = np.linspace(0.4, 0.6, 7)
    table = tidy_table({"b": up, "a": up + d[0], "c": up + d[1]})
    asked = [comparison("x", "b", "a"), comparison("y", "b", "c")]
    answers = compare(table, asked, metric="image_ap", rules=Rules(test="wilcoxon"))
    ranks = np.array([signed_ranks(rounded(np.array(differences))) for differences in d]).T
    assert [answer.p_adjusted for answer in answers] == pytest.approx(stepdown_p(ranks, sign_vectors(7, 0)))


@pytest.mark.parametrize(("n", "further"), [(5, 4), (6, 3), (8, 1)])
def test_ranks_of_one_clear_comparison_of_eight_promise_nothing_below_nine_repeats(
    n: int, further: int
) -> None:
    base, *others = np.random.default_rng(3).normal(0.5, 0.002, (9, n))
    cells = {f"c{i}": scores + 0.05 * (i == 0) for i, scores in enumerate(others)}
    asked = [comparison(name, "b", name) for name in cells]
    table = tidy_table({"b": base} | cells)
    clear, *_ = compare(table, asked, metric="image_ap", rules=Rules(test="wilcoxon", resolve=0.05))
    assert clear.verdict in ("suggested", "open")
    assert clear.more is not None
    assert clear.more[:3] == (further,) * 3


@pytest.mark.parametrize("again", [comparison("x again", "b", "a"), comparison("x back", "a", "b")])
def test_a_comparison_given_twice_or_the_other_way_round_is_one(again: Contrast) -> None:
    table = tidy_table({"b": [0.5] * 6, "a": list(0.5 + 0.01 * np.arange(6))})
    answers = compare(table, [comparison("x", "b", "a"), again], metric="image_ap")
    assert [(answer.comparison, answer.m) for answer in answers] == [("x", 1)]


# Three to five repeats -------------------------------------------------------------------------------


def spread(sds: list[float], gain: float = 0.0) -> list[str]:
    """Verdicts of cells that differ from one base by ``gain`` ± so much, over three repeats."""
    shape = np.array([-1.0, 0.0, 1.0])
    base = np.linspace(0.5, 0.52, 3)
    cells = {"b": base} | {f"c{i}": base + gain + sd * np.roll(shape, i) for i, sd in enumerate(sds)}
    asked = [comparison(name, "b", name) for name in cells if name != "b"]
    return [
        f"{answer.verdict} {answer.note}".strip()
        for answer in compare(tidy_table(cells), asked, metric="image_ap")
    ]


def test_from_four_comparisons_on_their_spreads_lean_on_each_other() -> None:
    assert spread([0.01] * 3, gain=0.04) == ["open"] * 3
    assert spread([0.01] * 4, gain=0.04) == ["suggested"] * 4


def test_a_comparison_ten_times_noisier_than_the_others_is_never_suggested() -> None:
    *others, noisy = spread([0.005, 0.005, 0.005, 0.05], gain=0.3)
    assert noisy.startswith("open")
    assert "unequal spread: nothing is suggested" in noisy
    assert all("unequal spread" not in verdict for verdict in others)


def test_six_repeats_of_which_one_goes_the_other_way_are_suggested_by_what_the_exact_test_leaves() -> None:
    clear = [0.021, 0.018, 0.025, 0.019, 0.022, -0.001]
    answer = from_differences(clear)
    assert answer.p > 0.05 > 0.05 - 2**-5 > stats.ttest_1samp(clear, 0).pvalue
    assert answer.verdict == "suggested"
    assert "1.9 % that the exact test of six repeats leaves of 5 %" in answer.note
    less = [0.021, 0.011, 0.025, 0.009, 0.022, -0.006]
    assert 0.05 > stats.ttest_1samp(less, 0).pvalue > 0.05 - 2**-5
    assert from_differences(less).verdict == "open"
    assert from_differences([*clear, 0.02]).verdict == "shown"  # seven may differ once


# Negligible ------------------------------------------------------------------------------------------

QUIET = [0.001, -0.001, 0.002, -0.002, 0.001, 0.0005]


@pytest.mark.parametrize(
    ("d", "resolve", "verdict"),
    [
        (QUIET, 0.01, "negligible"),
        (QUIET, None, "open"),
        (QUIET, 0.0015, "open"),
        ([0.02, -0.03, 0.01, 0.04, -0.02, 0.0], 0.01, "open"),
        ([0.004, 0.005, 0.006, 0.005, 0.0045, 0.0055], 0.01, "shown"),  # as small, but its sign is known
        ([0.003, 0.002, 0.0025, 0.003], 0.01, "negligible"),  # rather than suggested
    ],
)
def test_negligible_is_what_surely_lies_within_resolve(
    d: list[float], resolve: float | None, verdict: str
) -> None:
    answer = from_differences(d, resolve=resolve)
    assert answer.verdict == verdict
    if verdict == "negligible":
        assert -resolve <= answer.low <= answer.high <= resolve
        assert (answer.more, answer.more_negligible) == (None, None)


def test_a_larger_family_asks_more_of_what_is_negligible() -> None:
    base = list(np.linspace(0.5, 0.6, 6))
    d = np.array(QUIET)
    cells = {"b": base} | {f"c{i}": base + np.roll(d, i) for i in range(12)}
    asked = [comparison(name, "b", name) for name in cells if name != "b"]
    resolve = 1.001 * max(map(abs, (from_differences(QUIET).low, from_differences(QUIET).high)))
    family = compare(tidy_table(cells), asked, metric="image_ap", rules=Rules(resolve=resolve))
    assert from_differences(QUIET, resolve=resolve).verdict == "negligible"
    assert {answer.verdict for answer in family} == {"open"}


def test_each_look_asks_more_of_what_is_negligible() -> None:
    resolve = 1.001 * max(map(abs, (from_differences(QUIET).low, from_differences(QUIET).high)))
    assert from_differences(QUIET, resolve=resolve).verdict == "negligible"
    assert from_differences(QUIET, resolve=resolve, earlier_looks=(3, 4)).verdict == "open"


def test_what_diverged_is_negligible_with_neither_filling_alone() -> None:
    up = np.linspace(0.4, 0.6, 6)
    answer = ask([*up, 0.5], [*(up + QUIET), "diverged"], resolve=0.01)
    assert answer.verdict == "open"


@pytest.mark.parametrize(
    ("name", "within", "says"),
    [
        ("CLM: off → on", "", "CLM can go: it changes AP by less than 0.01 (95 % interval −0.001 to 0.002)."),
        ("CLM: on → off", "few", "CLM can go within few: it changes AP by less than 0.01 (95 % interval"),
        ("masks: few → all", "", "masks: few → all changes AP by less than 0.01 (95 % interval −0.001"),
    ],
)
def test_what_is_negligible_can_go(name: str, within: str, says: str) -> None:
    base = np.linspace(0.5, 0.6, 6)
    table = tidy_table({"b": base, "a": base + QUIET})
    asked = [comparison(name, "b", "a", within)]
    (answer,) = compare(table, asked, metric="image_ap", rules=Rules(resolve=0.01))
    assert says in sentence(answer)


@pytest.mark.parametrize(("ratio", "n"), [(4, 3), (2, 5), (1.7, 6), (1.2, 10), (0.1, None)])
def test_repeats_until_negligible_find_it_with_four_in_five_chances(ratio: float, n: int | None) -> None:
    needed = repeats_until_negligible(ratio, 1)
    assert needed == n
    if n is not None:
        d = np.random.default_rng(0).normal(0, 1 / ratio, (4000, n))
        half = stats.t.ppf(0.975, n - 1) * d.std(axis=1, ddof=1) / np.sqrt(n)
        assert np.mean(np.abs(d.mean(axis=1)) + half <= 1) >= 0.78


@pytest.mark.parametrize(
    ("families", "text"),
    [
        ([[0.004, -0.005, 0.006]], "6"),
        ([[0.004, -0.005, 0.006], [0.014, -0.015, 0.016]], "6–34"),
        ([[0.04, -0.05, 0.06]], "> 50"),
        ([[0.004, -0.005, 0.006], [0.04, -0.05, 0.06]], "6 to > 50"),
        ([QUIET], "settled"),
    ],
)
def test_repeats_until_negligible_of_several_pairs_are_a_range(
    families: list[list[float]], text: str
) -> None:
    assert negligible_at_text([from_differences(d, resolve=0.01) for d in families]) == text


def test_an_open_answer_says_how_many_repeats_would_call_it_negligible() -> None:
    answer = from_differences([0.004, -0.005, 0.006], resolve=0.01)
    assert (
        answer.more_negligible == repeats_until_negligible(0.01 / np.std(answer.differences, ddof=1), 1) - 3
    )
    assert f"If nothing differs, about {answer.more_negligible} would call it" in sentence(answer)


def test_looks_at_which_the_test_could_fire_share_one_error() -> None:
    once, thrice = from_differences(MIXED), from_differences(MIXED, earlier_looks=(3, 5, 6, 8, 10))
    assert (once.looks, thrice.looks) == (1, 3)  # 6, 8 and now; at 3 and 5 it could not
    assert thrice.p == once.p  # of these repeats alone
    assert (once.verdict, thrice.verdict) == ("shown", "open")
    assert thrice.p_adjusted > 0.05 > once.p_adjusted


NEARLY = [0.01, 0.02, 0.03, 0.04, 0.012]  # p of the t test is .016


@pytest.mark.parametrize(("earlier", "verdict"), [((), "suggested"), ((2,), "suggested"), ((3,), "open")])
def test_a_look_at_three_repeats_or_more_costs_what_is_suggested(
    earlier: tuple[int, ...], verdict: str
) -> None:
    answer = from_differences(NEARLY, earlier_looks=earlier)
    assert answer.verdict == verdict
    assert ("asked at 2 numbers of seeds: p of the t test counts 4 times" in answer.note) is (earlier == (3,))


def test_a_look_at_which_the_exact_test_could_not_speak_costs_nothing() -> None:
    assert from_differences(MIXED, earlier_looks=(3, 5)) == from_differences(MIXED)


def test_what_an_earlier_look_showed_stays_shown() -> None:
    later = [*TEN, -0.05, 0.04, -0.06, 0.05]
    assert from_differences(later).verdict == "open"
    assert from_differences(later, earlier_looks=(10,)).verdict == "shown"


@pytest.mark.parametrize("study", range(6))
def test_beyond_fourteen_repeats_an_earlier_look_has_the_p_that_it_had(study: int) -> None:
    eight = [0.0268, 0.0238, -0.0184, 0.0247, 0.0141, 0.0151, 0.0145, 0.0146]
    added = [-0.01, 0.008, 0.002, -0.014, 0.001, -0.003, 0.01, -0.02]
    then = from_differences(eight, seed=study)
    assert then.p_adjusted == 12 / 256
    for later in ([*eight, *added], [*eight, *added, 0.01, -0.01]):
        now = from_differences(later, seed=study, earlier_looks=(8, 16)[: len(later) // 9])
        assert (now.verdict, now.p_adjusted) == ("shown", then.p_adjusted)


def test_ties_after_a_look_that_showed_a_difference_do_not_take_its_words_back() -> None:
    answer = from_differences([0.01, 0.03, 0.02, 0.04, 0.015, 0.02, 0, 0], earlier_looks=(6,))
    assert answer.verdict == "shown"
    assert "cannot go below" not in sentence(answer)


@pytest.mark.parametrize(
    ("d", "resolve", "told"),
    [
        (MIXED[:5], None, False),  # the exact test could not speak: nothing is spent
        (MIXED[:6], None, True),
        ([0.03, -0.02, 0.05, -0.06, 0.04, -0.01], 0.001, False),  # not within 50 repeats
        (TEN, None, False),  # shown
    ],
)
def test_repeats_that_are_added_after_a_look_are_said_to_have_less_chance(
    d: list[float], resolve: float | None, told: bool
) -> None:
    answer = from_differences(d, resolve=resolve)
    assert ("Repeats added now have less power" in sentence(answer)) is told


def test_a_look_had_the_seeds_that_it_saw_wherever_the_study_names_those_that_came_later() -> None:
    in_front = [-0.05, 0.04, -0.06, 0.05, *TEN]
    assert from_differences(in_front, earlier_looks=(10,)).verdict == "open"
    assert from_differences(in_front, earlier_looks=(tuple(range(4, 14)),)).verdict == "shown"


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
    note = "skewed differences: interval covers about 89 %"
    quiet, loud = [0.50, 0.51, 0.52, 0.50, 0.51, 0.53], [0.2, 0.9, 0.4, 0.7, 0.1, 0.8]
    assert ask([1.0, 1.0, 1.0, 0.9, 0.8, 0.95], quiet).note == note
    assert ask(quiet, loud).note == note
    assert ask(quiet, [x + 0.003 * i for i, x in enumerate(quiet)]).note == ""
    assert ask([0, 0, 0, 1, 2, 1], [4, 5, 6, 5, 4, 7], metric="fp").note == note  # no error is its bound
    for rounded_1 in (1 - 4e-16, 1 + 4e-16):  # as records have it whose sums of shares were rounded
        assert ask([rounded_1] * 3 + [0.97, 0.98, 0.99], quiet).note == note


def test_better_means_lower_where_the_metric_counts_errors() -> None:
    answer = ask([3, 4, 5, 6], [2, 5, 4, 5], metric="fp")
    assert (answer.difference, answer.better, answer.tied) == (-0.5, 3, 0)


def test_what_fifty_repeats_would_not_show_is_said_so() -> None:
    d = np.random.default_rng(0).normal(0, 0.05, 6)
    text = sentence(from_differences(list(d), resolve=0.001))
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


@pytest.mark.parametrize(("p", "text"), [(0.05042, ".0504"), (0.05003, ".05003"), (102 / 2048, ".0498")])
def test_a_p_beside_the_level_is_not_rounded_to_it(p: float, text: str) -> None:
    assert p_text(p) == text


@pytest.mark.parametrize(("repeats", "ending"), [(6, ", p = .031."), (12, ", p < .001.")])
def test_a_p_too_small_to_be_written_is_said_to_be_below(repeats: int, ending: str) -> None:
    answer = from_differences([0.1 + 0.001 * index for index in range(repeats)])
    assert claimed_text(answer).endswith(ending)


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
