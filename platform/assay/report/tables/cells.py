"""The ablation table as rows of text, and the numbers behind it: intervals of its means, all trials.

All forms of a report show the same rows, so their numbers cannot differ; and every number is computed here
from the records' values and nothing else. Every trial is listed, also one that failed or is missing, so that
each mean can be followed to its records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from assay.analysis.names import study_names, variant_name
from assay.analysis.predictions import AtChance, cells_at_chance, measured_records
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import CellSummary, RepeatSummary, by_mean, metric_summary, outcome
from assay.analysis.test_set_uncertainty import item_intervals
from assay.report.page.model import NOTHING, Column, Section, TextTable, numbered, superscript
from assay.statistics.contrast_test import ONE_SIDED
from assay.statistics.families import Best
from assay.statistics.intervals import ItemInterval, MeanInterval, method_texts
from assay.statistics.wording import decimal_text, interval_text
from assay.storage.record import Record
from assay.study import Cell, Plan, SearchPlan, Study, Trial
from assay.study.names import counted
from assay.study.planning.resolution_limit import attainable_iou
from assay.study.settings.nesting import NO_LEVEL
from trainables.evaluation.metrics import METRICS, Metric

__all__ = [
    "BEST_POSSIBLE",
    "ITEM_INTERVAL",
    "ablation_table",
    "attainable_texts",
    "base_and_best",
    "best_notes",
    "bold_notes",
    "highlighted_cells",
    "in_order",
    "interval_section",
    "item_interval_text",
    "level_columns",
    "level_texts",
    "listed_trials",
    "mean_spread",
    "metric_title",
    "shows_medians",
    "study_bold_notes",
    "trial_rows",
    "trial_section",
]


ITEM_INTERVAL = "over test images"  # heading of the intervals over test items
BEST_POSSIBLE = "best IoU possible"  # heading of what an output of this size can reach
_OVERLAPS = ("pixel_iou", "pixel_iou_positive", "pixel_iou_oracle")
_MARKS = {"on": "✓", "off": "–", NO_LEVEL: "n/a"}


def ablation_table(results: StudyResults, *, analysed: bool = True, named: bool = False) -> TextTable:
    """One row per cell: the factors' levels, mean ± spread of each metric, what is published of it, and n.

    ``n`` counts the primary metric; a further metric that has fewer values says so in the note. Of a search
    the rows are the winners on fresh seeds. The best cells are bold, and where predictions are read, the
    interval over test items stands beside the primary metric, repeats that never left chance are counted, and
    if there are any, medians stand beside means. A table that is not ``analysed`` has none of these. One that
    is ``named`` has the names of variants in place of levels.
    """
    cells, metrics, names = results.reported.cells, results.metrics, study_names(results)
    summaries = [metric_summary(results, metric.name) for metric in metrics]
    at_chance = cells_at_chance(results) if analysed else {}
    notes: list[str] = []
    beside = _beside(results, summaries, notes, analysed=analysed)
    # One note for all cells that wait: ``to come: 29 of 30 trials``.
    first = summaries[0]
    waiting = sum(lost.repeats for summary in first for lost in summary.lost if lost.to_come)
    to_come = f"to come: {waiting} of {counted(sum(summary.planned for summary in first), 'trial')}"
    rows: list[tuple[str, ...]] = []
    for index, cell in enumerate(cells):
        of_cell = [summary[index] for summary in summaries]
        values: list[str] = []
        for summary, metric in zip(of_cell, metrics, strict=True):
            values.append(mean_spread(summary, metric))
            values += [column.text(index) for column in beside[metric.name]]
        if all(_waits(summary) for summary in of_cell) and cell.name not in at_chance:
            count = f"{of_cell[0].count} {numbered(to_come, notes)}"
        else:
            variant = names.variant(cell.name)
            count = _count_cell(variant, of_cell, metrics, at_chance.get(cell.name), notes)
        levels = [names.variant(cell.name)] if named else level_texts(results, cell)
        rows.append((*levels, *values, count))
    best = study_analysis(results).best if analysed else None
    bold = best.cells if best is not None else frozenset[str]()
    levels = [Column("variant", "left")] if named else level_columns(results)
    columns = [*levels]
    for metric in metrics:
        columns.append(Column(metric_title(metric), "right"))
        columns += [Column(column.title, "right", column.spare) for column in beside[metric.name]]
    columns.append(Column("n", "right"))
    return TextTable(
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(notes),
        bold=frozenset((row, len(levels)) for row, cell in enumerate(cells) if cell.name in bold),
        links={(row, len(columns) - 1): (cell.name,) for row, cell in enumerate(cells)},
    )


def best_notes(results: StudyResults) -> list[str]:
    """Notes on bold cells and item intervals in the ablation table."""
    title, uncertainty = results.primary.title, item_intervals(results)
    notes = study_bold_notes(results)
    if uncertainty is not None:
        notes.append(
            f"Interval over test images: 95 % interval of {title} had other test items been photographed "
            "(bootstrap over physical items). It says nothing of training."
        )
        notes += [f"{problem[0].upper()}{problem[1:]}" for problem in uncertainty.problems]
    return notes


def study_bold_notes(results: StudyResults) -> list[str]:
    """Notes on the bold cells of a study."""
    means = {summary.cell.name: summary.mean for summary in metric_summary(results, results.primary.name)}
    return bold_notes(study_analysis(results).best, results.primary, means)


def bold_notes(best: Best | None, metric: Metric, means: Mapping[str, float | None]) -> list[str]:
    """Notes on bold cells; empty where fewer than two cells can be compared.

    Args:
        best: What is bold.
        metric: By which.
        means: Cell → mean in the table, over all its repeats.
    """
    if best is None:
        return []
    held = f"{counted(best.repeats, 'common repeat')}, {best.claim}"
    if not best.cells:
        return [f"Not distinguishable: no {metric.title} is bold ({held})."]
    notes = [f"Bold: the best {metric.title}, and what cannot be told from it ({held})."]
    scores = {cell: metric.sign * mean for cell, mean in means.items() if mean is not None}
    bold = [score for cell, score in scores.items() if cell in best.cells]
    others = [score for cell, score in scores.items() if cell not in best.cells]
    if others and min(bold) < max(others):
        notes.append(
            "Bold goes by the common repeats, what diverged among them counts as worst, and by how they "
            "scatter; means by all values of a variant. So a bold mean may be worse than one that is not."
        )
    return notes


class _Beside(NamedTuple):
    """A column beside a metric's."""

    title: str
    text: Callable[[int], str]  # of a row
    spare: bool = True


