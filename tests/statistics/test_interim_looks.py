"""Planned looks: which comparisons are settled at which look, and what the looks cost."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.statistics.interim_looks import InterimLooks, decide, levels_over_looks
from assay.statistics.paired import Test, exact_p

LOOKS = (6, 8, 10, 13, 16, 20)


def made(means: list[float], repeats: int = 20, seed: int = 3) -> np.ndarray:
    """Differences of cells from one base, of sd 1."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((repeats, len(means))) - rng.standard_normal((repeats, 1))
    return noise / math.sqrt(2) + np.array(means)


def decided(differences: np.ndarray, looks: tuple[int, ...] = LOOKS, **options: object) -> InterimLooks:
    return decide(differences, looks, **{"seed": 5, "resolve": 0.9, **options})  # pyright: ignore[reportArgumentType]


def reference(d: np.ndarray, looks: tuple[int, ...]) -> list[tuple[int, str]]:
    """One comparison, all 2ⁿ sign vectors one by one: where it is shown, if anywhere."""
    vectors = list(product((1, -1), repeat=looks[-1]))
    crossed: set[tuple[int, ...]] = set()
    for n in looks:
        room = 0.05 * math.log(1 + (math.e - 1) * n / looks[-1]) * len(vectors)
        sizes = {v: abs(sum(s * x for s, x in zip(v[:n], d[:n], strict=True))) for v in vectors}
        at_least = crossed | {v for v in vectors if sizes[v] >= sizes[vectors[0]] - 1e-9}
        if len(at_least) <= room + 1e-9:
            return [(n, "shown")]
        values = sorted({round(sizes[v], 9) for v in vectors if v not in crossed}, reverse=True)
        for value in values:
            more = {v for v in vectors if sizes[v] > value - 1e-9}
            if len(crossed | more) > room + 1e-9:
                break
            crossed |= more
    return [(looks[-1], "undecided")]


@given(st.lists(st.integers(-9, 20), min_size=10, max_size=10), st.sampled_from([(7, 10), (6, 8, 10), (10,)]))
@settings(max_examples=40, deadline=None)
def test_one_comparison_is_settled_where_all_sign_vectors_one_by_one_settle_it(
    values: list[int], looks: tuple[int, ...]
) -> None:
    d = np.array(values) / 17
    taken = decided(d[:, None], looks, resolve=None)
    if d.any():
        assert [(each.repeats, each.verdict) for each in taken.decisions] == reference(d, looks)


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_never_more_sign_vectors_cross_than_may(seed: int, m: int) -> None:
    taken = decided(made([0.7] * m, seed=seed))
    shares = [look.share for look in taken.looks]
    spent = [look.spent for look in taken.looks]
    assert all(used <= share for used, share in zip(spent, shares, strict=True))
    assert spent == sorted(spent)
    assert shares[-1] <= 0.05 + 1e-12


