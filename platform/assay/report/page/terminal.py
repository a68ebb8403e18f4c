"""A page for a terminal, drawn by rich: without its trials, pictures and intervals of means."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from assay.report.page.inline import visible
from assay.report.page.markdown import note_lines
from assay.report.page.model import Page, TextTable

__all__ = ["terminal_page"]


def terminal_page(page: Page) -> Group:
    """The answer in sentences, table, notes, comparisons and best points: the numbers of the other forms."""
    parts: list[RenderableType] = [Text(visible(page.title), style="bold")]
    if page.question:
        parts.append(Text(visible(page.question), style="italic"))
    if page.answer:
        parts += [Text(), _sentences(page.answer), Text()]
    parts += [Text(visible(page.count)), *_table_and_notes(page.table, page.notes)]
    for section in (*page.sections, *page.search[:1]):
        head = [Text(visible(section.title), style="bold"), Text(visible(section.intro))]
        parts += [Text(), *head, *_table_and_notes(section.table, section.notes)]
    return Group(*parts)


def _sentences(answer: tuple[tuple[str, tuple[str, ...]], ...]) -> Table:
    lines = Table.grid(padding=(0, 2))
    for title, sentences in answer:
        for i, sentence in enumerate(sentences):
            lines.add_row(Text("" if i else title, style="bold"), Text(visible(sentence)))
    return lines


def _rich_table(table: TextTable) -> Table:
    """A rich table of the same text; nothing in it is read as markup."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        drawn.add_column(Text(visible(column.title)), justify=column.align)
    for i, row in enumerate(table.rows):
        drawn.add_row(
            *(Text(visible(cell), style="bold" if (i, j) in table.bold else "") for j, cell in enumerate(row))
        )
    return drawn


class _FittedTable:
    """A table without its spare columns where the terminal is too narrow for them, which it then says."""

    def __init__(self, table: TextTable) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        spare = [column.title for column in self._table.columns if column.spare]
        needed = Measurement.get(console, options.update(max_width=10_000), _rich_table(self._table)).maximum
        if not spare or needed <= options.max_width:
            yield _rich_table(self._table)
            return
        kept = [place for place, column in enumerate(self._table.columns) if not column.spare]
        yield _rich_table(self._table.with_columns(kept))
        yield Text(f"- Columns for a wider terminal or a file: {', '.join(spare)}.", style="dim")


def _table_and_notes(table: TextTable | None, notes: tuple[str, ...]) -> list[RenderableType]:
    drawn: list[RenderableType] = [] if table is None else [_FittedTable(table)]
    return [*drawn, *(Text(visible(note), style="dim") for note in note_lines(table, notes))]
