"""The front of a search with several objectives, and what its points are worth on fresh seeds.

A point is on the front because of the values that chose it, so they flatter it, the more so the more points
were drawn. What it is worth are the scores of its replicates: metrics on test images, costs measured again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from assay.analysis.results.results import StudyResults
from assay.analysis.results.search_results import SearchResults
from assay.analysis.summary import metric_summary, metric_table
from assay.statistics.contrast_test import TOO_FEW
from assay.statistics.intervals import mean_intervals
from assay.statistics.paired import t_half_width
from assay.storage.search_points import EvaluatedPoint, beats, best_points, objective_value
from assay.study import Cell
from assay.study.search.spec import Objective
from trainables.evaluation.metrics import METRICS

__all__ = ["FreshValue", "FrontPoint", "fresh_value", "optimism", "search_front"]


@dataclass(frozen=True)
class FreshValue:
    """Mean over fresh seeds, with its 95 % interval by itself where three units or more have spread."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class FrontPoint:
    """A point that no other beats in all objectives, as far as the search measured."""

    evaluated: EvaluatedPoint
    fresh: tuple[FreshValue | None, ...] | None = None  # of each objective; None: it is not trained again
    beaten_by: str | None = None  # the point that beats its means on fresh seeds

    @property
    def name(self) -> str:
        """``base #3``."""
        return self.evaluated.point.name

    @property
    def unbeaten(self) -> bool | None:
        """True where no point has better means on fresh seeds; None where its own are not all known."""
        if self.fresh is None or None in self.fresh:
            return None
        return self.beaten_by is None


def search_front(results: SearchResults, cell: str) -> list[FrontPoint]:
    """The front of one searched cell, by the first objective, best first."""
    goals = results.plan.search.objectives
    signs = [goal.sign for goal in goals]
    # The front is that of the values by which the search chose; equal first values keep the order of drawing.
    ranked = best_points(results.plan, results.evaluated_points[cell])
    ranked.sort(key=lambda each: (-signs[0] * each.values[0], each.point.index))
    # Points that are trained again have a row of their own in the plan, with other seeds.
    retrained = {row.name: row for row in results.plan.replicates}
    front: list[FrontPoint] = []
    for each in ranked:
        row = retrained.get(f"{each.point.name} replicated")
        fresh = None if row is None else tuple(fresh_value(results, row, goal) for goal in goals)
        front.append(FrontPoint(each, fresh))
    return [FrontPoint(each.evaluated, each.fresh, _beaten_by(each, front, signs)) for each in front]


def optimism(front: Sequence[FrontPoint], number: int) -> tuple[float, float] | None:
    """Means of objective ``number`` over the points trained again: in the search, and on fresh seeds."""
    # Both means are over the same points, so that their difference is the flattery and no choice of points.
    pairs = [
        (each.evaluated.values[number], value.mean)
        for each in front
        if each.fresh is not None and (value := each.fresh[number]) is not None
    ]
    if not pairs:
        return None
    searched, fresh = zip(*pairs, strict=True)
    return statistics.fmean(searched), statistics.fmean(fresh)


def fresh_value(results: StudyResults, row: Cell, objective: Objective) -> FreshValue | None:
    """An objective's value on fresh seeds; None while a repeat is open, or where it lost one."""
    # A metric has the study's usual interval, by the claim that its splits allow.
    name = objective.metric
    if not objective.is_cost and name in METRICS:
        summary = next((each for each in metric_summary(results, name) if each.cell.name == row.name), None)
        if summary is None or summary.mean is None or summary.n < summary.planned:
            return None
        of_cells = results.once(
            f"intervals of {name}",
            lambda: mean_intervals(metric_table(results, name), metric=name, splits=results.splits),
        )
        interval = of_cells.get(row.name)
        ends = (None, None) if interval is None else (interval.low, interval.high)
        return FreshValue(summary.mean, *ends)

    # A cost stands in the record and not in the table of scores. Its mean waits until every repeat has one:
    # the first to end are the quick ones, and their mean would flatter.
    records = [results.records.get(trial.id) for trial in results.plan.trials if trial.cell == row.name]
    values = [None if record is None else objective_value(objective, record) for record in records]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    mean = math.fsum(known) / len(known)
    if len(known) <= TOO_FEW:
        return FreshValue(mean)

    # A cost is never below zero, whatever a symmetric interval reaches.
    half = t_half_width(statistics.stdev(known), 1 / len(known), len(known) - 1)
    return FreshValue(mean, max(0.0, mean - half) if objective.is_cost else mean - half, mean + half)


def _beaten_by(point: FrontPoint, front: Sequence[FrontPoint], signs: Sequence[int]) -> str | None:
    means = _means(point)
    if means is None:
        return None
    others = ((other.name, _means(other)) for other in front)
    return next((name for name, values in others if values is not None and beats(values, means, signs)), None)


def _means(point: FrontPoint) -> list[float] | None:
    known = [value.mean for value in point.fresh or () if value is not None]
    return known if point.fresh is not None and len(known) == len(point.fresh) else None
