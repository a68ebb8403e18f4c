"""The cells of a study as tables of numbers, from the same summaries and statistics as the report.

A page whose reader wants no item intervals passes ``results.without_predictions()``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import pandas as pd

from assay.analysis.predictions import measured_records
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import CellSummary, metric_summary
from assay.report.page.model import NOTHING, TextTable
from assay.report.tables.cells import (
    BEST_POSSIBLE,
    ITEM_INTERVAL,
    ablation_table,
    level_columns,
    metric_title,
)
from assay.statistics.intervals import MeanInterval
from assay.statistics.wording import interval_text
from assay.study.planning.repeats import repeat_name
from assay_dashboard.study_view import StudyView
from trainables.evaluation.metrics import Metric

__all__ = [
    "CellTable",
    "ablation",
    "cell_table",
    "number_format",
    "trial_table",
]

_FIGURES = ("median", "published", BEST_POSSIBLE)  # that the report sets beside a mean


@dataclass(frozen=True)
class CellTable:
    """A frame whose columns have neutral names, and what each is called and how its numbers are written."""

    frame: pd.DataFrame  # indexed by cell
    titles: dict[str, str]
    formats: dict[str, str]  # of the columns that hold numbers
    picks: dict[str, list[str]]  # what a reader may leave out, by its title → its columns


def ablation(results: StudyResults) -> TextTable:
    """The table of the report: what the grid shows, and the notes that its marks refer to."""
    return results.once(f"ablation table{_marked(results)}", lambda: ablation_table(results))


def cell_table(results: StudyResults) -> CellTable:
    """The report's table, its means, spreads and the figures beside them as numbers, which sort.

    The levels come first, then all that is said of the primary metric, n beside its spread. The report's bold
    type is a column here, and the interval of the primary mean another one.
    """
    return results.once(f"cell table{_marked(results)}", lambda: _cell_table(results))


def _marked(results: StudyResults) -> str:
    """Tell tables with item intervals from those without in the name under which they are kept."""
    return "" if results.read_part is None else " with item intervals"


def _cell_table(results: StudyResults) -> CellTable:
    # The same columns as the report's table, in its order, but with numbers that the grid can sort.
    table = ablation(results)
    primary, *others = results.metrics
    texts = {column.title: [row[place] for row in table.rows] for place, column in enumerate(table.columns)}
    levels = len(level_columns(results))
    columns = {
        f"level {place}": _Shown(column.title, [row[place] for row in table.rows])
        for place, column in enumerate(table.columns[:levels])
    }

    # Numbers are taken from the summaries and not from the report's texts, which hold mean and spread in one.
    columns |= _of_metric(primary, metric_summary(results, primary.name))
    columns["n"] = _Shown("n", texts["n"])
    columns["best"] = _best(table, levels)
    columns["interval"] = _intervals(results, primary)
    if ITEM_INTERVAL in texts:
        columns["items"] = _Shown(ITEM_INTERVAL, texts[ITEM_INTERVAL])

    # What a reader may leave out is grouped by metric: a mean without its spread would mislead.
    beside = _beside(table, results.metrics)
    picks = {columns[name].title: [name] for name in ("best", "interval")}
    columns |= beside[primary.name]
    for metric in others:
        of_metric = _of_metric(metric, metric_summary(results, metric.name))
        picks[metric.title] = list(of_metric)
        columns |= of_metric | beside[metric.name]
    for metric in others:
        for name, shown in beside[metric.name].items():
            picks.setdefault(shown.title, []).append(name)
    index = pd.Index([cell.name for cell in results.reported.cells], name="cell")
    return CellTable(
        frame=pd.DataFrame({name: list(shown.values) for name, shown in columns.items()}, index=index),
        titles={name: shown.title for name, shown in columns.items()},
        formats={name: shown.form for name, shown in columns.items() if shown.form is not None},
        picks=picks,
    )


class _Shown(NamedTuple):
    """A column of the grid."""

    title: str
    values: Sequence[object]
    form: str | None = None  # of numbers


def _best(table: TextTable, place: int) -> _Shown:
    return _Shown("best", ["●" if (row, place) in table.bold else "" for row in range(len(table.rows))])


def _beside(table: TextTable, metrics: Sequence[Metric]) -> dict[str, dict[str, _Shown]]:
    """Metric → the figures that stand behind it in the report's table."""
    # A figure belongs to the metric that stands last before it.
    names = {metric_title(metric): metric.name for metric in metrics}
    columns: dict[str, dict[str, _Shown]] = {metric.name: {} for metric in metrics}
    of = ""
    for place, column in enumerate(table.columns):
        of = names.get(column.title, of)
        if of and column.title in _FIGURES:
            texts = [row[place] for row in table.rows]
            columns[of][f"{column.title} {of}"] = _numbers(column.title, texts)
    return columns


