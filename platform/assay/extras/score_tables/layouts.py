"""Tables of scores in the columns of a study's ``summary.parquet``: cell, seed, metric, value, status.

The layout is recognised by the columns; the first that fits is taken:

* exports of trackers, which :mod:`assay.extras.score_tables.columns` knows: a row per run;
* a row per repeat and metric: columns ``metric`` and ``value``, as assay itself writes them;
* a row per repeat: a column that names the cell, a column for each score;
* a column per cell and a row per repeat, numbers only but for the repeats' names: what autorank takes.

Names of columns may be given. Those that are not are looked for under the names that are usual. Statistics of
other rows or columns, epochs and settings are never taken for repeats, cells or scores.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import pandas as pd

from assay.analysis.scores.score_file import repeat_keys
from assay.analysis.scores.score_table import (
    FACTOR,
    ColumnNames,
    ReadTable,
    TextColumns,
    filled,
    listed,
    only_test_data,
)
from assay.extras.score_tables.columns import (
    CELL,
    SEED,
    STATUS,
    Source,
    has_numbers,
    names_rows,
    plain_title,
    refuse_curves,
    short_title,
    tracker_source,
    varies,
)
from assay.extras.score_tables.names import (
    better_by_name,
    directions,
    is_difference,
    is_mean,
    is_no_score,
    is_spread,
    is_step,
    is_surely_mean,
    known_metric,
    known_metrics,
    known_statuses,
    may_be_cell,
    plain,
    score_order,
    status_kind,
    stem_of_statistic,
    words,
)
from assay.extras.score_tables.numbers import (
    NO_VALUE,
    Entry,
    has_comma_decimals,
    is_number,
    plain_number,
    read_numbers,
    rough_number,
)
from assay.study.planning.cell_names import cell_name
from trainables.data.inspect.findings import summarise
from trainables.errors import InputError

__all__ = ["tidy_scores"]

_KEPT = ("study", "split", "n_train", "n_test", "part")
_EXACT = 2**53  # beyond, two whole numbers may be one float
_INDEX = ("", "unnamed:_0", "index", "__index_level_0__", "level_0", "#", "nr", "nr.", "id")
# Titles of columns that name the repeats of a table with a column per cell.
_NAMES_OF_REPEATS = (
    "dataset", "datasets", "data_set", "data", "task", "category", "class", "object", "product", "subject",
    "patient", "benchmark", "problem", "instance", "scene", "split",
)  # fmt: skip


def tidy_scores(columns: TextColumns, names: ColumnNames, name: str) -> ReadTable:
    """Recognise the layout of a table and read it.

    Args:
        columns: The file.
        names: Columns that somebody named.
        name: Of the file, for messages.

    Raises:
        InputError: If a column that was named is not there, none says the cell, the repeat or the score, a
            score is no number or may be two, a status is not known, rows of a table are of several studies,
            or the rows are epochs or means.
    """
    read = _recognised(columns, names, name)
    _refuse_epochs(read, name)
    return read


def _recognised(columns: TextColumns, names: ColumnNames, name: str) -> ReadTable:
    # From the surest sign to the weakest: a tracker is known by its titles, a long table by its columns, and
    # a wide one is what is left.
    refuse_curves(columns, name)
    source = tracker_source(columns, names, name)
    if source is not None:
        return _read_rows(source)
    source = Source("a row per repeat", columns, names, name)
    metric, value = source.usual(("metric",)), source.usual(("value", "score"))
    if metric is not None and value is not None:
        return _read_rows(replace(source, layout="a row per repeat and metric"), metric, value)
    if names.cell or source.usual(CELL) is not None:
        return _read_rows(source)
    return _read_wide(source)


def _refuse_epochs(read: ReadTable, name: str) -> None:
    """Refuse rows of one training that epochs or steps tell apart; lost runs do not count."""
    table = read.table
    counted = table["value"].notna() | table["status"].isin(("finished", "diverged"))
    places: dict[tuple[str, int, int, str], list[tuple[int, str]]] = {}
    for key, counts, line, step in zip(
        repeat_keys(table), counted, table["line"], table["step"], strict=True
    ):
        places.setdefault(key, []).extend([(line, step)] if counts else [])

    # Two rows of one repeat, told apart by a column of epochs, are the course of one training.
    several = next((item for item in places.items() if len(item[1]) > 1), None)
    if several is None:
        return
    (cell, seed, fold, _), rows = several
    if rows[0][1] != rows[1][1]:
        where = " and ".join(f"line {line} ({step})" for line, step in rows[:2])
        raise InputError(
            f"a repeat is a training, and no epoch: found {len(rows)} rows of {cell}, "
            f"{read.repeat_name(seed, fold)} in {name}, {where}. Export the last or best row of each run, "
            "the same for all."
        )


# A row per repeat -----------------------------------------------------------------------------------


def _read_rows(source: Source, metric: str | None = None, value: str | None = None) -> ReadTable:
    """Rows that name their cell and repeat."""
    # Which columns name the repeat and the cell.
    seed, fold = source.repeat_columns()
    if seed is None and fold is None:
        _refuse_without_repeats(source)
    factors = _factor_columns(source, (seed, fold))
    named = None if source.names.cell else source.cell or ("cell" if "cell" in source.text else None)

    # Rows of test data of one study; rows that sum up others are left out.
    source, left_out = _without_mean_repeats(
        replace(source, text=only_test_data(source.text, source.file)), (seed, fold)
    )
    notes = [*source.notes, *left_out]
    sole = named or (next(iter(factors.values())) if len(factors) == 1 else None)
    scores = (
        [] if metric is not None else _score_columns(source, (seed, fold, *factors.values()), sole, factors)
    )
    keys = [title for title in (seed, fold) if title is not None]
    columns = [sole] if sole is not None else list(factors.values())
    for column in columns:
        further = [title for title in columns if title != column] + ([metric] if metric is not None else [])
        source, left_out = _without_mean_cells(source, column, keys, further, scores or [str(value)])
        notes += left_out

    # Cells are named, or combinations of their levels.
    levels = {factor: filled(source.text, column, source.file) for factor, column in factors.items()}
    known_levels = {factor: list(dict.fromkeys(texts)) for factor, texts in levels.items()}
    rows = len(source.text.lines)
    combined = [{factor: texts[i] for factor, texts in levels.items()} for i in range(rows)]
    cells = (
        filled(source.text, named, source.file)
        if named
        else [cell_name(known_levels, each) for each in combined]
    )
    is_factorial = (
        len(levels) > 1 or bool(source.factors) or any(c.startswith(FACTOR) for c in factors.values())
    )
    varied = levels if is_factorial else {}
    seeds, seed_texts = _numbered(source, seed, 0)
    folds, fold_texts = _numbered(source, fold, pd.NA)
    table = pd.DataFrame(
        {
            "study": _kept(source, "study", PurePath(source.file).stem),
            "cell": cells,
            **{f"{FACTOR}{factor}": texts for factor, texts in varied.items()},
            "seed": seeds,
            "fold": folds,
            **{size: [_size(text) for text in _kept(source, size, "")] for size in ("n_train", "n_test")},
            "part": _kept(source, "part", "test"),
            "line": source.text.lines,
            "step": _steps(source),
        }
    ).astype({"fold": "Int64"})

    # Settings that vary and are no factors are named: they may be what makes the difference.
    unused = [
        short_title(title)
        for title in source.settings
        if title not in (seed, fold, *factors.values())
        and varies(source.text, title)
        and not source.names.cell
    ]
    if unused:
        notes.append(
            f"Taken for no factors: {listed(unused)}, of which each run or each seed has a value of its own."
        )

    # Values: a column of them for each score, or one for all, whose rows say the metric.
    if metric is not None and value is not None:
        titles = [short_title(text) for text in filled(source.text, metric, source.file)]
        metrics, further = _chosen_metrics(source, list(dict.fromkeys(titles)))
        values, value_notes = _values(source, [(value, titles)])
        table = table.assign(metric=titles, **values[0])
        table = table.loc[table["metric"].isin(metrics)].reset_index(drop=True)
        notes += [*further, *value_notes]
    else:
        metrics = [short_title(score) for score in scores]
        values, value_notes = _values(source, [(score, [short_title(score)] * rows) for score in scores])
        tables = [table.assign(metric=name, **each) for name, each in zip(metrics, values, strict=True)]
        table = pd.concat(tables, ignore_index=True)
        notes += [*_not_scores(source, scores, (seed, fold, *factors.values())), *value_notes]
    return ReadTable(
        table=table,
        metrics=tuple(metrics),
        layout=source.layout,
        factors={factor: known_levels[factor] for factor in varied},
        complete="status" in source.text and "part" in source.text,
        known=known_metrics(metrics),
        better=directions(metrics),
        seeds=seed_texts,
        folds=fold_texts,
        notes=tuple(notes),
    )


def _refuse_without_repeats(source: Source) -> None:
    """Refuse a table without a column of seeds or folds: of epochs, of means, or of anything else."""
    steps = [title for title in source.steps() if varies(source.text, title)]
    if steps:
        raise InputError(
            f"a repeat is a training, and no epoch: {source.file} has rows by {steps[0]}, the course of "
            "trainings. Export the last or best row of each run, with a column seed."
        )
    spreads = [title for title in source.text.columns if is_spread(title)]
    if spreads:
        raise InputError(
            f"a score is the number of one repeat, and {source.file} has means with a spread, "
            f"{listed(spreads)}, and no column seed. Give each repeat a row: means with a spread cannot be "
            "tested."
        )
    raise InputError(
        "results are compared repeat by repeat, by a column seed or fold that is the same number where two "
        f"cells met the same luck; {source.file} has {listed(source.text.columns)}. Add it, or name it: "
        "--seed COLUMN."
    )


def _factor_columns(source: Source, taken: Sequence[str | None]) -> dict[str, str]:
    """Factor → its column; a single one names the cells."""
    text = source.text
    if source.names.cell:
        columns = [source.named(name, "--cell") for name in source.names.cell]
        return {short_title(column): column for column in columns}
    if source.cell is not None:
        return {factor: title for factor, title in source.factors.items() if varies(text, title)}
    factors = [title for title in text.columns if title.startswith(FACTOR)]
    if factors:
        return {title.removeprefix(FACTOR): title for title in factors}

    # Of a tracker's settings those that vary, but for the folder of each run and what the seed alone decides.
    repeats = list(zip(*(text.columns[title] for title in taken if title is not None), strict=True))
    varied = [title for title in source.settings if title not in taken and varies(text, title)]
    shared = [title for title in varied if not names_rows(text, title)]
    decided = [title for title in shared if not _follows(text.columns[title], repeats)]
    if varied:
        return {short_title(title): title for title in decided or shared or varied}
    usual = [title for name in CELL if (title := source.usual((name,))) is not None]
    column = next((title for title in usual if varies(text, title)), next(iter(usual), None))
    if column is None:
        raise InputError(
            f"a cell is named by a column, such as cell or method, and {source.file} has "
            f"{listed(text.columns)}. Name it: --cell COLUMN, several times for factors."
        )
    return {short_title(column): column}


def _follows(texts: Sequence[str], keys: Sequence[tuple[str, ...]]) -> bool:
    """True where rows of one key, several of them somewhere, always have one text."""
    by_key: dict[tuple[str, ...], set[str]] = {}
    for key, text in zip(keys, texts, strict=True):
        by_key.setdefault(key, set()).add(text)
    return len(by_key) < len(keys) and all(len(values) == 1 for values in by_key.values())


# Scores -------------------------------------------------------------------------------------------


def _score_columns(
    source: Source, taken: Sequence[str | None], cell: str | None, factors: Mapping[str, str]
) -> list[str]:
    """Columns that are scores, the primary one first: those with the name of a metric, or the only one.

    Raises:
        InputError: If no column can be one, or several may be and none has the name of a metric.
    """
    if source.names.score:
        return [source.named_score(name) for name in source.names.score]
    offered = _offered(source, taken)
    columns = [
        title
        for title in offered
        if not is_no_score(short_title(title)) and not is_spread(short_title(title))
    ]

    # What is the same in all rows of a cell is a setting, but for the metrics of assay: a count may well be.
    by = [source.text.columns[title] for title in ([cell] if cell is not None else factors.values())]
    cells = list(zip(*by, strict=True))
    settings = [
        title
        for title in columns
        if known_metric(short_title(title)) is None and _follows(source.text.columns[title], cells)
    ]
    known = [title for title in columns if better_by_name(short_title(title)) is not None]
    varied = [title for title in columns if title not in settings]

    # From the surest group of columns to the least sure. The first that is not empty decides: it is taken if
    # it is one column, or all of it has names of metrics.
    for chosen in ([title for title in known if title in varied], known, varied, columns):
        if chosen and (len(chosen) == 1 or set(chosen) <= set(known)):
            ordered = sorted(chosen, key=_by_name) if source.unordered else chosen
            return sorted(ordered, key=lambda title: score_order(short_title(title)))
        if chosen:
            break
    if not columns:
        _refuse_spreads(source, [title for title in source.text.columns if title not in taken])
    possible = varied or columns
    candidates = (
        f"found {len(possible)} that could be one in {source.file}, none with the name of a metric: "
        f"{listed(possible)}"
        if possible
        else f"found none in {source.file}, which has {listed(source.text.columns)}"
    )
    raise InputError(
        f"a score is a column of numbers, {candidates}. Name it: --score COLUMN, several times for several "
        "metrics."
    )


def _by_name(title: str) -> tuple[bool, str]:
    """Order of scores that come in no order: the AP of images first, which most studies ask about."""
    metric = known_metric(short_title(title))
    return metric is None or metric.name != "image_ap", title


def _offered(source: Source, taken: Sequence[str | None]) -> list[str]:
    """Columns of numbers beside those that name the cell, the repeat and the status."""
    offered = source.scores if source.scores is not None else tuple(source.text.columns)
    structural = {*_KEPT, *STATUS, *CELL, *SEED, "metric"}
    structure = {title for title in source.text.columns if plain_title(title) in structural}
    return [
        title
        for title in offered
        if title not in taken
        and title not in source.settings
        and (source.scores is not None or title not in structure)
        and has_numbers(source.text, title)
    ]


def _not_scores(source: Source, scores: Sequence[str], taken: Sequence[str | None]) -> list[str]:
    """A note of the columns of numbers that were not read as scores."""
    if source.names.score:
        return []
    beside = [
        short_title(title)
        for title in _offered(source, taken)
        if title not in scores and plain_title(title) not in _INDEX and varies(source.text, title)
    ]
    if not beside:
        return []
    return [f"Not read as scores: {listed(beside)}. `--score NAME` asks about another column."]


def _chosen_metrics(source: Source, known: list[str]) -> tuple[list[str], list[str]]:
    """Metrics of a column that names them, those that somebody chose or all, and a note of the others."""
    unknown = [name for name in source.names.score if name not in known]
    if unknown:
        raise InputError(
            f"--score names a metric of {source.file}, found {', '.join(unknown)}; it has "
            f"{', '.join(known)}. Name one of them."
        )
    if source.names.score:
        return list(dict.fromkeys(source.names.score)), []
    scores = [name for name in known if not is_no_score(name) and not is_spread(name) and not is_mean(name)]
    if not scores:
        raise InputError(
            f"a score is a metric, found none in {source.file} that has not the name of a setting, a time or "
            f"a spread: {listed(known)}. Name it: --score NAME."
        )
    beside = [name for name in known if name not in scores]
    return scores, [
        f"Not read as scores: {listed(beside)}. `--score NAME` asks about them."
    ] if beside else []


# Means --------------------------------------------------------------------------------------------


def _without_mean_repeats(source: Source, titles: Sequence[str | None]) -> tuple[Source, list[str]]:
    """The table without rows whose seed, fold or data set is called ``Mean``, and a note that names them."""
    left = {
        row: name
        for title in titles
        if title is not None
        for row, name in enumerate(source.text.columns[title])
        if is_mean(name)
    }
    return _without(source, left)


def _without_mean_cells(
    source: Source, cell: str, keys: Sequence[str], further: Sequence[str], values: Sequence[str]
) -> tuple[Source, list[str]]:
    """The table without rows whose cell sums up others, and a note that names them.

    A cell may be called ``mean`` or ``base_max``, where these are what is studied. It is left out if it lacks
    most repeats that others have, or if its values are a statistic of theirs.

    Args:
        source: The table.
        cell: Column that names the cells, or the levels of a factor.
        keys: Columns of the repeat.
        further: Columns that tell rows of a repeat apart: other factors, and the metric.
        values: Columns of scores.
    """
    text = source.text
    rows_of: dict[str, dict[tuple[str, ...], int]] = {}
    for row, name in enumerate(text.columns[cell]):
        rows_of.setdefault(name, {})[tuple(text.columns[title][row] for title in (*keys, *further))] = row
    stems = {name: stem_of_statistic(name) for name in rows_of}
    after = {
        name: stem
        for name, stem in stems.items()
        if stem is not None and stem[0] in rows_of and stem[0] != name
    }
    others = {name: rows for name, rows in rows_of.items() if not is_mean(name) and name not in after}
    repeats = {name: len({key[: len(keys)] for key in rows}) for name, rows in rows_of.items()}
    most = max((repeats[name] for name in others), default=0)
    left: dict[int, str] = {}
    notes: list[str] = []
    for name, rows in rows_of.items():
        if name in others or not others:
            continue

        # One sign is enough: most repeats are missing, there is but one repeat and the name says so, no
        # method would have that name, or all values are a statistic of the others.
        few = repeats[name] <= most / 2
        alone = name in after and most < 2 and after[name][1] != "total"
        sure = is_surely_mean(name) and len(others) > 1
        if few or alone or sure or (len(others) > 1 and _sums_up(text, rows, others, values)):
            left |= {row: name for row, other in enumerate(text.columns[cell]) if other == name}
        else:
            notes.append(
                f"`{name}` is read as a cell: it has repeats of its own, which are no mean of others."
            )
    source, left_out = _without(source, left)
    return source, [*left_out, *notes]


def _without(source: Source, left: Mapping[int, str]) -> tuple[Source, list[str]]:
    """The table without some of its rows, and a note that names them."""
    text = source.text
    if not left:
        return source, []
    if len(left) == len(text.lines):
        raise InputError(
            f"a repeat is one training, found rows of {_quoted(left.values())} alone in {source.file}. Give "
            "each repeat a row: means cannot be tested."
        )
    lines = summarise([str(text.lines[row]) for row in sorted(left)], 8)
    place = "lines" if len(left) > 1 else "line"
    note = f"Left out, as they sum up other rows: {_quoted(left.values())} ({place} {lines})."
    return replace(source, text=text.without(left)), [note]


def _sums_up(
    text: TextColumns,
    rows: Mapping[tuple[str, ...], int],
    others: Mapping[str, Mapping[tuple[str, ...], int]],
    values: Sequence[str],
) -> bool:
    """True where every value of a cell is a statistic of the other cells' values of the same repeat."""
    checked = 0
    for key, row in rows.items():
        for title in values:
            cells = [rough_number(text.columns[title][each[key]]) for each in others.values() if key in each]
            numbers = [number for number in cells if number is not None]
            if len(numbers) > 1 and is_number(text.columns[title][row]):
                checked += 1

                # One value that is no statistic of the others is enough: the cell has repeats of its own.
                if not any(
                    _equals(text.columns[title][row], numbers, statistic) for statistic in _STATISTICS
                ):
                    return False
    return checked > 0


