"""`ask: can go`: a part is dispensable where dropping it surely loses less than `resolve`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from assay.statistics.contrasts import comparison
from assay.statistics.families import ComparisonResult, Rules, compare
from assay.statistics.interim_looks import decide
from assay.statistics.more_repeats import repeats_until_negligible
from assay.statistics.wording import loss_text, sentence
from tests.statistics.tables import from_differences, tidy_table

RESOLVE = 0.01
NO_GAIN = [0.004, -0.005, 0.002, -0.003, 0.001, 0.0005]  # of the cell with the part
HURTS = [-0.02, -0.035, 0.001, -0.015, -0.04, -0.001]  # unclear, and dropping it is no loss


def can_go(
    *gains: Sequence[float], metric: str = "image_ap", scale: float = 1.0, **options: object
) -> tuple[ComparisonResult, ...]:
    """One comparison `off → on` for each sequence of differences on − off, all in one family."""
    base = scale * (0.5 + 0.01 * np.random.default_rng(0).standard_normal(len(gains[0])))
    cells = {"off": base} | {f"on{i}": base + np.asarray(gain) for i, gain in enumerate(gains)}
    asked = [
        comparison(f"f{i}: off → on", "off", f"on{i}", ask="can go" if i == 0 else "pays")
        for i in range(len(gains))
    ]
    rules = Rules(**{"resolve": RESOLVE, **options})  # pyright: ignore[reportArgumentType]
    return compare(tidy_table(cells, metric=metric), asked, metric=metric, rules=rules)


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        (NO_GAIN, "dispensable"),
        (HURTS, "dispensable"),  # though not negligible: the other side does not count
        ([-gain for gain in HURTS], "open"),  # its gain is unclear, and may be large
        ([0.02, 0.03, 0.025, 0.028, 0.022, 0.03], "shown"),  # it pays
        ([0.004, 0.005, 0.006, 0.005, 0.0045, 0.0055], "shown"),  # it pays, if little: never `can go`
        ([-0.02, -0.03, -0.025, -0.028, -0.022, -0.03], "shown"),  # it costs
        ([0.0] * 6, "identical"),
        ([0.02, 0.03], "too few"),
    ],
)
def test_a_part_can_go_where_dropping_it_surely_loses_less_than_resolve(
    gain: list[float], verdict: str
) -> None:
    (result,) = can_go(gain)
    assert result.verdict == verdict
    if verdict == "dispensable":
        assert result.loses_at_most is not None
        assert result.loses_at_most <= RESOLVE
        assert result.p_can_go is not None
        assert result.p_can_go <= 0.05


def test_its_p_is_that_of_scipys_one_sided_t_test_twice_as_in_a_two_sided_one() -> None:
    for gain in (NO_GAIN, HURTS, [0.01, 0.02, 0.013, 0.004, 0.03, 0.016]):
        (result,) = can_go(gain)
        p = stats.ttest_1samp(np.round(gain, 12), RESOLVE, alternative="less").pvalue  # pyright: ignore[reportAttributeAccessIssue]
        assert result.p_can_go == pytest.approx(min(1.0, 2 * p), abs=1e-12)


@pytest.mark.parametrize(("family", "looks", "times"), [(1, (), 2), (2, (), 3), (4, (), 6), (4, (3, 4), 18)])
def test_its_p_counts_all_comparisons_of_the_family_and_all_looks(
    family: int, looks: tuple[int, ...], times: float
) -> None:
    others = [list(0.02 * np.random.default_rng(i).standard_normal(6)) for i in range(family - 1)]
    result = can_go(NO_GAIN, *others, earlier_looks=looks)[0]
    p = stats.ttest_1samp(NO_GAIN, RESOLVE, alternative="less").pvalue  # pyright: ignore[reportAttributeAccessIssue]
    assert result.m == family
    assert result.p_can_go == pytest.approx(min(1.0, times * p), abs=1e-12)


@pytest.mark.parametrize("gain", [NO_GAIN, HURTS])
def test_asking_changes_no_p_of_a_difference(gain: list[float]) -> None:
    asked, not_asked = can_go(gain, HURTS), from_differences(gain, resolve=RESOLVE)
    assert asked[0].p == not_asked.p
    assert asked[1].ask == "pays"
    assert asked[1].p_can_go is None


def test_what_is_negligible_is_dispensable_if_that_is_asked() -> None:
    assert from_differences(NO_GAIN, resolve=RESOLVE).verdict == "negligible"
    assert can_go(NO_GAIN)[0].verdict == "dispensable"


def test_of_a_metric_of_which_lower_is_better_the_loss_is_an_increase() -> None:
    fewer = [-3.0, 1.0, -4.0, 0.0, -2.0, 1.0]  # false positives with the part less those without
    (helps,) = can_go(fewer, metric="fp", scale=100.0, resolve=2.0)
    (harms,) = can_go([-gain for gain in fewer], metric="fp", scale=100.0, resolve=2.0)
    assert (helps.verdict, harms.verdict) == ("open", "dispensable")
    for result in (helps, harms):
        assert result.low is not None
        assert result.loses_at_most == pytest.approx(-result.low)


def test_a_part_that_diverged_can_go_with_both_fillings_only() -> None:
    base = np.linspace(0.4, 0.6, 8)
    with_part, without = (base + np.resize(NO_GAIN, 8)).tolist(), base.tolist()
    asked = [comparison("f: off → on", "off", "on", ask="can go")]
    for lost, verdict in (("on", "open"), ("off", "open")):
        cells = {"off": [*without], "on": [*with_part]}
        cells[lost][7] = "diverged"  # pyright: ignore[reportArgumentType]
        (result,) = compare(tidy_table(cells), asked, metric="image_ap", rules=Rules(resolve=RESOLVE))
        assert result.verdict == verdict
        assert result.loses_at_most is None  # the interval knows nothing of it


def test_a_part_that_diverged_once_and_can_go_says_so_without_an_interval() -> None:
    base = np.linspace(0.4, 0.6, 12)
    cells = {"off": [*base], "on": [*(base + np.resize(NO_GAIN, 12))[:11], "diverged"]}
    asked = [comparison("f: off → on", "off", "on", ask="can go")]
    (result,) = compare(tidy_table(cells), asked, metric="image_ap", rules=Rules(resolve=0.2))
    assert result.verdict == "dispensable"
    assert "f can go: dropping it loses less than 0.2 of AP (one-sided t test)." in sentence(result)


def test_of_two_that_ask_about_the_same_cells_the_one_that_asks_more_stays() -> None:
    base = np.linspace(0.5, 0.6, 6)
    table = tidy_table({"off": base.tolist(), "on": (base + NO_GAIN).tolist()})
    both = [comparison("back", "on", "off"), comparison("f: off → on", "off", "on", ask="can go")]
    for asked in (both, both[::-1]):
        (result,) = compare(table, asked, metric="image_ap", rules=Rules(resolve=RESOLVE))
        assert (result.comparison, result.verdict, result.m) == ("f: off → on", "dispensable", 1)


@pytest.mark.parametrize("splits", ["per_seed", "prescribed"])
def test_every_claim_has_the_test_with_its_own_variance(splits: str) -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(0.8, 0.01, (6, 3))
    with_part = base + rng.normal(-0.002, 0.001, (6, 3))
    table = tidy_table({"off": base.tolist(), "on": with_part.tolist()}, folds=3)
    asked = [comparison("f: off → on", "off", "on", ask="can go")]
    rules = Rules(splits=splits, resolve=RESOLVE)  # pyright: ignore[reportArgumentType]
    results = compare(table, asked, metric="image_ap", rules=rules)
    assert len(results) == 2
    for result in results:
        assert result.loses_at_most is not None
        assert result.p_can_go is not None
        assert (result.loses_at_most <= RESOLVE) == (result.p_can_go <= 0.05)


# Words -----------------------------------------------------------------------------------------------


def test_the_sentence_says_what_is_lost_at_most_and_the_p_of_that() -> None:
    (result,) = can_go(NO_GAIN)
    assert "f0 can go: dropping it loses at most 0.003 of AP, less than 0.01 (one-sided" in sentence(result)
    assert "of a loss of 0.01 or more" in sentence(result)


def test_the_sentence_says_that_dropping_gains_where_all_of_the_interval_does() -> None:
    (result,) = can_go([-0.02, -0.021, -0.022, -0.019, -0.02])  # too few for the exact test
    assert "f0 can go: dropping it gains at least 0.019 of AP (one-sided t test)." in sentence(result)


@pytest.mark.parametrize(
    ("gain", "text"),
    [
        ([0.02, -0.03, 0.01, 0.04, -0.02, -0.05], "No gain seen; dropping it loses at most 0.0"),
        ([0.02, -0.03, 0.01, 0.04, -0.02, 0.05], "Gain not shown; dropping it loses at most 0.0"),
        ([0.02, 0.03, 0.025, 0.028, 0.022, 0.03], ""),
        ([0.02, 0.03], ""),
    ],
)
def test_an_open_comparison_says_what_dropping_the_part_loses_at_most(gain: list[float], text: str) -> None:
    result = from_differences(gain, resolve=RESOLVE)
    assert loss_text(result).startswith(text)
    assert bool(loss_text(result)) == bool(text)


# Repeats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "n"), [(4, 3), (2, 5), (1.2, 8), (0.1, None)])
def test_repeats_until_it_can_go_find_it_with_four_in_five_chances(ratio: float, n: int | None) -> None:
    needed = repeats_until_negligible(ratio, 1, one_sided=True)
    assert needed == n
    if n is not None:
        d = np.random.default_rng(0).normal(0, 1 / ratio, (4000, n))
        half = stats.t.ppf(0.975, n - 1) * d.std(axis=1, ddof=1) / np.sqrt(n)
        assert np.mean(d.mean(axis=1) + half <= 1) >= 0.78


def test_an_undecided_one_says_how_many_more_repeats_would_show_it() -> None:
    (result,) = can_go([0.014, -0.015, 0.016])
    assert f"If dropping it costs nothing, about {result.more_negligible} would show" in sentence(result)


# Planned looks ---------------------------------------------------------------------------------------


def decided(d: np.ndarray, looks: tuple[int, ...], losses: Sequence[int]) -> list[str]:
    taken = decide(d, looks, seed=0, resolve=0.1, can_go=losses)
    return [decision.verdict for decision in taken.decisions]


def test_at_a_planned_look_one_of_the_two_tests_counts() -> None:
    hurts = 10 * np.array(HURTS)[:, None]
    assert decided(hurts, (6, 8), [0]) == ["undecided"]
    assert decided(hurts, (6, 8), [1]) == ["dispensable"]
    assert decided(-hurts, (6, 8), [-1]) == ["dispensable"]
    assert decided(-hurts, (6, 8), [1]) == ["undecided"]


def test_its_p_at_a_look_is_at_most_the_error_where_it_can_go() -> None:
    d = np.random.default_rng(3).normal(0, 0.1, (8, 5))
    taken = decide(d, (6, 8), seed=0, resolve=0.1, can_go=[1, 1, 1, 1, 0])
    for decision in taken.decisions[:4]:
        assert decision.p_can_go is not None
        assert (decision.p_can_go <= 0.05) == (decision.verdict == "dispensable")
    assert taken.decisions[4].p_can_go is None