def _of_metric(metric: Metric, summaries: Sequence[CellSummary]) -> dict[str, _Shown]:
    """The columns of a metric: its mean and its spread."""
    form = f"%.{metric.decimals}f"
    means = [_settled(summary.mean, metric.decimals) for summary in summaries]
    spreads = [_settled(summary.spread, metric.decimals) for summary in summaries]
    return {
        f"mean {metric.name}": _Shown(metric_title(metric), means, form),
        f"spread {metric.name}": _Shown("±", spreads, form),
    }


def _settled(value: float | None, decimals: int) -> float | None:
    """The same number, but one midway between two that can be shown: there the one in the report.

    The grid rounds in the browser, 3.25 to 3.3. The report rounds in Python, to 3.2.
    """
    if value is None or Fraction(value) * 10**decimals % 1 != Fraction(1, 2):
        return value
    return round(value, decimals)


def _intervals(results: StudyResults, metric: Metric) -> _Shown:
    known = study_analysis(results).intervals(metric.name)
    texts = [_interval(known.get(cell.name), metric.decimals) for cell in results.reported.cells]
    return _Shown("95 % interval", texts)


def _numbers(title: str, texts: Sequence[str]) -> _Shown:
    """Texts of equally many decimals, as numbers."""
    decimals = max(len(text.partition(".")[2]) for text in texts)
    values = [None if text == NOTHING else float(text) for text in texts]
    return _Shown(title, values, f"%.{decimals}f")


def _interval(interval: MeanInterval | None, decimals: int) -> str:
    return interval_text(interval.low, interval.high, decimals) if interval is not None else NOTHING


def trial_table(view: StudyView, cells: list[str]) -> pd.DataFrame:
    """A row for each trial of some cells: where it stands, how it ended, the reported metrics."""
    # The plan has every trial; records say how far each has come.
    wanted, results = set(cells), view.results
    metrics, damaged = results.metrics, results.damaged
    running = {trial.trial.id for trial in view.running if trial.silent is None}
    rows: list[dict[str, object]] = []
    for trial in results.trials:
        if trial.cell not in wanted:
            continue
        # The record decides; a trial without one is damaged, running or still to come.
        record = measured_records(results).get(trial.id)
        waiting = "damaged" if trial.id in damaged else "running" if trial.id in running else "planned"
        scores = record.result.metrics if record is not None and record.result is not None else {}
        rows.append(
            {
                "cell": trial.cell,
                "repeat": repeat_name(trial.seed, trial.fold),
                "trial": trial.id,
                "status": waiting if record is None else record.status,
                **{metric.name: _written(metric, scores.get(metric.name)) for metric in metrics},
                "minutes": None if record is None else record.seconds / 60,
            }
        )
    names = ["cell", "repeat", "trial", "status", *(metric.name for metric in metrics), "minutes"]
    return pd.DataFrame(rows, columns=names)


def _written(metric: Metric, value: float | None) -> float | None:
    """The number that the report has: the grid rounds in the browser, 0.78125 to 0.7813."""
    return None if value is None else float(metric.text(value))


def number_format(metric: Metric) -> str:
    """Format of single values of a metric in a grid, with the digits of :meth:`Metric.text`."""
    return "%.4f" if metric.unit == "share" else "%.6g"
