"""Degenerate data get plain sentences: never a NaN, never a p of 1e-31."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assay.statistics.contrasts import comparison
from assay.statistics.families import ComparisonResult, compare
from assay.statistics.paired import exact_p, rounded
from assay.statistics.wording import negligible_at_text, sentence
from tests.statistics.tables import Value, ask, from_differences, tidy_table

UP = [0.5, 0.52, 0.48, 0.51, 0.55, 0.47]


def has_nan(answer: ComparisonResult) -> bool:
    values = [*dataclasses.asdict(answer).values(), *answer.differences]
    return any(isinstance(value, float) and not math.isfinite(value) for value in values)


@pytest.mark.parametrize(
    ("b", "a", "n", "verdict", "says"),
    [
        ([0.5], [0.6], 1, "too few", "too few runs: +0.100, better in 1 of 1."),
        (
            [0.5, 0.6],
            [0.6, 0.62],
            2,
            "too few",
            "too few runs: +0.060 (+0.100 and +0.020), better in 2 of 2.",
        ),
        (
            [0.5, 0.6],
            [0.5, 0.6],
            2,
            "too few",
            "too few runs: 0.000 (0.000 and 0.000), better in 0 of 2, 2 tied.",
        ),
        ([None, None], [0.5, None], 0, "too few", "too few runs: no repeat is complete."),
        (UP, UP, 6, "identical", "with 95 % confidence fewer than 39 % of repeats differ"),
        (UP[:5], UP[:5], 5, "identical", "fewer than 45 % of repeats differ"),
        ([*UP, *UP[:4]], [*UP, *UP[:4]], 10, "identical", "fewer than 26 % of repeats differ"),
        (UP[:3], [x + 0.1 for x in UP[:3]], 3, "open", "No spread seen"),
        (UP, [x + 0.1 for x in UP], 6, "shown", "No spread seen"),
        ([1.0] * 6, [1.0] * 6, 6, "identical", "better in 0 of 6, 6 tied"),
    ],
)
def test_degenerate_data_have_their_sentence(
    b: list[Any], a: list[Any], n: int, verdict: str, says: str
) -> None:
    answer = ask(b, a)
    assert (answer.n, answer.verdict) == (n, verdict)
    assert says in sentence(answer)
    assert not has_nan(answer)
    assert not has_nan(ask(b, a, resolution=1 / 17, resolve=0.01))


@pytest.mark.parametrize("step", [None, 1 / 17])
def test_what_has_no_interval_has_no_approximate_one(step: float | None) -> None:
    """At the bound in every repeat, always by the same difference: an interval needs the metric's step."""
    answer = ask([0.9] * 6, [1.0] * 6, resolution=step)
    assert (answer.low is not None) == ("skewed differences" in answer.note) == (step is not None)


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_repeats_have_neither_interval_nor_p(n: int) -> None:
    answer = from_differences([0.02, 0.03][:n])
    assert (answer.low, answer.high, answer.p, answer.p_min, answer.g) == (None,) * 5


def test_without_spread_the_smallest_step_of_the_metric_makes_the_interval() -> None:
    answer = from_differences([0.1] * 5, resolution=1 / 17)
    half = 2.776 * (1 / 17) / math.sqrt(5)
    assert (answer.low, answer.high) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-4)
    assert (answer.p, answer.g, answer.verdict) == (0.0625, None, "open")  # never suggested
    assert (from_differences([0.1] * 5).low, from_differences([0.1] * 5).interval) == (None, "")


def test_a_spread_that_only_rounding_made_is_none() -> None:
    answer = from_differences([0.1, 0.1 + 1e-14, 0.1, 0.1 - 1e-14, 0.1, 0.1])
    assert answer.note.startswith("no spread seen")
    assert answer.p == 2 / 64


def test_differences_that_should_be_equal_are() -> None:
    answer = ask([0.1, 0.2, 0.7, 0.4, 0.5, 0.6], [0.3, 0.4, 0.9, 0.2, 0.7, 0.4])  # ±0.2 up to rounding
    assert set(answer.differences) == {0.2, -0.2}
    assert answer.p == pytest.approx(44 / 64)  # as often or more 4 : 2 than not: 2·(15 + 6 + 1)


def test_a_value_that_is_not_a_number_is_no_value() -> None:
    answer = ask([*UP, 0.5], [*(x + 0.1 * (i + 1) for i, x in enumerate(UP)), math.nan])
    assert (answer.n, answer.n_planned, answer.n_missing) == (6, 7, 1)
    assert not has_nan(answer)


def test_a_machines_failure_is_a_missing_trial() -> None:
    answer = ask(UP, [*(x + 0.1 + 0.01 * i for i, x in enumerate(UP[:5])), "failed"])
    assert (answer.n, answer.n_planned) == (5, 6)
    assert answer.note == "1 missing: p is as if it went the other way, as far as the others"


def test_what_diverged_must_be_shown_without_it_and_with_the_worst_value() -> None:
    up = np.linspace(0.4, 0.6, 9)
    gain = up + 0.05 + 0.01 * np.arange(9)
    complete = ask(up, gain)
    lost_here = ask([*up, 0.5], [*gain, "diverged"])
    lost_there = ask([*up, "diverged"], [*gain, 0.5])
    assert (lost_here.n, lost_here.n_planned) == (9, 10)
    assert complete.verdict == "shown"
    assert (lost_here.more, lost_here.more_negligible) == (None, None)  # further repeats may diverge, too
    # −0.5 for the lost repeat pulls the mean near 0; a base that diverged speaks for the other cell.
    assert (lost_here.verdict, lost_there.verdict) == ("open", "shown")
    assert lost_here.difference == pytest.approx(complete.difference)
    assert lost_there.p == complete.p  # the larger of the two
    assert "1 diverged: tested without and with 0 in place" in lost_there.note


