"""Columns of a table of scores, looked up by what they are; and tables as trackers export them.

A column is named by somebody, or called as is usual. The table of a tracker (MLflow, W&B, Optuna, Ray Tune)
has a row for each run. It tells which columns are settings, which runs only sum up others, and how runs
ended. The course of a training, a row for each epoch, is no table of repeats: it is refused, with what to
export instead.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.analysis.scores.score_table import ColumnNames, TextColumns, listed
from assay.extras.score_tables.names import is_step, plain
from assay.extras.score_tables.numbers import is_number
from assay.study.names import counted
from assay.study.settings.nesting import NO_LEVEL
from trainables.errors import InputError

__all__ = [
    "CELL",
    "SEED",
    "STATUS",
    "Source",
    "has_numbers",
    "names_rows",
    "plain_title",
    "refuse_curves",
    "short_title",
    "tracker_source",
    "varies",
]

CELL = ("cell", "method", "model", "algorithm", "variant", "config", "system", "group")
SEED = ("seed", "random_seed", "random_state", "rng_seed", "repeat", "replicate", "rep", "run")
FOLD = ("fold", "cv_fold", "fold_id", "kfold")
STATUS = ("status", "state")
_SETTINGS = ("params.", "config.", "config/", "parameters.", "params_", "user_attrs_")
_RESULTS = ("metrics.", "summary.")


@dataclass(frozen=True, eq=False)
class Source:
    """A table whose layout is recognised, and what the layout tells of its columns."""

    layout: str  # in words
    text: TextColumns
    names: ColumnNames
    file: str
    settings: tuple[str, ...] = ()  # columns that are settings: those that vary are factors
    scores: tuple[str, ...] | None = None  # columns that may be scores; None: any
    factors: Mapping[str, str] = field(default_factory=dict)  # factor → its column, where the layout says it
    cell: str | None = None  # column with the names of cells, where the layout says it
    status: str | None = None  # column of statuses, where it is not called so
    unordered: bool = False  # whether its columns come as chance will have it
    notes: tuple[str, ...] = ()  # what was left out of the file

    def usual(self, names: Sequence[str]) -> str | None:
        """The first column that is called so, whatever its case and prefix."""
        titles: dict[str, str] = {}
        for title in self.text.columns:
            titles.setdefault(plain_title(title), title)
        return next((titles[name] for name in names if name in titles), None)

    def named(self, name: str, option: str) -> str:
        """A column that somebody named, with or without its prefix."""
        if name in self.text:
            return name
        title = self.usual((plain_title(name),))
        if title is None:
            raise InputError(
                f"{option} names a column of {self.file}, found {name}; it has {listed(self.text.columns)}. "
                "Name one of them."
            )
        return title

    def named_score(self, name: str) -> str:
        """The column of a score that somebody named, with or without the prefix of a tracker."""
        prefixed = [f"{prefix}{name}" for prefix in _RESULTS]
        return next((title for title in prefixed if title in self.text), None) or self.named(name, "--score")

    def repeat_columns(self) -> tuple[str | None, str | None]:
        """Columns of seed and fold; an epoch is neither, whoever names it."""
        for option, name in (("--seed", self.names.seed), ("--fold", self.names.fold)):
            if name is not None and is_step(name):
                raise InputError(
                    f"{option} names the column of repeats, found {name}: epochs and steps are the course of "
                    "one training. Export the last or best row of each run, with a column seed."
                )
        seed = self.usual(SEED) if self.names.seed is None else self.named(self.names.seed, "--seed")
        fold = self.usual(FOLD) if self.names.fold is None else self.named(self.names.fold, "--fold")
        return seed, fold

    def steps(self) -> list[str]:
        """Columns of epochs and steps."""
        return [title for title in self.text.columns if is_step(short_title(title))]


def varies(text: TextColumns, title: str) -> bool:
    """True where a column has several values."""
    return len(set(text.columns[title])) > 1


def has_numbers(text: TextColumns, title: str) -> bool:
    """True where some row has a number there; one that is none is an error for who reads them."""
    return any(map(is_number, text.columns[title]))


def names_rows(text: TextColumns, title: str) -> bool:
    """True where every row has a text of its own there."""
    return "" not in text.columns[title] and len(set(text.columns[title])) == len(text.lines)


def plain_title(title: str) -> str:
    """``params.Random State`` as ``random_state``."""
    return plain(_without(title, _SETTINGS))


def short_title(title: str) -> str:
    """A column's name without the prefix of its tracker."""
    return _without(title, (*_SETTINGS, *_RESULTS))


