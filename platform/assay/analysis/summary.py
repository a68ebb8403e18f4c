"""From records to numbers: one row per trial and metric, and mean, spread and n of each cell.

A lost repeat is never dropped silently: it is a row without a value, with the reason, and every mean says
of how many planned repeats it is made: ``n = 9 of 10: 1 diverged (NaN loss at epoch 3)``.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from assay.storage.record import Record, Result, UnreadableRecord
from assay.storage.store import RecordSet, Store
from assay.study import Cell, Plan, Trial
from trainables.metrics import METRICS, Metric

__all__ = [
    "CellSummary",
    "Lost",
    "Repeat",
    "outcome",
    "repeats_text",
    "reported_metrics",
    "summarise",
    "tidy",
    "write_summary",
]

Part = Literal["val", "test"]
_MISSING = "not trained yet"
_REASON_CHARACTERS = 300


class Repeat(NamedTuple):
    """One training of a cell."""

    seed: int
    fold: int | None


class Lost(NamedTuple):
    """Repeats of a cell without a value, for one reason."""

    repeats: int
    status: str  # diverged, pruned, failed, missing, undefined
    reason: str | None

    def __str__(self) -> str:
        reason = " ".join((self.reason or "").split())  # an exception's text may have several lines
        return f"{self.repeats} {self.status}" + (f" ({reason[:_REASON_CHARACTERS]})" if reason else "")


@dataclass(frozen=True)
class CellSummary:
    """One metric of one cell over its repeats."""

    cell: Cell
    metric: str
    repeats: tuple[Repeat, ...]  # as planned
    values: Mapping[Repeat, float]
    lost: tuple[Lost, ...]

    @property
    def planned(self) -> int:
        """Repeats that the plan has."""
        return len(self.repeats)

    @property
    def n(self) -> int:
        """Repeats that have a value."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean over all repeats that have a value."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def spread(self) -> float | None:
        """Standard deviation (n − 1) over repeats; None for fewer than two.

        With prescribed folds and several seeds: over the seeds' means of their folds, of the seeds that
        have them all, because scores of different folds differ by the test images, not by luck.
        """
        values = self._spread_values()
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def spread_of(self) -> str:
        """What the spread is over, without what was lost: ``4 seeds``, ``2 seeds (means over 3 folds)``."""
        return self._over(len(self._spread_values()))

    @property
    def planned_spread_of(self) -> str:
        """What the spread is over when no repeat is lost: ``5 seeds``, ``3 seeds (means over 3 folds)``."""
        return self._over(len(self._folds()) if len(self._seeds()) < 2 else len(self._seeds()))

    def count_text(self) -> str:
        """``10``, or ``9 of 10: 1 diverged (NaN loss at epoch 3)``."""
        if self.n == self.planned:
            return str(self.n)
        return f"{self.n} of {self.planned}: {'; '.join(map(str, self.lost))}"

    def spread_text(self) -> str | None:
        """``± over 2 seeds`` where that is not as planned; None where it is."""
        if self.mean is None or self.spread_of == self.planned_spread_of:
            return None
        return f"{'no ±' if self.spread is None else '±'} over {self.spread_of}"

    def _over(self, number: int) -> str:
        seeds, folds = self._seeds(), self._folds()
        if len(folds) < 2:
            return _count(number, "seed")
        if len(seeds) < 2:
            return _count(number, "fold")
        return f"{_count(number, 'seed')} (means over {len(folds)} folds)"

    def _seeds(self) -> set[int]:
        return {repeat.seed for repeat in self.repeats}

    def _folds(self) -> set[int | None]:
        return {repeat.fold for repeat in self.repeats}

    def _spread_values(self) -> list[float]:
        seeds, folds = self._seeds(), self._folds()
        if len(folds) < 2 or len(seeds) < 2:
            return list(self.values.values())
        means: list[float] = []
        for seed in sorted(seeds):
            of_seed = [value for repeat, value in self.values.items() if repeat.seed == seed]
            if len(of_seed) == len(folds):
                means.append(statistics.fmean(of_seed))
        return means


def reported_metrics(plan: Plan) -> list[Metric]:
    """The primary metric and the further ones of a study, each once."""
    names = dict.fromkeys([plan.study.metrics.primary, *plan.study.metrics.report])
    return [METRICS[name] for name in names]


def summarise(
    plan: Plan, records: Mapping[str, Record], metric: str, problems: Sequence[UnreadableRecord] = ()
) -> list[CellSummary]:
    """One metric on test data, for every cell in the plan's order."""
    unreadable = {problem.trial for problem in problems}
    values: dict[str, dict[Repeat, float]] = {cell.name: {} for cell in plan.cells}
    lost: dict[str, Counter[tuple[str, str | None]]] = {cell.name: Counter() for cell in plan.cells}
    planned: dict[str, list[Repeat]] = {cell.name: [] for cell in plan.cells}
    for trial in plan.trials:
        repeat = Repeat(trial.seed, trial.fold)
        planned[trial.cell].append(repeat)
        found = outcome(records.get(trial.id), metric, trial.id in unreadable)
        if not isinstance(found, tuple):
            values[trial.cell][repeat] = found
        else:
            lost[trial.cell][found] += 1
    return [
        CellSummary(
            cell=cell,
            metric=metric,
            repeats=tuple(planned[cell.name]),
            values=values[cell.name],
            lost=tuple(Lost(repeats, *what) for what, repeats in lost[cell.name].items()),
        )
        for cell in plan.cells
    ]


