"""Verdicts on anybody's scores: a table from a paper, a tracker or a script, with the statistics of a study.

>>> scores = analyse_score_file("scores.csv", content, ScoreQuestion(against="baseline", resolve=0.01))
>>> [result.verdict for result in scores.analysis.comparisons]

A study knows what it planned. A table does not: what is taken for granted instead stands in ``notes``.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import PurePath

import pandas as pd

from assay.analysis.score_analysis import ScoreAnalysis, ScoreTables, analyse_scores
from assay.analysis.score_layouts import ColumnNames, ReadTable, tidy_scores
from assay.analysis.score_text import read_text_columns
from assay.analysis.statistics import Contrast, Splits, comparison
from assay.analysis.statistics.paired import Test
from assay.analysis.summary import Lost, Repeat, RepeatSummary
from assay.study.cell_names import Levels, common_name
from assay.study.design import pairs_of
from trainables.errors import InputError
from trainables.metrics import METRICS, Metric, ReportedMetric

__all__ = ["AnalysedScores", "ScoreQuestion", "analyse_score_file"]

_ARROW = "→"
_KEY = ["cell", "seed", "fold", "metric"]


@dataclass(frozen=True)
class ScoreQuestion:
    """What is asked of a table of scores."""

    columns: ColumnNames = field(default_factory=ColumnNames)
    against: str | None = None  # a cell with which all others are compared
    compared: tuple[str, ...] = ()  # `a → b`, `factor`, `factor: a → b`; empty: all that the table allows
    resolve: float | None = None  # difference worth knowing, of the primary metric
    lower: tuple[str, ...] = ()  # metrics of which lower is better
    splits: Splits | None = None  # None: as a column `split` tells, else prescribed
    looks: tuple[int, ...] = ()  # numbers of seeds at which the results were looked at before
    test: Test = "sign-flip"
    signs: str | None = None  # hash of a study, whose signs are drawn; None: of the scores


@dataclass(frozen=True, eq=False)
class AnalysedScores:
    """A table of scores and what can be said of it."""

    name: str  # of the file
    question: ScoreQuestion
    layout: str
    table: pd.DataFrame  # in the columns of a study's summary
    metrics: tuple[Metric, ...]  # the primary one first
    cells: tuple[str, ...]  # as they come
    analysis: ScoreAnalysis
    notes: tuple[str, ...]  # what is taken for granted

    def summary(self, metric: Metric) -> list[RepeatSummary]:
        """Mean, spread and n of a metric, cell by cell."""
        return [_summary(self.table, cell, metric.name) for cell in self.cells]


def analyse_score_file(name: str, content: bytes, question: ScoreQuestion) -> AnalysedScores:
    """Read a table of scores and test its comparisons.

    Args:
        name: Of the file.
        content: CSV, TSV or Parquet, in a layout of :mod:`assay.analysis.score_layouts`.
        question: What is asked.

    Raises:
        InputError: If the file is no such table, has two rows of one repeat or fewer than two cells, or the
            question names what it does not have.
    """
    read = tidy_scores(read_text_columns(content, name), question.columns, PurePath(name).stem)
    table = _each_once(read.table, name)
    cells = tuple(dict.fromkeys(table["cell"]))
    if len(cells) < 2:
        raise InputError(
            f"a comparison is of two cells, found {', '.join(cells) or 'none'} in {name}. Add the rows of "
            "another one, or name the column that tells them apart: --cell COLUMN."
        )
    if not read.complete:
        table = _with_missing(table, cells)
    unknown = [metric for metric in question.lower if metric not in read.metrics]
    if unknown:
        raise InputError(
            f"--lower names a metric of {name}, found {', '.join(unknown)}; it has {', '.join(read.metrics)}. "
            "Name one of them."
        )
    metrics = tuple(_metric(metric, table, metric in question.lower) for metric in read.metrics)
    splits = _splits(table, cells, question.splits)
    _refuse_unknown_sizes(table, splits, name)
    of_metrics = {metric.name: table[table["metric"] == metric.name] for metric in metrics}
    scores = ScoreTables(
        metrics=metrics,
        table=of_metrics.__getitem__,
        contrasts=_contrasts(question, cells, table, read),
        splits=splits,
        resolve=question.resolve,
        smallest_step=lambda metric: 1.0 if metric.unit == "images" else None,
        earlier_looks=question.looks,
        test=question.test,
        sign_seed=_sign_seed(question.signs, table),
    )
    _refuse_unpaired(scores, of_metrics[metrics[0].name], name)
    return AnalysedScores(
        name=name,
        question=question,
        layout=read.layout,
        table=table,
        metrics=metrics,
        cells=cells,
        analysis=analyse_scores(scores),
        notes=tuple(_notes(read, metrics, splits, question, table)),
    )


# Rows ---------------------------------------------------------------------------------------------


def _each_once(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows, each repeat once: a run that was tried again after it failed counts by its last trial."""
    lost = table["value"].isna() & ~table["status"].isin(["finished", "diverged"])
    table = table[~(lost & table.duplicated(_KEY, keep=False) & ~_lost_alone(table, lost))]
    twice = table.duplicated(_KEY, keep=False)
    if not twice.any():
        return table.reset_index(drop=True)
    first = table[twice].iloc[0]
    same = table[(table[_KEY].fillna(-1) == first[_KEY].fillna(-1)).all(axis=1)]
    fold = "" if pd.isna(first["fold"]) else f", fold {first['fold']}"
    lines = " and ".join(f"line {row['line']} ({row['value']:g})" for _, row in same.head(2).iterrows())
    raise InputError(
        f"a cell has one {first['metric']} for each seed and fold, found {len(same)} of {first['cell']}, seed "
        f"{first['seed']}{fold} in {name}: {lines}. Keep one of them, or name the column that tells them apart: "
        "--cell, --seed or --fold COLUMN."
    )


