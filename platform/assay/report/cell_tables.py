"""The numbers behind the ablation table: intervals of its means, and every trial of its cells.

Both are sections of a :class:`Page`. Every trial is listed, also one that failed or is missing, so that each
mean can be followed to its records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from assay.analysis.predictions import measured_records
from assay.analysis.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import CellSummary, metric_summary, outcome
from assay.report.ablation_table import level_columns, level_texts
from assay.report.page.model import NOTHING, Column, Section, TextTable, superscript
from assay.statistics.contrast_test import ONE_SIDED
from assay.statistics.intervals import MeanInterval, method_texts
from assay.statistics.wording import interval_text
from assay.storage.record import Record
from assay.study import Trial
from assay.study.names import counted
from trainables.evaluation.metrics import METRICS, Metric

__all__ = ["interval_section", "listed_trials", "trial_rows", "trial_section"]

_NO_INTERVAL = "No interval: fewer than three repeats, a repeat without a value, or all repeats of one value."


def interval_section(results: StudyResults) -> Section | None:
    """Mean and 95 % interval of each reported metric, a row for each cell; None if there is no interval."""
    metrics = results.metrics
    of_metrics = {metric.name: study_analysis(results).intervals(metric.name) for metric in metrics}
    intervals = [interval for of_metric in of_metrics.values() for interval in of_metric.values()]
    if not intervals:
        return None
    summaries = [metric_summary(results, metric.name) for metric in metrics]
    cells = results.reported.cells
    rows = [
        (
            *level_texts(results.plan, cell),
            *(_mean_interval(summary[row], of_metrics[summary[row].metric]) for summary in summaries),
        )
        for row, cell in enumerate(cells)
    ]
    columns = [*level_columns(results.plan), *(Column(metric.title, "right") for metric in metrics)]
    kinds = [f"{method}, claim: {claim}" for method, claim in method_texts(intervals)]
    approximate = any(interval.approximate for interval in intervals)
    return Section(
        "Intervals of the means",
        f"Mean with its 95 % interval ({'; '.join(kinds)}). Cells are compared by their differences below, "
        "not by whether their intervals overlap.",
        TextTable(tuple(columns), tuple(rows), (ONE_SIDED,) if approximate else ()),
        () if len(intervals) == len(metrics) * len(cells) else (_NO_INTERVAL,),
    )


def trial_section(results: StudyResults) -> Section:
    """Every trial, cell by cell: the numbers that all others are made of, as recorded."""
    trials, metrics = results.plan.trials, results.metrics
    folds = any(trial.fold is not None for trial in trials)
    return listed_trials(trial_rows(results, trials, metrics, folds=folds), metrics, folds=folds)


def trial_rows(
    results: StudyResults, trials: Iterable[Trial], metrics: Sequence[Metric], *, folds: bool
) -> list[tuple[str, ...]]:
    """Cell, seed, fold (if ``folds``), trial, status and values of some trials, cell by cell."""
    damaged = results.damaged
    cells = (*results.reported.cells, *results.plan.cells)
    of_cells: dict[str, list[tuple[str, ...]]] = {cell.name: [] for cell in cells}
    for trial in trials:
        fold = [NOTHING if trial.fold is None else str(trial.fold)] if folds else []
        outcomes = _outcomes(measured_records(results).get(trial.id), metrics, trial.id in damaged)
        of_cells[trial.cell].append((trial.cell, str(trial.seed), *fold, trial.id, *outcomes))
    return [row for of_cell in of_cells.values() for row in of_cell]


def listed_trials(rows: Sequence[tuple[str, ...]], metrics: Sequence[Metric], *, folds: bool) -> Section:
    """The section of those rows."""
    columns = [
        Column("cell", "left"),
        Column("seed", "right"),
        *([Column("fold", "right")] if folds else []),
        Column("trial", "left"),
        Column("status", "left"),
        *(Column(metric.title, "right") for metric in metrics),
    ]
    return Section(
        "Trials",
        f"{counted(len(rows), 'trial')}, on test images. The record of each is `trials/TRIAL/record.json` "
        "below the storage; `assay logs TRIAL` shows what it said.",
        TextTable(tuple(columns), tuple(rows)),
    )


def _mean_interval(summary: CellSummary, intervals: Mapping[str, MeanInterval]) -> str:
    interval = intervals.get(summary.cell.name)
    if summary.mean is None or interval is None:
        return NOTHING
    decimals = METRICS[summary.metric].decimals
    text = f"{summary.mean:.{decimals}f} {interval_text(interval.low, interval.high, decimals)}"
    return f"{text} {superscript(1)}" if interval.approximate else text


def _outcomes(record: Record | None, metrics: Sequence[Metric], damaged: bool) -> list[str]:
    """Status of a trial, and its value of each metric."""
    status = "damaged" if damaged else "missing" if record is None else record.status
    values: list[str] = []
    for metric in metrics:
        value = outcome(record, metric.name)
        values.append(NOTHING if isinstance(value, tuple) else metric.text(value))
    return [status, *values]
