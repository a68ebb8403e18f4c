"""A page as Markdown, whose tables also line up as plain text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from assay.report.page.inline import spans, visible
from assay.report.page.model import Page, Picture, Section, TextTable, superscript

__all__ = ["escape", "markdown_page", "markdown_section", "markdown_table", "note_lines"]

# Signs that are mark-up where they stand: an underscore inside a word is none, nor a bracket without address.
_MARK_UP = re.compile(
    r"\\(?=[!-/:-@\[-`{-~])|\*|(?<![^\W_])_|_(?![^\W_])|`|<(?=[a-zA-Z/!?])|&(?=#?\w+;)|~(?=~)|(?<=~)~|\$|\](?=[(\[:])"
)
_LINE_START = re.compile(
    r"^[ \t]*(?:(#{1,6}|[-+>]|=+|-{2,}|~{3,})|(\d{1,9})([.)]))(?=\s|$|(?<=>))", re.MULTILINE
)


def escape(text: str) -> str:
    """Text as Markdown shows it, `code` in backticks left as such and control characters written out."""
    marked = spans(visible(text), lambda plain: _MARK_UP.sub(r"\\\g<0>", plain), lambda code: f"`{code}`")
    return _LINE_START.sub(_plain_start, marked)


def _plain_start(match: re.Match[str]) -> str:
    """A line's start that would make it a heading, a list or a quote."""
    sign, number, mark = match.groups()
    return f"\\{sign}" if sign else f"{number}\\{mark}"


def _line_of(text: str) -> str:
    """A text in one line."""
    return escape(" ".join(text.splitlines()))


def markdown_page(page: Page, pictures: Mapping[str, str] = MappingProxyType({})) -> str:
    """The page, ending in a newline.

    Args:
        page: What it says.
        pictures: Stem → path of the pictures that lie beside the page; the others are left out.
    """
    parts = [f"# {_line_of(page.title)}"]
    if page.question:
        parts.append("> " + escape(page.question).replace("\n", "\n> "))
    if page.sentence:
        parts.append(f"**{_line_of(page.sentence)}**")
    parts.append(_line_of(page.count))
    if page.answer is not None:
        parts.append(markdown_section(page.answer))
    if page.figure is not None:
        parts.append(_picture(page.figure, pictures))
    parts += ["## Variants", markdown_table(page.table), _notes(page.table, ())]
    parts += [markdown_section(section) for section in page.sections]
    parts += [_picture(picture, pictures) for picture in page.pictures]
    parts += [markdown_section(section) for section in page.search]
    if page.notes:
        parts += ["## Notes", _notes(None, page.notes)]
    parts.append(markdown_section(page.listed_trials))
    return "\n\n".join(part for part in parts if part) + "\n"


def _picture(picture: Picture, pictures: Mapping[str, str]) -> str:
    if picture.stem not in pictures:
        return ""
    return f"![{_line_of(picture.alt)}]({pictures[picture.stem]})\n\n*{_line_of(picture.caption)}*"


def markdown_table(table: TextTable) -> str:
    """A Markdown table."""
    rows = [
        [f"**{_cell(text)}**" if (i, j) in table.bold else _cell(text) for j, text in enumerate(row)]
        for i, row in enumerate(table.rows)
    ]
    titles = [_cell(column.title) for column in table.columns]
    widths = [max(3, *map(len, texts)) for texts in zip(titles, *rows, strict=True)]
    rules = [_rule(column.align, width) for column, width in zip(table.columns, widths, strict=True)]
    lines = [_line(table, titles, widths), f"|{'|'.join(rules)}|"]
    return "\n".join([*lines, *(_line(table, row, widths) for row in rows)])


def note_lines(table: TextTable | None, notes: Sequence[str]) -> list[str]:
    """The notes below a table as list items, as they are: those that its cells refer to by number first."""
    numbered = enumerate(table.notes if table is not None else (), start=1)
    lines = [f"- {superscript(number)} {note}" for number, note in numbered]
    return [*lines, *(f"- {note}" for note in notes)]


def markdown_section(section: Section) -> str:
    """Heading, paragraph, table and notes."""
    table = markdown_table(section.table) if section.table is not None else ""
    head, notes = f"## {_line_of(section.title)}", _notes(section.table, section.notes)
    return "\n\n".join(filter(None, [head, _line_of(section.intro), table, notes]))


def _notes(table: TextTable | None, notes: Sequence[str]) -> str:
    return "\n".join(f"- {_line_of(line.removeprefix('- '))}" for line in note_lines(table, notes))


def _cell(text: str) -> str:
    return _line_of(text).replace("|", "\\|")


def _line(table: TextTable, texts: Sequence[str], widths: Sequence[int]) -> str:
    place = {"left": str.ljust, "center": str.center, "right": str.rjust}
    padded = [
        place[column.align](text, width)
        for column, text, width in zip(table.columns, texts, widths, strict=True)
    ]
    return f"| {' | '.join(padded)} |"


def _rule(align: str, width: int) -> str:
    left, right = align in {"left", "center"}, align in {"right", "center"}
    return f"{':' if left else '-'}{'-' * width}{':' if right else '-'}"