def _lost_alone(table: pd.DataFrame, lost: pd.Series) -> pd.Series:
    """True where all rows of a repeat were lost but this is the first of them."""
    keys = table[_KEY].fillna(-1)
    all_lost = lost.groupby([keys[name] for name in _KEY]).transform("all")
    return all_lost & ~table.duplicated(_KEY)


def _with_missing(table: pd.DataFrame, cells: Sequence[str]) -> pd.DataFrame:
    """The table with a row for each repeat that another cell has: it is missing, and not unplanned."""
    present = set(zip(table["cell"], table["seed"], table["fold"].fillna(-1), table["metric"], strict=True))
    repeats = table.drop_duplicates(["seed", "fold"])[["seed", "fold"]]
    of_cells = table.drop_duplicates("cell").set_index("cell")
    rows = [
        {
            **of_cells.loc[cell].to_dict(),
            **{"cell": cell, "seed": seed, "fold": fold, "metric": metric},
            **{"split": "", "n_train": math.nan, "n_test": math.nan, "value": math.nan, "status": "missing"},
        }
        for cell in cells
        for seed, fold in zip(repeats["seed"], repeats["fold"], strict=True)
        for metric in dict.fromkeys(table["metric"])
        if (cell, seed, -1 if pd.isna(fold) else fold, metric) not in present
    ]
    if not rows:
        return table
    return pd.concat([table, pd.DataFrame(rows).astype(table.dtypes.to_dict())], ignore_index=True)


def _metric(name: str, table: pd.DataFrame, lower: bool) -> Metric:
    """A metric of assay, or one that is known by its name and values."""
    if name in METRICS:
        known = METRICS[name]
        if lower and known.better == "higher":
            raise InputError(f"of {name} higher is better, found it in --lower. Leave it out, or rename it.")
        return known
    values = table.loc[table["metric"] == name, "value"].dropna()
    largest = float(values.abs().max()) if len(values) else 1.0
    share = not lower and bool(values.between(0, 1).all())
    return ReportedMetric(
        name=name,
        title=name,
        description="Computed by another program.",
        unit="share" if share else "",
        better="lower" if lower else "higher",
        digits=min(8, max(0, 3 - math.floor(math.log10(largest)))) if largest > 0 else 3,
    )