_STATISTICS: tuple[Callable[[Sequence[float]], float], ...] = (
    statistics.fmean,
    statistics.median,
    math.fsum,
    statistics.stdev,
    statistics.pstdev,
    min,
    max,
)


def _equals(text: str, numbers: Sequence[float], statistic: Callable[[Sequence[float]], float]) -> bool:
    """True where a number, as exact as it is written, is a statistic of others."""
    value = rough_number(text)
    if value is None or not math.isfinite(value) or not all(map(math.isfinite, numbers)):
        return False
    return abs(value - statistic(numbers)) <= _half_step(text, value)


def _half_step(text: str, value: float) -> float:
    """Half of a text's last decimal, and a little more."""
    digits, _, exponent = text.rstrip(" %").replace(",", ".").lower().partition("e")
    decimals = len(digits.partition(".")[2])
    shift = int(exponent) if exponent.lstrip("+-").isdigit() else 0
    return 0.5 * 10.0 ** (shift - decimals) * 1.001 + 1e-12 * abs(value)


def _quoted(names: Iterable[str]) -> str:
    return summarise([f"`{name}`" for name in dict.fromkeys(names)], 6)


# A column per cell ----------------------------------------------------------------------------------


def _read_wide(source: Source) -> ReadTable:
    """A column per cell, a row per repeat: numbers, and a column of names where repeats have them."""
    # What names the rows: a column of seeds, an index, or texts.
    seed, fold = source.repeat_columns()
    text = source.text
    cells = [title for title in text.columns if title not in (seed, fold)]
    index = [title for title in cells if plain_title(title) in _INDEX]
    index += [title for title in cells[:1] if title not in index and _counts_up(text, title, cells)]
    texts = [title for title in cells if title not in index and not has_numbers(text, title)]
    called = [title for title in cells if title not in (*index, *texts) and plain(title) in _NAMES_OF_REPEATS]
    names = [*index, *texts, *called]

    # Rows that are called a mean, and a last row without a name that is one.
    source, left_out = _without_mean_repeats(source, [*names, seed, fold])
    text, notes = source.text, [*source.notes, *left_out]
    if seed is None and fold is None and len(texts + called) == 1 and names_rows(text, (texts + called)[0]):
        seed = (texts + called)[0]
        texts, called = [], []
    for title in names:
        nameless = [row for row, name in enumerate(text.columns[title]) if not words(name)]
        if nameless and len(nameless) < len(text.lines):
            raise InputError(
                f"every row has a name where some have one, and line {text.lines[nameless[0]]} of "
                f"{source.file} has none. Name it, or leave it out: it is no repeat if it sums up others."
            )

    # Rows of epochs are no repeats.
    steps = [title for title in cells if is_step(title)]
    keys = list(zip(*(text.columns[title] for title in (seed, fold) if title is not None), strict=True))
    if len(set(keys)) < len(text.lines) and any(varies(text, title) for title in steps):
        _refuse_without_repeats(source)
    cells = [title for title in cells if title not in (*names, *steps)]

    # Columns that are scores by their names are no cells, but for losses, which may be what is compared.
    numbers = [title for title in cells if has_numbers(text, title)]
    if (
        numbers
        and all(better_by_name(title) is not None for title in numbers)
        and not all("loss" in words(title) and score_order(title)[0] == 0 for title in numbers)
    ):
        raise InputError(
            f"a cell is what was trained, and {source.file} has columns of scores alone: {listed(numbers)}. "
            "Add a column that names the cell of each row, or name it: --cell COLUMN."
        )

    # Columns that sum up others, or are none of the scores.
    cells, beside = _cells_alone(source, cells)
    if beside:
        notes.append(f"Left out, as they are no cells: {_quoted(beside)}.")
    if len(cells) < 2 or texts or called:
        _refuse_spreads(source, texts)
        statistic = (
            f" {_quoted(beside)} are no cells, by their names: where they are, name them otherwise."
            if beside
            else ""
        )
        raise InputError(
            "a column names the cell of each row, or every column is a cell and holds numbers; "
            f"{source.file} has {listed(text.columns)}.{statistic} Name it: --cell COLUMN, several times for "
            "factors."
        )
    if seed is None and fold is None:
        doubt = _mean_at_the_end(source, cells)
        notes += [doubt] if doubt else []

    # Values: all cells hold one score, and are read together.
    rows = len(text.lines)
    metric = source.names.score[0] if source.names.score else "score"
    seeds, seed_texts = _numbered(source, seed, 0)
    if seed is None and fold is None:
        seeds, label = list(range(rows)), next(iter(index), None)
        seed_texts = (
            dict(enumerate(text.columns[label])) if label is not None and names_rows(text, label) else {}
        )
    folds, fold_texts = _numbered(source, fold, pd.NA)
    repeats = {
        "study": PurePath(source.file).stem,
        "seed": seeds,
        "fold": folds,
        "part": "test",
        "n_train": math.nan,
        "n_test": math.nan,
        "line": text.lines,
        "step": _steps(source),
    }
    values, value_notes = _values(source, [(cell, [metric] * rows) for cell in cells])
    tables = [
        pd.DataFrame({**repeats, "cell": cell, "metric": metric, **each})
        for cell, each in zip(cells, values, strict=True)
    ]
    table = pd.concat(tables, ignore_index=True).astype({"fold": "Int64"})
    return ReadTable(
        table,
        (metric,),
        "a column per cell, a row per repeat",
        {},
        complete=False,
        known=known_metrics([metric]),
        better=directions([metric]),
        seeds=seed_texts,
        folds=fold_texts,
        notes=(*notes, *value_notes),
    )


