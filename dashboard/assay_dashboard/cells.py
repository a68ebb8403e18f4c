"""The cells of a study as tables of numbers, from the same summaries and answers as the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from assay.analysis.statistics import MeanInterval
from assay.analysis.statistics.wording import interval_text
from assay.analysis.summary import CellSummary, reported_metrics, summarise
from assay.report.ablation_table import ablation_table, decimals_of, metric_title
from assay.report.page.model import NOTHING, TextTable
from assay.study.repeats import repeat_name
from assay_dashboard.study_view import StudyView, answers
from trainables.metrics import METRICS, Metric

__all__ = [
    "CellTable",
    "ablation",
    "cell_table",
    "in_order",
    "means_and_repeats",
    "number_format",
    "trial_table",
]


@dataclass(frozen=True)
class CellTable:
    """A frame whose columns have neutral names, and what each is called and how its numbers are written."""

    frame: pd.DataFrame  # indexed by cell
    titles: dict[str, str]
    formats: dict[str, str]  # of the columns that hold numbers


def summaries(view: StudyView, metric: str) -> list[CellSummary]:
    """One metric of all cells of the answer."""
    return view.computed.once(
        f"summary {metric}", lambda: summarise(view.plan.answer(), view.records, metric, view.problems)
    )


def in_order(view: StudyView, metric: Metric | None) -> list[str]:
    """Names of the cells: as planned, or the best mean of a metric first and cells without one last."""
    if metric is None:
        return [cell.name for cell in view.plan.answer().cells]
    sign = 1 if metric.better == "higher" else -1
    found = summaries(view, metric.name)
    ranked = sorted(found, key=lambda one: (one.mean is None, -sign * (one.mean or 0.0)))
    return [one.cell.name for one in ranked]


def ablation(view: StudyView, *, luck: bool) -> TextTable:
    """The table of the report: what the grid shows, and the notes that its marks refer to."""
    return view.computed.once(
        f"table {luck}",
        lambda: ablation_table(view.plan, view.records, view.problems, answers(view, luck=luck)),
    )


def cell_table(view: StudyView, *, luck: bool) -> CellTable:
    """The report's table, its means, spreads and published figures as numbers, which sort.

    What the report says by bold type is a column here, and beside it is the interval of the primary mean.
    """
    return view.computed.once(f"cells {luck}", lambda: _cell_table(view, luck=luck))


def _cell_table(view: StudyView, *, luck: bool) -> CellTable:
    plan, table = view.plan.answer(), ablation(view, luck=luck)
    metrics = {metric_title(metric): metric for metric in reported_metrics(plan)}
    primary = next(iter(metrics))
    columns: dict[str, _Shown] = {}
    of = ""  # the metric of which the columns at hand are
    for place, column in enumerate(table.columns):
        texts = [row[place] for row in table.rows]
        if column.title in metrics:
            if column.title == primary:
                columns["best"] = _best(table, place)
            metric = metrics[column.title]
            of = metric.name
            columns |= _of_metric(column.title, metric, summaries(view, of))
            if column.title == primary:
                columns["interval"] = _intervals(view, metric, luck=luck)
        elif column.title == "published" and of:
            columns[f"published {of}"] = _numbers(column.title, texts)
        elif column.title in ("n", "test luck") and of:
            columns["luck" if column.title == "test luck" else "n"] = _Shown(column.title, texts)
        else:
            columns[f"level {place}"] = _Shown(column.title, texts)
    index = pd.Index([cell.name for cell in plan.cells], name="cell")
    return CellTable(
        frame=pd.DataFrame({name: list(one.values) for name, one in columns.items()}, index=index),
        titles={name: one.title for name, one in columns.items()},
        formats={name: one.form for name, one in columns.items() if one.form is not None},
    )


class _Shown(NamedTuple):
    """A column of the grid."""

    title: str
    values: Sequence[object]
    form: str | None = None  # of numbers


def _best(table: TextTable, place: int) -> _Shown:
    return _Shown("best", ["●" if (row, place) in table.bold else "" for row in range(len(table.rows))])


def _of_metric(title: str, metric: Metric, found: Sequence[CellSummary]) -> dict[str, _Shown]:
    """Mean and spread."""
    form = f"%.{_decimals(metric, found)}f"
    return {
        f"mean {metric.name}": _Shown(title, [one.mean for one in found], form),
        f"spread {metric.name}": _Shown("±", [one.spread for one in found], form),
    }


def _intervals(view: StudyView, metric: Metric, *, luck: bool) -> _Shown:
    decimals = _decimals(metric, summaries(view, metric.name))
    known = answers(view, luck=luck).intervals[metric.name]
    cells = view.plan.answer().cells
    return _Shown("95 % interval", [_interval(known.get(cell.name), decimals) for cell in cells])


def _numbers(title: str, texts: Sequence[str]) -> _Shown:
    """Texts of equally many decimals, as numbers."""
    decimals = max(len(text.partition(".")[2]) for text in texts)
    values = [None if text == NOTHING else float(text) for text in texts]
    return _Shown(title, values, f"%.{decimals}f")


def _decimals(metric: Metric, found: Sequence[CellSummary]) -> int:
    return max((decimals_of(metric, one.planned) for one in found), default=3)


def _interval(found: MeanInterval | None, decimals: int) -> str:
    return interval_text(found.low, found.high, decimals) if found is not None else ""


def means_and_repeats(
    view: StudyView, metric: str, cells: list[str], group: str | None, *, luck: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the interval plot of some cells draws; ``luck``: whether the page's answers are those with it."""
    intervals = answers(view, luck=luck).intervals[metric]
    of_name = {one.cell.name: one for one in summaries(view, metric)}
    means: list[dict[str, object]] = []
    repeats: list[dict[str, object]] = []
    for name in cells:
        one = of_name[name]
        shared: dict[str, object] = {"cell": name, "group": one.cell.levels.get(group, "") if group else ""}
        interval = intervals.get(name)
        low, high = (interval.low, interval.high) if interval else (None, None)
        means.append({**shared, "mean": one.mean, "low": low, "high": high, "n": one.n})
        repeats += [
            {**shared, "repeat": repeat_name(*repeat), "value": value} for repeat, value in one.values.items()
        ]
    columns = ["cell", "group", "repeat", "value"]
    return pd.DataFrame(means), pd.DataFrame(repeats, columns=columns)


def trial_table(view: StudyView, cells: list[str]) -> pd.DataFrame:
    """A row for each trial of some cells: where it stands, how it ended, the reported metrics."""
    wanted = set(cells)
    metrics = reported_metrics(view.plan)
    unreadable = {problem.trial for problem in view.problems}
    running = {one.trial.id for one in view.running if one.silent is None}
    rows: list[dict[str, object]] = []
    for trial in view.plan.trials:
        if trial.cell not in wanted:
            continue
        record = view.records.get(trial.id)
        waiting = "unreadable" if trial.id in unreadable else "running" if trial.id in running else "planned"
        scores = record.result.metrics if record is not None and record.result is not None else {}
        rows.append(
            {
                "cell": trial.cell,
                "repeat": repeat_name(trial.seed, trial.fold),
                "trial": trial.id,
                "status": waiting if record is None else record.status,
                **{metric.name: scores.get(metric.name) for metric in metrics},
                "minutes": None if record is None else record.seconds / 60,
            }
        )
    names = ["cell", "repeat", "trial", "status", *(metric.name for metric in metrics), "minutes"]
    return pd.DataFrame(rows, columns=names)


def number_format(metric: str) -> str:
    """How a single value of a metric is written."""
    return "%.4f" if METRICS[metric].unit == "share" else "%d"
