"""The scores that are tested: a tidy table as a matrix, and the units that a claim averages over.

The table has one row per trial and metric: ``study, cell, factor:<name> …, seed, fold, split, n_train,
n_test, part, metric, value, status, reason, trial``. The key is study, cell, seed, fold, part, metric.

Units of a claim, and the variance of their mean:

* ``this split``: one split, several seeds. A unit is a seed.
* ``these folds``: prescribed folds, the same for all seeds. A unit is a seed, averaged over the folds.
* ``this data``: every seed draws its own split of one data set. A unit is a seed, averaged over its folds if
  it has any. Given the data set, splits and seeds are drawn anew each time: nothing overlaps.
* ``new data``: would it hold on other data of this kind? Training parts overlap, so the mean varies more than
  its units tell: variance (1/J + n_test/n_train)·s² instead of s²/J. A unit is a fold, averaged over the
  seeds (df = K − 1); where every seed draws its own split, a repeat (df = S + K − 2).
  :func:`with_seeds_counted` adds what a seed moves in all folds at once.
* ``data sets``: would it hold on another data set? A unit is a data set, the mean over its repeats
  (:mod:`assay.statistics.data_sets`). It is claimed where somebody asks, of contrasts that name data sets.

Source: Nadeau and Bengio 2003, Inference for the generalization error, Machine Learning 52; Satterthwaite
1946, An approximate distribution of estimates of variance components, Biometrics Bulletin 2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.statistics.paired import has_no_spread, rounded, t_half_width
from trainables.evaluation.metrics import METRICS, Metric

__all__ = [
    "CLAIMS",
    "NO_FOLD",
    "Claim",
    "Scores",
    "Splits",
    "Units",
    "claims_of",
    "read_scores",
    "units_of",
    "with_seeds_counted",
]

Claim = Literal["this split", "these folds", "this data", "new data", "data sets"]
Splits = Literal["prescribed", "per_seed"]  # seeds share the splits, or every seed draws its own

CLAIMS: tuple[Claim, ...] = get_args(Claim)  # the narrower first
NO_FOLD = -1  # stands where a repeat has none


@dataclass(frozen=True, eq=False)
class Scores:
    """Values of one metric: R repeats (rows, by seed and fold) × C cells (columns, as they come)."""

    metric: Metric
    own_splits: frozenset[str]  # cells whose seeds draw a split of their own
    cells: dict[str, int]  # name → column
    seeds: NDArray[np.int64]  # R
    folds: NDArray[np.int64]  # R; -1: no fold
    names: NDArray[np.object_]  # R: `seed 3`, `seed 3 fold 1`
    values: NDArray[np.float64]  # R × C; NaN: none
    planned: NDArray[np.bool_]  # R × C
    diverged: NDArray[np.bool_]  # R × C: lost by the method, not by a machine
    test_shares: NDArray[np.float64]  # R × C: n_test / n_train; NaN: the trial does not say it

    def columns(self, cells: Sequence[str]) -> list[int]:
        """Columns of cells.

        Raises:
            ValueError: If the table has no such cell.
        """
        unknown = [cell for cell in cells if cell not in self.cells]
        if unknown:
            raise ValueError(f"the table has no cell {', '.join(unknown)}; it has {', '.join(self.cells)}")
        return [self.cells[cell] for cell in cells]


def read_scores(
    table: pd.DataFrame,
    metric: str | Metric,
    *,
    splits: Splits | Mapping[str, Splits] = "prescribed",
) -> Scores:
    """One metric of one study on test images, by its name in ``METRICS`` or as it is.

    ``splits``: of all cells, or by cell.

    Raises:
        ValueError: If the table holds several studies, a key stands there twice, or a value is infinite.
    """
    scored_by = METRICS[metric] if isinstance(metric, str) else metric
    metric = scored_by.name
    chosen = ((table["metric"] == metric) & (table["part"] == "test")).to_numpy(np.bool_)
    studies = dict.fromkeys(map(str, table["study"].to_numpy()[chosen]))
    if len(studies) > 1:
        raise ValueError(f"one study at a time, found {', '.join(studies)}")
    column, names = pd.factorize(table["cell"].to_numpy(object)[chosen])
    folds = table["fold"].to_numpy(np.float64, na_value=NO_FOLD)[chosen]
    keys = np.column_stack([table["seed"].to_numpy(np.int64)[chosen], folds.astype(np.int64)])
    repeats, row = np.unique(keys, axis=0, return_inverse=True)
    planned = np.zeros((len(repeats), len(names)), np.int64)
    np.add.at(planned, (row, column), 1)
    if (planned > 1).any():
        r, c = np.argwhere(planned > 1)[0]
        raise ValueError(f"two rows for {_where(metric, str(names[c]), repeats[r])}")
    values = np.full(planned.shape, np.nan)
    values[row, column] = table["value"].to_numpy(np.float64, na_value=np.nan)[chosen]
    if np.isinf(values).any():
        r, c = np.argwhere(np.isinf(values))[0]
        at = _where(metric, str(names[c]), repeats[r])
        raise ValueError(f"a value is a finite number, found {values[r, c]} for {at}")
    shares = np.full(planned.shape, np.nan)
    test, train = (
        table[name].to_numpy(np.float64, na_value=np.nan)[chosen] for name in ("n_test", "n_train")
    )
    shares[row, column] = test / train
    diverged = np.zeros(planned.shape, np.bool_)
    diverged[row, column] = (table["status"] == "diverged").to_numpy(np.bool_)[chosen]
    return Scores(
        metric=scored_by,
        own_splits=frozenset(
            str(name) for name in names if (splits if isinstance(splits, str) else splits[name]) == "per_seed"
        ),
        cells={str(name): index for index, name in enumerate(names)},
        seeds=repeats[:, 0],
        folds=repeats[:, 1],
        names=np.array([_name(*repeat) for repeat in repeats.tolist()], object),
        values=values,
        planned=planned > 0,
        diverged=diverged & np.isnan(values),
        test_shares=shares,
    )


def claims_of(scores: Scores, cells: Collection[str]) -> tuple[Claim, ...]:
    """List the claims that the repeats of cells allow, the narrower first."""
    if scores.own_splits.issuperset(cells):
        return ("this data", "new data")
    shared = scores.planned[:, scores.columns(list(cells))].all(axis=1)
    return ("these folds", "new data") if len(np.unique(scores.folds[shared])) > 1 else ("this split",)


def _name(seed: int, fold: int) -> str:
    return f"seed {seed}" + (f" fold {fold}" if fold != NO_FOLD else "")


def _where(metric: str, cell: str, repeat: NDArray[np.int64]) -> str:
    """``image_ap of stop·full, seed 3 fold 0``."""
    return f"{metric} of {cell}, {_name(*map(int, repeat))}"


# Units ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Units:
    """The two sides of a contrast, one value of each per unit."""

    claim: Claim
    first: NDArray[np.float64]  # n: what has positive weights; a comparison's cell_a
    second: NDArray[np.float64]  # n: what has negative weights
    names: tuple[str, ...]  # n: `seed 3`, `fold 1`, `seed 3 fold 1`
    planned: int
    seeds: int  # as planned
    diverged: int  # repeats without a value because a cell diverged
    missing: int  # repeats of which one cell has a value and another has none, and did not diverge
    variance: float  # of the mean, in units of s²
    df: float
    folds: int  # units that another seed adds
    overlap: float | None  # n_test/n_train, of K folds 1/(K − 1); None: no Nadeau–Bengio term
    grows: bool  # whether another seed adds a unit; prescribed folds are as many as they are
    by_seed: NDArray[np.float64]  # S × K differences of seeds with all folds; empty: no unit is a fold

    @property
    def n(self) -> int:
        """Units that have all their values."""
        return len(self.first)

    @property
    def exact(self) -> bool:
        """True where units are exchangeable, so that signs may be flipped."""
        return self.claim != "new data"


def units_of(
    scores: Scores,
    weights: Mapping[str, float],
    claim: Claim,
    *,
    worst: float | None = None,
    missing: float | None = None,
) -> Units:
    """The units of a contrast.

    Args:
        scores: All cells.
        weights: Cell → weight. They sum to 0; a single cell of weight 1 stands for its own scores.
        claim: One of ``claims_of(scores, weights)``.
        worst: Value of a diverged trial; None: its repeat has no value.
        missing: Difference that stands for a repeat that is missing; None: it has no value.

    Raises:
        ValueError: If ``new data`` is claimed and no trial says how large its parts were.
    """
    columns = scores.columns(list(weights))
    w = np.array(list(weights.values()))
    values, diverged = scores.values[:, columns], scores.diverged[:, columns]
    if worst is not None:
        values = np.where(diverged, worst, values)
    planned = np.asarray(scores.planned[:, columns].all(axis=1))
    sides = np.stack(
        [values @ np.maximum(w, 0), values @ np.maximum(-w, 0)], axis=1
    )  # NaN: a cell is missing
    complete = np.asarray(planned & ~np.isnan(values).any(axis=1))
    lost = planned & ~complete & diverged.any(axis=1)
    # What no cell has says nothing of who left it out.
    absent = planned & ~complete & ~diverged.any(axis=1) & ~np.isnan(values).all(axis=1)
    if missing is not None:
        sides[absent] = (missing, 0.0)
        complete |= absent
    of_seed, of_fold = np.unique(scores.seeds[planned]), np.unique(scores.folds[planned])
    own_splits = claim == "new data" and scores.own_splits.issuperset(weights)
    by_folds = claim == "new data" and not own_splits
    by_seed = np.empty((0, 0))
    if claim in ("these folds", "this data"):
        names, table = _means(sides, _whole_seeds(scores, planned, complete))
        total = len(of_seed)
    elif by_folds:
        seeds = _whole_seeds(scores, planned, complete).values()
        whole = [seed for seed in seeds if seed.sum() == len(of_fold)]
        by_seed = np.array([sides[seed, 0] - sides[seed, 1] for seed in whole]).reshape(-1, len(of_fold))
        names, table = _means(sides, {f"fold {fold}": complete & (scores.folds == fold) for fold in of_fold})
        total = len(of_fold)
    else:
        names, table, total = tuple(scores.names[complete]), sides[complete], int(planned.sum())
    n = len(table)
    shares = scores.test_shares[complete][:, columns]
    overlap = _overlap(shares, len(of_fold)) if claim == "new data" and n else None
    return Units(
        claim=claim,
        first=table[:, 0],
        second=table[:, 1],
        names=names,
        planned=total,
        seeds=len(of_seed),
        diverged=int(lost.sum()),
        missing=int(absent.sum()),
        variance=(1 / n if n else 0.0) + (overlap or 0.0),
        df=len(np.unique(scores.seeds[complete])) + len(of_fold) - 2 if own_splits else n - 1,
        folds=len(of_fold) if own_splits else 1,
        overlap=overlap,
        grows=not by_folds,
        by_seed=by_seed,
    )


def with_seeds_counted(units: Units) -> Units:
    """The units of prescribed folds, with the variance of what a seed moves in all folds at once.

    A seed may mean the same in all folds: the same first weights, or the same order of images. What it does
    for one cell and not for the other then moves every fold, and folds alone take it for a difference. Of S
    seeds in K folds max(0, s²_seeds − s²_rest/K)/S comes to the variance of the mean, with s²_seeds between
    the seeds' means over the folds and s²_rest what neither seed nor fold explains. Degrees of freedom are
    Satterthwaite's, and no interval becomes narrower. One seed knows nothing of this, two know little.
    """
    seeds, folds = units.by_seed.shape
    d = rounded(units.first - units.second)
    if seeds < 2 or folds < 2 or has_no_spread(d):
        return units
    s2 = float(np.var(d, ddof=1))
    of_seeds = units.by_seed.mean(axis=1)
    of_folds = units.by_seed.mean(axis=0)
    rest = units.by_seed - of_seeds[:, None] - of_folds + of_seeds.mean()
    s2_rest = float(np.sum(rest**2)) / ((seeds - 1) * (folds - 1))
    # Each mean square with its share of the variance, and its degrees of freedom.
    between_folds = units.variance * s2
    between_seeds = float(np.var(of_seeds, ddof=1)) / seeds
    by_chance = s2_rest / folds / seeds
    if between_seeds <= by_chance:
        return units
    variance = between_folds + between_seeds - by_chance
    df = variance**2 / (
        between_folds**2 / units.df
        + between_seeds**2 / (seeds - 1)
        + by_chance**2 / ((seeds - 1) * (folds - 1))
    )
    if t_half_width(1.0, variance, df) <= t_half_width(1.0, between_folds, units.df):
        return units
    return replace(units, variance=variance / s2, df=df)


def _means(
    sides: NDArray[np.float64], members: Mapping[str, NDArray[np.bool_]]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names of the units, and both sides of each: the means of its repeats, where it has any."""
    means = {name: sides[chosen].mean(axis=0) for name, chosen in members.items() if chosen.any()}
    return tuple(means), np.array(list(means.values())).reshape(-1, 2)


def _whole_seeds(
    scores: Scores, planned: NDArray[np.bool_], complete: NDArray[np.bool_]
) -> dict[str, NDArray[np.bool_]]:
    """Name of each seed that has all its folds → its repeats: a mean over other folds is another score."""
    of_seeds = {f"seed {seed}": planned & (scores.seeds == seed) for seed in np.unique(scores.seeds[planned])}
    return {name: chosen for name, chosen in of_seeds.items() if complete[chosen].all()}


def _overlap(shares: NDArray[np.float64], folds: int) -> float:
    """n_test/n_train: of K folds 1/(K − 1), else as recorded, the mean over the trials that are compared."""
    if folds > 1:
        return 1 / (folds - 1)
    known = shares[~np.isnan(shares)]
    if not len(known):
        raise ValueError(
            "the claim `new data` needs n_train and n_test of at least one trial, "
            f"and no trial of the {len(shares)} repeats has them"
        )
    return float(np.mean(known))