def repeats_text(summary: CellSummary) -> str:
    """The repeats of a cell as planned: ``2 seeds``, ``2 seeds × 3 folds``."""
    seeds, folds = {r.seed for r in summary.repeats}, {r.fold for r in summary.repeats}
    text = _count(len(seeds), "seed")
    return text if len(folds) < 2 else f"{text} × {len(folds)} folds"


def tidy(
    plan: Plan,
    records: Mapping[str, Record],
    problems: Sequence[UnreadableRecord] = (),
    *,
    metric: str | None = None,
) -> pa.Table:
    """One row per trial, part and metric; the key is study, cell, seed, fold, part, metric.

    Every trial of the plan has a row for each metric that the study reports: without a value, and with
    status and reason, where the repeat was lost. With ``metric``, its rows on test data only.
    """
    unreadable = {problem.trial for problem in problems}
    reported = [metric.name for metric in reported_metrics(plan)]
    factors = list(plan.study.factors)
    schema = _schema(factors)
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for trial in plan.trials:
        record = records.get(trial.id)
        fixed = _fixed_columns(plan, trial, record, factors)
        for part, name, value, status, reason in _rows(record, reported, trial.id in unreadable, metric):
            row = {
                **fixed,
                "part": part,
                "metric": name,
                "value": value,
                "status": status,
                "reason": reason,
            }
            for column, cell in row.items():
                columns[column].append(cell)
    return pa.table(columns, schema=schema)


def write_summary(store: Store, plan: Plan, found: RecordSet) -> pa.Table:
    """Write ``summary.parquet`` of the study, and return it."""
    table = tidy(plan, found.records, found.problems)
    store.write_table(f"{store.study(plan.study.study)}/summary.parquet", table)
    return table


def _schema(factors: Sequence[str]) -> pa.Schema:
    return pa.schema(
        [
            pa.field("study", pa.string(), nullable=False),
            pa.field("cell", pa.string(), nullable=False),
            *(pa.field(f"factor:{factor}", pa.string()) for factor in factors),
            pa.field("seed", pa.int64(), nullable=False),
            pa.field("fold", pa.int16()),
            pa.field("split", pa.string(), nullable=False),
            pa.field("n_train", pa.int32()),
            pa.field("n_test", pa.int32()),
            pa.field("part", pa.string(), nullable=False),
            pa.field("metric", pa.string(), nullable=False),
            pa.field("value", pa.float64()),
            pa.field("status", pa.string(), nullable=False),
            pa.field("reason", pa.string()),
            pa.field("trial", pa.string(), nullable=False),
        ]
    )


def _fixed_columns(plan: Plan, trial: Trial, record: Record | None, factors: Sequence[str]) -> dict[str, Any]:
    result = record.result if record is not None else None
    return {
        "study": plan.study.study,
        "cell": trial.cell,
        **{f"factor:{factor}": trial.levels.get(factor) for factor in factors},
        "seed": trial.seed,
        "fold": trial.fold,
        "split": trial.split,
        "n_train": result.n_train if result is not None else None,
        "n_test": result.n_test if result is not None else None,
        "trial": trial.id,
    }


def _rows(
    record: Record | None, reported: Sequence[str], unreadable: bool, only: str | None
) -> Iterable[tuple[Part, str, float | None, str, str | None]]:
    """Part, metric, value, status and reason of each row of one trial."""
    result = record.result if record is not None and record.status == "finished" else None
    metrics = list(dict.fromkeys([*reported, *(result.metrics if result is not None else ())]))
    for metric in metrics if only is None else [only]:
        found = outcome(record, metric, unreadable)
        if not isinstance(found, tuple):
            yield "test", metric, found, "finished", None
        else:
            status, reason = found
            yield "test", metric, None, "finished" if status == "undefined" else status, reason
    if result is not None and only is None:
        for metric, value in result.validation.items():
            yield "val", metric, value, "finished", None


def outcome(record: Record | None, metric: str, unreadable: bool) -> float | tuple[str, str | None]:
    """The value of a repeat, or why it has none: (status, reason)."""
    if record is None:
        return "missing", "its record cannot be read" if unreadable else _MISSING
    if record.status != "finished" or record.result is None:
        return record.status, record.reason
    value = record.result.metrics.get(metric)
    if value is None:
        return "undefined", _why_undefined(record.result, metric)
    return float(value)


def _why_undefined(result: Result, metric: str) -> str | None:
    """The reason in words; None where an older record has none."""
    if result.undefined is not None:
        return result.undefined.get(metric, "not measured when it was trained")
    # Records written before `undefined`: the reason stands in the note that has the metric's title.
    title = METRICS[metric].title
    return next((note for note in result.notes if title in note), None)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
