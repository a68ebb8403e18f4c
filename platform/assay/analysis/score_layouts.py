"""Tables of scores as other programs write them, brought into the columns of a study's ``summary.parquet``.

Five layouts are known by their columns, the first that fits is taken:

* a row per repeat and metric: columns ``metric`` and ``value``, as assay itself writes them;
* MLflow: a row per run, columns ``params.NAME`` and ``metrics.NAME`` (``mlflow.search_runs``);
* W&B: a row per run, columns ``Name`` and ``State``, or ``config`` and ``summary`` (the exports of its pages
  and of its interface);
* a row per repeat: a column that names the cell, a column for each score;
* a column per cell and a row per repeat, numbers only but for the repeats' names: what autorank takes.

Names of columns may be given. Those that are not are looked for under the names that are usual.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pandas as pd

from assay.analysis.score_text import NO_VALUE, TextColumns, number
from assay.study.cell_names import cell_name
from trainables.data.findings import summarise
from trainables.errors import InputError
from trainables.metrics import METRICS

__all__ = ["ColumnNames", "ReadTable", "is_loss", "tidy_scores"]

_CELL = ("cell", "method", "model", "algorithm", "variant", "config", "system", "group")
_SEED = ("seed", "random_seed", "random_state", "rng_seed", "repeat", "replicate", "rep", "run")
_FOLD = ("fold", "cv_fold", "fold_id", "kfold")
_STATE = ("status", "state")
_FACTOR, _PARAM, _METRIC = "factor:", "params.", "metrics."
_PREFIXES = (_PARAM, "config.", "config/", "parameters.")
_KEPT = ("study", "split", "n_train", "n_test", "part")
# Columns of trackers that are neither settings nor scores.
_HOUSEKEEPING = {
    "", "unnamed:_0", "index", "line", "trial", "reason", "name", "id", "run_id", "run_name", "experiment_id",
    "created", "updated", "end_time", "start_time", "duration", "runtime", "hostname", "host", "user", "tags",
    "notes", "description", "sweep", "job_type", "artifact_uri", "source_name", "source_type", "commit",
    "github", "gpu_count", "gpu_type", "epoch", "step", "timestamp",
}  # fmt: skip
_SPREADS = ("±", "+-", "+/-", "(")  # between a mean and what follows it
_NO_NUMBER = re.compile(r"(?<=: )(-?inf|nan)\b")  # in a dictionary as Python prints it
_LOSS = re.compile(r"(^|[^a-z])loss([^a-z]|$)")
_LISTED = 12
_LARGEST = 1e100  # the statistics square scores and add the squares, which stays finite up to here


@dataclass(frozen=True)
class ColumnNames:
    """Columns by what they are, as far as somebody says it."""

    cell: tuple[str, ...] = ()  # several: factors, a cell is a combination of their levels
    seed: str | None = None
    fold: str | None = None
    score: tuple[str, ...] = ()  # or names of metrics where a column names them; the primary one first


@dataclass(frozen=True, eq=False)
class ReadTable:
    """Scores in the columns of a study's summary, and ``line``: where each stands in its file."""

    table: pd.DataFrame
    metrics: tuple[str, ...]  # the primary one first
    layout: str  # in words
    factors: dict[str, list[str]]  # factor → levels as they come; empty: cells have names only
    complete: bool  # whether each repeat that was planned and lost has a row


def tidy_scores(columns: TextColumns, names: ColumnNames, name: str) -> ReadTable:
    """Recognise the layout of a table and read it.

    Args:
        columns: Of the file.
        names: Columns that somebody named.
        name: Of the file, for messages.

    Raises:
        InputError: If a column that was named is not there, none says the cell or the repeat, a score is no
            number, or rows of a table are of several studies.
    """
    return _Layout(_unfolded(columns, name), names, name).read()


