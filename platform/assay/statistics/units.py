"""From repeats to the units that a claim averages over, and the variance of their mean.

* ``this split``: one split, several seeds. A unit is a seed.
* ``these folds``: prescribed folds, the same for all seeds. A unit is a seed, averaged over the folds.
* ``this data``: every seed draws its own split of one data set. A unit is a seed, averaged over its folds if
  it has any. Given the data set, splits and seeds are drawn anew each time: nothing overlaps.
* ``new data``: would it hold on other data of this kind? Training parts overlap, so the mean varies more than
  its units tell: variance (1/J + n_test/n_train)·s² instead of s²/J. A unit is a fold, averaged over the
  seeds (df = K − 1); where every seed draws its own split, a repeat (df = S + K − 2).

Source: Nadeau and Bengio 2003, Inference for the generalization error, Machine Learning 52.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.statistics.score_table import Claim, Scores

__all__ = ["Units", "units_of"]


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
    variance: float  # of the mean, in units of s²
    df: int
    folds: int  # units that another seed adds
    overlap: float | None  # n_test/n_train, of K folds 1/(K − 1); None: no Nadeau–Bengio term
    grows: bool  # whether another seed adds a unit; prescribed folds are as many as they are

    @property
    def n(self) -> int:
        """Units that have all their values."""
        return len(self.first)

    @property
    def exact(self) -> bool:
        """True where units are exchangeable, so that signs may be flipped."""
        return self.claim != "new data"


def units_of(
    scores: Scores, weights: Mapping[str, float], claim: Claim, *, worst: float | None = None
) -> Units:
    """The units of a contrast.

    Args:
        scores: All cells.
        weights: Cell → weight. They sum to 0; a single cell of weight 1 stands for its own scores.
        claim: One of ``claims_of(scores, weights)``.
        worst: Value of a diverged trial; None: its repeat has no value.

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
    lost = int((planned & ~complete & diverged.any(axis=1)).sum())
    of_seed, of_fold = np.unique(scores.seeds[planned]), np.unique(scores.folds[planned])
    own_splits = claim == "new data" and scores.own_splits.issuperset(weights)
    by_folds = claim == "new data" and not own_splits
    if claim in ("these folds", "this data"):
        names, table = _means(sides, _whole_seeds(scores, planned, complete))
        total = len(of_seed)
    elif by_folds:
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
        diverged=lost,
        variance=(1 / n if n else 0.0) + (overlap or 0.0),
        df=len(np.unique(scores.seeds[complete])) + len(of_fold) - 2 if own_splits else n - 1,
        folds=len(of_fold) if own_splits else 1,
        overlap=overlap,
        grows=not by_folds,
    )


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
