"""The tidy table as the statistics read it: one metric, cells in columns, repeats in rows.

One row per trial and metric: ``study, cell, factor:<name> …, seed, fold, split, n_train, n_test, part,
metric, value, status, reason, trial``. The key is study, cell, seed, fold, part, metric.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainables.evaluation.metrics import METRICS, Metric

__all__ = ["CLAIMS", "NO_FOLD", "Claim", "Scores", "Splits", "claims_of", "read_scores"]

Claim = Literal["this split", "these folds", "this data", "new data"]
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
