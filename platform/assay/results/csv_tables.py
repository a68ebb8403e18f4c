"""The numbers of a report as tidy tables, for a spreadsheet or a program: cells, and comparisons.

Numbers have ten significant digits; what there is none of is empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from assay.results.answers import StudyAnswers
from assay.results.record import Problem, Record
from assay.results.statistics import Answer, answers_table
from assay.results.summary import CellSummary, reported_metrics, summarise
from assay.study import Plan
from assay.study.published import published_values

__all__ = ["answers_csv", "cells_csv", "comparisons_csv"]

_CELL_COLUMNS = (
    "metric", "mean", "sd", "sd_over", "n", "n_planned", "low", "high", "interval", "claim",
    "luck_low", "luck_high", "bold", "published",
)  # fmt: skip


def cells_csv(
    plan: Plan, records: Mapping[str, Record], answers: StudyAnswers, problems: Sequence[Problem] = ()
) -> str:
    """One row per cell and metric: what the ablation table and the intervals of its means show."""
    plan = plan.answer()
    factors = list(plan.study.factors)
    by_metric = [summarise(plan, records, metric.name, problems) for metric in reported_metrics(plan)]
    rows = [
        [
            plan.study.study,
            cell.name,
            *(cell.levels[factor] for factor in factors),
            *_values(plan, of_metric[index], answers),
        ]
        for index, cell in enumerate(plan.cells)
        for of_metric in by_metric
    ]
    return _csv(["study", "cell", *(f"factor:{factor}" for factor in factors), *_CELL_COLUMNS], rows)


def comparisons_csv(answers: StudyAnswers) -> str:
    """One row per claim and comparison (by all metrics), main effect and interaction."""
    return answers_csv([*answers.comparisons, *answers.main_effects, *answers.interactions, *answers.further])


def answers_csv(answers: Sequence[Answer]) -> str:
    """One row per answer."""
    table = answers_table(answers)
    return _csv(list(table.columns), table.astype(object).where(table.notna(), None).to_numpy().tolist())


def _values(plan: Plan, summary: CellSummary, answers: StudyAnswers) -> list[object]:
    cell, metric = summary.cell.name, summary.metric
    interval = answers.intervals[metric].get(cell)
    primary = metric == plan.study.metrics.primary
    luck = answers.luck.cell(cell) if primary and answers.luck is not None else None
    best = answers.best.cells if primary and answers.best is not None else None
    return [
        metric,
        summary.mean,
        summary.spread,
        "" if summary.spread is None else summary.spread_of,
        summary.n,
        summary.planned,
        *(
            (None,) * 4
            if interval is None
            else (interval.low, interval.high, interval.method, interval.claim)
        ),
        *((None, None) if luck is None else (luck.low, luck.high)),
        None if best is None else cell in best,
        published_values(plan.study, summary.cell.levels).get(metric),
    ]


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_text(value) for value in row] for row in rows)
    return file.getvalue()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
