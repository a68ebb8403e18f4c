"""The numbers of a report as typed rows, which CSV, JSON and tables of pandas share.

Rows are about cells, comparisons, stages and defects. Numbers have all their digits; None: there is none.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd
from pydantic import BaseModel, Field

from assay.analysis.breakdowns import Share, defect_summaries, stage_intervals, stage_summaries
from assay.analysis.conditions import condition_findings
from assay.analysis.names import study_names, variant_name
from assay.analysis.predictions import cells_at_chance
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import CellSummary, metric_summary
from assay.analysis.test_set_uncertainty import item_intervals
from assay.report.answers.base import Value
from assay.report.tables.cells import shows_medians
from assay.statistics.families import ComparisonResult
from assay.statistics.intervals import MeanInterval
from assay.statistics.wording import sentence

__all__ = [
    "CellRow",
    "ComparisonRow",
    "ConditionRow",
    "DefectRow",
    "MeanRow",
    "StageRow",
    "cell_rows",
    "cell_table",
    "comparison_rows",
    "comparison_table",
    "condition_rows",
    "defect_rows",
    "defect_table",
    "report_comparisons",
    "report_table",
    "stage_rows",
    "stage_table",
    "to_csv",
]

Words = Callable[[ComparisonResult], str]


class ComparisonRow(BaseModel):
    """A comparison, main effect or interaction under one claim: a row of the comparisons' CSV."""

    study: str
    metric: str
    family: str
    m: int = Field(description="Comparisons in the family.")
    change: str = Field(description="The comparison in the study's words; empty: it has none.")
    comparison: str
    within: str
    cell_a: str | None = Field(
        description="The difference is a − b; null: a contrast of more than two cells."
    )
    cell_b: str | None
    claim: str
    n_planned: int
    n: int = Field(
        description="Units with all values: seeds, folds, repeats or data sets, as the claim has it."
    )
    n_nonzero: int
    mean_a: Value = Field(description="Of its side: a cell, or all cells of a level; null: an interaction.")
    mean_b: Value
    difference: Value
    low: Value = Field(description="Of the 95 % interval.")
    high: Value
    interval: str = Field(description="How it was made; empty: there is none.")
    next_low: Value = Field(
        description="Of the 95 % interval of the difference on the next data set; null: no claim over them."
    )
    next_high: Value
    test: str
    p: Value
    p_min: Value = Field(description="The smallest that the exact test can reach.")
    p_adjusted: Value = Field(description="Corrected for the family, and for earlier looks.")
    ask: str = Field(description="`can go`: also whether dropping a for b loses less than `resolve`.")
    p_can_go: Value = Field(description="Of a loss of `resolve` or more, corrected alike; null: not asked.")
    loses_at_most: Value = Field(description="By dropping a for b: the end of the interval towards a loss.")
    looks: int
    g: Value
    better: int
    tied: int
    verdict: str
    more: int | None = Field(description="Further repeats that would settle it.")
    more_low: int | None
    more_high: int | None
    more_negligible: int | None = Field(
        description="Further repeats until `negligible` (asked `can go`: `dispensable`), if nothing differs."
    )
    note: str
    sentence: str


class ConditionRow(BaseModel):
    """A comparison under a condition of `test_under`, by the primary metric."""

    condition: str = Field(description="`light × 0.7`.")
    change: str = Field(description="The comparison in the study's words.")
    cell_a: str = Field(description="The difference is a − b.")
    cell_b: str
    n: int = Field(description="Units with all values, under the condition.")
    plain: Value = Field(description="Difference on the test images as they are.")
    difference: Value = Field(description="Under the condition.")
    low: Value = Field(description="Of its 95 % interval.")
    high: Value
    p_adjusted: Value = Field(description="Corrected for all comparisons under all conditions.")
    against_plain: Value = Field(description="`difference` minus `plain`, of repeats that have both.")
    against_plain_low: Value
    against_plain_high: Value
    against_plain_p_adjusted: Value
    word: str = Field(description="`holds`, `shrinks`, `turns`, `appears` or `not decided`.")


class MeanRow(BaseModel):
    """Mean of a metric over the repeats of a cell."""

    cell: str
    metric: str
    mean: Value
    sd: Value
    n: int
    n_planned: int


class StudyMeanRow(MeanRow):
    """The same with its interval."""

    variant: str = Field(description="The cell in the study's words.")
    levels: dict[str, str]
    sd_over: str = Field(description="Repeats that the spread is over; empty: there is none.")
    low: Value = Field(description="Of the 95 % interval.")
    high: Value
    interval: str | None = Field(description="How it was made.")
    claim: str | None


