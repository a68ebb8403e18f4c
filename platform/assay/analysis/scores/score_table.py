"""Tables of scores as files have them, and two plain layouts read.

>>> read = read_score_table(content, ColumnNames(score=("image_ap",)), "summary.parquet")
>>> read.table[["cell", "seed", "metric", "value"]]

A file is CSV, TSV or Parquet. Its table is tidy, with columns cell, seed, metric and value, as the
``summary.parquet`` of a study; or wide, with columns cell and seed and one for each metric. ``fold``,
``factor:NAME``, ``status``, ``part``, ``study``, ``n_train`` and ``n_test`` are read as a study writes them.
:class:`ColumnNames` names columns that are called otherwise. Extras, which may read more, are asked first.

Trade-off: nothing is guessed here. A number is written as programs write it, a seed is a whole number, and
where several columns may be scores, somebody names those that are.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Literal, get_args

import pandas as pd
import pyarrow as pa

from assay.extras import EXTRAS, load
from assay.statistics.scores import NO_FOLD
from assay.storage.files.files import read_parquet
from assay.storage.record import Status
from assay.study.planning.cell_names import cell_name
from trainables.data.inspect.findings import summarise
from trainables.errors import InputError
from trainables.evaluation.metrics import METRICS, Metric
from trainables.evaluation.metrics.base import ROUNDING

__all__ = [
    "FACTOR",
    "ColumnNames",
    "ReadTable",
    "TextColumns",
    "filled",
    "listed",
    "only_test_data",
    "read_plain_table",
    "read_score_table",
    "read_text_columns",
    "refuse_impossible",
]

FACTOR = "factor:"
_LISTED = 12
_LARGEST = 1e100  # the statistics square scores and add the squares, which stays finite up to here
_EXACT = 2**53  # beyond, two whole numbers may be one float


@dataclass(frozen=True)
class ColumnNames:
    """Columns by what they are, as far as somebody says it."""

    cell: tuple[str, ...] = ()  # several: factors, a cell is a combination of their levels
    seed: str | None = None
    fold: str | None = None
    score: tuple[str, ...] = ()  # or names of metrics where a column names them; the primary one first
    data_sets: str | None = None  # a factor whose levels are data sets, or `study` of joined summaries


@dataclass(frozen=True)
class TextColumns:
    """A table of texts, with the line in which each row stands."""

    columns: dict[str, list[str]]
    lines: tuple[int, ...]  # of the file; of Parquet the number of the row

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def without(self, rows: Collection[int]) -> TextColumns:
        """The table without some of its rows, counted from 0."""
        kept = [row for row in range(len(self.lines)) if row not in rows]
        columns = {title: [texts[row] for row in kept] for title, texts in self.columns.items()}
        return TextColumns(columns, tuple(self.lines[row] for row in kept))


@dataclass(frozen=True, eq=False)
class ReadTable:
    """Scores in the columns of a study's summary, and ``line``: where each stands."""

    table: pd.DataFrame
    metrics: tuple[str, ...]  # the primary one first
    layout: str  # in words
    factors: dict[str, list[str]]  # factor → levels as they come; empty: cells have names only
    complete: bool  # whether each repeat that was planned and lost has a row
    known: Mapping[str, Metric]  # those that are metrics of assay, which may be called otherwise
    better: Mapping[str, Literal["higher", "lower"]] = field(default_factory=dict)  # as far as names tell
    seeds: Mapping[int, str] = field(default_factory=dict)  # seed → its text in the file
    folds: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what was left out, and what was taken for granted

    def repeat_name(self, seed: int, fold: int, *, short: bool = False) -> str:
        """A repeat by the texts of its file: ``seed s1, fold 3``, or ``s1`` where there are no folds."""
        names = [f"seed {self.seeds.get(seed, seed)}"] if self.seeds or fold == NO_FOLD else []
        names += [f"fold {self.folds.get(fold, fold)}"] if fold != NO_FOLD else []
        return names[0].partition(" ")[2] if short and fold == NO_FOLD else ", ".join(names)


def read_score_table(content: bytes, names: ColumnNames, file: str) -> ReadTable:
    """Read a table of scores: in a layout that an extra knows, or in a plain one.

    Args:
        content: Of the file.
        names: Columns that somebody named.
        file: Its name.

    Raises:
        InputError: If it is no table, has no column for the cell, the repeat or the score, or a text in one
            of them cannot be read.
    """
    text = read_text_columns(content, file)
    # Those of other packages come first: each knows its own layout alone. None has a column of data sets.
    for extra in reversed([*EXTRAS.values()]):
        if extra.score_tables and names.data_sets is None:
            read = load(extra.score_tables)(text, names, file)
            if read is not None:
                return read
    return read_plain_table(text, names, file)


