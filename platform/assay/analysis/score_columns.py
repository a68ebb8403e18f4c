"""Columns of a table of scores, looked up by what they are: named by somebody, or called as is usual."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from assay.analysis.score_names import is_step, plain
from assay.analysis.score_text import TextColumns
from trainables.data.inspect.findings import summarise
from trainables.errors import InputError

__all__ = [
    "CELL",
    "FACTOR",
    "SEED",
    "STATUS",
    "ColumnNames",
    "Source",
    "listed",
    "plain_title",
    "short_title",
]

CELL = ("cell", "method", "model", "algorithm", "variant", "config", "system", "group")
SEED = ("seed", "random_seed", "random_state", "rng_seed", "repeat", "replicate", "rep", "run")
FOLD = ("fold", "cv_fold", "fold_id", "kfold")
STATUS = ("status", "state")
FACTOR = "factor:"
_SETTINGS = ("params.", "config.", "config/", "parameters.", "params_", "user_attrs_")
_RESULTS = ("metrics.", "summary.")
_LISTED = 12


@dataclass(frozen=True)
class ColumnNames:
    """Columns by what they are, as far as somebody says it."""

    cell: tuple[str, ...] = ()  # several: factors, a cell is a combination of their levels
    seed: str | None = None
    fold: str | None = None
    score: tuple[str, ...] = ()  # or names of metrics where a column names them; the primary one first


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


def plain_title(title: str) -> str:
    """``params.Random State`` as ``random_state``."""
    return plain(_without(title, _SETTINGS))


def short_title(title: str) -> str:
    """A column's name without the prefix of its tracker."""
    return _without(title, (*_SETTINGS, *_RESULTS))


def listed(titles: Iterable[str]) -> str:
    """The columns, the first twelve by name."""
    return summarise([title or "a column without a title" for title in titles], _LISTED)


def _without(title: str, prefixes: Sequence[str]) -> str:
    for prefix in prefixes:
        title = title.removeprefix(prefix)
    return title
