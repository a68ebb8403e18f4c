"""The ablation table as rows of text.

All forms of a report show the same rows, so their numbers cannot differ; and every number is computed here
from the records' values and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from assay.analysis.statistics import ItemInterval
from assay.analysis.statistics.wording import interval_text
from assay.analysis.study_analysis import StudyAnalysis
from assay.analysis.summary import CellSummary, reported_metrics, summarise
from assay.report.page.model import NOTHING, Column, TextTable, superscript
from assay.storage.record import Record, UnreadableRecord
from assay.study import Cell, Plan
from assay.study.nesting import NO_LEVEL
from assay.study.published import published_values
from trainables.metrics import Metric

__all__ = [
    "ablation_table",
    "decimals_of",
    "level_columns",
    "level_texts",
    "luck_text",
    "mean_spread",
    "metric_title",
]

_MARKS = {"on": "✓", "off": "–", NO_LEVEL: "n/a"}


def ablation_table(
    plan: Plan,
    records: Mapping[str, Record],
    problems: Sequence[UnreadableRecord] = (),
    answers: StudyAnalysis | None = None,
) -> TextTable:
    """One row per cell: the factors' levels, mean ± spread of each metric, what is published of it, and n.

    ``n`` counts the primary metric; a further metric that has fewer values says so in the note. Of a search
    the rows are the winners on fresh seeds. With ``answers`` the best cells are bold, and where predictions
    were read, the test luck of the primary metric stands beside it.
    """
    plan = plan.answer()
    metrics = reported_metrics(plan)
    summaries = [summarise(plan, records, metric.name, problems) for metric in metrics]
    columns = level_columns(plan)
    primary = len(columns)
    luck = answers.luck if answers is not None else None
    published = _published_columns(plan, metrics)
    for metric in metrics:
        columns.append(Column(metric_title(metric), "right"))
        columns += [Column("test luck", "right")] if luck is not None and metric is metrics[0] else []
        columns += [Column("published", "right")] if metric.name in published else []
    columns.append(Column("n", "right"))
    notes: list[str] = []
    rows: list[tuple[str, ...]] = []
    for index, cell in enumerate(plan.cells):
        of_cell = [summary[index] for summary in summaries]
        values: list[str] = []
        for summary, metric in zip(of_cell, metrics, strict=True):
            values.append(mean_spread(summary, metric))
            if luck is not None and metric is metrics[0]:
                decimals = decimals_of(metric, summary.planned)
                values.append(luck_text(luck.cell(cell.name), decimals, cell.name, notes))
            values += [published[metric.name][index]] if metric.name in published else []
        rows.append((*level_texts(plan, cell), *values, _count_cell(of_cell, metrics, notes)))
    best = answers.best.cells if answers is not None and answers.best is not None else frozenset[str]()
    bold = frozenset((row, primary) for row, cell in enumerate(plan.cells) if cell.name in best)
    links = {(row, len(columns) - 1): (cell.name,) for row, cell in enumerate(plan.cells)}
    return TextTable(tuple(columns), tuple(rows), tuple(notes), bold, links)


def metric_title(metric: Metric) -> str:
    """The heading of a metric's column, with an arrow towards the better end."""
    return f"{metric.title} {'↑' if metric.better == 'higher' else '↓'}"


def level_columns(plan: Plan) -> list[Column]:
    """The columns that tell cells apart: the factors; of a search and without factors also the name."""
    factors = plan.study.factors
    columns = [Column(factor, "center" if _is_switch(plan, factor) else "left") for factor in factors]
    return [*columns, Column("cell", "left")] if _is_named(plan) else columns


def level_texts(plan: Plan, cell: Cell) -> list[str]:
    """What stands in :func:`level_columns` for a cell: ✓ and – for factors that are `on` and `off`."""
    texts = [_level(plan, factor, cell.levels[factor]) for factor in plan.study.factors]
    return [*texts, cell.name] if _is_named(plan) else texts


def luck_text(luck: ItemInterval, decimals: int, name: str, notes: list[str]) -> str:
    """``[0.912, 0.968]``; where there is no interval a dash, and why in ``notes``."""
    if luck.low is not None and luck.high is not None:
        return interval_text(luck.low, luck.high, decimals)
    notes.append(f"{name}: {luck.note}")
    return f"{NOTHING} {superscript(len(notes))}"


def _published_columns(plan: Plan, metrics: Sequence[Metric]) -> dict[str, list[str]]:
    """Metric → what is published of it for each cell; with the decimals that the study gives."""
    of_cells = [published_values(plan.study, cell.levels) for cell in plan.cells]
    columns: dict[str, list[str]] = {}
    for metric in metrics:
        given = [values[metric.name] for values in of_cells if metric.name in values]
        if given:
            written = (-int(Decimal(str(value)).normalize().as_tuple().exponent) for value in given)
            decimals = max(3 if metric.unit == "share" else 0, *written)
            columns[metric.name] = [
                f"{values[metric.name]:.{decimals}f}" if metric.name in values else NOTHING
                for values in of_cells
            ]
    return columns


def _count_cell(of_cell: Sequence[CellSummary], metrics: Sequence[Metric], notes: list[str]) -> str:
    """The n of a row; adds a note to ``notes`` where any repeat was lost."""
    primary, *others = of_cell
    texts = [_lost_text(primary)] if primary.lost else []
    for summary, metric in zip(others, metrics[1:], strict=True):
        if summary.lost != primary.lost:
            texts.append(f"{metric.title}: {_lost_text(summary)}")
    if not texts:
        return str(primary.n)
    notes.append(f"{primary.cell.name}: {'; '.join(texts)}")
    short = str(primary.n) if not primary.lost else f"{primary.n} of {primary.planned}"
    return f"{short} {superscript(len(notes))}"


def _lost_text(summary: CellSummary) -> str:
    """``n = 8 of 9: 1 diverged (NaN loss); ± over 2 seeds (means over 3 folds)``."""
    return "; ".join(filter(None, [f"n = {summary.count_text()}", summary.spread_text()]))


def mean_spread(summary: CellSummary, metric: Metric) -> str:
    """``0.912 ± 0.010``; a dash where there is no value yet."""
    if summary.mean is None:
        return NOTHING
    decimals = decimals_of(metric, summary.planned)
    mean = f"{summary.mean:.{decimals}f}"
    return mean if summary.spread is None else f"{mean} ± {summary.spread:.{decimals}f}"


def decimals_of(metric: Metric, repeats: int) -> int:
    """So many that 0.01 (or one image) in a single repeat shows in the mean: 3 (1) up to ten repeats."""
    more = max(0, math.ceil(math.log10(max(1, repeats))) - 1)
    return (3 if metric.unit == "share" else 1) + more


def _level(plan: Plan, factor: str, level: str) -> str:
    return _MARKS[level] if _is_switch(plan, factor) else level


def _is_named(plan: Plan) -> bool:
    return not plan.study.factors or plan.study.search is not None


def _is_switch(plan: Plan, factor: str) -> bool:
    return set(plan.study.factors[factor]) <= set(_MARKS)