# Files ---------------------------------------------------------------------------------------------------


_DELIMITERS = ("\t", ";", ",")
_PARQUET = b"PAR1"


def read_text_columns(content: bytes, name: str) -> TextColumns:
    """Read the columns of a file.

    Args:
        content: CSV or TSV in UTF-8 (columns apart by tab, semicolon or comma), or Parquet.
        name: Of the file, for messages.

    Raises:
        InputError: If it is neither, a row has another number of columns than the first, two columns have
            one name, there is only one, or no row follows the first.
    """
    # The content decides and not the name alone: downloads lose their endings.
    if content.startswith(_PARQUET) or name.lower().endswith(".parquet"):
        return _read_parquet(content, name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"scores are CSV, TSV (UTF-8) or Parquet; byte {error.start} of {name} is none of UTF-8. Save "
            "the table as CSV in UTF-8."
        ) from error

    # Trackers offer a run's summary as JSON, which a reader of CSV would take for one odd column.
    if text.lstrip()[:1] in ("{", "["):
        raise InputError(
            f"a table of scores has a row for each repeat, found JSON in {name}, such as the summary of one "
            "run. Export the table of all runs as CSV or Parquet."
        )

    # The titles tell the delimiter. Tab comes first and comma last, because commas also stand in texts.
    first = next(filter(str.strip, text.splitlines()), "")
    delimiter = next((mark for mark in _DELIMITERS if mark in first), ",")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    if len(rows) < 2:
        raise InputError(
            f"a table of scores has a line of titles and a line for each repeat, found {len(rows)} lines in "
            f"{name}. Give it the titles cell, seed and score."
        )
    (_, titles), *body = rows
    if len(titles) == 1:
        raise InputError(
            f"columns are apart by comma, semicolon or tab, found one column, {titles[0][:60]!r}, in {name}. "
            "Save the table as CSV."
        )
    _refuse_titles(titles, name)

    # A row that is longer or shorter has a delimiter inside a text, and its values stand in wrong columns.
    for line, row in body:
        if len(row) != len(titles):
            raise InputError(
                f"every row has as many columns as there are titles, {len(titles)}, found {len(row)} in line "
                f"{line} of {name}. Quote texts that hold the delimiter {delimiter!r}."
            )
    columns = {title: [row[i] for _, row in body] for i, title in enumerate(titles)}
    return TextColumns(columns, tuple(line for line, _ in body))


def _read_parquet(content: bytes, name: str) -> TextColumns:
    try:
        table = read_parquet(content)
    except (pa.ArrowException, OSError) as error:
        why = str(error).rstrip(".")
        raise InputError(f"{name} is no readable Parquet: {why}. Write it again, or as CSV.") from error
    _refuse_titles(table.column_names, name)
    columns = {
        title: ["" if value is None else str(value) for value in table.column(title).to_pylist()]
        for title in table.column_names
    }
    return TextColumns(columns, tuple(range(1, table.num_rows + 1)))


def _refuse_titles(titles: Sequence[str], name: str) -> None:
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        raise InputError(
            f"each column has a title of its own, found {', '.join(map(repr, twice))} more than once in "
            f"{name}. Rename one of them."
        )


def listed(titles: Iterable[str]) -> str:
    """The columns, the first twelve by name."""
    return summarise([title or "a column without a title" for title in titles], _LISTED)


# Rows ----------------------------------------------------------------------------------------------------


def only_test_data(text: TextColumns, file: str, *, joined: bool = False) -> TextColumns:
    """The rows of test data, of one study; ``joined``: of several, each on data of its own.

    Raises:
        InputError: If there are none, or rows of several studies.
    """
    # A study's summary also has rows of validation images, by which models were chosen.
    if "part" in text:
        parts = list(dict.fromkeys(text.columns["part"]))
        if "test" not in parts:
            raise InputError(
                f"verdicts are about test data, rows whose part is test; {file} has "
                f"{', '.join(map(repr, parts))}. Rename it, or leave the column out."
            )
        text = text.without({row for row, part in enumerate(text.columns["part"]) if part != "test"})

    # Cells of two studies may have one name and different meanings.
    studies = list(dict.fromkeys(text.columns.get("study", [])))
    if len(studies) > 1 and not joined:
        raise InputError(
            f"one study at a time, found {', '.join(studies)} in {file}. Leave the rows of the others out, "
            "or take each study for a data set: --over study."
        )
    return text


def filled(text: TextColumns, column: str, file: str) -> list[str]:
    """Texts of a column that names cells, repeats or metrics, and may not be empty."""
    texts = text.columns[column]
    if "" in texts:
        line = text.lines[texts.index("")]
        raise InputError(
            f"every row names its cell and repeat, and {column or 'the first column'} is empty in line "
            f"{line} of {file}. Fill it in, or leave the row out: it is no repeat if it sums up others."
        )
    return texts


