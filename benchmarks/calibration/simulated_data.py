"""Simulated data: what a learner's scores say of new data, and what test items say of a score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.statistics.intervals import ItemBootstrap, ItemInterval
from assay.statistics.scores import Claim
from benchmarks.calibration.figures import FALSE_POSITIVES, Figure, Simulation, misses, percent, rng_of
from benchmarks.calibration.worlds import (
    average_precision,
    item_predictions,
    learner_scores,
    results_of_pairs,
)

__all__ = ["ON_DATA"]

# Seeds × folds ---------------------------------------------------------------------------------------

_SEEDS = (3, 5, 10)
_LOUD, _QUIET = 0.4, 0.2  # what a training adds to its cell, which is drawn with sd 1 for each data set


@dataclass(frozen=True)
class _Learner:
    """Learner: how its seeds come about, and which claim is looked at."""

    seed_noise: float
    claim: Claim = "new data"
    own_splits: bool = False
    folds: bool = True  # all three; else the first alone: a split into two parts
    design: tuple[float, ...] = ()  # at 3, 5 and 10 seeds
    held: bool = True

    def scores(self, rng: np.random.Generator, draws: int) -> NDArray[np.float64]:
        alike = self.claim == "these folds"
        scores = learner_scores(
            rng,
            draws,
            max(_SEEDS),
            seed_noise=self.seed_noise,
            own_splits=self.own_splits,
            same_cells=alike,
        )
        return scores if self.folds else scores[..., 0]


_LEARNERS = {
    "same folds, loud seeds: `new data`": _Learner(_LOUD, design=(4.7, 5.0, 5.0)),
    "same folds, quiet seeds: `new data`": _Learner(_QUIET, design=(3.9, 3.8, 3.8)),
    "own folds per seed, loud: `new data`": _Learner(_LOUD, own_splits=True, design=(2.9, 3.7, 5.2)),
    "own folds per seed, quiet: `new data`": _Learner(_QUIET, own_splits=True, held=False),
    "own split per seed, loud: `new data`": _Learner(_LOUD, own_splits=True, folds=False),
    "own split per seed, quiet: `new data`": _Learner(_QUIET, own_splits=True, folds=False, held=False),
    "same folds, cells alike on them: `these folds`": _Learner(_LOUD, "these folds", design=(5.2, 5.3, 5.4)),
}


def seeds_and_folds(row: str, draws: int) -> Iterator[Figure]:
    """A learner's scores; the first S of ten seeds. The t interval for all claims: few seeds, no exact p."""
    learner = _LEARNERS[row]
    scores = learner.scores(rng_of("folds", row), draws)
    splits = "per_seed" if learner.own_splits else "prescribed"
    for place, seeds in enumerate(_SEEDS):
        results = results_of_pairs(*scores[:, :, :seeds], splits=splits, n_train=60, n_test=30)
        of_claim = [next(result for result in claims if result.claim == learner.claim) for claims in results]
        wrong = percent([misses(result) for result in of_claim])
        design = f"{learner.design[place]}" if learner.design else ""
        most = FALSE_POSITIVES if learner.held else None
        yield Figure("folds", row, f"S = {seeds}", wrong, draws, design, most)


# Test-set uncertainty ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _TestPart:
    items: int
    images: int  # of each item
    shift: float  # how far defective images score above the others, in sd
    design: tuple[float, float]  # coverage of one cell, of the difference

    def defective(self, items: int) -> NDArray[np.bool_]:
        """items × images: one image of each item where items are few, else a third of the items."""
        label = np.zeros((items, self.images), bool)
        if self.items < 20:
            label[:, 0] = True
        else:
            label[::3] = True
        return label


_TEST_PARTS = {
    "17 items × 8 images": _TestPart(17, 8, 3.0, (97.8, 95.8)),
    "50 × 4": _TestPart(50, 4, 2.0, (92.5, 94.3)),
    "200 × 1": _TestPart(200, 1, 2.0, (94.8, 92.7)),
    "50 × 4, near AP 1": _TestPart(50, 4, 3.5, (96.0, 95.5)),
}


def item_intervals(name: str, draws: int) -> Iterator[Figure]:
    """Coverage of the AP on endless items: of one cell, and of its difference to an equal and a worse one."""
    part = _TEST_PARTS[name]
    rng = rng_of("luck", name)  # a seed by name: the figures of docs/calibration.md were drawn with it
    shifts = {"one": part.shift, "equal": part.shift, "worse": part.shift - 0.5}
    endless = 400_000 // part.images
    large = item_predictions(rng, endless, part.images, part.defective(endless), shifts)
    truth = {
        str(trial): float(average_precision(rows["label"].to_numpy(), rows["score"].to_numpy()))
        for trial, rows in large.groupby("trial")
    }
    covered: dict[str, list[bool]] = {"one cell": [], "difference of equals": [], "difference": []}
    for draw in range(draws):
        predictions = item_predictions(rng, part.items, part.images, part.defective(part.items), shifts)
        bootstrap = ItemBootstrap(predictions, seed=draw)
        covered["one cell"] += _covers(bootstrap.cell(["one"]), truth["one"])
        for column, other in (("difference of equals", "equal"), ("difference", "worse")):
            interval = bootstrap.difference(["one"], [other])
            covered[column] += _covers(interval, truth["one"] - truth[other])
    row = f"{name}, AP {truth['one']:.3f}"
    for column, held in covered.items():
        design = {"one cell": f"{part.design[0]}", "difference of equals": f"{part.design[1]}"}
        yield Figure("items", row, column, percent(held), len(held), design.get(column, ""))


def _covers(interval: ItemInterval, truth: float) -> list[bool]:
    """Nothing where there is no interval."""
    return [] if interval.low is None or interval.high is None else [interval.low <= truth <= interval.high]


ON_DATA: tuple[Simulation, ...] = (
    *(Simulation(seeds_and_folds, row, 3_000) for row in _LEARNERS),
    *(Simulation(item_intervals, name, 300) for name in _TEST_PARTS),
)
