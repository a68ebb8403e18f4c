"""The numbers of a report as tidy tables, for a spreadsheet or a program: cells, comparisons, stages and
defects.
"""

from __future__ import annotations

import csv
import io
import statistics

import pandas as pd

from assay.analysis.collapse import collapses
from assay.analysis.defect_scores import defect_summaries
from assay.analysis.results import StudyResults
from assay.analysis.stage_scores import stage_intervals, stage_summaries
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import CellSummary, metric_summary
from assay.analysis.test_set_uncertainty import item_intervals
from assay.report.ablation_table import shows_medians
from assay.statistics.families import ComparisonResult, results_table
from assay.statistics.mean_interval import MeanInterval
from assay.study import Cell, Study

__all__ = [
    "cell_table",
    "comparison_table",
    "defect_table",
    "report_comparisons",
    "stage_table",
    "to_csv",
]

_MEAN_COLUMNS = ("metric", "mean", "sd", "sd_over", "n", "n_planned", "low", "high", "interval", "claim")
_MEDIAN_COLUMNS = ("median", "at_chance")  # where asked for, or a repeat never left chance
_CELL_COLUMNS = (*_MEAN_COLUMNS, "item_low", "item_high", "bold", "published")


def cell_table(results: StudyResults) -> pd.DataFrame:
    """One row per cell and metric: what the ablation table and the intervals of its means show."""
    study = results.plan.study
    by_metric = [metric_summary(results, metric.name) for metric in results.metrics]
    medians = shows_medians(results)
    rows = [
        [
            *_key(study, cell),
            *_values(results, of_metric[index]),
            *(_robust(results, of_metric[index]) if medians else ()),
        ]
        for index, cell in enumerate(results.reported.cells)
        for of_metric in by_metric
    ]
    columns = [*_key_columns(study), *_CELL_COLUMNS, *(_MEDIAN_COLUMNS if medians else ())]
    return pd.DataFrame(rows, columns=columns)


def comparison_table(results: StudyResults) -> pd.DataFrame:
    """One row per claim and main effect, interaction and comparison (by all metrics)."""
    return results_table(report_comparisons(results))


def report_comparisons(results: StudyResults) -> list[ComparisonResult]:
    """The results of :func:`comparison_table`, in its order."""
    analysis = study_analysis(results)
    return [*analysis.main_effects, *analysis.interactions, *analysis.comparisons, *analysis.further]


def stage_table(results: StudyResults) -> pd.DataFrame:
    """One row per stage, cell and metric: what the section on stages shows, floors last."""
    study = results.plan.study
    rows = [
        [*_key(study, summary.cell), stage.of, stage.stage, *_mean(summary, interval)]
        for stage, intervals in zip(stage_summaries(results), stage_intervals(results), strict=True)
        for summary, interval in zip(stage.summaries, intervals, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*_key_columns(study), "of", "stage", *_MEAN_COLUMNS])


def defect_table(results: StudyResults) -> pd.DataFrame:
    """One row per class or size of defects and cell: what the section on them shows."""
    study = results.plan.study
    rows = [
        [
            *_key(study, summary.cell),
            summary.of,
            summary.name,
            len(summary.regions),
            statistics.fmean(summary.regions),
            max(summary.largest),
            *(
                value
                for share in (summary.detected, summary.outlined, summary.flagged)
                for value in ((None, None) if share is None else (share.mean, share.spread))
            ),
        ]
        for summary in defect_summaries(results)
    ]
    shares = (f"{name}{of}" for name in ("found", "outlined", "images") for of in ("", "_sd"))
    columns = [*_key_columns(study), "of", "defects", "n", "regions", "area_to", *shares]
    return pd.DataFrame(rows, columns=columns)


def to_csv(table: pd.DataFrame) -> str:
    """A table as a file; numbers have ten significant digits, and what there is none of is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.columns)
    rows = table.astype(object).where(table.notna(), None).to_numpy().tolist()
    writer.writerows([_text(value) for value in row] for row in rows)
    return file.getvalue()


def _key_columns(study: Study) -> list[str]:
    return ["study", "cell", *(f"factor:{factor}" for factor in study.factors)]


def _key(study: Study, cell: Cell) -> list[object]:
    return [study.study, cell.name, *(cell.levels[factor] for factor in study.factors)]


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


def _values(results: StudyResults, summary: CellSummary) -> list[object]:
    cell, metric, study = summary.cell.name, summary.metric, results.plan.study
    primary, analysis = metric == study.metrics.primary, study_analysis(results)
    uncertainty = item_intervals(results) if primary else None
    items = None if uncertainty is None else uncertainty.cell(cell)
    best = analysis.best.cells if primary and analysis.best is not None else None
    return [
        *_mean(summary, analysis.intervals(metric).get(cell)),
        *((None, None) if items is None else (items.low, items.high)),
        None if best is None else cell in best,
        study.published_values(summary.cell.levels).get(metric),
    ]


def _robust(results: StudyResults, summary: CellSummary) -> list[object]:
    """Median, and of the primary metric how many repeats never left chance; None where nobody looked."""
    collapsed = collapses(results).get(summary.cell.name)
    if summary.metric != results.primary.name or results.read_part is None:
        return [summary.median, None]
    return [summary.median, 0 if collapsed is None else collapsed.collapsed]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