@dataclass(frozen=True)
class _Layout:
    """A table whose columns are looked up by what they are."""

    text: TextColumns
    names: ColumnNames
    file: str

    def read(self) -> ReadTable:
        text = self.text
        metric, value = self.usual(("metric",)), self.usual(("value", "score"))
        params = [name for name in text.columns if name.startswith((_PARAM, "config."))]
        if metric is not None and value is not None:
            return self.of_rows("a row per repeat and metric", metric=metric, value=value)
        if any(name.startswith(_METRIC) for name in text.columns):
            return self.of_rows("runs of MLflow", params=params)
        if {"Name", "State"} <= text.columns.keys() or any(n.startswith("summary.") for n in text.columns):
            return self.of_rows("runs of W&B", params=params)
        if self.names.cell or self.usual(_CELL) is not None:
            return self.of_rows("a row per repeat")
        return self.of_cells()

    # Columns ------------------------------------------------------------------------------------------

    def usual(self, names: Sequence[str]) -> str | None:
        """The first column that is called so, whatever its case and prefix."""
        of_plain: dict[str, str] = {}
        for column in self.text.columns:
            of_plain.setdefault(_plain(column), column)
        return next((of_plain[name] for name in names if name in of_plain), None)

    def named(self, name: str, option: str) -> str:
        """A column that somebody named, with or without its prefix."""
        if name in self.text:
            return name
        column = self.usual((_plain(name),))
        if column is None:
            raise InputError(
                f"{option} names a column of {self.file}, found {name}; it has "
                f"{self.listed(self.text.columns)}. Name one of them."
            )
        return column

    def repeat_columns(self) -> tuple[str | None, str | None]:
        """Columns of seed and fold."""
        seed = self.usual(_SEED) if self.names.seed is None else self.named(self.names.seed, "--seed")
        fold = self.usual(_FOLD) if self.names.fold is None else self.named(self.names.fold, "--fold")
        return seed, fold

    def factor_columns(self, params: Sequence[str], taken: Sequence[str | None]) -> dict[str, str]:
        """Factor → its column; a single one names the cells."""
        if self.names.cell:
            columns = [self.named(name, "--cell") for name in self.names.cell]
            return {_short(column): column for column in columns}
        factors = [column for column in self.text.columns if column.startswith(_FACTOR)]
        if factors:
            return {column.removeprefix(_FACTOR): column for column in factors}
        varied = [column for column in params if column not in taken and self.text.varies(column)]
        shared = [column for column in varied if not self.text.names_rows(column)]  # no folder of each run
        if varied:
            return {_short(column): column for column in shared or varied}
        column = self.usual(_CELL)
        if column is None:
            raise InputError(
                f"a cell is named by a column, such as cell or method, and {self.file} has "
                f"{self.listed(self.text.columns)}. Name it: --cell COLUMN, several times for factors."
            )
        return {_short(column): column}

    def score_columns(self, taken: Sequence[str | None]) -> list[str]:
        """Columns of numbers that are scores."""
        if self.names.score:
            return [self.named_score(name) for name in self.names.score]
        of_tracker = [
            c
            for c in self.text.columns
            if c.startswith((_METRIC, "summary.")) and _plain(_short(c)) not in _HOUSEKEEPING
        ]
        offered = of_tracker or [c for c in self.text.columns if not self.is_setting(c)]
        columns = [c for c in offered if c not in taken and self.text.has_numbers(c)]
        known = [column for column in columns if _short(column) in METRICS]
        tracked = "State" in self.text and not of_tracker  # settings and scores stand side by side there
        if known or len(columns) == 1 or (columns and not tracked):
            return known if tracked else sorted(columns, key=is_loss)
        self.refuse_spreads(offered)
        raise InputError(
            f"a score is a column of numbers, found {len(columns) or 'none'} that could be one in "
            f"{self.file}: {self.listed(dict.fromkeys(columns) or self.text.columns)}. Name it: --score "
            "COLUMN, several times for several metrics."
        )

    def named_score(self, name: str) -> str:
        """The column of a metric that somebody named."""
        prefixed = [f"{prefix}{name}" for prefix in (_METRIC, "summary.")]
        return next((c for c in prefixed if c in self.text), None) or self.named(name, "--score")

    def is_setting(self, column: str) -> bool:
        """True of columns that a tracker or a study writes beside the scores."""
        plain = _plain(column)
        known = plain in _HOUSEKEEPING or plain in (*_KEPT, *_STATE, *_CELL, *_SEED, *_FOLD, "metric")
        return known or column.startswith(("_", _FACTOR, *_PREFIXES, "tags."))

    @staticmethod
    def listed(columns: Mapping[str, object]) -> str:
        """The columns, the first twelve by name."""
        return summarise([column or "a column without a title" for column in columns], _LISTED)

    # Rows ---------------------------------------------------------------------------------------------

    def of_rows(
        self, layout: str, *, params: Sequence[str] = (), metric: str | None = None, value: str | None = None
    ) -> ReadTable:
        """Rows that name their cell and repeat."""
        seed, fold = self.repeat_columns()
        if seed is None and fold is None:
            raise InputError(
                "results are compared repeat by repeat, by a column seed or fold that is the same number "
                f"where two cells met the same luck; {self.file} has {self.listed(self.text.columns)}. "
                "Add it, or name it: --seed COLUMN."
            )
        factors = self.factor_columns(params, (seed, fold))
        levels = {factor: self.filled(column) for factor, column in factors.items()}
        of_levels = {factor: list(dict.fromkeys(texts)) for factor, texts in levels.items()}
        rows = len(self.text.lines)
        combined = [{factor: texts[i] for factor, texts in levels.items()} for i in range(rows)]
        named = "cell" in self.text and not self.names.cell
        cells = self.filled("cell") if named else [cell_name(of_levels, each) for each in combined]
        by_factors = len(levels) > 1 or any(column.startswith(_FACTOR) for column in factors.values())
        varied = levels if by_factors else {}
        table = pd.DataFrame(
            {
                "study": self.kept("study", PurePath(self.file).stem),
                "cell": cells,
                **{f"{_FACTOR}{factor}": texts for factor, texts in varied.items()},
                "seed": self.numbered(seed, 0),
                "fold": self.numbered(fold, pd.NA),
                **{size: [_size(text) for text in self.kept(size, "")] for size in ("n_train", "n_test")},
                "part": self.kept("part", "test"),
                "line": self.text.lines,
            }
        ).astype({"fold": "Int64"})
        if metric is not None and value is not None:
            table = table.assign(metric=self.text.columns[metric], **self.values(value))
            metrics = self.chosen_metrics(list(dict.fromkeys(self.text.columns[metric])))
        else:
            scores = self.score_columns((seed, fold, *factors.values()))
            tables = [table.assign(metric=_short(score), **self.values(score)) for score in scores]
            table, metrics = pd.concat(tables, ignore_index=True), [_short(score) for score in scores]
        return ReadTable(
            table=_of_test(table, self.file),
            metrics=tuple(metrics),
            layout=layout,
            factors={factor: of_levels[factor] for factor in varied},
            complete="status" in self.text and "part" in self.text,
        )

    def of_cells(self) -> ReadTable:
        """A column per cell, a row per repeat: numbers, and a column of names where repeats have them."""
        seed, fold = self.repeat_columns()
        cells = [
            column
            for column in self.text.columns
            if column not in (seed, fold) and _plain(column) not in ("", "unnamed:_0", "index")
        ]
        texts = [column for column in cells if not self.text.has_numbers(column)]
        if len(texts) == 1 and seed is None and fold is None and self.text.names_rows(texts[0]):
            seed = texts.pop()
            cells.remove(seed)
        if len(cells) < 2 or texts:
            self.refuse_spreads(texts)
            raise InputError(
                "a column names the cell of each row, or every column is a cell and holds numbers; "
                f"{self.file} has {self.listed(self.text.columns)}. Name it: --cell COLUMN, several "
                "times for factors."
            )
        rows = range(len(self.text.lines))
        metric = self.names.score[0] if self.names.score else "score"
        repeats = {
            "study": PurePath(self.file).stem,
            "seed": list(rows) if seed is None and fold is None else self.numbered(seed, 0),
            "fold": self.numbered(fold, pd.NA),
            "part": "test",
            "n_train": math.nan,
            "n_test": math.nan,
            "line": self.text.lines,
        }
        tables = [
            pd.DataFrame({**repeats, "cell": cell, "metric": metric, **self.values(cell)}) for cell in cells
        ]
        table = pd.concat(tables, ignore_index=True).astype({"fold": "Int64"})
        return ReadTable(table, (metric,), "a column per cell, a row per repeat", {}, complete=False)

    def filled(self, column: str) -> list[str]:
        """Texts of a column that may not be empty."""
        texts = self.text.columns[column]
        if "" in texts:
            line = self.text.lines[texts.index("")]
            raise InputError(
                f"every row names its cell and repeat, and {column} is empty in line {line} of {self.file}. "
                "Fill it in, or leave the row out."
            )
        return texts

    def kept(self, name: str, default: str) -> list[str]:
        """A column of a study's summary; ``default`` where the table has none."""
        return self.text.columns.get(name, [default] * len(self.text.lines))

    def numbered(self, column: str | None, default: Any) -> list[Any]:
        """Seeds or folds as whole numbers; texts are numbered in the order in which they come."""
        if column is None:
            return [default] * len(self.text.lines)
        texts = self.text.columns[column] if default is pd.NA else self.filled(column)
        numbers = [number(text) for text in texts]
        empty = all(
            text.lower() in NO_VALUE for text, value in zip(texts, numbers, strict=True) if value is None
        )
        whole = all(value is None or value.is_integer() for value in numbers)
        if whole and empty and (default is pd.NA or None not in numbers):
            return [default if value is None else int(value) for value in numbers]
        order = {text: index for index, text in enumerate(dict.fromkeys(texts))}
        return [order[text] for text in texts]

    def values(self, column: str) -> dict[str, list[Any]]:
        """Value and status of each row. Runs that did not finish have none: theirs is not the last."""
        state = self.usual(_STATE)
        states = self.text.columns[state] if state is not None else ["finished"] * len(self.text.lines)
        values: list[float] = []
        statuses: list[str] = []
        for text, given, line in zip(self.text.columns[column], states, self.text.lines, strict=True):
            value, status = number(text), given.lower() or "finished"
            if value is None and text.lower() not in NO_VALUE:
                raise self.not_a_number(text, column, line)
            if value is not None and _LARGEST < abs(value) < math.inf:
                raise InputError(
                    f"a score lies between −{_LARGEST:g} and {_LARGEST:g}, found {text!r} for "
                    f"{_short(column)} in line {line} of {self.file}. Mend it, or write nan where the run "
                    "diverged."
                )
            if status == "finished" and value is not None and not math.isfinite(value):
                status = "diverged"
            finished = status == "finished" and value is not None
            values.append(value if finished and value is not None else math.nan)
            lost = "missing" if status == "finished" and state is None else status
            statuses.append("finished" if finished else lost)
        return {"value": values, "status": statuses}

    def not_a_number(self, text: str, column: str, line: int) -> InputError:
        """The refusal of a text that stands where a score should."""
        way_out = (
            "Give each repeat a row: means with a spread cannot be tested."
            if any(sign in text for sign in _SPREADS)
            else "Mend it, leave it empty where there is none, or name the scores: --score COLUMN."
        )
        return InputError(
            f"a score is the number of one repeat, found {text!r} for {_short(column)} in line {line} of "
            f"{self.file}. {way_out}"
        )

    def refuse_spreads(self, columns: Sequence[str]) -> None:
        """Refuse columns of means with a spread, which are no numbers: nothing else can be said of them."""
        for column in columns:
            text, line = self.text.columns[column][0], self.text.lines[0]
            if any(sign in text for sign in _SPREADS):
                raise self.not_a_number(text, column, line)

    def chosen_metrics(self, known: list[str]) -> list[str]:
        """Metrics of a column that names them: those that somebody chose, or all."""
        unknown = [name for name in self.names.score if name not in known]
        if unknown:
            raise InputError(
                f"--score names a metric of {self.file}, found {', '.join(unknown)}; it has "
                f"{', '.join(known)}. Name one of them."
            )
        return list(dict.fromkeys(self.names.score)) or known


