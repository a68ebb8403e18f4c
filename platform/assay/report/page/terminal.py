"""A page for a terminal, drawn by rich: the answer and the variants on one screen, the rest when asked for.

No cell of a table is cut or broken. Where a table is too wide, columns that can be spared are left out first,
then spreads of further metrics; names then stand in lines of their own, and last the columns at the right go.
What is left out is said.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Self

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from assay.report.page.inline import visible
from assay.report.page.model import SUPERSCRIPTS, Column, Page, Section, TextTable, superscript

__all__ = ["FittedTable", "terminal_page"]

_WIDE = 5  # columns that are left of a wide table
_UNBOUNDED = 10_000  # columns
_NOTES = 3  # below a table of a page without its notes


class _Most(NamedTuple):
    """Rows of a table on a page without its notes: in a line each, and below names of their own."""

    rows: int
    below_names: int


_ANSWERS, _VARIANTS = _Most(8, 4), _Most(10, 5)


def terminal_page(page: Page, *, whole: bool = False, rest: str = "") -> Group:
    """A study on one screen, or all of its page but trials and pictures.

    Args:
        page: What it says.
        whole: Show all.
        rest: The command that shows the rest, to be named below; empty: the caller does.
    """
    title = ": ".join(filter(None, (page.title, page.question)))
    head: list[RenderableType] = [Text(visible(title), style="bold"), Text(visible(page.count))]
    if page.sentence:
        head += [Text(), Text(visible(page.sentence), style="bold")]
    if whole:
        behind = [part for section in (*page.sections, *page.search[:1]) for part in _whole(section)]
        answer = [] if page.answer is None else _whole(page.answer)
        return Group(*head, *answer, FittedTable(page.narrow_table), *_lines(page.notes), *behind)

    # The strongest comparisons and the best variants, and what their marks mean.
    parts = [*head]
    if page.answer is not None and page.answer.table is not None:
        parts.append(FittedTable(page.answer.table, _ANSWERS, "comparisons"))
        parts += _lines(page.answer.notes[: _NOTES - 1])
    table = page.narrow_table
    if len(table.rows) > _VARIANTS.rows + 2:
        table = table.with_rows(page.best_first or range(len(table.rows)))
    parts.append(FittedTable(table, _VARIANTS, "variants"))
    for section in page.search[:1]:
        parts += _whole(section)
    if rest:
        parts.append(Text(f"Notes and numbers behind it: {rest}", style="dim"))
    return Group(*parts)


def _whole(section: Section) -> list[RenderableType]:
    """A section with all its notes."""
    parts: list[RenderableType] = [Text(), Text(visible(section.title), style="bold")]
    if section.intro:
        parts.append(Text(visible(section.intro)))
    if section.table is not None:
        parts.append(FittedTable(section.table))
    return [*parts, *_lines(section.notes)]


def _lines(notes: Iterable[str]) -> list[Text]:
    """Notes as dim lines."""
    return [Text(f"- {visible(note)}", style="dim") for note in notes]


def _drawn(table: TextTable) -> Table:
    """A rich table of the same text; nothing in it is read as markup."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in table.columns:
        drawn.add_column(Text(visible(column.title)), justify=column.align, no_wrap=True)
    for i, row in enumerate(table.rows):
        drawn.add_row(
            *(Text(visible(cell), style="bold" if (i, j) in table.bold else "") for j, cell in enumerate(row))
        )
    return drawn


