"""The cell that a page names as the best of several: a choice by scores, no claim that it is better.

Which cells can be told from the best is another question: see :mod:`assay.analysis.statistics.best_cells`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

from assay.analysis.summary import RepeatSummary
from trainables.metrics import Metric

__all__ = ["best_mean"]

_Summary = TypeVar("_Summary", bound=RepeatSummary)


def best_mean(summaries: Iterable[_Summary], metric: Metric) -> _Summary | None:
    """The cell of the best mean, of equal ones the first; None where no repeat has a value.

    A training that diverged counts as the metric's worst value, as in the comparisons: the mean of the others
    would prefer a method that fails wherever it is hard. Counts have no worst value, and among them a cell
    that diverged comes after all that did not.
    """
    sign = 1 if metric.better == "higher" else -1
    worst = math.inf if metric.worst is None else metric.worst

    def goodness(summary: _Summary) -> tuple[float, float]:
        assert summary.mean is not None, "only cells with a value are ranked"
        diverged = sum(lost.repeats for lost in summary.lost if lost.status == "diverged")
        filled = [*summary.values.values(), *[worst] * diverged]
        return sign * math.fsum(filled) / len(filled), sign * summary.mean

    return max((summary for summary in summaries if summary.n), key=goodness, default=None)