def _unfolded(columns: TextColumns, name: str) -> TextColumns:
    """The columns with those of dictionaries, as W&B's interface gives them, taken apart."""
    if not {"config", "summary"} <= columns.columns.keys():
        return columns
    unfolded = {
        title: texts for title, texts in columns.columns.items() if title not in ("config", "summary")
    }
    for title in ("config", "summary"):
        rows = [
            dict(_flat(_dictionary(text, line, name)))
            for text, line in zip(columns.columns[title], columns.lines, strict=True)
        ]
        for key in dict.fromkeys(key for row in rows for key in row):
            if not key.startswith("_"):
                unfolded[f"{title}.{key}"] = [str(row.get(key, "")) for row in rows]
    return TextColumns(unfolded, columns.lines)


def _dictionary(text: str, line: int, name: str) -> dict[str, Any]:
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(_NO_NUMBER.sub(r"'\1'", text) if read is ast.literal_eval else text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, dict):
            return {str(key): each for key, each in value.items()}
    raise InputError(
        f"config and summary of W&B's runs are dictionaries, found {text[:40]!r} in line {line} of {name}. "
        "Export the runs again, or give settings and scores a column each."
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _plain(column: str) -> str:
    """``params.Random State`` as ``random_state``."""
    for prefix in _PREFIXES:
        column = column.removeprefix(prefix)
    return column.strip().lower().replace(" ", "_")


def _short(column: str) -> str:
    """A column's name without the prefix of its tracker."""
    for prefix in (*_PREFIXES, _METRIC, "summary."):
        column = column.removeprefix(prefix)
    return column


def is_loss(name: str) -> bool:
    """True of ``val_loss`` and ``metrics.test/loss``, of which lower is better."""
    return _LOSS.search(name.lower()) is not None


def _size(text: str) -> float:
    value = number(text)
    return math.nan if value is None else value


def _of_test(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of test data, of one study."""
    parts = list(dict.fromkeys(table["part"]))
    if "test" not in parts:
        raise InputError(
            f"verdicts are about test data, rows whose part is test; {name} has "
            f"{', '.join(map(repr, parts))}. Rename it, or leave the column out."
        )
    table = table.loc[table["part"] == "test"]
    studies = list(dict.fromkeys(table["study"]))
    if len(studies) > 1:
        raise InputError(
            f"one study at a time, found {', '.join(studies)} in {name}. Leave the rows of the others out."
        )
    return table.reset_index(drop=True)