def _beside(
    results: StudyResults, summaries: Sequence[Sequence[CellSummary]], notes: list[str], *, analysed: bool
) -> dict[str, list[_Beside]]:
    """Metric → the columns beside it; what there is no interval of is told in ``notes``."""
    cells, metrics, first = results.reported.cells, results.metrics, summaries[0]
    primary = metrics[0]
    beside: dict[str, list[_Beside]] = {metric.name: [] for metric in metrics}
    if analysed and shows_medians(results):
        medians = [
            NOTHING if summary.median is None else f"{summary.median:.{primary.decimals}f}"
            for summary in first
        ]
        beside[primary.name].append(_Beside("median", medians.__getitem__))
    uncertainty = item_intervals(results) if analysed else None
    if uncertainty is not None:

        def interval(row: int) -> str:
            name, decimals = cells[row].name, primary.decimals
            if first[row].n == 0 and _waits(first[row]):  # its n says so
                return NOTHING
            variant = variant_name(results, name)
            return item_interval_text(uncertainty.cell(name), decimals, variant, notes)

        beside[primary.name].append(_Beside(ITEM_INTERVAL, interval))
    for name, texts in _published_columns(results.plan.study, cells, metrics).items():
        beside[name].append(_Beside("published", texts.__getitem__, spare=False))
    attainable = attainable_texts(results)
    if attainable:
        last = [name for name in beside if name in _OVERLAPS][-1]
        beside[last].append(_Beside(BEST_POSSIBLE, attainable.__getitem__))
    return beside


def attainable_texts(results: StudyResults) -> list[str]:
    """The IoU that each cell's grid allows; empty where no cell has a grid or no IoU is reported."""
    shares = [attainable_iou(results.plan, cell) for cell in results.reported.cells]
    if not any(metric.name in _OVERLAPS for metric in results.metrics) or not any(shares):
        return []
    return [NOTHING if value is None else f"{value:.2f}" for value in shares]


def metric_title(metric: Metric) -> str:
    """The heading of a metric's column, with an arrow towards the better end."""
    return f"{metric.title} {'↑' if metric.better == 'higher' else '↓'}"


def level_columns(results: StudyResults) -> list[Column]:
    """The columns that tell cells apart: the factors; of a search and without factors also the name."""
    study, names = results.plan.study, study_names(results)
    columns = [
        Column(names.factor_words(factor), "center" if _is_switch(study, factor) else "left")
        for factor in study.factors
    ]
    return [*columns, Column("variant", "left")] if _is_named(results.plan) else columns


def level_texts(results: StudyResults, cell: Cell) -> list[str]:
    """The texts in :func:`level_columns` for a cell: ✓ and – for factors that are `on` and `off`."""
    study, names = results.plan.study, study_names(results)
    texts = [
        _MARKS.get(level, level)
        if _is_switch(study, factor) or level == NO_LEVEL
        else names.level_column(factor, level)
        for factor in study.factors
        for level in [cell.levels[factor]]
    ]
    return [*texts, names.variant(cell.name)] if _is_named(results.plan) else texts


def item_interval_text(interval: ItemInterval, decimals: int, name: str, notes: list[str]) -> str:
    """``[0.912, 0.968]``; where there is no interval a dash, and why in ``notes``."""
    if interval.low is not None and interval.high is not None:
        return interval_text(interval.low, interval.high, decimals)
    return f"{NOTHING} {numbered(f'{name}: {interval.note}', notes)}"