def _counts_up(text: TextColumns, title: str, titles: Sequence[str]) -> bool:
    """True of a first column 0, 1, 2 … or 1, 2, 3 … beside others that do not count: it numbers the rows."""

    def counts(title: str) -> bool:
        numbers = [name for name in text.columns[title] if not is_mean(name)]
        return len(numbers) > 2 and any(
            numbers == [str(start + row) for row in range(len(numbers))] for start in (0, 1)
        )

    return counts(title) and not any(counts(other) for other in titles if other != title)


def _cells_alone(source: Source, titles: Sequence[str]) -> tuple[list[str], list[str]]:
    """Columns that are cells, and those that sum up others or are no scores, by name.

    ``base_mean`` sums up where there is a column ``base`` or ``base_std``, or where all columns are means;
    ``max`` and ``best`` do where a column ``mean`` or ``std`` is beside them, or where their values say so.
    """
    stems = {title: statistic for title in titles if (statistic := stem_of_statistic(title)) is not None}
    all_kinds = {stems[title][1] if title in stems else "" for title in titles}
    all_means = len(titles) > 1 and all_kinds in ({"mean"}, {"spread"})
    has_means = any(is_mean(title) and not may_be_cell(title) for title in titles)
    sums: list[str] = []
    others: list[str] = []
    for title in titles:
        stem, kind = stems.get(title, ("", ""))
        kinds = [other for name, (of, other) in stems.items() if of == stem and name != title]
        beside_column = stem in titles and (kind != "total" or bool(kinds))
        beside_spread = (kind == "spread" and bool(kinds)) or "spread" in kinds
        bookkeeping = plain(title) in ("n_train", "n_test", "run_id", "runtime", "duration") or (
            words(title)[:1] in (["n"], ["num"]) or title.startswith(("_", "system/", "system."))
        )
        if may_be_cell(title) and not has_means:
            others.append(title)
        elif is_mean(title) or (bool(kind) and (beside_column or beside_spread or all_means)) or bookkeeping:
            sums.append(title)
    cells = [title for title in titles if title not in (*sums, *others)]

    # Now that the sure ones are out, values tell the rest: what is a statistic of the other columns sums them
    # up.
    if len(cells) > 1:
        sums += [title for title in others if _sums_up_columns(source, title, cells)]
        sums += [
            title
            for title in cells
            if len(cells) > 2 and is_difference(title) and _is_difference_of(source, title, cells)
        ]
    return [title for title in titles if title not in sums], sums