@given(st.integers(0, 10_000), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_settled_comparison_stays_as_it_is_whatever_comes_later(seed: int, look: int) -> None:
    d = made([2.5, 1.0, 0.0, 0.3], seed=seed)
    early, late = decided(d[: LOOKS[look]]), decided(d)
    for before, after in zip(early.decisions, late.decisions, strict=True):
        assert before.verdict == "undecided" or before == after


def test_what_a_settled_comparison_lacks_later_changes_nothing() -> None:
    d = made([2.5, 0.6, 0.0])
    first = decided(d)
    stopped = d.copy()
    for index, each in enumerate(first.decisions):
        stopped[each.repeats :, index] = np.nan
    assert decided(stopped) == first


def test_a_look_waits_for_the_undecided_alone() -> None:
    d = made([3.0, 0.6])
    d[10:, 0] = np.nan  # it is shown by then
    d[12:, 1] = np.nan
    taken = decided(d)
    assert [each.verdict for each in taken.decisions] == ["shown", "undecided"]
    assert taken.next == 13


@pytest.mark.parametrize(("n", "most"), [(6, 10), (7, 20), (8, 20)])
def test_the_clearest_difference_is_shown_as_soon_as_so_many_repeats_can_say_so(n: int, most: int) -> None:
    d = made([9.0], repeats=n)
    assert decided(d, (n, most)).decisions[0].verdict == "shown"


@pytest.mark.parametrize("looks", [(8, 12, 16), (8, 14, 20), LOOKS])
@pytest.mark.parametrize("test", ["sign-flip", "wilcoxon"])
def test_at_looks_up_to_fourteen_repeats_the_seed_changes_no_p(looks: tuple[int, ...], test: Test) -> None:
    early = [n for n in looks if n <= 14]
    d = made([0.3, 0.0], repeats=early[-1])
    taken = [decided(d, looks, seed=seed, resolve=None, test=test) for seed in range(8)]
    assert len({each.decisions for each in taken}) == 1
    assert taken[0].decisions[0].repeats == early[-1]


@given(st.integers(0, 10_000), st.sampled_from([(8, 12, 16), (10, 20), (14, 16)]))
@settings(max_examples=40, deadline=None)
def test_at_the_first_look_one_comparison_has_its_own_exact_p(seed: int, looks: tuple[int, ...]) -> None:
    d = made([0.5], repeats=looks[0], seed=seed).round(12)
    assert decided(d, looks, resolve=None).decisions[0].p == exact_p(d[:, 0])


def test_six_of_twenty_repeats_have_too_few_sign_vectors_to_show_anything() -> None:
    taken = decided(made([9.0], repeats=6))
    assert taken.looks[0].boundary == math.inf
    assert taken.decisions[0].verdict == "undecided"


def test_a_difference_well_within_resolve_is_negligible() -> None:
    d = np.array([0.01, -0.02, 0.015, -0.005, 0.0, 0.004, -0.01, 0.02])[:, None]
    taken = decided(d, (8, 10), resolve=0.1)
    assert (taken.decisions[0].verdict, taken.next) == ("negligible", None)


@pytest.mark.parametrize("looks", [(20,), LOOKS, tuple(range(6, 21))])
def test_however_often_is_looked_a_one_sided_test_errs_as_often_as_it_may(looks: tuple[int, ...]) -> None:
    sums = np.random.default_rng(0).standard_normal((40_000, 20)).cumsum(axis=1)
    bounds = -stats.norm.ppf(levels_over_looks(looks, 0.05)) * np.sqrt(looks)
    passed = (sums[:, [n - 1 for n in looks]] > bounds).any(axis=1)
    assert passed.mean() == pytest.approx(0.05, abs=0.003)


def test_what_is_negligible_leaves_its_part_of_the_error_to_the_others() -> None:
    noise = np.array([1.0, -1.2, 0.8, -0.9, 1.1, -1.0, 0.7, -0.5, 0.2])
    near = 0.15 + 0.2 * noise
    beside = {"large": 5.0 + noise, "none": 0.01 * noise}
    verdicts = {
        name: decided(np.stack([near, *[other] * 3], axis=1), (9, 10), resolve=0.31).decisions[0].verdict
        for name, other in beside.items()
    }
    assert verdicts == {"large": "undecided", "none": "negligible"}


def test_what_the_last_look_would_hardly_settle_is_given_up() -> None:
    hopeless, likely = made([0.0], seed=1), made([1.2], seed=1)
    assert decided(hopeless, resolve=0.05).decisions[0].verdict == "open"
    assert decided(likely, resolve=0.05).decisions[0].verdict == "shown"
    assert decided(hopeless, resolve=0.05).next is None


def test_what_stops_makes_no_difference_easier_to_show() -> None:
    d = made([0.7, 0.0, 0.0], seed=2)
    stopped = d.copy()
    stopped[:, 1:] *= 1e-3  # negligible at the first look, with the same statistics
    assert decided(stopped).looks[0] == decided(d).looks[0]
    assert decided(stopped).looks[2].boundary > decided(d[:, :1]).looks[2].boundary


def test_equal_differences_other_than_0_are_never_negligible() -> None:
    assert decided(np.full((8, 1), 0.01), (8,), resolve=0.1).decisions[0].verdict == "shown"
    assert decided(np.zeros((8, 1)), (8,), resolve=0.1).decisions[0].verdict == "negligible"


def test_ties_beside_a_repeat_that_diverged_in_both_cells_settle_nothing() -> None:
    ties = np.zeros((8, 1))
    lost = ties.copy()
    lost[2] = np.nan
    there = np.ones((8, 1), np.bool_)
    # A machine lost it: what else there is ties, so no more is trained.
    by_machine = decided(lost, (6, 8), resolve=0.01, ended=there)
    assert (by_machine.decisions[0].verdict, by_machine.decisions[0].repeats) == ("negligible", 6)
    by_method = decided(lost, (6, 8), resolve=0.01, ended=there, filled=ties)
    assert (by_method.decisions[0].verdict, by_method.decisions[0].repeats) == ("undecided", 8)


def test_a_diverged_repeat_that_turns_the_sign_shows_nothing() -> None:
    d = made([3.0], repeats=10)
    filled = d.copy()
    filled[3] = -100.0
    assert decided(d, (10,)).decisions[0].verdict == "shown"
    assert decided(d, (10,), filled=filled).decisions[0].verdict != "shown"


def test_ranks_settle_what_one_wild_repeat_hides() -> None:
    d = np.array([0.5, 0.6, 0.4, 0.7, 0.55, 0.65, 0.45, 0.5, 0.6, -0.05])[:, None] * [[1.0]]
    d[4] = 40.0
    assert decided(d, (10,), test="wilcoxon").decisions[0].p == pytest.approx(4 / 1024, abs=1e-9)
