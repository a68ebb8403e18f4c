"""The winner of a search: is it better than the start, and how far from the next best? No widgets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pandas as pd

from assay.analysis.predictions import measured_records
from assay.analysis.search_front import fresh_value
from assay.analysis.search_results import SearchResults
from assay.analysis.study_analysis import study_analysis
from assay.statistics.contrast_test import TOO_FEW
from assay.statistics.families import ComparisonResult
from assay.statistics.paired import t_half_width
from assay.statistics.scores import CLAIMS
from assay.storage.search_points import best_points, objective_value
from assay.study import PointCell
from assay.study.search import Objective
from trainables.evaluation.metrics import METRICS

__all__ = ["against_start", "best_point_rows", "verdict_word"]

_BEST = 5  # points of a search that are drawn with their repeats
_SEARCHED, _FRESH = "in the search", "on fresh seeds"


def against_start(results: SearchResults, cell: str) -> list[ComparisonResult]:
    """The best point of a searched cell against each start that was trained again, by the narrowest claim."""
    rows = {row.name for row in _retrained(results, cell)}
    names = {c.name for c in results.reported.comparisons if c.factor == "search" and c.pairs[0][1] in rows}
    of_start = [r for r in study_analysis(results).comparisons if r.comparison in names and r.cell_a in rows]
    claim = next((claim for claim in CLAIMS if any(r.claim == claim for r in of_start)), None)
    return [result for result in of_start if result.claim == claim]


def verdict_word(result: ComparisonResult) -> str:
    """The answer in a word or three, before the numbers that it stands on."""
    if result.verdict == "shown":
        return "Yes." if result.gain > 0 else "No, it is worse."
    if result.too_small:
        return "No difference that matters."
    return "Every repeat ties." if result.verdict == "identical" else "Not shown."


def best_point_rows(results: SearchResults, cell: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means and repeats of the best points of a searched cell, and of what was trained on fresh seeds.

    They are rows of a plot. Intervals of 95 % are by Student's t from three repeats on. The values of the
    search chose its points, and flatter them. Those on fresh seeds did not.
    """
    objective = results.plan.search.objective
    means: list[tuple[object, ...]] = []
    repeats: list[tuple[object, ...]] = []
    for point in best_points(results.plan, results.evaluated_points[cell], _BEST)[:_BEST]:
        half = _half_width(point.repeats)
        ends = (
            (None, None) if half is None or point.value is None else (point.value - half, point.value + half)
        )
        means.append((point.point.name, _SEARCHED, point.value, *ends, len(point.repeats)))
        repeats += [(point.point.name, _SEARCHED, f"repeat {i}", v) for i, v in enumerate(point.repeats, 1)]
    for row in _retrained(results, cell) if _is_measured(objective) else ():
        fresh = fresh_value(results, row, objective)
        if fresh is None:
            continue
        values = _fresh_repeats(results, row)
        means.append((row.name, _FRESH, fresh.mean, fresh.low, fresh.high, len(values)))
        repeats += [(row.name, _FRESH, name, value) for name, value in values.items()]
    return (
        pd.DataFrame(means, columns=["cell", "group", "mean", "low", "high", "n"]),
        pd.DataFrame(repeats, columns=["cell", "group", "repeat", "value"]),
    )


def _fresh_repeats(results: SearchResults, row: PointCell) -> dict[str, float]:
    """Seed → the objective on test images, or the cost, of a row that was trained again."""
    goal, values = results.plan.search.objective, dict[str, float]()
    for trial in results.reported.trials:
        record = measured_records(results).get(trial.id)
        if trial.cell != row.name or record is None or record.result is None:
            continue
        value = objective_value(goal, record) if goal.is_cost else record.result.metrics.get(goal.metric)
        if value is not None:
            values[f"seed {trial.seed}"] = value
    return values


def _retrained(results: SearchResults, cell: str) -> list[PointCell]:
    """The reported rows of a searched cell; of several searches of a cell, those that they share."""
    names = (cell, results.plan.by_name[cell].design_cell)
    rows = (row for row in results.reported.cells if isinstance(row, PointCell))
    return [row for row in rows if row.searched in names]


def _is_measured(objective: Objective) -> bool:
    """True where the objective is also known apart from validation images."""
    return objective.is_cost or objective.metric in METRICS


def _half_width(values: Sequence[float]) -> float | None:
    if len(values) <= TOO_FEW:
        return None
    return t_half_width(statistics.stdev(values), 1 / len(values), len(values) - 1)
