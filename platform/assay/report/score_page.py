"""The verdicts on a table of scores as a page, and its comparisons."""

from __future__ import annotations

import math

from assay.analysis.score_file import AnalysedScores
from assay.analysis.summary import RepeatSummary
from assay.report.ablation_table import bold_notes, mean_spread, metric_title
from assay.report.comparison_tables import analysis_sections
from assay.report.page.model import NOTHING, Column, Page, Section, TextTable, numbered
from assay.statistics.families import ComparisonResult
from assay.statistics.wording import interval_text
from assay.study.names import counted

__all__ = ["score_comparisons", "score_page"]


def score_page(scores: AnalysedScores) -> Page:
    """The page of a table of scores."""
    primary = scores.metrics[0]
    means = {cell: summary.mean for cell, summary in zip(scores.cells, scores.summary(primary), strict=True)}
    return Page(
        title=scores.name,
        question="",
        count=_count(scores),
        table=_cells(scores),
        notes=(*bold_notes(scores.analysis.best, primary, means), *scores.notes),
        sections=tuple(analysis_sections(scores.analysis, primary.title)),
        trials=_repeats(scores),
        all_trials=f"{scores.name} has them all.",
    )


def score_comparisons(scores: AnalysedScores) -> list[ComparisonResult]:
    """One result per claim and comparison (by all metrics), main effect and interaction: rows of the CSV."""
    analysis = scores.analysis
    return [*analysis.comparisons, *analysis.main_effects, *analysis.interactions, *analysis.further]


def _count(scores: AnalysedScores) -> str:
    repeats = scores.table.drop_duplicates(["cell", "seed", "fold"])
    seeds, folds = (len(set(scores.table[column].dropna())) for column in ("seed", "fold"))
    of_folds = f" and {folds} folds" if folds > 1 else ""
    return (
        f"{counted(len(repeats), 'repeat')} of {counted(len(scores.cells), 'cell')}, "
        f"{counted(seeds, 'seed')}{of_folds}: {scores.layout}."
    )


def _cells(scores: AnalysedScores) -> TextTable:
    """Mean ± spread of each metric and the interval of the primary one, a row for each cell."""
    primary, intervals = scores.metrics[0], scores.analysis.intervals(scores.metrics[0].name)
    summaries = {metric.name: scores.summary(metric) for metric in scores.metrics}
    notes: list[str] = []
    rows: list[tuple[str, ...]] = []
    for index, cell in enumerate(scores.cells):
        summary = summaries[primary.name][index]
        interval = intervals.get(cell)
        decimals = primary.decimals
        between = NOTHING if interval is None else interval_text(interval.low, interval.high, decimals)
        means = [mean_spread(summaries[metric.name][index], metric) for metric in scores.metrics]
        rows.append((cell, means[0], between, *means[1:], _n(cell, summary, notes)))
    columns = (
        Column("cell", "left"),
        Column(metric_title(primary), "right"),
        Column("95 % interval", "right"),
        *(Column(metric_title(metric), "right") for metric in scores.metrics[1:]),
        Column("n", "right"),
    )
    best = scores.analysis.best
    bold = frozenset((i, 1) for i, cell in enumerate(scores.cells) if best is not None and cell in best.cells)
    links = {(i, len(columns) - 1): (cell,) for i, cell in enumerate(scores.cells)}
    return TextTable(columns, tuple(rows), tuple(notes), bold, links)


def _n(cell: str, summary: RepeatSummary, notes: list[str]) -> str:
    if not summary.lost:
        return summary.count
    return f"{summary.count} {numbered(f'{cell}: n = {summary.count_text()}', notes)}"


def _repeats(scores: AnalysedScores) -> Section:
    """Every value, cell by cell, as it was read."""
    folds = len(set(scores.table["fold"].dropna())) > 1
    columns = (
        Column("cell", "left"),
        Column("seed", "right"),
        *([Column("fold", "right")] if folds else []),
        *(Column(metric.title, "right") for metric in scores.metrics),
    )
    summaries = [scores.summary(metric) for metric in scores.metrics]
    rows: list[tuple[str, ...]] = []
    for cell, *of_cell in zip(scores.cells, *summaries, strict=True):
        for repeat in of_cell[0].repeats:
            fold = [NOTHING if repeat.fold is None else str(repeat.fold)] if folds else []
            values = [summary.values.get(repeat, math.nan) for summary in of_cell]
            texts = (NOTHING if math.isnan(value) else f"{value:.10g}" for value in values)
            rows.append((cell, scores.seeds.get(repeat.seed, str(repeat.seed)), *fold, *texts))
    return Section("Repeats", "Every value as it was read.", TextTable(columns, tuple(rows)))
