"""A table for a paper: chosen columns, the levels of a factor side by side, and notes only where asked for.

Its rows and numbers are those of the ablation table, so none can differ from the report's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from assay.analysis.names import study_names
from assay.analysis.results.results import StudyResults
from assay.report.page.model import NOTHING, SUPERSCRIPTS, Column, TextTable
from assay.report.tables.cells import ablation_table, study_bold_notes
from assay.report.tables.footnotes import footnotes, spread_notes
from trainables.errors import InputError, nearest

__all__ = ["PaperTable", "paper_table"]

_MARK = re.compile(rf"\s*[{SUPERSCRIPTS}]+$")
_VARIANT = "variant"


@dataclass(frozen=True)
class PaperTable:
    """A table and what stands around it."""

    title: str  # of the study
    table: TextTable
    caption: str  # what its numbers are
    groups: tuple[tuple[str, int], ...] = ()  # headings above columns, and how many; empty: there are none
    notes: tuple[str, ...] = ()  # where they are asked for

    @property
    def in_one_line(self) -> TextTable:
        """The table where a heading has one line: ``AP ↑, all masks``."""
        above = [title for title, width in self.groups for _ in range(width)]
        columns = tuple(
            column._replace(title=f"{title}, {column.title}") if title else column
            for title, column in zip(above or [""] * len(self.table.columns), self.table.columns, strict=True)
        )
        return replace(self.table, columns=columns)


def paper_table(
    results: StudyResults, columns: Sequence[str], across: str | None, *, notes: bool
) -> PaperTable:
    """The ablation table of a study as a paper has it.

    Args:
        results: Of the study.
        columns: Names of factors and metrics, `variant`, `n`, or headings of the report, in the order in
            which they are to stand; empty: all.
        across: A factor whose levels stand side by side; None: each cell has a row of its own.
        notes: With the notes below it, and the numbers in its cells that lead there.

    Raises:
        InputError: If there is no such column or factor, or the two do not go together.
    """
    table = ablation_table(results)
    if not notes:
        texts = tuple(tuple(_MARK.sub("", text) for text in row) for row in table.rows)
        table = replace(table, rows=texts, notes=())
    table = replace(_with_variants(results, table), links={})
    known = _places(results, table)
    factors = list(results.plan.study.factors)
    if across is not None and across not in factors:
        raise InputError(
            f"--across puts the levels of a factor side by side, found {across!r}; {nearest(across, factors)}"
        )
    chosen: list[int] = []
    for name in columns:
        places = known.get(name.strip().casefold())
        if places is None:
            raise InputError(
                f"--columns names columns of the variants' table, found {name.strip()!r}; "
                f"{nearest(name.strip().casefold(), known)}"
            )
        if across is not None and (places == known.get(across.casefold()) or places == known[_VARIANT]):
            raise InputError(
                f"levels of {across} stand side by side, found {name.strip()} among --columns. Leave it out."
            )
        chosen += [place for place in places if place not in chosen]
    if not columns:
        left_out = {_VARIANT} if across is None else {_VARIANT, study_names(results).factor_words(across)}
        chosen = [i for i, column in enumerate(table.columns) if column.title not in left_out]

    caption = " ".join([*study_bold_notes(results)[:1], *spread_notes(results)])
    below = (*study_bold_notes(results), *footnotes(results)) if notes else ()
    if across is None:
        return PaperTable(results.name, table.with_columns(chosen), caption, (), below)
    table, groups = _side_by_side(results, table, chosen, across)
    return PaperTable(results.name, table, caption, groups, below)


def _with_variants(results: StudyResults, table: TextTable) -> TextTable:
    """The table with the variants' names as a last column, where it has none."""
    if any(column.title == _VARIANT for column in table.columns):
        return table
    names = [study_names(results).variant(cell.name) for cell in results.reported.cells]
    rows = tuple((*row, name) for row, name in zip(table.rows, names, strict=True))
    return replace(table, columns=(*table.columns, Column(_VARIANT, "left")), rows=rows)


def _places(results: StudyResults, table: TextTable) -> Mapping[str, list[int]]:
    """Name of a column, in small letters → where such columns are."""
    places: dict[str, list[int]] = {}
    # A metric and a factor are known by their names in the study file, and by what the table calls them.
    names = {metric.title: metric.name for metric in results.metrics} | _factor_titles(results)
    for place, column in enumerate(table.columns):
        plain = column.title.removesuffix(" ↑").removesuffix(" ↓")
        for name in {text.casefold() for text in (column.title, plain, names.get(plain, plain))}:
            places.setdefault(name, []).append(place)
    return places


def _factor_titles(results: StudyResults) -> dict[str, str]:
    """Heading of a factor's column → its name."""
    names = study_names(results)
    return {names.factor_words(factor): factor for factor in results.plan.study.factors}


def _side_by_side(
    results: StudyResults, table: TextTable, chosen: Sequence[int], across: str
) -> tuple[TextTable, tuple[tuple[str, int], ...]]:
    """A row for what all levels of a factor share, and a column of each value for each of them."""
    names, factors = study_names(results), list(results.plan.study.factors)
    cells = results.reported.cells
    levels = list(dict.fromkeys(cell.levels[across] for cell in cells))
    shared: dict[tuple[str, ...], dict[str, int]] = {}
    for row, cell in enumerate(cells):
        key = tuple(cell.levels[factor] for factor in factors if factor != across)
        shared.setdefault(key, {})[cell.levels[across]] = row

    # A factor has one column, a value one for each level.
    titles = _factor_titles(results)
    columns: list[Column] = []
    sources: list[tuple[int, str | None]] = []
    groups: list[tuple[str, int]] = []
    for place in chosen:
        column = table.columns[place]
        if column.title in titles:
            columns.append(column)
            sources.append((place, None))
            groups.append(("", 1))
        else:
            columns += [column._replace(title=names.level_words(across, level)) for level in levels]
            sources += [(place, level) for level in levels]
            groups.append((column.title, len(levels)))

    rows: list[tuple[str, ...]] = []
    bold: set[tuple[int, int]] = set()
    for number, of_level in enumerate(shared.values()):
        first = next(iter(of_level.values()))
        texts: list[str] = []
        for at, (place, level) in enumerate(sources):
            source = first if level is None else of_level.get(level)
            texts.append(NOTHING if source is None else table.rows[source][place])
            if (source, place) in table.bold:
                bold.add((number, at))
        rows.append(tuple(texts))
    return TextTable(tuple(columns), tuple(rows), table.notes, frozenset(bold)), tuple(groups)
