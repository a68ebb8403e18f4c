"""From records to numbers: one row per trial and metric, and mean, spread and n of each cell.

A lost repeat is never dropped silently: it is a row without a value, with the reason, and every mean says
of how many planned repeats it is made: ``n = 9 of 10: 1 diverged (NaN loss at epoch 3)``.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import pyarrow as pa

from assay.analysis.predictions import measured_records
from assay.analysis.results.computed import computed
from assay.analysis.results.results import StudyResults
from assay.storage.conditions import ConditionResult, read_condition
from assay.storage.record import Record
from assay.storage.store import Store
from assay.study import Cell, Trial
from assay.study.names import count_of_planned, counted, from_to
from trainables.data.conditions import Condition
from trainables.evaluation.metrics import Metric

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CellSummary",
    "Lost",
    "Repeat",
    "RepeatSummary",
    "best_mean",
    "by_mean",
    "cell_summaries",
    "condition_results",
    "condition_row",
    "lost_repeats",
    "metric_summary",
    "metric_table",
    "outcome",
    "repeats_text",
    "spread_note",
    "tidy",
    "write_summary",
]

Part = Literal["val", "test", "test_under"]
SummaryRow = tuple[Part, str, float | None, str, str | None]  # part, metric, value, status, reason
_Summary = TypeVar("_Summary", bound="RepeatSummary")
_MISSING = "not trained yet"
_NOT_EVALUATED = "not evaluated under this condition: its model was not kept"
_REASON_CHARACTERS = 500  # a refusal with its way out


class Repeat(NamedTuple):
    """One training of a cell."""

    seed: int
    fold: int | None


class Lost(NamedTuple):
    """Repeats of a cell without a value, for one reason."""

    repeats: int
    status: str  # diverged, pruned, failed, missing, undefined
    reason: str | None

    @property
    def to_come(self) -> bool:
        """True where the repeats wait for their training."""
        return self.status == "missing" and self.reason == _MISSING

    def __str__(self) -> str:
        reason = " ".join((self.reason or "").split())  # an exception's text may have several lines
        if len(reason) > _REASON_CHARACTERS:
            reason = f"{reason[:_REASON_CHARACTERS]} …"
        return f"{self.repeats} {self.status}" + (f" ({reason})" if reason else "")


def lost_repeats(reasons: Iterable[tuple[str, str | None]]) -> tuple[Lost, ...]:
    """The lost repeats of a cell, of each its status and reason, counted by them."""
    return tuple(Lost(repeats, *why) for why, repeats in Counter(reasons).items())


@dataclass(frozen=True)
class RepeatSummary:
    """One metric over the repeats of one cell, whatever cell that is."""

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
    def count(self) -> str:
        """``10``, or ``9 of 10``."""
        return count_of_planned(self.n, self.planned)

    @property
    def mean(self) -> float | None:
        """Mean over all repeats that have a value."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def median(self) -> float | None:
        """Median over the same repeats."""
        return statistics.median(self.values.values()) if self.values else None

    @cached_property
    def spread(self) -> float | None:
        """Standard deviation (n − 1) over repeats; None for fewer than two.

        With prescribed folds and several seeds: over the seeds' means of their folds, of the seeds that
        have them all, because scores of different folds differ by the test images, not by luck.
        """
        values = self._spread_values()
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def spread_of(self) -> str:
        """Repeats that the spread is over: ``4 seeds``, ``2 seeds (means over 3 folds)``."""
        return self._over(len(self._spread_values()))

    @property
    def planned_spread_of(self) -> str:
        """What the spread is over when no repeat is lost: ``5 seeds``, ``3 seeds (means over 3 folds)``."""
        return self._over(len(self._folds()) if len(self._seeds()) < 2 else len(self._seeds()))

    def count_text(self) -> str:
        """``10``, or ``9 of 10: 1 diverged (NaN loss at epoch 3)``."""
        return self.count if self.n == self.planned else f"{self.count}: {'; '.join(map(str, self.lost))}"

    def spread_text(self) -> str | None:
        """``± over 2 seeds`` where that is not as planned; None where it is."""
        if self.mean is None or self.spread_of == self.planned_spread_of:
            return None
        return f"{'no ±' if self.spread is None else '±'} over {self.spread_of}"

    def _over(self, number: int) -> str:
        seeds, folds = self._seeds(), self._folds()
        if len(folds) < 2:
            return counted(number, "seed")
        if len(seeds) < 2:
            return counted(number, "fold")
        return f"{counted(number, 'seed')} (means over {len(folds)} folds)"

    def _seeds(self) -> set[int]:
        return {repeat.seed for repeat in self.repeats}

    def _folds(self) -> set[int | None]:
        return {repeat.fold for repeat in self.repeats}

    def _spread_values(self) -> list[float]:
        seeds, folds = self._seeds(), self._folds()
        if len(folds) < 2 or len(seeds) < 2:
            return list(self.values.values())
        # A seed that lost a fold is left out: a mean over fewer folds would differ by its images.
        means: list[float] = []
        for seed in sorted(seeds):
            of_seed = [value for repeat, value in self.values.items() if repeat.seed == seed]
            if len(of_seed) == len(folds):
                means.append(statistics.fmean(of_seed))
        return means


