"""Claims over data sets: each data set is one unit, however many repeats it has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from assay.statistics.contrasts import levels_on_data_sets, over_data_sets
from assay.statistics.data_sets import rank_cells
from assay.statistics.families import ComparisonResult, Rules, compare
from assay.statistics.wording import over_data_sets_text, sentence
from tests.statistics.tables import sign_flip_of_scipy, tidy_table

SETS = ("steel", "cells", "tiles", "wood", "paper", "glass", "cloth", "crack")
# Scores of five cells on eight data sets.
TABLE = np.array(
    [
        [0.590, 0.618, 0.670, 0.667, 0.692],
        [0.590, 0.638, 0.683, 0.642, 0.690],
        [0.554, 0.596, 0.615, 0.647, 0.656],
        [0.579, 0.606, 0.630, 0.583, 0.653],
        [0.585, 0.619, 0.616, 0.637, 0.657],
        [0.554, 0.621, 0.614, 0.630, 0.678],
        [0.590, 0.630, 0.664, 0.663, 0.667],
        [0.642, 0.697, 0.669, 0.717, 0.733],
    ]
)


def made(effects: Mapping[str, Sequence[Any]]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table of cells `off` and `on` whose repeats differ by ``effects`` on each data set; their levels."""
    rng, tables, levels = np.random.default_rng(0), [], {}
    for name, differences in effects.items():
        base = list(0.5 + 0.05 * rng.standard_normal(len(differences)))
        gained: list[Any] = [
            float(b) + d if isinstance(d, float) else d for b, d in zip(base, differences, strict=True)
        ]
        tables.append(tidy_table({f"off {name}": base, f"on {name}": gained}))
        levels |= {f"{cell} {name}": {"stop": cell, "surface": name} for cell in ("off", "on")}
    return pd.concat(tables, ignore_index=True), levels


def claim(effects: Mapping[str, Sequence[Any]], ask: Any = "pays", **options: Any) -> ComparisonResult:
    """The claim of `stop: off → on` over data sets."""
    table, levels = made(effects)
    pairs = [(f"off {name}", f"on {name}") for name in effects]
    factors = {"stop": ("off", "on"), "surface": tuple(effects)}
    contrasts = over_data_sets("stop: off → on", pairs, levels, factors=factors, over="surface", ask=ask)
    (result,) = compare(table, contrasts, metric="image_ap", rules=Rules(**options))
    return result


def of_means(means: Sequence[float], repeats: Sequence[int] = (3,)) -> dict[str, list[float]]:
    """Data set → differences of its repeats, whose mean is given."""
    return {
        name: [mean + 0.01 * (i - (n - 1) / 2) for i in range(n)]
        for name, mean, n in zip(SETS, means, [*repeats] * len(means), strict=False)
    }


EFFECTS = [0.021, 0.034, 0.008, 0.055, 0.013, 0.027, -0.004]


@pytest.mark.parametrize("repeats", [(3,), (1,), (2, 9, 4)], ids=str)
def test_a_data_set_is_one_unit_however_many_repeats_it_has(repeats: tuple[int, ...]) -> None:
    result = claim(of_means(EFFECTS, repeats))
    assert result.claim == "data sets"
    assert result.units == SETS[:7]
    assert result.differences == pytest.approx(EFFECTS)
    assert (result.n, result.better) == (7, 6)
    assert result.p == pytest.approx(sign_flip_of_scipy(np.array(EFFECTS)))


def test_its_interval_is_that_of_a_mean_of_data_sets() -> None:
    result, t = claim(of_means(EFFECTS)), stats.ttest_1samp(EFFECTS, 0.0)
    assert (result.low, result.high) == pytest.approx(tuple(t.confidence_interval()))


def test_the_next_data_set_varies_as_those_before() -> None:
    result = claim(of_means(EFFECTS))
    half = stats.t.ppf(0.975, 6) * np.std(EFFECTS, ddof=1) * math.sqrt(1 + 1 / 7)
    assert (result.next_low, result.next_high) == pytest.approx(
        (np.mean(EFFECTS) - half, np.mean(EFFECTS) + half)
    )
    assert over_data_sets_text(result) == (
        "On average over 7 data sets AP changes by +0.022 (95 % interval 0.004 to 0.040); on the next one it "
        "may be −0.028 to 0.072 (95 %)."
    )


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ([0.02, 0.03, 0.01, 0.05, 0.01, 0.03], "shown"),  # six of six: p = .031
        ([0.02, 0.03, 0.01, 0.05, 0.01, -0.03], "open"),
        ([0.02, 0.025, 0.022, 0.024, 0.021], "suggested"),  # five cannot show anything
        ([0.02, 0.03], "too few"),
        ([0.0] * 6, "identical"),
    ],
)
def test_six_data_sets_can_show_something(means: list[float], verdict: str) -> None:
    effects = {name: [mean] * 3 for name, mean in zip(SETS, means, strict=False)}
    assert claim(effects).verdict == verdict


def test_what_is_lacking_is_data_sets() -> None:
    text = sentence(claim(of_means(EFFECTS[:5])))
    assert "With 5 data sets the exact test cannot go below p = .0625; 1 more could reach .031." in text
    assert "more data sets" in text
    assert "repeat" not in text


def test_more_repeats_make_no_more_units() -> None:
    few, many = (claim(of_means([0.02, 0.01, 0.03], (n,))) for n in (3, 30))
    assert few.p == many.p == 0.25
    assert few.p_min == many.p_min == 0.25