class CellRow(StudyMeanRow):
    """A metric of a cell on test images: a row of the report's CSV."""

    item_low: Value = Field(description="Of the interval over test items.")
    item_high: Value
    bold: bool | None = Field(description="Among the best; null: no cell is bold in this metric.")
    published: Value
    median: Value = Field(default=None, description="With --medians, or where a repeat never left chance.")
    at_chance: int | None = Field(default=None, description="Repeats that never left it.")


class StageRow(StudyMeanRow):
    """A metric of a stage of a cell's method."""

    of: str
    stage: str


class DefectRow(BaseModel):
    """Defects of one class or size in a cell."""

    cell: str
    variant: str
    levels: dict[str, str]
    of: str
    defects: str
    n: int
    regions: Value
    area_to: int
    found_mean: Value = Field(alias="found")
    found_sd: Value
    outlined: Value
    outlined_sd: Value
    images: Value
    images_sd: Value


# Rows -------------------------------------------------------------------------------------------------


def comparison_rows(
    results: Sequence[ComparisonResult], words: Words | None = None
) -> tuple[ComparisonRow, ...]:
    """A row for each result, with the sentence that the report has for it.

    ``words``: the change that a result is about; None where no study names it.
    """
    rows: list[ComparisonRow] = []
    for result in results:
        more = result.more
        settled = (None, None, None) if more is None else (more.estimate, more.low, more.high)
        in_columns = dict(zip(("more", "more_low", "more_high"), settled, strict=True))
        rows.append(
            ComparisonRow.model_validate(
                {
                    **vars(result),
                    **in_columns,
                    "change": "" if words is None else words(result),
                    "loses_at_most": result.loses_at_most,
                    "sentence": sentence(result),
                }
            )
        )
    return tuple(rows)


def report_comparisons(results: StudyResults) -> list[ComparisonResult]:
    """Claims over data sets, main effects, interactions, comparisons, and further metrics, claim by claim."""
    analysis = study_analysis(results)
    return [
        *analysis.over_data_sets,
        *analysis.main_effects,
        *analysis.interactions,
        *analysis.comparisons,
        *analysis.further,
    ]


def cell_rows(results: StudyResults) -> tuple[CellRow, ...]:
    """One row per cell and metric, cell by cell."""
    by_metric = [metric_summary(results, metric.name) for metric in results.metrics]
    return tuple(
        _cell_row(results, of_metric[index])
        for index in range(len(results.reported.cells))
        for of_metric in by_metric
    )


def _cell_row(results: StudyResults, summary: CellSummary) -> CellRow:
    cell, metric, study = summary.cell.name, summary.metric, results.plan.study
    primary, analysis = metric == study.metrics.primary, study_analysis(results)

    # Items, the best cells and repeats at chance are known by the primary metric only.
    uncertainty = item_intervals(results) if primary else None
    items = None if uncertainty is None else uncertainty.cell(cell)
    best = analysis.best.cells if primary and analysis.best is not None else None
    median, at_chance = None, None
    if shows_medians(results):
        median = summary.median
        if primary and results.read_part is not None:
            tested = cells_at_chance(results).get(cell)
            at_chance = 0 if tested is None else tested.at_chance
    return CellRow(
        **_mean(results, summary, analysis.intervals(metric).get(cell)),
        item_low=None if items is None else items.low,
        item_high=None if items is None else items.high,
        bold=None if best is None else cell in best,
        published=study.published_values(summary.cell.levels).get(metric),
        median=median,
        at_chance=at_chance,
    )


def stage_rows(results: StudyResults) -> tuple[StageRow, ...]:
    """One row per stage, cell and metric, floors last."""
    return tuple(
        StageRow(**_mean(results, summary, interval), of=stage.of, stage=stage.stage)
        for stage, intervals in zip(stage_summaries(results), stage_intervals(results), strict=True)
        for summary, interval in zip(stage.summaries, intervals, strict=True)
    )


def _mean(results: StudyResults, summary: CellSummary, interval: MeanInterval | None) -> dict[str, Any]:
    """The fields of a :class:`StudyMeanRow`."""
    return {
        "cell": summary.cell.name,
        "variant": variant_name(results, summary.cell.name),
        "levels": summary.cell.levels,
        "metric": summary.metric,
        "mean": summary.mean,
        "sd": summary.spread,
        "sd_over": "" if summary.spread is None else summary.spread_of,
        "n": summary.n,
        "n_planned": summary.planned,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "interval": None if interval is None else interval.method,
        "claim": None if interval is None else interval.claim,
    }