def _splits(table: pd.DataFrame, cells: Sequence[str], stated: Splits | None) -> dict[str, Splits]:
    """Cell → whether its seeds draw splits of their own: as stated, else as a column of partitions tells."""
    if stated is not None:
        return dict.fromkeys(cells, stated)
    known = table[table["split"] != ""].assign(fold=table["fold"].fillna(-1))
    several = known.groupby(["cell", "fold"])["split"].nunique() > 1
    own = {cell for (cell, _), drawn in several.items() if drawn} if len(known) else set()
    return {cell: "per_seed" if cell in own else "prescribed" for cell in cells}


def _refuse_unknown_sizes(table: pd.DataFrame, splits: Mapping[str, Splits], name: str) -> None:
    """The claim of new data needs n_test / n_train where no folds tell it."""
    sizes = (table["n_train"].notna() & table["n_test"].notna()).any()
    if "per_seed" in splits.values() and table["fold"].nunique() < 2 and not sizes:
        raise InputError(
            "where every seed draws its own split, the claim on new data needs how many images trained and "
            f"tested it, columns n_train and n_test; {name} has neither. Add them, the same number in every row "
            "if they do not change."
        )


def _summary(table: pd.DataFrame, cell: str, metric: str) -> RepeatSummary:
    rows = table[(table["cell"] == cell) & (table["metric"] == metric)]
    folds = [None if pd.isna(fold) else int(fold) for fold in rows["fold"]]
    repeats = [Repeat(int(seed), fold) for seed, fold in zip(rows["seed"], folds, strict=True)]
    values = dict(zip(repeats, map(float, rows["value"]), strict=True))
    lost = Counter(
        status for repeat, status in zip(repeats, rows["status"], strict=True) if math.isnan(values[repeat])
    )
    return RepeatSummary(
        metric=metric,
        repeats=tuple(repeats),
        values={repeat: value for repeat, value in values.items() if not math.isnan(value)},
        lost=tuple(
            Lost(n, "undefined" if status == "finished" else status, None) for status, n in lost.items()
        ),
    )


# Comparisons --------------------------------------------------------------------------------------


def _contrasts(
    question: ScoreQuestion, cells: Sequence[str], table: pd.DataFrame, read: ReadTable
) -> list[Contrast]:
    levels = _levels(table, read.factors)
    if question.against is not None:
        _refuse_unknown_cell("--against", question.against, cells)
        return [_of_cells(question.against, cell, levels, read) for cell in cells if cell != question.against]
    if question.compared:
        return [each for text in question.compared for each in _compared(text, cells, levels, read)]
    by_factor = [each for factor in read.factors for each in _of_factor(factor, None, levels, read)]
    return by_factor or [_of_cells(start, end, levels, read) for start, end in combinations(cells, 2)]


def _levels(table: pd.DataFrame, factors: Mapping[str, Sequence[str]]) -> dict[str, Levels]:
    """Cell → its levels."""
    first = table.drop_duplicates("cell")
    return {
        str(row["cell"]): {factor: str(row[f"factor:{factor}"]) for factor in factors}
        for _, row in first.iterrows()
    }


def _compared(
    text: str, cells: Sequence[str], levels: Mapping[str, Levels], read: ReadTable
) -> list[Contrast]:
    """The comparisons that a text names: two cells, a factor, or two levels of a factor."""
    left, arrow, right = (part.strip() for part in text.replace("->", _ARROW).partition(_ARROW))
    if not arrow and left in read.factors:
        return _of_factor(left, None, levels, read)
    factor, _, start = (part.strip() for part in left.partition(": "))
    if arrow and factor in read.factors and left not in cells:
        contrasts = _of_factor(factor, (start, right), levels, read)
        if contrasts:
            return contrasts
    if not arrow:
        raise InputError(
            f"a comparison is `CELL -> CELL`, `FACTOR` or `FACTOR: LEVEL -> LEVEL`, found {text}. The cells are "
            f"{', '.join(cells)}" + (f"; the factors {', '.join(read.factors)}." if read.factors else ".")
        )
    for cell in (left, right):
        _refuse_unknown_cell("--compare", cell, cells)
    return [_of_cells(left, right, levels, read)]