def _sums_up_columns(source: Source, title: str, cells: Sequence[str]) -> bool:
    """True where each value of a column is a statistic of the others in its row."""
    rows = zip(*(source.text.columns[cell] for cell in cells), strict=True)
    return all(
        any(_equals(text, numbers, statistic) for statistic in _STATISTICS)
        for text, row in zip(source.text.columns[title], rows, strict=True)
        if len(numbers := [number for cell in row if (number := rough_number(cell)) is not None]) > 1
    )


def _is_difference_of(source: Source, title: str, cells: Sequence[str]) -> bool:
    """True where each value of a column is the difference of two others."""
    columns = {cell: [rough_number(text) for text in source.text.columns[cell]] for cell in cells}
    texts = source.text.columns[title]
    return any(
        all(
            a is not None and b is not None and _equals(text, [a, -b], math.fsum)
            for text, a, b in zip(texts, columns[first], columns[second], strict=True)
        )
        for first in cells
        for second in cells
        if title not in (first, second) and first != second
    )


def _mean_at_the_end(source: Source, cells: Sequence[str]) -> str | None:
    """A note of a last row without a name that may be the mean of the others.

    Raises:
        InputError: If it surely is: chance would hardly make each of its values the others' mean.
    """
    rows = len(source.text.lines)
    columns = [[rough_number(text) for text in source.text.columns[cell]] for cell in cells]
    for last in range(rows - 1, max(1, rows - 4), -1):
        chance = 1.0
        for cell, numbers in zip(cells, columns, strict=True):
            above = [number for number in numbers[:last] if number is not None]
            text = source.text.columns[cell][last]
            if len(above) < 2 or not (
                _equals(text, above, statistics.fmean) or _equals(text, above, math.fsum)
            ):
                chance = math.nan
                break

            # How often a repeat would be the mean by chance, as exact as it is written.
            spread = max(above) - min(above)
            chance *= min(1.0, 2 * _half_step(text, above[0]) / spread) if spread > 0 else 1.0
        line = source.text.lines[last]
        if chance < 0.1:
            raise InputError(
                f"a row is a repeat, and each value in line {line} of {source.file} is the mean or the sum "
                "of those above it. Leave it out if it sums them up; else give the rows a column of names, "
                "such as seed."
            )
        if chance < 0.5:
            return (
                f"The values in line {line} are the means of those above it, as exact as they are written. "
                "It is read as a repeat: leave it out if it is none."
            )
    return None


