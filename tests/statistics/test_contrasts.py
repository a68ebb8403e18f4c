"""Main effects and interactions are contrasts: one value per repeat, then as any difference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.statistics.contrasts import comparison, interactions, main_effects
from assay.statistics.families import Rules, best_cells, compare
from assay.statistics.wording import sentence
from assay.study.designs.screen import two_level_array
from tests.statistics.tables import tidy_table


def factorial(effects: dict[str, float], n: int = 8, sizes: dict[str, int] | None = None) -> pd.DataFrame:
    """Full crossing of factors p, q, r; `{"p": .1, "p×q": .05}` adds .05 where both are on. No noise."""
    sizes = sizes or {"p": 2, "q": 2, "r": 2}
    cells = {}
    for levels in product(*(range(size) for size in sizes.values())):
        on = {name for name, level in zip(sizes, levels, strict=True) if level}
        score = 0.5 + sum(size for name, size in effects.items() if set(name.split("×")) <= on)
        noise = np.random.default_rng(sum(levels)).normal(0, 1e-3, n)
        cells[tuple(f"{name}{level}" for name, level in zip(sizes, levels, strict=True))] = score + noise
    return designed(cells, [*sizes])


def designed(cells: dict[tuple[str, ...], Sequence[float]], factors: list[str]) -> pd.DataFrame:
    """The tidy table of cells that are named by their levels, factor by factor."""
    table = tidy_table({"·".join(levels): scores for levels, scores in cells.items()})
    of_rows = np.repeat(list(cells), [len(scores) for scores in cells.values()], axis=0)
    return table.assign(**{f"factor:{name}": of_rows[:, i] for i, name in enumerate(factors)})


def test_a_main_effect_is_the_mean_of_a_levels_cells_minus_the_bases() -> None:
    table = factorial({"p": 0.1, "q": 0.04, "p×q": 0.02})
    answers = compare(table, main_effects(table), metric="image_ap", family="main effects")
    found = {one.comparison: one.difference for one in answers}
    assert found == pytest.approx({"p: p0 → p1": 0.11, "q: q0 → q1": 0.05, "r: r0 → r1": 0.0}, abs=2e-3)
    assert {one.m for one in answers} == {3}
    assert answers[0].verdict == "shown"


def test_an_interaction_is_a_difference_of_differences() -> None:
    table = factorial({"p": 0.1, "q": 0.04, "p×q": 0.02})
    answers = compare(table, interactions(table), metric="image_ap", family="interactions")
    found = {one.comparison: one.difference for one in answers}
    assert found == pytest.approx(
        {
            "p × q": 0.02,
            "p × r": 0.0,
            "q × r": 0.0,
        },
        abs=4e-3,
    )
    assert (answers[0].cell_a, answers[0].cell_b) == (None, None)


def test_a_main_effect_has_the_means_of_both_levels_and_an_interaction_none() -> None:
    """The sides of an interaction are sums of two means: 1.444 is no AP."""
    table = factorial({"p": 0.1})
    (effect, *_) = compare(table, main_effects(table), metric="image_ap")
    assert (effect.mean_a, effect.mean_b) == pytest.approx((0.6, 0.5), abs=2e-3)
    for answer in compare(table, interactions(table), metric="image_ap"):
        assert (answer.mean_a, answer.mean_b) == (None, None)


def test_an_interaction_of_more_levels_names_them() -> None:
    table = factorial({}, sizes={"p": 3, "q": 2})
    assert [one.name for one in interactions(table)] == ["p: p0 → p1 × q", "p: p0 → p2 × q"]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_weights_sum_to_zero_and_there_is_one_contrast_for_each_level(sizes: list[int]) -> None:
    table = factorial({}, n=1, sizes=dict(zip("pqr", sizes, strict=False)))
    varied = [size for size in sizes if size > 1]
    mains, crossed = main_effects(table), interactions(table)
    if len(varied) < 2:  # a single factor's effects are its comparisons
        assert (mains, crossed) == ([], [])
        return
    assert len(mains) == sum(size - 1 for size in varied)
    pairs = [(a - 1) * (b - 1) for i, a in enumerate(varied) for b in varied[i + 1 :]]
    assert len(crossed) == sum(pairs)
    for contrast in (*mains, *crossed):
        assert sum(contrast.weights.values()) == pytest.approx(0)
        positive = sum(w for w in contrast.weights.values() if w > 0)
        assert positive == pytest.approx(1 if contrast in mains else 2)


def test_a_negligible_main_effect_is_no_advice_to_let_the_factor_go() -> None:
    """It costs 0.2 alone and brings 0.2 beside the other factor."""
    noise = np.random.default_rng(0).normal(0, 1e-3, (4, 6))
    gains = {("off", "off"): 0.0, ("on", "off"): -0.2, ("off", "on"): 0.0, ("on", "on"): 0.2}
    cells = {levels: 0.5 + gain + noise[i] for i, (levels, gain) in enumerate(gains.items())}
    table = designed(cells, ["clm", "gcm"])
    answers = compare(table, main_effects(table), metric="image_ap", rules=Rules(resolve=0.02))
    (clm,) = [one for one in answers if one.comparison == "clm: off → on"]
    assert clm.verdict == "negligible"
    assert "clm: off → on changes AP by less than 0.02 on average over the cells (95 %" in sentence(clm)


def test_a_design_that_lacks_a_cell_has_no_main_effects() -> None:
    table = factorial({"p": 0.1})
    assert main_effects(table[table["cell"] != "p1·q1·r1"]) == []


def screened(cells: int, factors: int, scores: np.ndarray) -> pd.DataFrame:
    """A screen whose cells have these scores, a row each."""
    named = [tuple(f"l{level}" for level in row) for row in two_level_array(cells, factors)]
    return designed(dict(zip(named, scores, strict=True)), [f"f{i}" for i in range(factors)])


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([(8, 4), (8, 7), (12, 6), (12, 11), (16, 5), (16, 7)]), st.integers(0, 2**32 - 1))
def test_main_effects_of_a_screen_are_those_of_a_linear_model(size: tuple[int, int], seed: int) -> None:
    cells, factors = size
    scores = np.random.default_rng(seed).uniform(0.2, 0.9, (cells, 3))
    table = screened(cells, factors, scores)
    signs = 2 * np.array(two_level_array(cells, factors)) - 1
    model = np.column_stack([np.ones(cells), signs])
    fitted = np.linalg.lstsq(model, scores.mean(axis=1), rcond=None)[0]
    results = compare(table, main_effects(table), metric="image_ap", family="main effects")
    assert [result.difference for result in results] == pytest.approx(list(2 * fitted[1:]))
    assert interactions(table) == []


def test_main_effects_of_a_screen_are_one_family_of_max_t() -> None:
    """At six repeats Holm's method could show nothing of seven effects."""
    rng = np.random.default_rng(3)
    on = np.array(two_level_array(8, 7))[:, :1]
    table = screened(8, 7, 0.5 + 0.1 * on + rng.normal(0, 0.01, (8, 6)))
    results = compare(table, main_effects(table), metric="image_ap", family="main effects")
    assert {result.m for result in results} == {7}
    assert (results[0].verdict, results[0].p_adjusted) == ("shown", 2**-5)
    assert {result.verdict for result in results[1:]} == {"open"}