def _of_factor(
    factor: str, pair: tuple[str, str] | None, levels: Mapping[str, Levels], read: ReadTable
) -> list[Contrast]:
    """Pairs of cells that differ in one factor only."""
    steps = list(combinations(read.factors[factor], 2)) if pair is None else [pair]
    names = {tuple(of_cell.values()): cell for cell, of_cell in levels.items()}
    return [
        comparison(
            f"{factor}: {start} {_ARROW} {end}",
            names[tuple(a.values())],
            names[tuple(b.values())],
            common_name(read.factors, a, b),
        )
        for start, end in steps
        for a, b in pairs_of(list(levels.values()), factor, start, end)
    ]


def _of_cells(start: str, end: str, levels: Mapping[str, Levels], read: ReadTable) -> Contrast:
    return comparison(f"{start} {_ARROW} {end}", start, end)


def _refuse_unknown_cell(option: str, cell: str, cells: Sequence[str]) -> None:
    if cell not in cells:
        raise InputError(
            f"{option} names a cell, found {cell}; the cells are {', '.join(cells)}. Name one of them."
        )


def _refuse_unpaired(scores: ScoreTables, table: pd.DataFrame, name: str) -> None:
    """No comparison has a repeat that both cells have: seeds are pairs or nothing."""
    of_cells = {
        cell: set(zip(rows["seed"], rows["fold"].fillna(-1), strict=True))
        for cell, rows in table[table["value"].notna()].groupby("cell", sort=False)
    }
    pairs = [contrast.pair for contrast in scores.contrasts if contrast.pair is not None]
    if pairs and not any(of_cells.get(a, set()) & of_cells.get(b, set()) for a, b in pairs):
        a, b = pairs[0]
        seeds = [
            ", ".join(str(seed) for seed, _ in sorted(of_cells.get(cell, set()))[:5]) or "none"
            for cell in (b, a)
        ]
        raise InputError(
            f"cells are compared by the seeds that both have, and no two in {name} have one: {b} has {seeds[0]}, "
            f"{a} has {seeds[1]}. Give repeats that met the same split and seed the same number."
        )


def _sign_seed(signs: str | None, table: pd.DataFrame) -> int:
    """Seed of the signs of families beyond 14 repeats: a study's, or of the scores themselves."""
    if signs is not None:
        try:
            return int(signs, 16)
        except ValueError as error:
            raise InputError(
                f"--signs is the hash of a study, as its page has it, found {signs}. Copy it from there, or "
                "leave it out."
            ) from error
    rows = sorted(map(str, zip(*(table[name].fillna(-1) for name in (*_KEY, "value")), strict=True)))
    return int(hashlib.sha256("\n".join(rows).encode()).hexdigest()[:12], 16)


# Notes --------------------------------------------------------------------------------------------


def _notes(
    read: ReadTable,
    metrics: Sequence[Metric],
    splits: Mapping[str, Splits],
    question: ScoreQuestion,
    table: pd.DataFrame,
) -> Iterator[str]:
    yield f"Read as {read.layout}; compared are values of the same seed and fold."
    foreign = [metric for metric in metrics if isinstance(metric, ReportedMetric)]
    for way in ("higher", "lower"):
        named = [
            f"{metric.name} (a share from 0 to 1)" if metric.unit == "share" else metric.name
            for metric in foreign
            if metric.better == way
        ]
        if named:
            yield f"Taken for granted: {way} is better of {', '.join(named)}."
    if question.splits is None and table["seed"].nunique() > 1:
        own = [cell for cell, drawn in splits.items() if drawn == "per_seed"]
        told = "as the column `split` tells" if (table["split"] != "").any() else "`--splits per_seed` if not"
        kind = "every seed drew its own split" if own else "all seeds share the split or the folds"
        yield f"Taken for granted: {kind}, {told}."
    yield (
        "A table does not tell which comparisons, seeds and cells were tried and left out, or whether somebody "
        "looked before the last seed: the verdicts hold if nothing was."
        if not question.looks
        else f"Looked at before, at {', '.join(map(str, question.looks))} seeds: p counts every look that could "
        "have shown something."
    )