class FittedTable:
    """A table that fits the terminal, below an empty line; then what it left out for that, and its notes.

    Args:
        table: With all rows and columns.
        most: Rows, and of as many notes the first; None: all.
        what: The rows are, in the plural.
    """

    def __init__(self, table: TextTable, most: _Most | None = None, what: str = "rows") -> None:
        self._table, self._most, self._what = table, most, what

    @classmethod
    def of(
        cls,
        titles: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        right: Collection[str] = (),
        spare: Collection[str] = (),
        most: tuple[int, int] | None = None,
        what: str = "rows",
    ) -> Self:
        """A table of texts; columns are set to the left but those ``right``, and ``spare`` ones go first.

        ``most``: rows, that are ``what``, in a line each and below names of their own; None: all.
        """
        columns = (Column(title, "right" if title in right else "left", title in spare) for title in titles)
        table = TextTable(tuple(columns), tuple(map(tuple, rows)))
        return cls(table, None if most is None else _Most(*most), what)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        def fits(table: TextTable) -> bool:
            drawn = _drawn(table)
            return Measurement.get(console, options.update(max_width=_UNBOUNDED), drawn).maximum <= (
                options.max_width
            )

        table = self._table
        places = list(range(len(table.columns)))
        if not fits(table):
            places = [place for place in places if not table.columns[place].spare]
        kept = table.with_columns(places)
        if not fits(kept):
            kept = _means_only(kept)
        # Of a wide table one or two columns less are a smaller loss than names on lines of their own.
        for fewer in (1, 2) if not fits(kept) else ():
            left = [place for place in range(len(places)) if not -1 - fewer <= place - len(places) < -1]
            if len(left) >= _WIDE and fits(kept.with_columns(left)):
                places, kept = [places[place] for place in left], kept.with_columns(left)
                break
        names: list[str] = []
        rows = None if self._most is None else self._most.rows
        if not fits(kept) and len(places) > 1:
            first = next(j for j, column in enumerate(kept.columns) if column.align == "right")
            widths = [max(cell_len(row[j]) for row in kept.rows) for j in range(first - 1)]
            padded = [
                [row[j] + " " * (width - cell_len(row[j])) for j, width in enumerate(widths)]
                for row in kept.rows
            ]
            names = [
                "  ".join([*texts, row[first - 1]]) for texts, row in zip(padded, kept.rows, strict=True)
            ]
            kept = kept.with_columns(range(first, len(kept.columns)))
            rows = None if self._most is None or len(names) <= self._most.rows else self._most.below_names
        while not fits(kept) and len(kept.columns) > 1:
            spared = -2 if len(kept.columns) > 2 else -1
            del places[spared]
            kept = kept.with_columns([j for j in range(len(kept.columns)) if j != len(kept.columns) + spared])
        if rows is not None and len(kept.rows) > rows + 1:
            kept = replace(kept, rows=kept.rows[:rows])
        yield Text()
        if names:
            yield from _below_names(kept, names)
        else:
            yield _drawn(kept)
        if len(kept.rows) < len(table.rows):
            yield Text(f"- {len(table.rows) - len(kept.rows)} more {self._what}.", style="dim")
        left_out = [column.title for i, column in enumerate(table.columns) if i not in places]
        if left_out:
            yield Text(f"- Not shown at this width: {', '.join(left_out)}.", style="dim")

        # Of a table that is cut, the notes to which its shown part refers.
        shown = "".join([*names[: len(kept.rows)], *(text for row in kept.rows for text in row)])
        marks = {*re.findall(f"[{SUPERSCRIPTS}]+", shown)}
        notes = [(superscript(number), note) for number, note in enumerate(table.notes, start=1)]
        lines = [f"{mark} {note}" for mark, note in notes if self._most is None or mark in marks]
        yield from _lines(lines[: _NOTES if self._most else None])


def _means_only(table: TextTable) -> TextTable:
    """The table without the spreads of further metrics: that of the first one stays."""
    first = next((j for j in range(len(table.columns)) if any(" ± " in row[j] for row in table.rows)), 0)
    rows = (
        tuple(text if j <= first else text.partition(" ± ")[0] for j, text in enumerate(row))
        for row in table.rows
    )
    return replace(table, rows=tuple(rows))


def _below_names(table: TextTable, names: Sequence[str]) -> Iterator[Text]:
    """Rows of numbers, each below a line with its name."""
    cells = [[visible(column.title) for column in table.columns], *(map(visible, row) for row in table.rows)]
    lines = [list(row) for row in cells]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for number, row in enumerate(lines):
        aligned = Text("    ")
        for place, (text, width) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (width - cell_len(text))
            left = table.columns[place].align == "left"
            style = "bold" if not number or (number - 1, place) in table.bold else ""
            aligned.append(f"{text}{gap}" if left else f"{gap}{text}", style=style).append("  ")
        aligned.rstrip()
        if number:
            yield Text(visible(names[number - 1]))
        yield aligned
        if not number:
            yield Text("─" * (sum(widths) + 2 * len(widths) + 2))