def test_a_screen_finds_more_than_leaving_one_out_at_equal_trainings() -> None:
    """Seven factors, three of 1.5 sd of a score, eight cells, six repeats: 64 % against 12 % of 150 draws."""
    rng, found, false, draws = np.random.default_rng(4), [0, 0], [0, 0], 40
    array = np.array(two_level_array(8, 7))
    left_out = np.vstack([np.ones(7, int), 1 - np.eye(7, dtype=int)])
    for _ in range(draws):
        effects = 0.03 * (np.arange(7) < 3)
        noise = rng.normal(0, 0.02, (2, 8, 6))
        table = screened(8, 7, 0.5 + (array @ effects)[:, None] + noise[0])
        scores = 0.5 + (left_out @ effects)[:, None] + noise[1]
        pairs = [comparison(f"f{i}", f"c{i + 1}", "c0") for i in range(7)]
        cells = tidy_table({f"c{i}": of_cell for i, of_cell in enumerate(scores)})
        for way, results in enumerate(
            (
                compare(table, main_effects(table), metric="image_ap"),
                compare(cells, pairs, metric="image_ap"),
            )
        ):
            shown = [result.verdict == "shown" for result in results]
            found[way] += sum(shown[:3])
            false[way] += any(shown[3:])
    assert found[0] > 2 * found[1]
    assert found[0] > 0.45 * 3 * draws
    assert max(false) <= 0.15 * draws


def test_only_repeats_with_all_their_cells_enter() -> None:
    table = factorial({"p": 0.1})
    table.loc[0, "value"] = None
    table.loc[0, "status"] = "missing"
    assert [one.n for one in compare(table, main_effects(table), metric="image_ap")] == [7, 7, 7]


