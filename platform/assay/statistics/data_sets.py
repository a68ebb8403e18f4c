"""Claims over data sets: would a difference hold on another data set?

A data set is one unit: its effect is the mean difference over its repeats, whose number says nothing of
other data sets. From there on a data set is tested as a seed is elsewhere: exact sign flips over data sets,
max-T for a family (:mod:`assay.statistics.contrast_test`).

The model is that of random effects: the effect on data set i is μ + b_i + e_i, with b_i what is special about
the data set and e_i the chance of its repeats. μ is estimated by the mean with equal weights, its variance by
s²/k, which holds both parts whatever they are. Weights by precision would give a narrower interval where the
precision is known. Here three to ten repeats would have to tell it, and where both cells are near the ceiling
the spread is small, and so is the effect: such data sets would speak for all. Sign flips test the same mean.

Sources: Hedges and Vevea 1998, Fixed- and random-effects models in meta-analysis, Psychological Methods 3;
Shuster 2010, Empirical vs natural weighting in random effects meta-analysis, Statistics in Medicine 29 (equal
weights); Demšar 2006, Statistical comparisons of classifiers over multiple data sets, JMLR 7 (the data set as
the unit, Friedman and Nemenyi).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.statistics.paired import ALPHA, t_half_width
from assay.statistics.scores import Scores, Units, claims_of, units_of

__all__ = [
    "FRIEDMAN_CELLS",
    "FRIEDMAN_SETS",
    "Ranking",
    "data_set_units",
    "next_half_width",
    "rank_cells",
]

FRIEDMAN_CELLS, FRIEDMAN_SETS = 5, 6  # from which mean ranks are told


def data_set_units(
    scores: Scores,
    data_sets: Mapping[str, tuple[str, str]],
    *,
    worst: float | None = None,
    missing: float | None = None,
) -> Units:
    """The two sides of a comparison, one value of each per data set: means over its repeats.

    Args:
        scores: All cells.
        data_sets: Data set → cells (from, to).
        worst: Value of a diverged trial; None: its repeat has no value.
        missing: Difference that stands for a repeat that is missing; None: it has no value.
    """
    names: list[str] = []
    sides: list[tuple[float, float]] = []
    diverged = absent = seeds = 0
    for name, (start, end) in data_sets.items():
        weights = {end: 1.0, start: -1.0}
        narrowest = claims_of(scores, weights)[0]
        of_set = units_of(scores, weights, narrowest, worst=worst, missing=missing)
        diverged, absent = diverged + of_set.diverged, absent + of_set.missing
        seeds = max(seeds, of_set.seeds)
        if of_set.n:
            names.append(name)
            sides.append((float(np.mean(of_set.first)), float(np.mean(of_set.second))))
    table = np.array(sides, np.float64).reshape(-1, 2)
    n = len(table)
    return Units(
        claim="data sets",
        first=table[:, 0],
        second=table[:, 1],
        names=tuple(names),
        planned=len(data_sets),
        seeds=seeds,
        diverged=diverged,
        missing=absent,
        variance=1 / n if n else 0.0,
        df=n - 1,
        folds=1,
        overlap=None,
        grows=True,
        by_seed=np.empty((0, 0)),
    )


def next_half_width(sd: float, n: int) -> float:
    """Half of the 95 % interval for the difference that will be seen on the next data set.

    It is seen as those before were, with as many repeats, so it varies as they do: t·s·√(1 + 1/n) with n − 1
    degrees of freedom. For its true effect, without the chance of its repeats, it is wider than need be.

    Args:
        sd: Of the effects of the data sets.
        n: Data sets, at least 2.

    Source: Hahn and Meeker 1991, Statistical Intervals, Wiley (one future observation of a normal
    distribution); Higgins, Thompson and Spiegelhalter 2009, A re-evaluation of random-effects meta-analysis,
    JRSS A 172 (why the mean's interval says nothing of the next).
    """
    return t_half_width(sd, 1 + 1 / n, n - 1)


# Mean ranks ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of cells over data sets, and how far apart they have to be."""

    ranks: Mapping[str, float]  # cell → mean rank, 1 is best; in the order of the ranks
    data_sets: int  # on which all cells have a value
    statistic: float  # Friedman's χ²
    p: float
    critical: float  # difference of two mean ranks, Nemenyi


def rank_cells(values: NDArray[np.float64], names: tuple[str, ...], sign: int) -> Ranking:
    """Friedman's test over data sets, with Nemenyi's critical difference of mean ranks at .05.

    Args:
        values: Data sets × cells, without NaN; at least two data sets and three cells.
        names: Of the cells.
        sign: 1 where higher is better, −1 where lower is.

    Source: Demšar 2006, JMLR 7, sections 3.2.1 and 3.2.2.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range  # half a second to load

    sets, cells = values.shape
    ranks = rankdata(-sign * values, axis=1).mean(axis=0)
    # Where all tie there is nothing to test, and scipy would divide by 0.
    alike = bool((values == values[:, :1]).all())
    tested = (0.0, 1.0) if alike else friedmanchisquare(*values.T)
    q = float(studentized_range.ppf(1 - ALPHA, cells, np.inf)) / math.sqrt(2)
    order = np.argsort(ranks, kind="stable")
    return Ranking(
        ranks={names[i]: float(ranks[i]) for i in order},
        data_sets=sets,
        statistic=float(tested[0]),
        p=float(tested[1]),
        critical=q * math.sqrt(cells * (cells + 1) / (6 * sets)),
    )