def _without(title: str, prefixes: Sequence[str]) -> str:
    for prefix in prefixes:
        title = title.removeprefix(prefix)
    return title


# Tables of trackers --------------------------------------------------------------------------------------


_EXPORT = "Export the table of runs instead, with the last or the best value of each run and a column seed"
_NO_NUMBER = re.compile(r"(?<=: )(-?inf|nan)\b")  # in a dictionary as Python prints it


def refuse_curves(text: TextColumns, file: str) -> None:
    """Refuse what trackers export of a chart or of one training.

    Raises:
        InputError: If the table is a chart of W&B or TensorBoard, or overrides of Hydra in one text.
    """
    titles = list(text.columns)
    plain = {plain_title(title) for title in titles}
    if any(title.endswith(("__MIN", "__MAX")) for title in titles) or (
        is_step(titles[0]) and any(" - " in title for title in titles[1:])
    ):
        raise InputError(
            f"{file} is the chart of W&B, a row for each {titles[0]}: the course of trainings, whose rows "
            f"are no repeats. {_EXPORT}: on the page of runs, Export, CSV."
        )
    if {"wall_time", "step"} <= plain or {"tag", "step", "value"} <= plain:
        raise InputError(
            f"{file} is a curve of TensorBoard, a row for each step: the course of a training, whose rows "
            "are no repeats. Give each run a row, with columns method, seed and the last or the best value."
        )
    overrides = next(
        (t for t in titles if plain_title(t).split(".")[-1] in ("overrides", "override_dirname")), None
    )
    if overrides is not None and any("=" in value for value in text.columns[overrides]):
        raise InputError(
            f"each setting has a column of its own, found {text.columns[overrides][0]!r} in {overrides} of "
            f"{file}, as Hydra writes overrides. Give method, seed and the other settings a column each."
        )


def tracker_source(text: TextColumns, names: ColumnNames, file: str) -> Source | None:
    """The table as a tracker's, if it is one.

    Args:
        text: The file.
        names: Columns that somebody named.
        file: Its name, for messages.

    Raises:
        InputError: If settings or results cannot be taken apart, or rows are of several studies.
    """
    titles = text.columns

    # Each tracker gives itself away by columns that no other table has.
    if any(title.startswith("metrics.") for title in titles):
        return _mlflow(text, names, file)
    values = [title for title in titles if title == "value" or title.startswith("values_")]
    if {"state", "number"} <= titles.keys() and values:
        return _optuna(text, names, file)
    if {"config", "summary"} <= titles.keys():
        text = _unfolded(text, file)
    config = tuple(title for title in text.columns if title.startswith(("config.", "config/")))
    summary = tuple(title for title in text.columns if title.startswith("summary."))
    layout = None
    if summary or {"Name", "State"} <= titles.keys():
        layout = "runs of W&B"
    elif "Run ID" in titles and ("Status" in titles or "Start Time" in titles):
        layout = "runs of MLflow"
    elif config and {"trial_id", "training_iteration"} & titles.keys():
        layout = "trials of Ray Tune"
    if layout is None:
        return None
    return Source(layout, text, names, file, settings=config, scores=summary or None)