def refuse_impossible(value: float, metric: Metric | None, score: str, place: str) -> None:
    """Refuse a finite score that is too large for the statistics or out of the range of its metric.

    Args:
        value: The score.
        metric: The metric of assay that it is; None for any other.
        score: Its name.
        place: Its text and where it stands: ``found '1.2' for image_ap in line 3 of scores.csv``.
    """
    if abs(value) > _LARGEST:
        raise InputError(
            f"a score lies between −{_LARGEST:g} and {_LARGEST:g}, {place}. Mend it, or write nan where "
            "the run diverged."
        )

    # The name of a metric of assay promises its range; a score outside is another quantity, or a
    # percentage.
    if metric is not None and metric.unit in ("images", "parts") and not value.is_integer():
        raise InputError(
            f"{score} counts {metric.unit} and is a whole number, {place}. Mend it, or name the column "
            "otherwise."
        )
    if metric is not None and not -ROUNDING <= value <= metric.highest + ROUNDING:
        limits = "a share from 0 to 1" if metric.unit == "share" else "a number from 0 up"
        raise InputError(f"{score} is {limits}, {place}. Mend it, or name the column otherwise.")


# Plain layouts -------------------------------------------------------------------------------------------


_NUMBER = re.compile(
    r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII
)
_STATUSES = (*get_args(Status), "missing")
# Columns of a study's summary that are no scores.
_BESIDE = {"study", "cell", "seed", "fold", "split", "n_train", "n_test", "part", "status", "reason", "trial"}


def read_plain_table(text: TextColumns, names: ColumnNames, file: str) -> ReadTable:
    """Read a tidy table, or a wide one with a row for each repeat and a column for each metric.

    Args:
        text: The table.
        names: Columns that somebody named.
        file: Its name, for messages.

    Raises:
        InputError: If the table has another layout, or a text in it cannot be read.
    """
    # A column of data sets is a factor: a cell is then one of them on one of these.
    if names.data_sets is not None and f"{FACTOR}{names.data_sets}" not in text:
        if names.data_sets not in text:
            raise InputError(
                f"--over names a column or factor of {file}, found {names.data_sets}; it has "
                f"{listed(text.columns)}. Name one of them."
            )
        named_cells = names.cell or ("cell",)
        if names.data_sets not in named_cells:
            names = replace(names, cell=(*named_cells, names.data_sets))

    # Which columns name the cell and the repeat.
    is_tidy = "metric" in text and "value" in text
    named = [("cell", title) for title in names.cell]
    named += [(option, title) for option, title in (("seed", names.seed), ("fold", names.fold)) if title]
    named += [("score", title) for title in names.score if not is_tidy]
    for option, title in named:
        if title not in text:
            raise InputError(
                f"--{option} names a column of {file}, found {title}; it has {listed(text.columns)}. Name "
                "one of them."
            )
    seed = names.seed or ("seed" if "seed" in text else None)
    fold = names.fold or ("fold" if "fold" in text else None)
    if not (names.cell or "cell" in text) or (seed is None and fold is None):
        raise InputError(
            "a table of scores has columns cell and seed (or fold), and beside them metric and value or a "
            f"column for each metric; {file} has {listed(text.columns)}. Call them so, or name them: --cell, "
            "--seed, --fold, --score COLUMN."
        )
    joined = names.data_sets == "study"
    text = only_test_data(text, file, joined=joined)

    # Cells have names, or are combinations of the levels of their factors.
    factors = {title: title for title in names.cell} or {
        title.removeprefix(FACTOR): title for title in text.columns if title.startswith(FACTOR)
    }
    levels = {factor: filled(text, title, file) for factor, title in factors.items()}
    in_order = {factor: list(dict.fromkeys(texts)) for factor, texts in levels.items()}
    rows = len(text.lines)
    if names.cell:
        combined = [{factor: texts[row] for factor, texts in levels.items()} for row in range(rows)]
        cells = [cell_name(in_order, each) for each in combined]
        levels = levels if len(levels) > 1 else {}
    else:
        cells = filled(text, "cell", file)
    seeds = [0] * rows if seed is None else _whole_numbers(text, seed, filled(text, seed, file), file)
    repeats = pd.DataFrame(
        {
            "study": PurePath(file).stem if joined else text.columns.get("study", PurePath(file).stem),
            "cell": cells,
            **{f"{FACTOR}{factor}": texts for factor, texts in levels.items()},
            "seed": seeds,
            "fold": pd.NA if fold is None else _whole_numbers(text, fold, text.columns[fold], file),
            **{
                size: [float(each) if _NUMBER.fullmatch(each) else math.nan for each in text.columns[size]]
                if size in text
                else math.nan
                for size in ("n_train", "n_test")
            },
            "part": "test",
            "line": text.lines,
        }
    ).astype({"fold": "Int64"})

    # A metric has a column of its own, or a row of its own that names it.
    if is_tidy:
        layout, titles = "a row per repeat and metric", filled(text, "metric", file)
        present = list(dict.fromkeys(titles))
        unknown = [name for name in names.score if name not in present]
        if unknown:
            raise InputError(
                f"--score names a metric of {file}, found {', '.join(unknown)}; it has {', '.join(present)}. "
                "Name one of them."
            )
        metrics = list(dict.fromkeys(names.score or present))
        table = repeats.assign(metric=titles, **_values(text, "value", titles, file))
        table = table.loc[table["metric"].isin(metrics)].reset_index(drop=True)
    else:
        layout = "a row per repeat"
        metrics = _score_columns(text, names, {*_BESIDE, *factors.values(), seed, fold}, file)
        columns = [
            repeats.assign(metric=name, **_values(text, name, [name] * rows, file)) for name in metrics
        ]
        table = pd.concat(columns, ignore_index=True)
    return ReadTable(
        table=table,
        metrics=tuple(metrics),
        layout=layout,
        factors={factor: in_order[factor] for factor in levels},
        complete="status" in text and "part" in text,
        known={name: METRICS[name] for name in metrics if name in METRICS},
        seeds={} if seed is None else {number: str(number) for number in seeds},
    )


