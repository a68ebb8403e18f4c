"""Intervals of means: t over seeds, Nadeau and Bengio's for new data, none where they would mislead."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from assay.statistics.intervals import MeanInterval, mean_intervals
from assay.statistics.scores import Splits
from tests.statistics.tables import tidy_table


def table(values: list[list[float | None]], metric: str = "image_ap") -> pd.DataFrame:
    """One cell: a row for each seed, a column for each fold; a single column is no fold."""
    folds = len(values[0]) if len(values[0]) > 1 else 0
    return tidy_table({"a": values if folds else [value for (value,) in values]}, folds=folds, metric=metric)


def of(
    values: list[list[float | None]], splits: Splits = "prescribed", metric: str = "image_ap"
) -> MeanInterval:
    return mean_intervals(table(values, metric), metric=metric, splits=splits)["a"]


def test_seeds_on_one_split_have_a_t_interval() -> None:
    seen = [0.7, 0.72, 0.75, 0.71]
    found = of([[value] for value in seen])
    low, high = stats.t.interval(0.95, 3, np.mean(seen), stats.sem(seen))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert (found.method, found.claim, found.approximate) == ("t over 4 seeds", "this split", False)


@pytest.mark.parametrize(("splits", "claim"), [("prescribed", "these folds"), ("per_seed", "this data")])
def test_of_seeds_and_folds_the_means_over_folds_count(splits: Splits, claim: str) -> None:
    found = of([[0.6, 0.8], [0.62, 0.8], [0.67, 0.81]], splits)
    means = [0.7, 0.71, 0.74]
    assert found.low == pytest.approx(np.mean(means) - stats.t.ppf(0.975, 2) * stats.sem(means))
    assert (found.method, found.claim) == ("t over 3 seeds (means over folds)", claim)


@pytest.mark.parametrize(
    ("values", "splits", "overlap", "method", "claim"),
    [
        ([[0.6, 0.7, 0.65]], "prescribed", 50 / 100, "Nadeau–Bengio's t over 3 folds", "new data"),
        ([[0.6], [0.7], [0.65], [0.61]], "per_seed", 0.0, "t over 4 seeds", "this data"),
    ],
    ids=["one seed on three folds", "own splits"],
)
def test_images_that_change_with_the_repeat_make_a_claim_of_their_own(
    values: list[list[float | None]], splits: Splits, overlap: float, method: str, claim: str
) -> None:
    interval, seen = of(values, splits), np.ravel(values).astype(float)
    n = len(seen)
    half = stats.t.ppf(0.975, n - 1) * np.std(seen, ddof=1) * math.sqrt(1 / n + overlap)
    assert interval.high - interval.low == pytest.approx(2 * half)
    assert (interval.method, interval.claim) == (method, claim)


def test_an_interval_ends_at_the_metric_s_bounds() -> None:
    assert of([[0.9], [0.99], [0.7]]).high == 1
    counts = of([[0.0], [9.0], [1.0]], metric="fp")
    assert counts.low == 0
    assert counts.high > 9


@pytest.mark.parametrize(
    "values",
    [
        [[0.7], [0.8]],
        [[0.7], [0.8], [0.75], [None]],
        [[0.7, 0.8], [0.7, 0.8], [0.75, None], [0.7, 0.81]],
        [[0.7], [0.7], [0.7]],
        [[0.0], [0.0], [0.0]],
    ],
    ids=["two repeats", "a lost repeat", "a lost fold", "no spread", "all zero"],
)
def test_where_an_interval_would_mislead_there_is_none(values: list[list[float | None]]) -> None:
    assert mean_intervals(table(values), metric="image_ap") == {}


@pytest.mark.parametrize(
    ("second", "marked"), [(1.0, True), (0.98, False)], ids=["two at the bound", "one at the bound"]
)
def test_repeats_that_crowd_at_the_bound_are_marked(second: float, marked: bool) -> None:
    assert of([[1.0], [second], [0.9], [0.95]]).approximate is marked


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(
    ("scores", "mean", "expected"),
    [
        (lambda rng, n: rng.normal(0.5, 0.05, n), 0.5, 0.95),
        (lambda rng, n: 1 - rng.beta(4, 124, n), 1 - 4 / 128, 0.94),
        (
            lambda rng, n: 1 - rng.beta(0.5, 15.5, n),
            1 - 0.5 / 16,
            0.84,
        ),  # one run in ten falls far: too few tell
    ],
    ids=["normal", "near the bound", "crowded at the bound"],
)
def test_how_often_the_interval_covers_the_mean(
    seeds: int, scores: Callable[[np.random.Generator, int], np.ndarray], mean: float, expected: float
) -> None:
    rng, draws = np.random.default_rng(4), 400
    drawn = np.stack([scores(rng, seeds) for _ in range(draws)])
    one = table([[0.0]] * seeds)
    frame = pd.concat([one] * draws, ignore_index=True)
    frame["cell"], frame["value"] = np.repeat([f"c{i}" for i in range(draws)], seeds), drawn.ravel()
    found = mean_intervals(frame, metric="image_ap")
    covered = sum(interval.low <= mean <= interval.high for interval in found.values())
    assert len(found) == draws
    assert covered / draws == pytest.approx(
        expected, abs=0.045
    )  # three standard errors, and what seeds change