# Texts --------------------------------------------------------------------------------------------


def _kept(source: Source, name: str, default: str) -> list[str]:
    """A column of a study's summary; ``default`` where the table has none."""
    return source.text.columns.get(name, [default] * len(source.text.lines))


def _steps(source: Source) -> list[str]:
    """The epoch or step of each row, ``epoch 3``; empty where the table has none."""
    titles = [t for t in source.steps() if t not in source.settings and varies(source.text, t)]
    if not titles:
        return [""] * len(source.text.lines)
    return [f"{titles[0]} {text}" for text in source.text.columns[titles[0]]]


def _numbered(source: Source, column: str | None, default: Any) -> tuple[list[Any], dict[int, str]]:
    """Seeds or folds as whole numbers, and their texts, numbered as they come where they are none."""
    if column is None:
        return [default] * len(source.text.lines), {}
    texts = source.text.columns[column] if default is pd.NA else filled(source.text, column, source.file)
    numbers = [plain_number(text) for text in texts]
    whole = all(
        text.lower() in NO_VALUE if value is None else value.is_integer() and abs(value) < _EXACT
        for text, value in zip(texts, numbers, strict=True)
    )

    # Other texts than whole numbers are numbered as they come: what counts is which rows have the same.
    if whole and (default is pd.NA or None not in numbers):
        numbered = [default if value is None else int(value) for value in numbers]
    else:
        order = {text: index for index, text in enumerate(dict.fromkeys(texts))}
        numbered = [order[text] for text in texts]
    named: dict[int, str] = {}
    for number, text in zip(numbered, texts, strict=True):
        if number is not pd.NA:
            named.setdefault(number, text)
    return numbered, named