def _published_columns(
    study: Study, cells: Sequence[Cell], metrics: Sequence[Metric]
) -> dict[str, list[str]]:
    """Metric → what is published of it for each cell; with the decimals that the study gives."""
    of_cells = [study.published_values(cell.levels) for cell in cells]
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


def shows_medians(results: StudyResults) -> bool:
    """True where medians stand beside means: asked for, or some repeat never left chance."""
    return results.medians or bool(cells_at_chance(results))


def _count_cell(
    label: str,
    of_cell: Sequence[CellSummary],
    metrics: Sequence[Metric],
    at_chance: AtChance | None,
    notes: list[str],
) -> str:
    """The n of a row; adds a note to ``notes`` where any repeat was lost or never left chance."""
    primary, *others = of_cell
    texts = [*([_lost_text(primary)] if primary.lost else []), *([str(at_chance)] if at_chance else [])]
    for summary, metric in zip(others, metrics[1:], strict=True):
        if summary.lost != primary.lost:
            texts.append(f"{metric.title}: {_lost_text(summary)}")
    if not texts:
        return str(primary.n)
    note = f"{label}: {'; '.join(texts)}"
    return f"{primary.count} {numbered(note, notes)}"


def _waits(summary: CellSummary) -> bool:
    """True where repeats are missing, and all of them because they wait for their training."""
    return bool(summary.lost) and all(lost.to_come for lost in summary.lost)


def _lost_text(summary: CellSummary) -> str:
    """``n = 8 of 9: 1 diverged (NaN loss); ± over 2 seeds (means over 3 folds)``."""
    return "; ".join(filter(None, [f"n = {summary.count_text()}", summary.spread_text()]))


def mean_spread(summary: RepeatSummary, metric: Metric) -> str:
    """``0.912 ± 0.010``; a dash where there is no value yet."""
    if summary.mean is None:
        return NOTHING
    decimals = metric.decimals
    mean = decimal_text(summary.mean, decimals)
    return mean if summary.spread is None else f"{mean} ± {summary.spread:.{decimals}f}"


def _is_named(plan: Plan) -> bool:
    return not plan.study.factors or isinstance(plan, SearchPlan)


def _is_switch(study: Study, factor: str) -> bool:
    return set(study.factors[factor]) <= set(_MARKS)


# Intervals and trials ----------------------------------------------------------------------------------


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
            *level_texts(results, cell),
            *(_mean_interval(summary[row], of_metrics[summary[row].metric]) for summary in summaries),
        )
        for row, cell in enumerate(cells)
    ]
    columns = [*level_columns(results), *(Column(metric.title, "right") for metric in metrics)]
    kinds = [f"{method}, on {claim}" for method, claim in method_texts(intervals)]
    approximate = any(interval.approximate for interval in intervals)
    return Section(
        "Intervals of the means",
        f"Mean with its 95 % interval ({'; '.join(kinds)}). Variants are compared by their differences "
        "below, not by whether their intervals overlap.",
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
        Column("variant", "left"),
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


# Cells in an order that tells something: by their mean, the pair to look at first, the few that fit ----


def in_order(results: StudyResults, metric: Metric | None) -> list[str]:
    """Names of the cells: as planned, or by a metric, the best first, as :func:`.by_mean` ranks them."""
    if metric is None:
        return [cell.name for cell in results.reported.cells]
    return [summary.cell.name for summary in by_mean(metric_summary(results, metric.name), metric)]


def base_and_best(results: StudyResults) -> tuple[str, str] | None:
    """The study's first cell and that of the best mean on its data; the worst where the first is the best."""
    data_of, ranked = results.data_of, in_order(results, results.primary)
    first = results.reported.cells[0].name if ranked else ""
    ranked = [name for name in ranked if data_of[name] == data_of[first]]
    if len(ranked) < 2:
        return None
    best = ranked[0]
    return (ranked[-1] if first == best else first), best


def highlighted_cells(results: StudyResults, names: Collection[str], most: int) -> list[str]:
    """At most ``most`` of ``names``: base and best, then those farthest in mean from the base.

    All are of one data set. They stand in the study's order. Cells that no table reports, such as points of a
    search, come last.
    """
    reported = in_order(results, None)
    order = [*(name for name in reported if name in names), *(name for name in names if name not in reported)]
    pair = [name for name in base_and_best(results) or () if name in names]
    means = {summary.cell.name: summary.mean for summary in metric_summary(results, results.primary.name)}
    base = means[pair[0]] if pair else None

    # Cells on other data have other images: beside these there would be nothing to compare.
    data_of = results.data_of
    home = {data_of.get(name) for name in (*pair, *order)[:1]}
    order = [name for name in order if data_of.get(name) in home]

    def nearness(name: str) -> float:
        mean = means.get(name)
        return math.inf if mean is None or base is None else -abs(mean - base)

    chosen = [*pair, *sorted((name for name in order if name not in pair), key=nearness)][:most]
    return [name for name in order if name in chosen]
