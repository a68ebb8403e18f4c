"""Verdicts on anybody's scores: a table from a paper, a tracker or a script, with the statistics of a study.

>>> scores = analyse_score_file("scores.csv", content, ScoreQuestion(against="baseline", resolve=0.01))
>>> [result.verdict for result in scores.analysis.comparisons]

A study knows what it planned. A table does not: what is taken for granted instead stands in ``notes``.
"""

from __future__ import annotations

import hashlib
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import pandas as pd

from assay.analysis.scores.score_analysis import ScoreAnalysis, ScoreTables
from assay.analysis.scores.score_table import FACTOR, ColumnNames, ReadTable, read_score_table
from assay.analysis.summary import Repeat, RepeatSummary, lost_repeats
from assay.statistics.contrasts import Ask, Contrast, comparison, levels_on_data_sets, over_data_sets
from assay.statistics.families import Rules
from assay.statistics.paired import Test
from assay.statistics.scores import NO_FOLD, Splits
from assay.study.design import pairs_of
from assay.study.names import LEFT_OUT
from assay.study.planning.cell_names import Levels, common_name
from trainables.data.inspect.findings import summarise
from trainables.errors import InputError
from trainables.evaluation.metrics import Metric, ReportedMetric

__all__ = [
    "AnalysedScores",
    "ScoreQuestion",
    "analyse_score_file",
    "repeat_keys",
    "with_all_metrics",
    "with_missing",
]

# Repeats without a row -----------------------------------------------------------------------------------


def repeat_keys(table: pd.DataFrame) -> list[tuple[str, int, int, str]]:
    """Cell, seed, fold (-1: none) and metric of each row."""
    folds = table["fold"].fillna(NO_FOLD)
    return [
        (str(cell), int(seed), int(fold), str(metric))
        for cell, seed, fold, metric in zip(table["cell"], table["seed"], folds, table["metric"], strict=True)
    ]


def with_missing(table: pd.DataFrame, cells: Sequence[str]) -> pd.DataFrame:
    """The table with a row for each repeat that another cell has: it is missing, and not unplanned.

    So is each fold that a seed lacks and another seed has, where both have a fold in common: a mean over
    fewer folds is another score.
    """
    keys = repeat_keys(table)
    present = set(keys)
    repeats = dict.fromkeys((seed, fold, metric) for _, seed, fold, metric in keys)
    metrics = dict.fromkeys(metric for *_, metric in keys)

    # Besides the repeats of other cells, those that no cell has and the grid of seeds and folds still
    # implies.
    repeats |= dict.fromkeys(
        (*repeat, metric) for repeat in _repeats_without_cell(repeats) for metric in metrics
    )
    absent = [(cell, *repeat) for cell in cells for repeat in repeats if (cell, *repeat) not in present]
    if not absent:
        return table

    # A missing row is a copy of the cell's first one, for its study and levels. Its own value and sizes are
    # unknown.
    first = {cell: index for index, (cell, *_) in reversed(list(enumerate(keys)))}
    added = table.iloc[[first[cell] for cell, *_ in absent]].copy()
    added["seed"] = [seed for _, seed, _, _ in absent]
    added["fold"] = pd.array([pd.NA if fold == NO_FOLD else fold for _, _, fold, _ in absent], "Int64")
    added["metric"] = [metric for *_, metric in absent]
    lost = added.assign(n_train=math.nan, n_test=math.nan, value=math.nan, status="missing")
    return pd.concat([table, lost], ignore_index=True)


def _with_missing(table: pd.DataFrame, cells: Sequence[str], over: str | None) -> pd.DataFrame:
    """The same for each data set by itself: what one of them lacks, no other has to have."""
    if over is None:
        return with_missing(table, cells)
    of_sets = [rows for _, rows in table.groupby(f"{FACTOR}{over}", sort=False)]
    return pd.concat(
        [with_missing(rows, list(dict.fromkeys(rows["cell"]))) for rows in of_sets], ignore_index=True
    )


