"""The cells of a study as tables of numbers, from the same summaries and answers as the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from assay.results.statistics import Luck, MeanInterval
from assay.results.statistics.words import interval_text
from assay.results.summary import CellSummary, reported_metrics, summarise
from assay.results.tables import decimals_of, level_columns, level_texts
from dashboard.state import repeat_name
from dashboard.store import StudyView, answers
from trainables.metrics import METRICS, Metric

__all__ = ["CellTable", "cell_table", "in_order", "means_and_repeats", "number_format", "trial_table"]


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


def cell_table(view: StudyView, *, luck: bool) -> CellTable:
    """Levels, what is bold, mean of each metric; spread, interval, n and test luck of the primary one."""
    plan, found = view.plan.answer(), answers(view, luck=luck)
    primary, *further = reported_metrics(plan)
    of_metric = summaries(view, primary.name)
    decimals = _decimals(primary, of_metric)
    columns: dict[str, tuple[str, Sequence[object], str | None]] = {}  # title, values, format of numbers
    levels = [level_texts(plan, cell) for cell in plan.cells]
    for number, column in enumerate(level_columns(plan)):
        columns[f"level {number}"] = column.title, [texts[number] for texts in levels], None
    best = found.best.cells if found.best is not None else frozenset[str]()
    columns["best"] = "best", ["●" if cell.name in best else "" for cell in plan.cells], None
    columns[f"mean {primary.name}"] = _mean_column(primary, of_metric)
    columns["spread"] = "±", [one.spread for one in of_metric], f"%.{decimals}f"
    intervals = found.intervals[primary.name]
    told = [intervals.get(cell.name) for cell in plan.cells]
    columns["interval"] = "95 % interval", [_interval(one, decimals) for one in told], None
    columns["n"] = "n", [_count(one) for one in of_metric], None
    for metric in further:
        columns[f"mean {metric.name}"] = _mean_column(metric, summaries(view, metric.name))
    if found.luck is not None:
        lucks = [_interval(found.luck.cell(cell.name), decimals) for cell in plan.cells]
        columns["luck"] = "test luck", lucks, None
    index = pd.Index([cell.name for cell in plan.cells], name="cell")
    return CellTable(
        frame=pd.DataFrame({name: list(values) for name, (_, values, _) in columns.items()}, index=index),
        titles={name: title for name, (title, _, _) in columns.items()},
        formats={name: form for name, (_, _, form) in columns.items() if form is not None},
    )


def _mean_column(metric: Metric, found: Sequence[CellSummary]) -> tuple[str, Sequence[object], str]:
    title = f"{metric.title} {'↑' if metric.better == 'higher' else '↓'}"
    return title, [one.mean for one in found], f"%.{_decimals(metric, found)}f"


def _decimals(metric: Metric, found: Sequence[CellSummary]) -> int:
    return max((decimals_of(metric, one.planned) for one in found), default=3)


def _interval(found: MeanInterval | Luck | None, decimals: int) -> str:
    if found is None or found.low is None or found.high is None:
        return ""
    return interval_text(found.low, found.high, decimals)


def _count(one: CellSummary) -> str:
    return str(one.n) if not one.lost else f"{one.n} of {one.planned}"


def means_and_repeats(
    view: StudyView, metric: str, cells: list[str], group: str | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the interval plot of some cells draws."""
    intervals = answers(view).intervals[metric]
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