def _values(
    source: Source, columns: Sequence[tuple[str, Sequence[str]]]
) -> tuple[list[dict[str, list[Any]]], list[str]]:
    """Value and status of each row, column by column. Runs that did not finish have no value.

    Args:
        source: The table.
        columns: Columns of values, and the score of each row: values of one score are read together.
    """
    state = source.status or source.usual(STATUS)
    states = _statuses(source, state)
    comma_file = has_comma_decimals(text for texts in source.text.columns.values() for text in texts)

    # Values of one score are read together: what a comma means, and whether they are in percent, only the
    # others tell.
    places: dict[str, list[tuple[int, int]]] = {}
    for index, (_, scores) in enumerate(columns):
        for row, score in enumerate(scores):
            places.setdefault(score, []).append((index, row))
    numbers: dict[tuple[int, int], float | None] = {}
    notes: list[str] = []
    for score, cells in places.items():
        entries = [
            Entry(
                source.text.columns[columns[index][0]][row],
                short_title(columns[index][0]),
                source.text.lines[row],
            )
            for index, row in cells
        ]
        values, note = read_numbers(entries, known_metric(score), score, source.file, comma_file=comma_file)
        numbers |= dict(zip(cells, values, strict=True))
        notes += [note] if note else []

    read: list[dict[str, list[Any]]] = []
    for index in range(len(columns)):
        values, statuses = [], []
        for row, status in enumerate(states):
            value = numbers[index, row]
            if status == "finished" and value is not None and not math.isfinite(value):
                status = "diverged"  # noqa: PLW2901
            finished = status == "finished" and value is not None
            lost = "missing" if status == "finished" and state is None else status
            values.append(value if finished else math.nan)
            statuses.append("finished" if finished else lost)
        read.append({"value": values, "status": statuses})
    return read, notes


