"""What stands behind the ablation table: intervals of its means, and every trial of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.analysis.statistics import MeanInterval
from assay.analysis.statistics.contrast_test import ONE_SIDED
from assay.analysis.statistics.wording import interval_text
from assay.analysis.study_analysis import StudyAnalysis
from assay.analysis.summary import CellSummary, outcome, reported_metrics, summarise
from assay.report.ablation_table import decimals_of, level_columns, level_texts
from assay.report.page.model import NOTHING, Column, Section, TextTable, superscript
from assay.storage.record import Record, UnreadableRecord
from assay.study import Plan, Trial
from trainables.metrics import METRICS, Metric

__all__ = ["interval_section", "listed_trials", "trial_rows", "trial_section"]

_NO_INTERVAL = "No interval: fewer than three repeats, a repeat without a value, or all repeats of one value."


def interval_section(
    plan: Plan, records: Mapping[str, Record], problems: Sequence[UnreadableRecord], answers: StudyAnalysis
) -> Section | None:
    """Mean and 95 % interval of each reported metric, a row for each cell; None if there is no interval."""
    plan = plan.answer()
    metrics = reported_metrics(plan)
    found = [one for of_metric in answers.intervals.values() for one in of_metric.values()]
    if not found:
        return None
    summaries = [summarise(plan, records, metric.name, problems) for metric in metrics]
    rows = [
        (
            *level_texts(plan, cell),
            *(
                _mean_interval(of_metric[row], answers.intervals[of_metric[row].metric])
                for of_metric in summaries
            ),
        )
        for row, cell in enumerate(plan.cells)
    ]
    columns = [*level_columns(plan), *(Column(metric.title, "right") for metric in metrics)]
    kinds = dict.fromkeys(f"{one.method}, claim: {one.claim}" for one in found)
    return Section(
        "Intervals of the means",
        f"Mean with its 95 % interval ({'; '.join(kinds)}). Cells are compared by their differences below, "
        "not by whether their intervals overlap.",
        TextTable(tuple(columns), tuple(rows), (ONE_SIDED,) if any(one.approximate for one in found) else ()),
        () if len(found) == len(metrics) * len(plan.cells) else (_NO_INTERVAL,),
    )


def trial_section(
    plan: Plan, records: Mapping[str, Record], problems: Sequence[UnreadableRecord] = ()
) -> Section:
    """Every trial, cell by cell: the numbers that all others are made of, as recorded."""
    metrics = reported_metrics(plan)
    folds = any(trial.fold is not None for trial in plan.trials)
    return listed_trials(trial_rows(plan, records, problems, metrics, folds=folds), metrics, folds=folds)


def trial_rows(
    plan: Plan,
    records: Mapping[str, Record],
    problems: Sequence[UnreadableRecord],
    metrics: Sequence[Metric],
    *,
    folds: bool,
) -> list[tuple[str, ...]]:
    """Cell, seed, fold (if ``folds``), trial, status and values of every trial, cell by cell."""
    unreadable = {problem.trial for problem in problems}
    of_cells: dict[str, list[tuple[str, ...]]] = {cell.name: [] for cell in plan.cells}
    for trial in plan.trials:
        fold = [NOTHING if trial.fold is None else str(trial.fold)] if folds else []
        row = (trial.cell, str(trial.seed), *fold, trial.id)
        of_cells[trial.cell].append((*row, *_outcomes(trial, records, metrics, unreadable)))
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
        f"{len(rows)} trials, on test images. The record of each is `trials/TRIAL/record.json` below the "
        "storage; `assay logs TRIAL` shows what it said.",
        TextTable(tuple(columns), tuple(rows)),
    )


def _mean_interval(summary: CellSummary, intervals: Mapping[str, MeanInterval]) -> str:
    interval = intervals.get(summary.cell.name)
    if summary.mean is None or interval is None:
        return NOTHING
    decimals = decimals_of(METRICS[summary.metric], summary.planned)
    text = f"{summary.mean:.{decimals}f} {interval_text(interval.low, interval.high, decimals)}"
    return f"{text} {superscript(1)}" if interval.approximate else text


def _outcomes(
    trial: Trial, records: Mapping[str, Record], metrics: Sequence[Metric], unreadable: set[str]
) -> list[str]:
    """Status of a trial, and its value of each metric."""
    record = records.get(trial.id)
    status = "unreadable" if trial.id in unreadable else "missing" if record is None else record.status
    values: list[str] = []
    for metric in metrics:
        found = outcome(record, metric.name, trial.id in unreadable)
        values.append(NOTHING if isinstance(found, tuple) else _value(metric, found))
    return [status, *values]


def _value(metric: Metric, value: float) -> str:
    return metric.text(value)
