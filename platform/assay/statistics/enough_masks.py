"""Number of masks that is enough: from it on no more than ``resolve`` is lost against all masks.

In every repeat the score is interpolated over log(1 + masks) between the trained cells. What is lost with m
masks, d(m) = score with all − score with m, is then a paired difference like any other, with its mean and
its 95 % interval by the claim's t. Enough is the number from which on the mean loss stays within ``resolve``.
Its interval turns the test round: it holds the numbers whose loss is neither shown to be more than that nor
shown to be less. It is wide where scores are noisy, and ends at all masks where repeats are few.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.statistics.contrast_test import TOO_FEW
from assay.statistics.paired import has_no_spread, rounded, t_half_width
from assay.statistics.score_table import Claim, Splits, claims_of, read_scores
from assay.statistics.units import Units, units_of
from assay.study.names import counted

__all__ = ["Enough", "enough_masks"]


@dataclass(frozen=True)
class Enough:
    """The number of masks that is enough, under one claim. None: it cannot be had, see ``note``."""

    claim: Claim
    n: int  # units with a value in every cell
    n_planned: int
    all_masks: int
    masks: int | None  # from which on the mean loss stays within `resolve`
    low: int | None  # 95 % interval
    high: int | None
    note: str


def enough_masks(
    table: pd.DataFrame,
    masks: Mapping[str, float],
    *,
    metric: str,
    resolve: float,
    splits: Splits | Mapping[str, Splits] = "prescribed",
) -> tuple[Enough, ...]:
    """Number of masks that is enough under each claim that the repeats allow, the narrower first.

    Args:
        table: One row per trial and metric (see :mod:`assay.statistics.score_table`).
        masks: Cell → its number of masks, rising; the last cell has all.
        metric: A name of ``trainables.evaluation.metrics.METRICS``.
        resolve: The loss that does not matter, above 0.
        splits: Whether seeds share the splits, or every seed draws its own; of all cells, or by cell.

    Raises:
        ValueError: If the table breaks its rules or lacks a cell.
    """
    scores = read_scores(table, metric, splits=splits)
    *fewer, everything = masks
    claims = claims_of(scores, masks)
    enough: list[Enough] = []
    for claim in claims:
        # Weights of 0: a repeat counts only where every cell of the line has a value.
        nothing = dict.fromkeys(masks, 0.0)
        of_cells = [units_of(scores, nothing | {everything: 1.0, cell: -1.0}, claim) for cell in fewer]
        lost = [scores.metric.sign * rounded(units.first - units.second) for units in of_cells]
        enough.append(_enough(of_cells[0], np.array([*lost, np.zeros(of_cells[0].n)]), masks, resolve))
    return tuple(enough)


def _enough(units: Units, lost: NDArray[np.float64], masks: Mapping[str, float], resolve: float) -> Enough:
    """``lost``: cells × units."""
    at = np.log1p(list(masks.values()))
    numbers = np.arange(round(min(masks.values())), round(max(masks.values())) + 1)
    notes = [f"{units.diverged} diverged and left out"] if units.diverged else []
    estimate: int | None = None
    ends: tuple[int, int] | None = None
    if units.n:
        points = np.log1p(numbers)
        points[-1] = at[-1]  # all masks: their mean over the trainings is no whole number
        losses = np.array([np.interp(points, at, unit) for unit in lost.T])  # units × numbers
        mean = losses.mean(axis=0)
        estimate = _first_for_good(numbers, mean <= resolve)
        alike = [
            cell
            for cell, of_cell in zip(masks, lost[:-1], strict=False)
            if len(of_cell) > 1 and has_no_spread(of_cell)
        ]
        if units.n <= TOO_FEW:
            notes.append(f"{counted(units.n, 'repeat')}: no interval")
        elif alike:
            notes.append(f"no spread seen at {', '.join(alike)}: no interval")
        else:
            half = [t_half_width(float(sd), units.variance, units.df) for sd in losses.std(axis=0, ddof=1)]
            not_too_few = int(numbers[np.argmax(mean - half <= resolve)])
            ends = not_too_few, _first_for_good(numbers, mean + half <= resolve)
    else:
        notes.append("no repeat has a value in every cell")
    low, high = ends or (None, None)
    return Enough(
        units.claim, units.n, units.planned, int(numbers[-1]), estimate, low, high, "; ".join(notes)
    )


def _first_for_good(numbers: NDArray[np.int64], enough: NDArray[np.bool_]) -> int:
    """The first number from which on all are enough; with all masks nothing is lost."""
    lacking = np.flatnonzero(~enough)
    return int(numbers[lacking[-1] + 1 if len(lacking) else 0])