def test_a_difference_that_changes_its_sign_with_the_worst_value_is_open() -> None:
    up = np.linspace(0.7, 0.9, 9)
    answer = ask([*up, 0.8], [*(up + 0.01 + 0.001 * np.arange(9)), "diverged"])
    assert (answer.p, answer.verdict, answer.more) == (1.0, "open", None)
    assert "two signs" in answer.note
    assert negligible_at_text([answer]) == "–"


@pytest.mark.parametrize(
    ("b", "a", "note"),
    [
        ([*UP, 0.8], [*UP, "diverged"], "1 diverged: over the other repeats the difference is 0"),
        ([*UP, 0.6], [*(x + 0.1 for x in UP), "diverged"], "1 diverged: with 0 in place the difference is 0"),
    ],
)
def test_a_difference_that_is_0_without_or_with_the_worst_value_is_open(
    b: list[Any], a: list[Any], note: str
) -> None:
    answer = ask(b, a)
    assert (answer.p, answer.verdict) == (1.0, "open")
    assert answer.note.endswith(note)


def test_a_count_has_no_worst_value_and_is_then_not_tested() -> None:
    answer = ask([5, 6, 7, 8, 9, 7, 6, 9], [3, 3, 3, 3, 3, 2, 1, "diverged"], metric="fp")
    assert (answer.p, answer.p_adjusted, answer.verdict) == (None, None, "open")
    assert "FP has no worst value" in answer.note


def test_what_could_not_be_computed_counts_in_the_family_and_costs_the_others_nothing() -> None:
    up = np.linspace(0.4, 0.6, 7)
    table = tidy_table({"b": up, "a": up + 0.1 + 0.01 * np.arange(7), "none": [None] * 7})
    contrasts = [comparison("x", "b", "a"), comparison("y", "b", "none"), comparison("z", "none", "a")]
    shown, *lost = compare(table, contrasts, metric="image_ap")
    assert shown.p_adjusted == shown.p
    assert [answer.verdict for answer in lost] == ["too few", "too few"]
    assert [answer.m for answer in (shown, *lost)] == [3, 3, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: pd.concat([t, t.iloc[:1]]), "two rows for image_ap of b, seed 0"),
        (lambda t: t.assign(study=["one"] + ["two"] * (len(t) - 1)), "one study at a time, found one, two"),
        (lambda t: t.assign(cell="other"), "two rows|no cell"),
    ],
)
def test_a_table_that_breaks_its_rules_is_refused(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(change(tidy_table({"b": UP, "a": UP})), [comparison("x", "b", "a")], metric="image_ap")


# Repeats that one cell lacks -------------------------------------------------------------------------

CLEAR = [0.021, 0.018, 0.025, 0.019, 0.022, 0.017, 0.024, 0.02, 0.023, 0.016]


def lacking(*seeds: int, both: bool = False) -> ComparisonResult:
    """Ten repeats that all gain, of which one cell (or both) has no value at some seeds."""
    lower: list[Value] = list(np.linspace(0.5, 0.6, 10))
    upper: list[Value] = [low + gain for low, gain in zip(np.linspace(0.5, 0.6, 10), CLEAR, strict=True)]
    for seed in seeds:
        upper[seed] = None
        lower[seed] = None if both else lower[seed]
    return ask(lower, upper)


def test_two_missing_repeats_of_ten_could_turn_what_eight_show() -> None:
    answer = lacking(3, 4)
    assert (answer.verdict, answer.n, answer.n_missing) == ("open", 8, 2)
    assert "2 missing: p is as if they went the other way, as far as the others" in answer.note
    assert answer.more is None  # what is missing would settle it


def test_one_missing_repeat_of_ten_leaves_a_clear_difference_shown_with_the_larger_p() -> None:
    answer = lacking(3)
    d = np.array([each for seed, each in enumerate(CLEAR) if seed != 3])
    against = np.append(d, -np.sqrt(np.mean(d**2)))
    assert answer.verdict == "shown"
    assert answer.p == exact_p(rounded(against)) > exact_p(rounded(d))
    assert not answer.disagree


def test_a_repeat_that_no_cell_has_turns_nothing() -> None:
    answer = lacking(3, 4, both=True)
    assert (answer.verdict, answer.n_missing, answer.p) == ("shown", 0, 2 / 256)
    assert "missing" not in answer.note


def test_below_six_repeats_one_that_is_missing_leaves_nothing_suggested() -> None:
    lower, gains = list(np.linspace(0.5, 0.6, 5)), CLEAR[:5]
    upper: list[Value] = [low + gain for low, gain in zip(lower, gains, strict=True)]
    assert ask(lower, upper).verdict == "suggested"
    assert ask(lower, [*upper[:4], None]).verdict == "open"


def test_missing_repeats_can_turn_what_is_negligible() -> None:
    lower = list(np.linspace(0.5, 0.6, 6))
    quiet = [0.001, -0.001, 0.002, -0.002, 0.001, 0.0005]
    upper: list[Value] = [low + gain for low, gain in zip(lower, quiet, strict=True)]
    assert ask(lower, upper, resolve=0.01).verdict == "negligible"
    far: list[Value] = [low + 0.0085 + gain / 10 for low, gain in zip(lower, quiet, strict=True)]
    assert ask(lower[:4], far[:4], resolve=0.01).verdict in ("negligible", "suggested")
    assert ask(lower[:4], [*far[:3], None], resolve=0.01).verdict == "open"