def test_a_family_is_corrected_over_data_sets() -> None:
    # Two comparisons of one base: signs are flipped for a data set as a whole.
    rng = np.random.default_rng(1)
    tables, levels = [], {}
    first, second = 0.02 + 0.02 * rng.standard_normal(7), 0.02 * rng.standard_normal(7)
    for name, a, b in zip(SETS, first, second, strict=False):
        cells = {"none": [0.5, 0.6], "five": [0.5 + a, 0.6 + a], "all": [0.5 + b, 0.6 + b]}
        tables.append(tidy_table({f"{cell} {name}": scores for cell, scores in cells.items()}))
        levels |= {f"{cell} {name}": {"masks": cell, "surface": name} for cell in cells}
    factors = {"masks": ("none", "five", "all"), "surface": SETS}
    contrasts = [
        each
        for level in ("five", "all")
        for each in over_data_sets(
            f"masks: none → {level}",
            [(f"none {name}", f"{level} {name}") for name in SETS[:7]],
            levels,
            factors=factors,
            over="surface",
        )
    ]
    results = compare(pd.concat(tables, ignore_index=True), contrasts, metric="image_ap")
    d = np.stack([first, second], axis=1)
    signs = 1 - 2 * (np.arange(128)[:, None] >> np.arange(7) & 1)
    clearest = np.abs(signs @ (d / np.sqrt((d**2).sum(axis=0)))).max(axis=1)
    top = min(range(2), key=lambda i: results[i].p_adjusted or 1.0)
    seen = abs(d[:, top].sum()) / np.sqrt((d[:, top] ** 2).sum())
    assert {result.m for result in results} == {2}
    assert results[top].p_adjusted == pytest.approx(np.mean(clearest >= seen - 1e-9))


def test_a_repeat_that_diverged_counts_as_the_worst_value_within_its_data_set() -> None:
    effects: dict[str, list[Any]] = {name: [0.02, 0.03, 0.025] for name in SETS[:6]}
    effects["glass"] = [0.02, "diverged", 0.03]
    result = claim(effects)
    assert result.n_diverged == 1
    assert result.verdict == "open"  # with 0 in place the difference of `glass` is below 0
    assert "1 diverged" in result.note


def test_a_data_set_that_one_cell_lacks_is_missing() -> None:
    effects: dict[str, list[Any]] = {name: [0.02, 0.03, 0.025] for name in SETS[:7]}
    effects["glass"] = [None, None, None]
    result = claim(effects)
    assert (result.n, result.n_planned, result.n_missing) == (6, 7, 3)
    assert result.verdict == "open"
    assert "missing" in result.note


def test_an_earlier_look_at_fewer_seeds_multiplies_p() -> None:
    effects = of_means([0.02, 0.03, 0.01, 0.05, 0.01, 0.03], (6,))
    assert claim(effects).p_adjusted == 0.03125
    assert claim(effects, earlier_looks=[3]).p_adjusted == 0.0625


def test_what_is_negligible_is_so_on_average() -> None:
    effects = of_means([0.001, -0.002, 0.0015, -0.001, 0.0005, 0.002, -0.0005])
    assert claim(effects, resolve=0.01).verdict == "negligible"
    assert claim(effects, ask="can go", resolve=0.01).verdict == "dispensable"


# Mean ranks ----------------------------------------------------------------------------------------------

CELLS = ("none", "one", "five", "ten", "all")


@pytest.mark.parametrize("sign", [1, -1])
def test_friedman_is_that_of_scipy(sign: int) -> None:
    ranking = rank_cells(TABLE, CELLS, sign)
    tested = stats.friedmanchisquare(*TABLE.T)
    assert (ranking.statistic, ranking.p) == pytest.approx((tested.statistic, tested.pvalue))
    assert next(iter(ranking.ranks)) == ("all" if sign > 0 else "none")


@pytest.mark.parametrize(
    ("sets", "p", "critical", "ranks"),
    [
        (8, 2.0826057613438634e-05, 2.156476420640903, [5.0, 3.5, 2.875, 2.625, 1.0]),
        (6, 0.0004700229289677616, 2.490084483916212, [5.0, 3.5, 17 / 6, 8 / 3, 1.0]),
    ],
)
def test_friedman_and_nemenyi_are_those_of_autorank(
    sets: int, p: float, critical: float, ranks: list[float]
) -> None:
    # autorank 1.3.0, `autorank(table, force_mode="nonparametric", order="descending")`, in an environment of
    # its own: p of Friedman's test, `cd` and `meanrank`
    ranking = rank_cells(TABLE[:sets], CELLS, 1)
    assert (ranking.p, ranking.critical) == pytest.approx((p, critical), rel=1e-4)
    assert [ranking.ranks[cell] for cell in CELLS] == pytest.approx(ranks)


@pytest.mark.parametrize(("cells", "q"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_nemenyi_has_the_critical_values_of_demsar(cells: int, q: float) -> None:
    values = np.random.default_rng(0).random((8, cells))
    ranking = rank_cells(values, tuple(map(str, range(cells))), 1)
    assert ranking.critical == pytest.approx(q * math.sqrt(cells * (cells + 1) / 48), abs=1e-3)


def test_cells_that_tie_everywhere_differ_in_nothing() -> None:
    ranking = rank_cells(np.ones((6, 5)), CELLS, 1)
    assert ranking.p == 1.0
    assert set(ranking.ranks.values()) == {3.0}


def test_levels_are_ranked_where_all_else_is_alike() -> None:
    levels = {
        f"{masks} {surface} {crf}": {"masks": masks, "surface": surface, "crf": crf}
        for masks in ("none", "all")
        for surface in ("steel", "wood")
        for crf in ("off", "on")
    }
    off, on = levels_on_data_sets(levels, "masks", "surface")
    assert off["all"] == {"steel": "all steel off", "wood": "all wood off"}
    assert on["none"]["wood"] == "none wood on"