def _mlflow(text: TextColumns, names: ColumnNames, file: str) -> Source:
    """The runs of ``mlflow.search_runs``; parents sum up the runs below them, and are left out."""
    # A run below a parent has the settings of the parent that it does not have itself.
    ids, above = text.columns.get("run_id", []), text.columns.get("tags.mlflow.parentRunId", [])
    rows = {run: row for row, run in enumerate(ids)}
    parents = {rows[parent] for parent in above if parent in rows}
    columns = dict(text.columns)
    for title in [title for title in columns if title.startswith("params.")]:
        values = columns[title]
        columns[title] = [
            values[rows[above[row]]] if not value and above and above[row] in rows else value
            for row, value in enumerate(values)
        ]
    kinds = columns.get("tags.assay.kind", [])
    parents |= {row for row, kind in enumerate(kinds) if kind == "cell"}
    text = TextColumns(columns, text.lines).without(parents)
    notes = (
        (f"Left out: {counted(len(parents), 'parent run')}, which sum up the runs below them.",)
        if parents
        else ()
    )
    if not text.lines:
        raise InputError(
            f"a repeat is a run, found parent runs alone in {file}, which sum up runs. Export the runs below "
            "them."
        )
    scores = tuple(title for title in text.columns if title.startswith("metrics."))
    settings = tuple(title for title in text.columns if title.startswith("params."))

    # A run that assay wrote says itself which cell a run is of, and how it ended: MLflow knows no divergence.
    if "tags.assay.cell" in text and all(text.columns["tags.assay.cell"]):
        studies = list(dict.fromkeys(text.columns.get("tags.assay.study", [])))
        if len(studies) > 1:
            raise InputError(
                f"one study at a time, found {', '.join(studies)} in {file}. Leave the rows of the others "
                "out."
            )
        text = _oldest_first(text)
        levels = {t.removeprefix("params.level."): t for t in settings if t.startswith("params.level.")}
        filled = {t: [value or NO_LEVEL for value in text.columns[t]] for t in levels.values()}
        return Source(
            "runs of MLflow, of a study",
            TextColumns({**text.columns, **filled}, text.lines),
            names,
            file,
            scores=tuple(t for t in scores if t.startswith("metrics.test/")) or scores,
            factors=levels,
            cell="tags.assay.cell",
            status="tags.assay.status" if "tags.assay.status" in text else None,
            unordered=True,
            notes=notes,
        )
    return Source(
        "runs of MLflow", text, names, file, settings=settings, scores=scores, unordered=True, notes=notes
    )


def _oldest_first(text: TextColumns) -> TextColumns:
    """The runs as they were started: MLflow gives the newest first, and levels and seeds come in an order."""
    starts = text.columns.get("start_time", [])
    order = sorted(range(len(starts)), key=starts.__getitem__) if all(starts) else []
    if not order:
        return text
    columns = {title: [texts[row] for row in order] for title, texts in text.columns.items()}
    return TextColumns(columns, tuple(text.lines[row] for row in order))


def _optuna(text: TextColumns, names: ColumnNames, file: str) -> Source:
    """The trials of ``Study.trials_dataframe()``, where the seed is a parameter or an attribute."""
    settings = tuple(title for title in text.columns if title.startswith("params_"))
    scores = tuple(t for t in text.columns if t == "value" or t.startswith(("values_", "user_attrs_")))
    source = Source(
        "trials of Optuna",
        text,
        names,
        file,
        settings=settings,
        scores=scores,
        notes=("Optuna minimizes unless told otherwise, which its table does not say.",),
    )
    if source.repeat_columns() == (None, None):
        raise InputError(
            f"the trials of Optuna in {file} are settings that a search tried, and no repeats: none of "
            f"{', '.join(settings) or 'its columns'} is a seed. Train the settings that matter with several "
            "seeds, or name the column: --seed COLUMN."
        )
    return source


def _unfolded(text: TextColumns, file: str) -> TextColumns:
    """The columns with those of dictionaries, as W&B's interface gives them, taken apart."""
    unfolded = {title: texts for title, texts in text.columns.items() if title not in ("config", "summary")}
    for title in ("config", "summary"):
        rows = [
            dict(_flat(_dictionary(value, line, file)))
            for value, line in zip(text.columns[title], text.lines, strict=True)
        ]
        for key in dict.fromkeys(key for row in rows for key in row):
            if not key.startswith("_"):
                unfolded[f"{title}.{key}"] = [_text(row.get(key)) for row in rows]
    return TextColumns(unfolded, text.lines)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _dictionary(text: str, line: int, file: str) -> dict[str, Any]:
    # They are JSON, or what Python prints of a dictionary, in which `nan` is no literal and is quoted first.
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(_NO_NUMBER.sub(r"'\1'", text) if read is ast.literal_eval else text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, dict):
            return {str(key): each for key, each in value.items()}
    raise InputError(
        f"config and summary of W&B's runs are dictionaries, found {text[:40]!r} in line {line} of {file}. "
        "Export the runs again, or give settings and scores a column each."
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested dictionaries; W&B's stored config wraps each in ``{"value": …, "desc": …}``."""
    for key, value in values.items():
        if isinstance(value, dict) and "value" in value and value.keys() <= {"value", "desc"}:
            value = value["value"]  # noqa: PLW2901
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