def _repeats_without_cell(repeats: Iterable[tuple[int, int, str]]) -> list[tuple[int, int]]:
    """Seed and fold of repeats that no cell has, though a seed with which it shares a fold has the fold."""
    folds_of: dict[int, set[int]] = {}
    seeds_of: dict[int, set[int]] = {}
    for seed, fold, _ in repeats:
        folds_of.setdefault(seed, set()).add(fold)
        seeds_of.setdefault(fold, set()).add(seed)
    lacking: list[tuple[int, int]] = []
    # Seeds that share a fold belong to one grid. Where folds have other numbers at each seed, nothing is
    # missing.
    for seed, folds in sorted(folds_of.items()):
        beside = {other for fold in folds for other in seeds_of[fold]}
        there = {fold for other in beside for fold in folds_of[other]}
        lacking += [(seed, fold) for fold in sorted(there - folds)]
    return lacking


def with_all_metrics(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a row for each metric that a repeat lacks: it has the state of the repeat, and no value.

    A study's summary has only the metrics that were asked for of a trial without a result.
    """
    keys = repeat_keys(table)
    present = set(keys)
    first: dict[tuple[str, int, int], int] = {}
    for index, (cell, seed, fold, _) in enumerate(keys):
        first.setdefault((cell, seed, fold), index)
    metrics = dict.fromkeys(metric for *_, metric in keys)
    absent = [(repeat, metric) for metric in metrics for repeat in first if (*repeat, metric) not in present]
    if not absent:
        return table
    added = table.iloc[[first[repeat] for repeat, _ in absent]]
    added = added.assign(metric=[metric for _, metric in absent], value=math.nan)
    return pd.concat([table, added], ignore_index=True)


# Verdicts ------------------------------------------------------------------------------------------------


_ARROW = "→"
_ARROWS = re.compile(r"\s*(?:->|→)\s*")
_SEEDS_NAMED = 5
_NO_CHANCE = 0.003  # that the scores of a training are, in all cells, as exact as written, the others' means


@dataclass(frozen=True)
class ScoreQuestion:
    """The question to a table of scores."""

    columns: ColumnNames = field(default_factory=ColumnNames)
    against: str | None = None  # a cell with which all others are compared
    compared: tuple[str, ...] = ()  # `a → b`, `factor`, `factor: a → b`; empty: all that the table allows
    over: str | None = None  # a factor whose levels are data sets: what is compared also claims over them
    can_go: tuple[str, ...] = ()  # in the same form: can the right side be dropped for the left one?
    resolve: float | None = None  # difference worth knowing, of the primary metric
    lower: tuple[str, ...] = ()  # metrics of which lower is better
    splits: Splits = "prescribed"
    looks: tuple[int, ...] = ()  # numbers of seeds at which the results were looked at before
    test: Test = "sign-flip"
    signs: str | None = None  # hash of a study, whose signs are drawn; None: of the scores
    most_metrics: int | None = None  # of a table with more, the primary one alone is told; None: all are


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
    seeds: Mapping[int, str]  # seed → its text in the file

    def summary(self, metric: Metric) -> list[RepeatSummary]:
        """Mean, spread and n of a metric, cell by cell: from one pass, a table may have hundreds of cells."""
        of_cells: dict[str, list[tuple[Repeat, float, str]]] = {cell: [] for cell in self.cells}
        rows = zip(repeat_keys(self.table), self.table["value"], self.table["status"], strict=True)
        for (cell, seed, fold, of_metric), value, status in rows:
            if of_metric == metric.name:
                repeat = Repeat(seed, None if fold == NO_FOLD else fold)
                of_cells[cell].append((repeat, float(value), str(status)))
        return [_summary(metric.name, rows) for rows in of_cells.values()]


def analyse_score_file(name: str, content: bytes, question: ScoreQuestion) -> AnalysedScores:
    """Read a table of scores and test its comparisons.

    Args:
        name: Of the file.
        content: CSV, TSV or Parquet, in a layout that :mod:`assay.analysis.scores.score_table` reads.
        question: What is asked.

    Raises:
        InputError: If the file is no such table, has two rows of one repeat or fewer than two cells, or the
            question names what it does not have.
    """
    # A table is checked before anything is tested, and each refusal says how to mend it: a wrong column
    # would give verdicts as readily as the right one.
    read = read_score_table(content, question.columns, name)
    table = _each_once(read, name)
    cells = tuple(dict.fromkeys(table["cell"]))
    if len(cells) < 2:
        raise InputError(
            f"a comparison is of two cells, found {', '.join(cells) or 'none'} in {name}. Add "
            "another one, or name the column that tells them apart: --cell COLUMN."
        )
    signed = table if read.complete else _with_missing(table, cells, question.over)
    table = with_all_metrics(table)
    if not read.complete:
        table = _with_missing(table, cells, question.over)
    unknown = [metric for metric in question.lower if metric not in read.metrics]
    if unknown:
        raise InputError(
            f"--lower names a metric of {name}, found {', '.join(unknown)}; it has "
            f"{', '.join(read.metrics)}. Name one of them."
        )

    # The first metric is the one that the question is about, so it alone is left of too many.
    metrics = tuple(_metric(metric, table, read, metric in question.lower) for metric in read.metrics)
    if question.most_metrics is not None and len(metrics) > question.most_metrics:
        metrics = metrics[:1]
    if question.resolve is not None and question.resolve >= metrics[0].highest:
        raise InputError(
            f"--resolve is a difference of {metrics[0].name}, a share, and below 1, found "
            f"{question.resolve:g}. Name it as a share: 5 % are 0.05."
        )
    if question.can_go and question.resolve is None:
        raise InputError(
            f"--can-go asks whether dropping a part loses less than --resolve, found {question.can_go[0]} "
            "without it. Name the smallest loss that matters: --resolve X."
        )
    seeds = len(set(table["seed"]))
    if late := [look for look in question.looks if look > seeds]:
        raise InputError(
            f"--look is a number of seeds of {name}, which has {seeds}, found {late[0]}. Name fewer."
        )
    _refuse_mean_as_seed(table.loc[table["metric"] == metrics[0].name], read, name)
    _refuse_unknown_sizes(table, question.splits, name)
    of_metrics = {metric.name: table.loc[table["metric"] == metric.name] for metric in metrics}
    contrasts, levels = _contrasts(question, cells, table, read), _levels(table, read.factors)
    claims, ranked = _over_data_sets(question.over, contrasts, levels, read, name)
    scores = ScoreTables(
        metrics=metrics,
        table=of_metrics.__getitem__,
        contrasts=contrasts,
        over_data_sets=claims,
        on_data_sets=ranked,
        rules=Rules(
            question.splits,
            question.resolve,
            earlier_looks=question.looks,
            test=question.test,
            seed=_sign_seed(question.signs, signed),
        ),
        smallest_step=lambda metric: 1.0 if metric.unit == "images" else None,
        asked=bool(question.against or question.compared or question.can_go),
    )
    _refuse_unpaired(scores, of_metrics[metrics[0].name], read, name)
    return AnalysedScores(
        name=name,
        question=question,
        layout=read.layout,
        table=table,
        metrics=metrics,
        cells=cells,
        analysis=ScoreAnalysis(
            scores, with_best=question.over is None
        ),  # on several data sets none is the best
        notes=tuple(_notes(read, metrics, question)),
        seeds=read.seeds,
    )


# Rows ---------------------------------------------------------------------------------------------


def _each_once(read: ReadTable, name: str) -> pd.DataFrame:
    """The rows, each repeat once: a run that was lost gives way to its repetition."""
    table = read.table
    by_repeat: dict[tuple[str, int, int, str], list[int]] = {}
    for index, key in enumerate(repeat_keys(table)):
        by_repeat.setdefault(key, []).append(index)
    values, statuses, lines = (table[title].tolist() for title in ("value", "status", "line"))

    # Trackers keep crashed runs beside their repetition. Those do not count; two that have a result do, and
    # nobody but the author knows which of the two is meant.
    kept: list[int] = []
    for (cell, seed, fold, metric), rows in by_repeat.items():
        counted = [i for i in rows if not math.isnan(values[i]) or statuses[i] in ("finished", "diverged")]
        if len(counted) > 1:
            where = " and ".join(f"line {lines[i]} ({values[i]:g})" for i in counted[:2])
            repeat = read.repeat_name(seed, fold)
            raise InputError(
                f"a cell has one {metric} for each seed and fold, found {len(counted)} of {cell}, {repeat} "
                f"in {name}: {where}. Keep one of them, or name the column that tells them apart: --cell, "
                "--seed or --fold COLUMN."
            )
        kept.append((counted or rows)[0])
    return table.iloc[sorted(kept)].reset_index(drop=True)


def _refuse_mean_as_seed(table: pd.DataFrame, read: ReadTable, name: str) -> None:
    """Refuse a last seed that is none: it has the mean of the others in every cell, by no chance."""
    # Tables often end in a row of means, whose "seed" would be taken for one more training: it lies in the
    # middle of the others and makes every interval too narrow.
    last = int(table["seed"].iloc[-1])
    chance = 1.0
    for _, rows in table.groupby("cell", sort=False):
        at_last = rows["seed"] == last
        values = [value for value in rows.loc[~at_last, "value"].tolist() if math.isfinite(value)]
        means = rows.loc[at_last, "value"].tolist()
        if len(values) < 3 or len(means) != 1 or not math.isfinite(means[0]):
            return
        # A mean is rounded as it is written. The chance that a real score hits it is the width of that
        # rounding against the spread of the others, and over cells the chances multiply.
        half_step = 0.5 * 10.0 ** -len(f"{means[0]:.12f}".rstrip("0").partition(".")[2])
        spread = max(values) - min(values)
        if abs(means[0] - statistics.fmean(values)) > half_step * 1.001:
            return
        chance *= min(1.0, 2 * half_step / spread) if spread > 0 else 1.0
    if chance < _NO_CHANCE:
        raise InputError(
            f"a repeat is one training, and the scores of {read.repeat_name(last, NO_FOLD)} in {name} are "
            "the means of the other seeds in every cell. Leave it out; if it is a training, move its rows to "
            "the front."
        )


def _metric(name: str, table: pd.DataFrame, read: ReadTable, lower: bool) -> Metric:
    """A metric of assay, or one that is known by its name and values."""
    # A metric of assay brings its own direction and range, under whatever name the file has for it.
    known = read.known.get(name)
    if known is not None:
        if lower and known.better == "higher":
            raise InputError(f"of {name} higher is better, found it in --lower. Leave it out, or rename it.")
        return known if known.name == name else replace(known, name=name, title=name)
    of_cells: dict[str, list[float]] = {}
    for cell, metric, value in zip(table["cell"], table["metric"], table["value"], strict=True):
        if metric == name and not math.isnan(value):
            of_cells.setdefault(cell, []).append(float(value))
    values = [value for of_cell in of_cells.values() for value in of_cell]

    # Of a foreign metric its values tell what it is: all between 0 and 1 it is a share, unless lower is
    # better, as of a loss that happens to stay below 1.
    lower = lower or read.better.get(name) == "lower"
    share = not lower and all(0 <= value <= 1 for value in values)
    return ReportedMetric(
        name=name,
        title=name,
        description="Computed by another program.",
        unit="share" if share else "",
        better="lower" if lower else "higher",
        digits=_digits(of_cells.values(), share=share),
    )


def _digits(of_cells: Iterable[Sequence[float]], *, share: bool) -> int:
    """Decimals with which the largest value has four digits (a share has three) and a usual low one two."""
    nonzero = [sizes for of_cell in of_cells if (sizes := [abs(value) for value in of_cell if value])]
    if not nonzero:
        return 3
    least, largest = min(map(statistics.median, nonzero)), max(map(max, nonzero))
    usual = 3 if share else max(0, 3 - math.floor(math.log10(largest)))
    return min(8, max(usual, 1 - math.floor(math.log10(least))))


def _refuse_unknown_sizes(table: pd.DataFrame, splits: Splits, name: str) -> None:
    """Refuse a table without n_test and n_train where the claim on new data needs both, without folds."""
    # Only rows with a score need sizes: they weigh the variance of that score.
    sizes = (table["n_test"] / table["n_train"]).tolist()
    of_scores = [
        size for size, value in zip(sizes, table["value"].tolist(), strict=True) if not math.isnan(value)
    ]
    lacking = sum(map(math.isnan, of_scores))
    folds = {fold for _, _, fold, _ in repeat_keys(table)}
    if splits == "per_seed" and len(folds) < 2 and lacking:
        raise InputError(
            "where every seed draws its own split, the claim on new data needs how many images trained and "
            f"tested it, columns n_train and n_test; of {len(of_scores)} scores of {name}, {lacking} lack "
            "them. Add both."
        )


def _summary(metric: str, rows: Sequence[tuple[Repeat, float, str]]) -> RepeatSummary:
    values = {repeat: value for repeat, value, _ in rows}
    lost = [("undefined" if status == "finished" else status, None) for _, v, status in rows if math.isnan(v)]
    return RepeatSummary(
        metric=metric,
        repeats=tuple(values),
        values={repeat: value for repeat, value in values.items() if not math.isnan(value)},
        lost=lost_repeats(lost),
    )


# Comparisons --------------------------------------------------------------------------------------


def _contrasts(
    question: ScoreQuestion, cells: Sequence[str], table: pd.DataFrame, read: ReadTable
) -> list[Contrast]:
    # What is asked goes before what the table allows: one cell against all others, then pairs, then each
    # factor, and all pairs where cells have no factors.
    levels = _levels(table, read.factors)
    asked = [
        replace(each, ask="can go")
        for text in question.can_go
        for each in _compared(text, cells, levels, read, option="--can-go")
    ]
    _refuse_unclear_parts(asked)
    others = [factor for factor in read.factors if factor != question.over]
    if question.over is not None and question.against is not None and len(others) == 1:
        (factor,) = others
        if question.against in read.factors[factor]:
            steps = [(question.against, level) for level in read.factors[factor] if level != question.against]
            pairs = (each for step in steps for each in _factor_contrasts(factor, step, levels, read))
            return [*pairs, *asked]
    if question.against is not None:
        against = _cell_called(question.against, cells)
        if against is None:
            raise _unknown_cell("--against", question.against, cells)
        return [*(_cell_contrast(against, cell) for cell in cells if cell != against), *asked]
    if question.compared or asked:
        compared = [each for text in question.compared for each in _compared(text, cells, levels, read)]
        return [*compared, *asked]
    if not read.factors:
        return [_cell_contrast(start, end) for start, end in combinations(cells, 2)]
    by_factor = [each for factor in others for each in _factor_contrasts(factor, None, levels, read)]
    if not by_factor and len(cells) > 1:
        raise InputError(
            "cells that differ in one factor are compared, found none: any two of them differ in several of "
            f'{", ".join(read.factors)}. Name two cells, --compare "CELL -> CELL", or one that all are '
            f"compared with, --against CELL. The cells are {', '.join(cells)}."
        )
    return by_factor


def _over_data_sets(
    over: str | None,
    contrasts: Sequence[Contrast],
    levels: Mapping[str, Levels],
    read: ReadTable,
    name: str,
) -> tuple[list[Contrast], list[dict[str, dict[str, str]]]]:
    """The comparisons as claims over data sets, and the levels that are ranked on them.

    Raises:
        InputError: If no comparison is made on two data sets or more.
    """
    if over is None:
        return [], []
    pairs: dict[tuple[str, Ask], list[tuple[str, str]]] = {}
    for contrast in contrasts:
        end, start = contrast.pair or ("", "")
        if levels[start][over] == levels[end][over]:
            pairs.setdefault((contrast.name, contrast.ask), []).append((start, end))
    claims = [
        claim
        for (comparison_name, ask), of_name in pairs.items()
        for claim in over_data_sets(
            comparison_name, of_name, levels, factors=read.factors, over=over, ask=ask
        )
    ]
    if max((len(claim.data_sets) for claim in claims), default=0) < 2:
        others = [factor for factor in read.factors if factor != over]
        raise InputError(
            f"--over {over} claims over data sets what is compared on each of them, found no comparison on "
            f"two of its {len(read.factors[over])} levels in {name}. Compare levels of another factor, such "
            f'as --compare "{others[0]}", or leave --over out.'
        )
    compared = dict.fromkeys(claim.name.partition(": ")[0] for claim in claims)
    return claims, [each for factor in compared for each in levels_on_data_sets(levels, factor, over)]


def _levels(table: pd.DataFrame, factors: Mapping[str, Sequence[str]]) -> dict[str, Levels]:
    """Cell → its levels."""
    first = table.drop_duplicates("cell")
    return {
        str(row["cell"]): {factor: str(row[f"factor:{factor}"]) for factor in factors}
        for _, row in first.iterrows()
    }


def _refuse_unclear_parts(asked: Sequence[Contrast]) -> None:
    """Refuse `can go` of both sides, or of one that is `off`: what can go is the right side."""
    pairs = {contrast.pair for contrast in asked}
    for contrast in asked:
        # Turned round, "can go" asks whether the variant without the part can be dropped, which nobody means.
        factor, _, levels = contrast.name.rpartition(": ")
        left, _, right = levels.partition(f" {_ARROW} ")
        if right.lower() in LEFT_OUT and left.lower() not in LEFT_OUT:
            named = f"{factor}: " if factor else ""
            raise InputError(
                "--can-go asks whether the right side can be dropped for the left one, found "
                f'{contrast.name}. Turn it round: --can-go "{named}{right} -> {left}".'
            )
        if contrast.pair is not None and contrast.pair[::-1] in pairs:
            part, without = contrast.pair
            raise InputError(
                f"--can-go asks whether the right side can be dropped for the left one, found {without} and "
                f"{part} each way round. Name one way; --compare finds what is negligible either way."
            )


def _compared(
    text: str,
    cells: Sequence[str],
    levels: Mapping[str, Levels],
    read: ReadTable,
    option: str = "--compare",
) -> list[Contrast]:
    """The comparisons that a text names: two cells, a factor, or two levels of a factor.

    A name may have an arrow in it, so the text is taken apart at each of its arrows. Cells that exist are
    meant, else levels of a factor; where several ways name some, the question is refused with all of them.
    """
    factor = text.strip()
    if factor in read.factors and option == "--can-go":
        # The order of rows says nothing of a part: what is left out stands on the left.
        of_factor = sorted(read.factors[factor], key=lambda level: level.lower() not in LEFT_OUT)
        return [
            each
            for pair in combinations(of_factor, 2)
            for each in _factor_contrasts(factor, pair, levels, read)
        ]
    if factor in read.factors:
        return _factor_contrasts(factor, None, levels, read)
    sides = [(text[: arrow.start()].strip(), text[arrow.end() :].strip()) for arrow in _ARROWS.finditer(text)]
    if not sides:
        raise InputError(
            f"a comparison is `CELL -> CELL`, `FACTOR` or `FACTOR: LEVEL -> LEVEL`, found {text}. The "
            f"cells are {', '.join(cells)}; the factors {', '.join(read.factors) or 'none'}."
        )

    # Every way of taking it apart that names two cells or two levels of a factor.
    pairs = [(_cell_called(left, cells), _cell_called(right, cells)) for left, right in sides]
    ways = [(None, start, end) for start, end in pairs if start is not None and end is not None]
    if not ways:
        ways = [
            (factor, level, right)
            for left, right in sides
            for factor in read.factors
            if left.startswith(f"{factor}:")
            and {level := left.removeprefix(f"{factor}:").strip(), right} <= set(read.factors[factor])
        ]
    meant = list(dict.fromkeys(way for way in ways if way[1] != way[2]))
    if len(meant) > 1:
        possible = " or ".join(f"`{start}` with `{end}`" for _, start, end in meant)
        raise InputError(
            f"a comparison has one meaning, found {text}, which may compare {possible}. Quote the names of "
            f'two cells: {option} \'"{meant[0][1]}" -> "{meant[0][2]}"\'.'
        )
    for factor, start, end in meant:
        contrasts = (
            [_cell_contrast(start, end)]
            if factor is None
            else _factor_contrasts(factor, (start, end), levels, read)
        )
        if contrasts:
            return contrasts
    if ways and not meant:
        raise InputError(f"a comparison has two sides, found {ways[0][1]} twice in {text}. Name another one.")

    # No way names two that exist: the nearest one says which does not.
    nearest = next((i for i, pair in enumerate(pairs) if pair != (None, None)), 0)
    for name, cell in zip(sides[nearest], pairs[nearest], strict=True):
        if cell is None:
            raise _unknown_cell(option, name, cells)
    raise InputError(
        f"a comparison is of two cells or levels, found none that differ in {text}. Name two cells."
    )


def _cell_called(name: str, cells: Sequence[str]) -> str | None:
    """The cell of a name, which may stand in quotes and have its arrows written in another way."""
    quoted = name[1:-1] if len(name) > 1 and name[0] == name[-1] == '"' else name
    if quoted in cells:
        return quoted
    alike = [cell for cell in cells if _ARROWS.sub(_ARROW, cell) == _ARROWS.sub(_ARROW, quoted)]
    return alike[0] if len(alike) == 1 else None


def _factor_contrasts(
    factor: str, pair: tuple[str, str] | None, levels: Mapping[str, Levels], read: ReadTable
) -> list[Contrast]:
    """Pairs of cells that differ in one factor only."""
    steps = list(combinations(read.factors[factor], 2)) if pair is None else [pair]
    names: dict[tuple[str, ...], str] = {}
    for cell, of_cell in levels.items():
        # Two cells with the same levels differ in something that no factor says: a pair of either would be
        # arbitrary.
        twin = names.setdefault(tuple(of_cell.values()), cell)
        if twin != cell:
            alike = ", ".join(f"{name} {level}" for name, level in of_cell.items())
            raise InputError(
                f"a factor is compared between cells that differ in it alone, and {twin} and {cell} have the "
                f'same levels ({alike}). Name two cells, --compare "CELL -> CELL", or one that all are '
                "compared with, --against CELL."
            )
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


def _cell_contrast(start: str, end: str) -> Contrast:
    return comparison(f"{start} {_ARROW} {end}", start, end)


def _unknown_cell(option: str, cell: str, cells: Sequence[str]) -> InputError:
    return InputError(
        f"{option} names a cell, found {cell}; the cells are {', '.join(cells)}. Name one of them."
    )


def _refuse_unpaired(scores: ScoreTables, table: pd.DataFrame, read: ReadTable, name: str) -> None:
    """Refuse a table where no compared cells share a repeat, diverged or not: seeds are pairs or nothing."""
    # A diverged run pairs like any other: it has a value in the comparison, the metric's worst.
    repeats: dict[str, set[tuple[int, int]]] = {}
    lost: dict[str, list[str]] = {}
    rows = zip(repeat_keys(table), table["value"], table["status"], strict=True)
    for (cell, seed, fold, _), value, status in rows:
        if not math.isnan(value) or status == "diverged":
            repeats.setdefault(cell, set()).add((seed, fold))
        elif status not in ("missing", "finished"):
            lost.setdefault(cell, []).append(status)
    pairs = [contrast.pair for contrast in scores.contrasts if contrast.pair is not None]
    if pairs and not any(repeats.get(a, set()) & repeats.get(b, set()) for a, b in pairs):
        a, b = pairs[0]
        # Two causes look alike and have other ways out: runs that have not finished, and seeds numbered by
        # cell.
        if without := next((cell for cell in (b, a) if cell not in repeats and cell in lost), None):
            raise InputError(
                f"a run has a score where it finished, and no run of {without} in {name} did: its status is "
                f"{', '.join(dict.fromkeys(lost[without]))}. Wait for it, or train it again."
            )
        names = [
            summarise([read.repeat_name(*repeat, short=True) for repeat in repeats_of], _SEEDS_NAMED)
            or "none"
            for repeats_of in (sorted(repeats.get(cell, ())) for cell in (b, a))
        ]
        raise InputError(
            f"cells are compared by the seeds that both have, and no two in {name} have one: {b} has "
            f"{names[0]}, {a} has {names[1]}. Give repeats that met the same split and "
            "seed the same number, or name the column that tells cells apart: --cell COLUMN."
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
    # Sorted, so that another order of rows draws the same signs.
    rows = sorted(map(str, zip(repeat_keys(table), table["value"].tolist(), strict=True)))
    return int(hashlib.sha256("\n".join(rows).encode()).hexdigest()[:12], 16)


# Notes --------------------------------------------------------------------------------------------


def _notes(read: ReadTable, metrics: Sequence[Metric], question: ScoreQuestion) -> Iterator[str]:
    yield f"Read as {read.layout}; compared are values of the same seed and fold."
    yield from read.notes
    if len(metrics) < len(read.metrics):
        further = [name for name in read.metrics if name != metrics[0].name]
        yield (
            f"Of its {len(read.metrics)} metrics {metrics[0].name} is printed. `--score NAME` prints "
            f"another, several times several, and `--output FILE` writes all: {', '.join(further)}."
        )
    elif len(metrics) > 1:
        yield f"The question is about {metrics[0].name}. `--score NAME` asks about another score."
    foreign = [metric for metric in metrics if isinstance(metric, ReportedMetric)]
    for way in ("higher", "lower"):
        named = [
            f"{metric.name} (a share from 0 to 1)" if metric.unit == "share" else metric.name
            for metric in foreign
            if metric.better == way
        ]
        if named:
            yield f"Taken for granted: {way} is better of {', '.join(named)}."

    # Nothing in the name says which direction is better, and a wrong guess would turn every verdict round.
    unsure = [
        metric.name
        for metric in foreign
        if metric.better == "higher" and metric.name not in read.better and metric.name not in question.lower
    ]
    if unsure:
        names = ", ".join(unsure)
        yield f"Names leave open which direction is better of {names}: where lower is, add `--lower NAME`."
    if question.splits == "prescribed":
        yield (
            "Taken for granted: all seeds share the split or the folds. Where each seed drew its own, add "
            "`--splits per_seed`."
        )
    yield (
        "Taken for granted: no repeat depends on another one, as a training would that goes on from the "
        "weights of the last: p would be too small."
    )
    if question.looks:
        looks = ", ".join(map(str, question.looks))
        yield (
            f"Looked at before, at {looks} seeds: p counts every look that could have shown something. Taken "
            "for granted: each look saw the seeds that the table names first."
        )

    # The last note holds for every table: what was tried and left out stands in none.
    looked = "" if question.looks else "looked before the last seed or "
    yield (
        "A table does not tell which comparisons, seeds and cells were tried and left out, nor whether "
        f"somebody {looked}chose `--resolve` afterwards: the verdicts hold if not."
    )
