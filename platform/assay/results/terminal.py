"""The report for a terminal: the rows of :mod:`assay.results.tables` drawn by rich."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from assay.results.answer_tables import sections
from assay.results.answers import study_answers
from assay.results.luck import StudyLuck
from assay.results.record import Problem, Record
from assay.results.report import count_line, note_lines, numbered_notes
from assay.results.search_tables import best_table, judged_cells
from assay.results.tables import TextTable, ablation_table
from assay.study import Plan

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

__all__ = ["rich_table", "terminal_report"]


def terminal_report(
    plan: Plan,
    records: Mapping[str, Record],
    problems: Sequence[Problem] = (),
    *,
    luck: StudyLuck | None = None,
    looks: Sequence[int] = (),
) -> Group:
    """Table, notes and comparisons, with the same numbers as the Markdown page."""
    from rich.console import Group, RenderableType
    from rich.text import Text

    answers = study_answers(plan, records, problems, luck=luck, looks=looks)
    table = ablation_table(plan, records, problems, answers)
    notes = note_lines(plan, records, problems, table, answers)
    parts: list[RenderableType] = [Text(plan.study.study, style="bold")]
    if plan.study.question:
        parts.append(Text(plan.study.question.strip(), style="italic"))
    parts += [
        Text(count_line(plan, records)),
        rich_table(table),
        *(Text(note, style="dim") for note in notes),
    ]
    for section in sections(plan, answers):
        notes = [*numbered_notes(section.table), *(f"- {note}" for note in section.notes)]
        parts += [
            Text(),
            Text(section.title, style="bold"),
            Text(section.intro),
            rich_table(section.table),
            *(Text(note, style="dim") for note in notes),
        ]
    if plan.study.search is not None:
        parts += [
            Text("Best points", style="bold"),
            rich_table(best_table(plan, judged_cells(plan, records))),
        ]
    return Group(*parts)


def rich_table(table: TextTable) -> Table:
    """A rich table of the same text; nothing in it is read as markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        drawn.add_column(Text(column.title), justify=column.align)
    for i, row in enumerate(table.rows):
        drawn.add_row(
            *(Text(cell, style="bold" if (i, j) in table.bold else "") for j, cell in enumerate(row))
        )
    return drawn