@dataclass(frozen=True)
class CellSummary(RepeatSummary):
    """One metric of one cell of a plan over its repeats."""

    cell: Cell


@computed
def metric_summary(results: StudyResults, metric: str) -> list[CellSummary]:
    """Mean, spread and n of a metric on test data, for each reported cell in the plan's order."""
    return cell_summaries(results, results.reported.cells, metric)


def cell_summaries(results: StudyResults, cells: Sequence[Cell], metric: str) -> list[CellSummary]:
    """One metric on test data for some cells of the plan, in their order."""
    records, absent = measured_records(results), _absent(results)
    values: dict[str, dict[Repeat, float]] = {cell.name: {} for cell in cells}
    lost: dict[str, list[tuple[str, str | None]]] = {cell.name: [] for cell in cells}
    planned: dict[str, list[Repeat]] = {cell.name: [] for cell in cells}

    # Every planned repeat ends in one of two places, with a value or with a reason; none is dropped.
    for trial in results.trials:
        if trial.cell not in planned:
            continue
        repeat = Repeat(trial.seed, trial.fold)
        planned[trial.cell].append(repeat)
        value = outcome(records.get(trial.id), metric, absent.get(trial.id, _MISSING))
        if not isinstance(value, tuple):
            values[trial.cell][repeat] = value
        else:
            lost[trial.cell].append(value)
    return [
        CellSummary(
            cell=cell,
            metric=metric,
            repeats=tuple(planned[cell.name]),
            values=values[cell.name],
            lost=lost_repeats(lost[cell.name]),
        )
        for cell in cells
    ]


def best_mean(summaries: Iterable[_Summary], metric: Metric) -> _Summary | None:
    """The first of :func:`by_mean`; None where no repeat has a value."""
    return next((summary for summary in by_mean(summaries, metric) if summary.n), None)


def by_mean(summaries: Iterable[_Summary], metric: Metric) -> list[_Summary]:
    """Cells, the best mean first, equal ones in their order and those without a value last.

    It is a choice, no claim that one is better: see :mod:`assay.statistics.families`.

    A training that diverged counts as the metric's worst value, as in the comparisons: the mean of the others
    would prefer a method that fails wherever it is hard. Counts have no worst value, and among them a cell
    that diverged comes after all that did not.
    """
    worst = math.inf if metric.worst is None else metric.worst

    def place(summary: _Summary) -> tuple[bool, float, float]:
        if summary.mean is None:
            return True, 0.0, 0.0
        # Of equal places the one with the better mean of what did not diverge comes first, which orders
        # counts, whose worst value is infinite.
        diverged = sum(lost.repeats for lost in summary.lost if lost.status == "diverged")
        filled = [*summary.values.values(), *[worst] * diverged]
        return False, -metric.sign * math.fsum(filled) / len(filled), -metric.sign * summary.mean

    return sorted(summaries, key=place)


def spread_note(summaries: Iterable[CellSummary]) -> str:
    """``Mean ± standard deviation over 6 to 10 seeds, on test images.``

    Args:
        summaries: Of the cells that have a spread.
    """
    numbers: dict[str, list[int]] = {}
    for summary in summaries:
        to_come = any(lost.to_come for lost in summary.lost)  # a row with fewer for another reason says so
        number, _, unit = (summary.spread_of if to_come else summary.planned_spread_of).partition(" ")
        numbers.setdefault(unit, []).append(int(number))
    kinds = " or ".join(f"{from_to(counts)} {unit}" for unit, counts in numbers.items())
    return f"Mean ± standard deviation over {kinds}, on test images."


def repeats_text(repeats: Iterable[Repeat]) -> str:
    """Repeats in words: ``2 seeds``, ``2 seeds × 3 folds``, ``5 repeats`` where these are no grid."""
    # Seeds and folds may only be multiplied where each seed has each fold.
    known = set(repeats)
    seeds, folds = {r.seed for r in known}, {r.fold for r in known}
    if len(known) < len(seeds) * len(folds):
        return counted(len(known), "repeat")
    text = counted(len(seeds), "seed")
    return text if len(folds) < 2 else f"{text} × {len(folds)} folds"


def tidy(results: StudyResults) -> pa.Table:
    """One row per trial, part and metric; the key is study, cell, seed, fold, part, metric.

    Every trial of the plan, a search's points among them, has a row for each metric that the study reports,
    and a second one where a table joins several searches to one cell:
    without a value, and with status and reason, where the repeat was lost.
    Of a study with ``test_under`` a column ``condition`` names that of the rows of part ``test_under``.
    """
    # A finished trial may have measured more than the study reports, and its further metrics stand in the
    # table too. A lost one has rows of the reported metrics alone.
    reported = [metric.name for metric in results.metrics]

    def rows(record: Record | None, absent: str) -> Iterator[SummaryRow]:
        finished = record.result if record is not None and record.status == "finished" else None
        for metric in dict.fromkeys([*reported, *(finished.metrics if finished is not None else ())]):
            yield _test_row(record, metric, absent)
        for metric, value in finished.validation.items() if finished is not None else ():
            yield "val", metric, value, "finished", None

    plain = _tabled(results, results.trials, rows)
    if not results.plan.study.conditions:
        return plain
    # Rows under a condition are of a part of their own, so that who reads test rows reads the plain ones.
    under = [_under(results, condition, reported) for condition in results.plan.study.conditions]
    names = pa.nulls(len(plain), pa.string())
    return pa.concat_tables([plain.append_column("condition", names), *under])


