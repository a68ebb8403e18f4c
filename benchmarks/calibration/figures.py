"""Figures of the calibration with their bounds, and the work that gives them.

A figure may carry that of the simulation by which the method was chosen (``design``; 20,000 draws, with scipy
and statsmodels alone), and a bound that it must keep.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.statistics.families import ComparisonResult

__all__ = [
    "DECIDED",
    "FALSE_POSITIVES",
    "SECTIONS",
    "Figure",
    "Simulation",
    "misses",
    "percent",
    "rng_of",
    "significant",
]

ALPHA = 0.05
FALSE_POSITIVES = 5.5  # %, at most, wherever nothing differs and n ≥ 5; coverage of 93 % follows
DECIDED = ("shown", "suggested")

SECTIONS = {
    "interval": "t interval: draws in which it misses the true difference (100 − coverage)",
    "exact": "Exact sign-flip test: p ≤ .05",
    "verdict": "Verdict `shown` or `suggested`, one comparison",
    "family": "Four cells against one base: any verdict that is `shown`; that is `shown` or `suggested`",
    "max_t": "Families (comparisons, world) without any effect: any verdict `shown` or `suggested`",
    "partly": "Families of which a quarter is 2.5 sd better: false among the others, found of the quarter",
    "negligible": "Families: verdict `negligible`",
    "can_go": "Parts (comparisons, world) that lose exactly `resolve`, here 0.5 sd: any `dispensable`",
    "can_go_power": "Parts that can go: found by `dispensable`, and by `negligible` where nothing is asked",
    "can_go_decide": "`decide`, six parts that ask `can go`",
    "power": "Power: found where the true difference is 1 or 2 sd of the differences",
    "folds": "Seeds × folds: interval that misses 0 though the cells are exchangeable, S seeds",
    "contrast": "2 × 2 × 2: interval of a contrast that misses 0",
    "failed": "10 repeats, 10 % of the trials diverge: p ≤ .05",
    "looks": "Adding repeats from 5 to 10, or once from 5 to 10, until `shown`",
    "seed_effect": "Seeds that mean the same in all folds, cells alike: `new data`, p ≤ .05, S seeds",
    "small_looks": "Adding repeats from three on, until `suggested` or `shown`",
    "missing": "Repeats that one cell lacks: `shown` or `suggested`",
    "dependent": "Repeats that depend on each other, cells alike: `shown` or `suggested`",
    "at_resolve": "Comparisons (number, world) whose true difference is `resolve`, 1 sd: any `negligible`",
    "note": "Comparisons that carry the note `skewed differences`",
    "decide": "`decide` at 6, 8, 10, 13, 16, 20 repeats, six cells against one base (effects in sd)",
    "decide_errors": "`decide`, six cells against one base: any false `shown`",
    "bold": "The truly best cell is bold, or no cell is",
    "data_sets": "Claims over k data sets of 3 repeats, no difference on average: `shown` or `suggested`",
    "data_sets_mean": "Claims over data sets: interval of the mean that misses it",
    "data_sets_next": "Claims over data sets: interval of the next data set that misses what is seen there",
    "items": "Test-set uncertainty: coverage of the interval over test items",
}


@dataclass(frozen=True)
class Figure:
    """One measured number: where it stands, what it may be."""

    section: str
    row: str
    column: str
    value: float
    draws: int
    design: str = ""  # the figure of the simulation by which the method was chosen
    most: float | None = None  # it may not be above, beyond the error of so many draws
    decimals: int = 1

    @property
    def error(self) -> float:
        """Standard error of a share of ``most`` percent."""
        share = (self.most or 0.0) / 100
        return 100 * float(np.sqrt(share * (1 - share) / self.draws))

    @property
    def broken(self) -> bool:
        """True where the bound is exceeded by more than two standard errors."""
        return self.most is not None and self.value > self.most + 2 * self.error


@dataclass(frozen=True)
class Simulation:
    """A piece of work for one process."""

    run: Callable[..., Iterator[Figure]]
    argument: Any
    draws: int

    def figures(self, scale: float) -> list[Figure]:
        """Run it with ``scale`` times its draws."""
        return list(self.run(self.argument, max(20, round(self.draws * scale))))


def rng_of(*name: object) -> np.random.Generator:
    """The same numbers for the same name, whichever process asks."""
    return np.random.default_rng(zlib.crc32(repr(name).encode()))


def percent(hits: Sequence[bool] | NDArray[np.bool_]) -> float:
    return 100 * float(np.mean(hits))


def misses(result: ComparisonResult, truth: float = 0.0) -> bool:
    assert result.low is not None
    assert result.high is not None
    return not result.low <= truth <= result.high


def significant(result: ComparisonResult) -> bool:
    return result.p is not None and result.p <= ALPHA
