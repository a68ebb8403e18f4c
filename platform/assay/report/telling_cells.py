"""Cells in an order that tells something: by their mean, the pair to look at first, the few that fit."""

from __future__ import annotations

import math
from collections.abc import Collection

from assay.analysis.results import StudyResults
from assay.analysis.summary import by_mean, metric_summary
from trainables.evaluation.metrics import Metric

__all__ = ["base_and_best", "in_order", "telling_cells"]


def in_order(results: StudyResults, metric: Metric | None) -> list[str]:
    """Names of the cells: as planned, or by a metric, the best first, as :func:`.by_mean` ranks them."""
    if metric is None:
        return [cell.name for cell in results.reported.cells]
    return [summary.cell.name for summary in by_mean(metric_summary(results, metric.name), metric)]


def base_and_best(results: StudyResults) -> tuple[str, str] | None:
    """The study's first cell and that of the best mean; the worst where the first is the best."""
    ranked = in_order(results, results.primary)
    if len(ranked) < 2:
        return None
    first, best = results.reported.cells[0].name, ranked[0]
    return (ranked[-1] if first == best else first), best


def telling_cells(results: StudyResults, names: Collection[str], most: int) -> list[str]:
    """At most ``most`` of ``names``: base and best, then those farthest in mean from the base.

    They stand in the study's order. Cells that no table reports, such as points of a search, come last.
    """
    reported = in_order(results, None)
    order = [*(name for name in reported if name in names), *(name for name in names if name not in reported)]
    pair = [name for name in base_and_best(results) or () if name in names]
    means = {summary.cell.name: summary.mean for summary in metric_summary(results, results.primary.name)}
    base = means[pair[0]] if pair else None

    def nearness(name: str) -> float:
        mean = means.get(name)
        return math.inf if mean is None or base is None else -abs(mean - base)

    chosen = [*pair, *sorted((name for name in order if name not in pair), key=nearness)][:most]
    return [name for name in order if name in chosen]