def _score_columns(
    text: TextColumns, names: ColumnNames, others: Collection[str | None], file: str
) -> list[str]:
    """Columns of scores in a wide table: those that somebody named, metrics of assay, or the only one."""
    if names.score:
        return list(dict.fromkeys(names.score))
    further = [title for title in text.columns if title not in others and not title.startswith(FACTOR)]
    # Further columns may hold texts, such as notes. Of several with numbers nobody can say which are
    # scores: sizes of batches are numbers as well.
    numbers = [title for title in further if any(map(_NUMBER.fullmatch, text.columns[title]))]
    possible = numbers or further
    if len(possible) == 1 or (possible and METRICS.keys() >= set(possible)):
        return possible
    raise InputError(
        "columns of numbers are scores if all have the names of metrics of assay, or if there is one alone; "
        f"found {listed(possible) or 'none'} in {file}. Name the scores: --score COLUMN, several times for "
        "several metrics."
    )


def _values(text: TextColumns, column: str, metrics: Sequence[str], file: str) -> dict[str, list[Any]]:
    """Value and status of each row. A run that did not finish has no value.

    Args:
        text: The table.
        column: Of the values.
        metrics: The metric of each row.
        file: For messages.
    """
    values: list[float] = []
    statuses: list[str] = []
    states = text.columns.get("status", ["finished"] * len(text.lines))
    for number, state, metric, line in zip(text.columns[column], states, metrics, text.lines, strict=True):
        status = state or "finished"
        if status not in _STATUSES:
            raise InputError(
                f"a status is one of {', '.join(_STATUSES)}, found {state!r} in line {line} of {file}. Write "
                "one of them, or leave the column out."
            )
        place = f"found {number!r} for {column} in line {line} of {file}"
        if number and _NUMBER.fullmatch(number) is None:
            raise InputError(
                f"a score is a number such as 0.912 or 1e-3, nan where the run diverged, or empty, {place}. "
                "Write it so, or name the scores: --score COLUMN."
            )
        # Three things have no value: a run that diverged writes nan, one that is still to come has an empty
        # field, and a run with another status may have a last value, which counts for nothing.
        value = float(number) if number else None
        if value is not None and math.isfinite(value):
            refuse_impossible(value, METRICS.get(metric), metric, place)
        elif status == "finished" and value is not None:
            status = "diverged"
        elif status == "finished" and "status" not in text:
            status = "missing"
        values.append(math.nan if value is None or status != "finished" else value)
        statuses.append(status)
    return {"value": values, "status": statuses}


def _whole_numbers(text: TextColumns, column: str, texts: Sequence[str], file: str) -> list[Any]:
    """Seeds or folds; NA where a row has none."""
    numbers: list[Any] = []
    for number, line in zip(texts, text.lines, strict=True):
        # Seeds go through floats, as pandas writes them where one is missing ("3.0"); beyond 2⁵³ two would
        # become one.
        value = float(number) if _NUMBER.fullmatch(number) else None
        if number and (value is None or not value.is_integer() or abs(value) >= _EXACT):
            raise InputError(
                f"seeds and folds are whole numbers, found {number!r} for {column} in line {line} of {file}. "
                "Number the repeats: the same number where cells met the same split and seed."
            )
        numbers.append(pd.NA if value is None else int(value))
    return numbers
