"""The numbers of a report as tidy tables, for a spreadsheet or a program: cells, comparisons, stages.

Numbers have ten significant digits; what there is none of is empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from assay.analysis.stage_scores import stage_intervals, stage_summaries
from assay.analysis.statistics import ComparisonResult, MeanInterval, results_table
from assay.analysis.study_analysis import StudyAnalysis, splits_of
from assay.analysis.summary import CellSummary, reported_metrics, summarise
from assay.storage.record import Record, UnreadableRecord
from assay.study import Cell, Plan
from assay.study.published import published_values

__all__ = ["answers_csv", "cells_csv", "comparisons_csv", "stages_csv"]

_MEAN_COLUMNS = ("metric", "mean", "sd", "sd_over", "n", "n_planned", "low", "high", "interval", "claim")
_CELL_COLUMNS = (*_MEAN_COLUMNS, "luck_low", "luck_high", "bold", "published")


def cells_csv(
    plan: Plan,
    records: Mapping[str, Record],
    answers: StudyAnalysis,
    problems: Sequence[UnreadableRecord] = (),
) -> str:
    """One row per cell and metric: what the ablation table and the intervals of its means show."""
    plan = plan.answer()
    by_metric = [summarise(plan, records, metric.name, problems) for metric in reported_metrics(plan)]
    rows = [
        [*_key(plan, cell), *_values(plan, of_metric[index], answers)]
        for index, cell in enumerate(plan.cells)
        for of_metric in by_metric
    ]
    return _csv([*_key_columns(plan), *_CELL_COLUMNS], rows)


def comparisons_csv(answers: StudyAnalysis) -> str:
    """One row per claim and comparison (by all metrics), main effect and interaction."""
    return answers_csv([*answers.comparisons, *answers.main_effects, *answers.interactions, *answers.further])


def answers_csv(answers: Sequence[ComparisonResult]) -> str:
    """One row per answer."""
    table = results_table(answers)
    return _csv(list(table.columns), table.astype(object).where(table.notna(), None).to_numpy().tolist())


def stages_csv(plan: Plan, records: Mapping[str, Record]) -> str:
    """One row per stage, cell and metric: what the section on stages shows, floors last."""
    plan = plan.answer()
    scores = stage_summaries(plan, records)
    intervals = stage_intervals(plan, records, scores, splits_of(plan))
    rows = [
        [*_key(plan, summary.cell), one.of, one.stage, *_mean(summary, interval)]
        for one, of_one in zip(scores, intervals, strict=True)
        for summary, interval in zip(one.summaries, of_one, strict=True)
    ]
    return _csv([*_key_columns(plan), "of", "stage", *_MEAN_COLUMNS], rows)


def _key_columns(plan: Plan) -> list[str]:
    return ["study", "cell", *(f"factor:{factor}" for factor in plan.study.factors)]


def _key(plan: Plan, cell: Cell) -> list[object]:
    return [plan.study.study, cell.name, *(cell.levels[factor] for factor in plan.study.factors)]


def _mean(summary: CellSummary, interval: MeanInterval | None) -> list[object]:
    return [
        summary.metric,
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
    ]


def _values(plan: Plan, summary: CellSummary, answers: StudyAnalysis) -> list[object]:
    cell, metric = summary.cell.name, summary.metric
    primary = metric == plan.study.metrics.primary
    luck = answers.luck.cell(cell) if primary and answers.luck is not None else None
    best = answers.best.cells if primary and answers.best is not None else None
    return [
        *_mean(summary, answers.intervals[metric].get(cell)),
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