def condition_rows(results: StudyResults) -> tuple[ConditionRow, ...]:
    """One row per comparison and condition."""
    names = study_names(results)
    return tuple(
        ConditionRow(
            condition=finding.condition.name,
            change=names.change(finding.plain),
            cell_a=str(finding.plain.cell_a),
            cell_b=str(finding.plain.cell_b),
            n=finding.under.n,
            plain=finding.plain.difference,
            difference=finding.under.difference,
            low=finding.under.low,
            high=finding.under.high,
            p_adjusted=finding.under.p_adjusted,
            against_plain=finding.interaction.difference,
            against_plain_low=finding.interaction.low,
            against_plain_high=finding.interaction.high,
            against_plain_p_adjusted=finding.interaction.p_adjusted,
            word=finding.word,
        )
        for finding in condition_findings(results)
    )


def defect_rows(results: StudyResults) -> tuple[DefectRow, ...]:
    """One row per class or size of defects and cell."""

    def mean_and_spread(share: Share | None) -> tuple[float | None, float | None]:
        return (None, None) if share is None else (share.mean, share.spread)

    rows: list[DefectRow] = []
    for summary in defect_summaries(results):
        found, found_sd = mean_and_spread(summary.detected)
        outlined, outlined_sd = mean_and_spread(summary.outlined)
        images, images_sd = mean_and_spread(summary.flagged)
        rows.append(
            DefectRow(
                cell=summary.cell.name,
                variant=variant_name(results, summary.cell.name),
                levels=summary.cell.levels,
                of=summary.of,
                defects=summary.name,
                n=len(summary.regions),
                regions=statistics.fmean(summary.regions),
                area_to=max(summary.largest),
                found=found,
                found_sd=found_sd,
                outlined=outlined,
                outlined_sd=outlined_sd,
                images=images,
                images_sd=images_sd,
            )
        )
    return tuple(rows)


# Tables -----------------------------------------------------------------------------------------------

_MEAN_COLUMNS = ("metric", "mean", "sd", "sd_over", "n", "n_planned", "low", "high", "interval", "claim")


def comparison_table(results: Sequence[ComparisonResult], words: Words | None = None) -> pd.DataFrame:
    """One row per result, without its sentence; ``words``: as in :func:`comparison_rows`."""
    columns = [name for name in ComparisonRow.model_fields if name != "sentence"]
    return pd.DataFrame([row.model_dump() for row in comparison_rows(results, words)], columns=columns)


def report_table(results: StudyResults) -> pd.DataFrame:
    """All comparisons of a report, as its CSV has them."""
    return comparison_table(report_comparisons(results), study_names(results).change)


def cell_table(results: StudyResults) -> pd.DataFrame:
    """One row per cell and metric; medians where they are asked for, or a repeat never left chance."""
    columns = [*_MEAN_COLUMNS, "item_low", "item_high", "bold", "published"]
    medians = ["median", "at_chance"] if shows_medians(results) else []
    return _table(results, cell_rows(results), [*columns, *medians])


def stage_table(results: StudyResults) -> pd.DataFrame:
    """One row per stage, cell and metric."""
    return _table(results, stage_rows(results), ["of", "stage", *_MEAN_COLUMNS])


def defect_table(results: StudyResults) -> pd.DataFrame:
    """One row per class or size of defects and cell."""
    shares = [f"{name}{of}" for name in ("found", "outlined", "images") for of in ("", "_sd")]
    return _table(results, defect_rows(results), ["of", "defects", "n", "regions", "area_to", *shares])


def _table(
    results: StudyResults, rows: Iterable[StudyMeanRow | DefectRow], columns: Sequence[str]
) -> pd.DataFrame:
    """Rows of a study with its name, the cell and a column for each factor before ``columns``."""
    study = results.plan.study
    factors = [f"factor:{factor}" for factor in study.factors]
    content = [
        {
            "study": study.study,
            **row.model_dump(by_alias=True),
            **{f"factor:{factor}": level for factor, level in row.levels.items()},
        }
        for row in rows
    ]
    return pd.DataFrame(content, columns=["study", "cell", "variant", *factors, *columns])


def to_csv(table: pd.DataFrame) -> str:
    """A table as a file; numbers have ten significant digits, and what there is none of is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.columns)
    rows = table.astype(object).where(table.notna(), None).to_numpy().tolist()
    writer.writerows([_text(value) for value in row] for row in rows)
    return file.getvalue()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
