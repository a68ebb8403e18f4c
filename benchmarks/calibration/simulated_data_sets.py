"""Simulated claims over data sets: how often one is made where no data set, or none on average, differs.

A world draws the scores of two cells on k data sets in n repeats each. What is special about a data set moves
both cells, and in some worlds the difference as well, by as much to either side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.statistics.contrasts import Contrast, over_data_sets
from assay.statistics.data_sets import rank_cells
from assay.statistics.families import ComparisonResult, Rules, compare_families
from benchmarks.calibration.figures import (
    DECIDED,
    FALSE_POSITIVES,
    Figure,
    Simulation,
    misses,
    percent,
    rng_of,
)
from benchmarks.calibration.worlds import DEFECTS

__all__ = ["ON_DATA_SETS"]

Scores = NDArray[np.float64]  # cells × draws × k × n
Draw = Callable[[np.random.Generator, tuple[int, int, int, int]], Scores]

_SETS = (3, 5, 6, 8, 12)
_REPEATS = 3
_UNEVEN = (2, 10, 3, 5, 1)  # repeats of the first data sets, and over again


def _levels(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> Scores:
    """How hard each data set is, for both cells."""
    return rng.uniform(0.5, 0.9, (1, *shape[1:3], 1))


def _normal(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> Scores:
    return _levels(rng, shape) + rng.normal(0, 0.02, shape)


def _skewed(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> Scores:
    return _levels(rng, shape) - rng.gamma(1.0, 0.03, shape)


def _heavy(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> Scores:
    return _levels(rng, shape) + 0.01 * rng.standard_t(2.5, shape)


def _spreads(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> Scores:
    of_sets = rng.permuted(np.tile(np.linspace(0.01, 0.06, shape[2]), (shape[1], 1)), axis=1)
    return _levels(rng, shape) + rng.normal(0, 1, shape) * of_sets[..., None]


def _of_sets(effects: Callable[[np.random.Generator, tuple[int, ...]], Scores]) -> Draw:
    """True effects of data sets, of each cell but the first: mean 0."""

    def draw(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> Scores:
        scores = _normal(rng, shape)
        scores[1:] += effects(rng, (shape[0] - 1, *shape[1:3], 1))
        return scores

    return draw


def _ceiling(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> Scores:
    """Half of the data sets are solved by all cells but for an image or two."""
    scores = _of_sets(lambda rng, size: rng.normal(0, 0.03, size))(rng, shape)
    near_one = 1 - np.round(rng.beta(0.5, 15.5, shape) * DEFECTS) / DEFECTS
    solved = rng.random((1, *shape[1:3], 1)) < 0.5
    return np.where(solved, near_one, scores)


# World → its scores, and whether the claim must hold there.
_WORLDS: dict[str, tuple[Draw, bool]] = {
    "normal": (_normal, True),
    "skewed": (_skewed, True),
    "heavy": (_heavy, True),
    "spreads of data sets differ 6×": (_spreads, True),
    "numbers of repeats differ (1 to 10)": (_normal, True),
    "data sets differ, normal, mean 0": (_of_sets(lambda rng, size: rng.normal(0, 0.03, size)), True),
    "half of the data sets at the ceiling": (_ceiling, True),
    "data sets differ, skewed, mean 0": (
        _of_sets(lambda rng, size: 0.03 * (rng.gamma(1.0, 1.0, size) - 1)),
        False,
    ),
}


def claims(scores: Scores, counts: NDArray[np.int64]) -> list[tuple[ComparisonResult, ...]]:
    """The claims "cell − first cell" of each draw: a study and a family each.

    Args:
        scores: Cells × draws × k × n.
        counts: Of each data set, how many of its repeats there are.
    """
    cells, draws, sets, _ = scores.shape
    cell, draw, place, seed = (index.ravel() for index in np.indices(scores.shape))
    names = np.char.add(np.char.add(cell.astype(str), "·"), (draw * sets + place).astype(str))
    table = pd.DataFrame(
        {
            "study": "made",
            "cell": names.astype(object),
            "seed": seed,
            "fold": pd.array(np.full(len(seed), pd.NA), "Int16"),
            "n_train": 100,
            "n_test": 50,
            "part": "test",
            "metric": "image_ap",
            "value": scores.ravel(),
            "status": "finished",
        }
    ).loc[seed < counts[place]]

    def contrast(other: int, of_draw: int) -> Contrast:
        numbers = [of_draw * sets + i for i in range(sets)]
        pairs = [(f"0·{number}", f"{other}·{number}") for number in numbers]
        levels = {
            name: {"cell": name.partition("·")[0], "set": name.partition("·")[2]}
            for pair in pairs
            for name in pair
        }
        factors = {"cell": ("0", str(other)), "set": tuple(map(str, numbers))}
        (only,) = over_data_sets(f"cell: 0 → {other}", pairs, levels, factors=factors, over="set")
        return only

    asked = {str(i): [contrast(other, i) for other in range(1, cells)] for i in range(draws)}
    return list(compare_families(table, asked, metric="image_ap", rules=Rules()).values())


def over_sets(case: tuple[str, int], draws: int) -> Iterator[Figure]:
    """One comparison in one world on k data sets: verdict, interval of the mean, interval of the next."""
    world, sets = case
    draw, holds = _WORLDS[world]
    uneven = "repeats differ" in world
    repeats = max(_UNEVEN) if uneven else _REPEATS
    counts = np.resize(_UNEVEN, sets) if uneven else np.full(sets, _REPEATS)
    scores = draw(rng_of("data sets", *case), (2, draws, sets + 1, repeats))
    results = [result for (result,) in claims(scores[:, :, :sets], counts)]
    limit = FALSE_POSITIVES if holds else None
    decided = percent([result.verdict in DECIDED for result in results])
    yield Figure("data_sets", world, f"k = {sets}", decided, draws, "", limit)
    known = [result for result in results if result.low is not None]
    if sets < 5:
        return
    bound = limit if "ceiling" not in world else None
    missed = percent(list(map(misses, known)))
    yield Figure("data_sets_mean", world, f"k = {sets}", missed, draws, "", bound)
    ahead = (scores[1] - scores[0])[:, sets, :_REPEATS].mean(axis=1)
    outside = [
        result.next_low is None or result.next_high is None or not result.next_low <= d <= result.next_high
        for result, d in zip(results, ahead, strict=True)
    ]
    exact = world in ("normal", "data sets differ, normal, mean 0")
    yield Figure(
        "data_sets_next",
        world,
        f"k = {sets}",
        percent(outside),
        draws,
        "",
        FALSE_POSITIVES if exact else None,
    )


def family_over_sets(sets: int, draws: int) -> Iterator[Figure]:
    """Four cells against one base, and Friedman's test of all five: any claim."""
    draw, _ = _WORLDS["data sets differ, normal, mean 0"]
    scores = draw(rng_of("data sets, family", sets), (5, draws, sets, _REPEATS))
    of_draws = claims(scores, np.full(sets, _REPEATS))
    column = f"k = {sets}"
    decided = percent([any(result.verdict in DECIDED for result in family) for family in of_draws])
    yield Figure("data_sets", "four cells against one base: any", column, decided, draws, "", FALSE_POSITIVES)
    if sets >= 6:
        even = _normal(rng_of("data sets, ranks", sets), (5, draws, sets, _REPEATS)).mean(axis=-1)
        even += rng_of("data sets, ranks, effects", sets).normal(0, 0.03, even.shape)
        names = tuple(map(str, range(5)))
        found = [rank_cells(even[:, i].T, names, 1).p <= 0.05 for i in range(draws)]
        yield Figure("data_sets", "five cells: Friedman", column, percent(found), draws, "", FALSE_POSITIVES)


ON_DATA_SETS = [
    *(Simulation(over_sets, (world, sets), 3_000) for world in _WORLDS for sets in _SETS),
    *(Simulation(family_over_sets, sets, 1_000) for sets in _SETS),
]