def _statuses(source: Source, column: str | None) -> list[str]:
    """Ends of the runs: finished, diverged, or the word of the file for a run that has no result.

    Raises:
        InputError: If a status is not known.
    """
    if column is None:
        return ["finished"] * len(source.text.lines)
    statuses: list[str] = []
    for text, line in zip(source.text.columns[column], source.text.lines, strict=True):
        kind = status_kind(text) if text else "finished"
        if kind is None:
            raise InputError(
                f"a status is a word that is known, found {text!r} in {column} in line {line} of "
                f"{source.file}: {known_statuses()}. Write one of them, or leave the column out."
            )
        statuses.append(text.lower() if kind == "lost" else kind)
    return statuses


def _size(text: str) -> float:
    value = plain_number(text)
    return math.nan if value is None else value


def _refuse_spreads(source: Source, columns: Sequence[str]) -> None:
    """Refuse columns of means with a spread, which are no numbers: nothing else can be said of them."""
    for column in columns:
        text, line = source.text.columns[column][0], source.text.lines[0]
        if any(sign in text for sign in ("±", "+-", "+/-", "(")):
            raise InputError(
                f"a score is the number of one repeat, found {text!r} for {short_title(column)} in line "
                f"{line} of {source.file}. Give each repeat a row: means with a spread cannot be tested."
            )