def test_the_contrast_holds_where_the_cells_noise_differs() -> None:
    """Pooled residuals would find something in 8–11 % here (section 5 of the method's simulations)."""
    rng = np.random.default_rng(1)
    draws, hits = 400, 0
    table = factorial({}, n=5)
    contrasts = main_effects(table)[:1]
    for _ in range(draws):
        noisy = table["cell"] == "p1·q1·r1"
        table["value"] = 0.5 + rng.normal(0, np.where(noisy, 0.08, 0.02))
        low, high = ((one := compare(table, contrasts, metric="image_ap")[0]).low, one.high)
        hits += not low <= 0 <= high
    assert hits / draws <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_the_best_and_what_cannot_be_told_from_it_are_bold() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.01, 10)
    table = tidy_table(
        {
            "best": 0.9 + noise,
            "near": 0.899 + noise + rng.normal(0, 0.01, 10),
            "far": 0.7 + noise + rng.normal(0, 0.01, 10),
        }
    )
    best = best_cells(table, metric="image_ap")
    assert best is not None
    assert best.cells == {"best", "near"}
    fewest = best_cells(table.assign(metric="fp"), metric="fp")
    assert fewest is not None
    assert fewest.cells == {"far"}  # where less is better


def test_if_nothing_can_be_told_apart_nothing_is_bold() -> None:
    rng = np.random.default_rng(2)
    best = best_cells(tidy_table({name: rng.normal(0.8, 0.02, 6) for name in "abc"}), metric="image_ap")
    assert best is not None
    assert best.cells == frozenset()
    assert best_cells(tidy_table({"a": [0.5]}), metric="image_ap") is None


def test_bold_goes_by_the_narrowest_claim_of_which_anything_is_tested() -> None:
    """One seed on three folds is too few for these folds, and three units for new data."""
    table = tidy_table({"low": [[0.50, 0.52, 0.51]], "high": [[0.70, 0.74, 0.72]]}, folds=3)
    verdicts = [each.verdict for each in compare(table, [comparison("x", "low", "high")], metric="image_ap")]
    assert verdicts == ["too few", "shown"]
    best = best_cells(table, metric="image_ap")
    assert best is not None
    assert (best.cells, best.claim) == ({"high"}, "new data")


def test_where_there_are_too_few_repeats_for_any_test_nothing_is_said_of_bold() -> None:
    assert best_cells(tidy_table({"low": [0.5, 0.51], "high": [0.7, 0.73]}), metric="image_ap") is None


def test_bold_reads_the_repeats_that_all_cells_have() -> None:
    high, low = list(np.linspace(0.90, 0.92, 8)), list(np.linspace(0.70, 0.73, 8))
    lost = [None, *(x + 0.001 * i for i, x in enumerate(low[1:]))]
    best = best_cells(tidy_table({"high": high, "low": low, "lost": lost}), metric="image_ap")
    assert best is not None
    assert (best.cells, best.repeats) == ({"high"}, 7)


def test_what_diverged_counts_in_bold_as_in_the_comparison() -> None:
    """Eight survivors of twelve are 0.05 better: the comparison is open, so both may be the best."""
    rng = np.random.default_rng(0)
    steady = rng.normal(0.8, 0.05, 12)
    better = steady + 0.05 + rng.normal(0, 0.005, 12)
    table = tidy_table({"a": steady, "b": ["diverged" if i % 3 == 0 else x for i, x in enumerate(better)]})
    assert compare(table, [comparison("x", "a", "b")], metric="image_ap")[0].verdict == "open"
    best = best_cells(table, metric="image_ap")
    assert best is not None
    assert (best.cells, best.repeats) == (frozenset(), 12)


def test_the_best_mean_is_not_that_of_survivors() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.normal(0.8, 0.01, 12), rng.normal(0.5, 0.01, 12)
    survivors = good[4:] + 0.05 + rng.normal(0, 0.01, 8)
    cells = {"good": good, "unsure": [*["diverged"] * 4, *survivors], "bad": bad}
    best = best_cells(tidy_table(cells), metric="image_ap")
    assert best is not None
    assert best.cells == {"good", "unsure"}


def test_of_counts_that_diverged_none_is_the_best() -> None:
    few, many = [3, 2, 3, 4, 3, 2, 3, "diverged"], [9, 8, 9, 7, 9, 8, 8, 7]
    best = best_cells(tidy_table({"few": few, "many": many}, metric="fp"), metric="fp")
    assert best is not None
    assert best.cells == frozenset(), "a count has no worst value, so nothing is tested"


def test_bold_counts_an_earlier_look_with_the_seeds_that_it_had() -> None:
    """Seed 0 failed in one cell: the look at seeds 0 to 5 had five that count, and could show nothing."""
    base = np.array([0.767, 0.791, 0.883, 0.833, 0.718, 0.8, 0.769, 0.807, 0.72])
    better = np.array([0.804, 0.828, 0.96, 0.872, 0.763, 0.785, 0.867, 0.78, 0.783])
    table = tidy_table({"base": base, "better": better, "same": [None, *better[1:]]})
    best = best_cells(table, metric="image_ap", rules=Rules(earlier_looks=(tuple(range(6)),)))
    assert best == best_cells(table, metric="image_ap")
    assert best is not None
    assert best.cells == {"better", "same"}