def _under(results: StudyResults, condition: Condition, reported: Sequence[str]) -> pa.Table:
    """The rows of all trials under one condition; those of trials without a result say why."""
    found = condition_results(results)

    def rows(record: Record | None, absent: str) -> Iterator[SummaryRow]:
        result = None if record is None else found.get((record.id, condition.key))
        for metric in dict.fromkeys([*reported, *(result.metrics if result is not None else ())]):
            yield condition_row(result, _test_row(record, metric, absent))

    table = _tabled(results, results.trials, rows)
    return table.append_column("condition", pa.array([condition.name] * len(table), pa.string()))


def condition_row(result: ConditionResult | None, plain: SummaryRow) -> SummaryRow:
    """The row of a trial under a condition; of a trial that did not finish that of its test images."""
    _, metric, _, status, reason = plain
    if status != "finished":
        return "test_under", metric, None, status, reason
    if result is None:
        return "test_under", metric, None, "missing", _NOT_EVALUATED
    value = result.metrics.get(metric)
    reason = None if value is not None else result.undefined.get(metric, "not measured")
    return "test_under", metric, value, "finished", reason


@computed
def condition_results(results: StudyResults) -> Mapping[tuple[str, str], ConditionResult]:
    """(trial, key of a condition) → its result, for the trials that were evaluated under it.

    Raises:
        InputError: If a result is damaged.
    """
    store, conditions = results.store, results.plan.study.conditions
    if store is None or not conditions:
        return {}
    asked = [(record, condition) for record in results.records.values() for condition in conditions]
    found = store.each(lambda each: read_condition(store, *each), asked)
    return {
        (record.id, condition.key): result
        for (record, condition), result in zip(asked, found, strict=True)
        if result is not None
    }


@computed
def metric_table(results: StudyResults, metric: str) -> pd.DataFrame:
    """One row per reported trial: its value of one metric on test data, or why there is none."""
    rows = _tabled(
        results, results.reported.trials, lambda record, absent: [_test_row(record, metric, absent)]
    )
    return rows.to_pandas()


def write_summary(results: StudyResults, store: Store) -> pa.Table:
    """Write ``summary.parquet`` of the study, and return it."""
    table = tidy(results)
    store.write_table(f"{store.study(results.name)}/summary.parquet", table)
    return table


_ROW = ("part", "metric", "value", "status", "reason")


def _tabled(
    results: StudyResults,
    trials: Iterable[Trial],
    rows: Callable[[Record | None, str], Iterable[SummaryRow]],
) -> pa.Table:
    """The ``rows`` of each trial's record, or of why there is none, beside what names the trial."""
    factors = list(results.plan.study.factors)
    records, absent = measured_records(results), _absent(results)
    table: list[dict[str, Any]] = []
    for trial in trials:
        record = records.get(trial.id)
        fixed = _fixed_columns(results.name, trial, record, factors)
        of_trial = rows(record, absent.get(trial.id, _MISSING))
        table.extend({**fixed, **dict(zip(_ROW, row, strict=True))} for row in of_trial)
    return pa.Table.from_pylist(table, schema=_schema(factors))


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


def _fixed_columns(study: str, trial: Trial, record: Record | None, factors: Sequence[str]) -> dict[str, Any]:
    result = record.result if record is not None else None
    return {
        "study": study,
        "cell": trial.cell,
        **{f"factor:{factor}": trial.levels.get(factor) for factor in factors},
        "seed": trial.seed,
        "fold": trial.fold,
        "split": trial.split,
        "n_train": result.n_train if result is not None else None,
        "n_test": result.n_test if result is not None else None,
        "trial": trial.id,
    }


def _test_row(record: Record | None, metric: str, absent: str) -> SummaryRow:
    value = outcome(record, metric, absent)
    if not isinstance(value, tuple):
        return "test", metric, value, "finished", None
    # The trial did finish: only this metric is undefined, and its row has the reason without a value.
    status, reason = value
    return "test", metric, None, "finished" if status == "undefined" else status, reason


def _absent(results: StudyResults) -> dict[str, str]:
    """Trial → what became of its record, where it had one."""
    return dict.fromkeys(results.damaged, "its record is damaged")


def outcome(record: Record | None, metric: str, absent: str = _MISSING) -> float | tuple[str, str | None]:
    """The value of a repeat, or why it has none: (status, reason). ``absent``: why there is no record."""
    if record is None:
        return "missing", absent
    if record.status != "finished" or record.result is None:
        return record.status, record.reason
    # A metric without value and reason is one that came after the training.
    value = record.result.metrics.get(metric)
    if value is None:
        return "undefined", record.result.undefined.get(metric, "not measured when it was trained")
    return float(value)
