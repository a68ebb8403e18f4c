"""A page as one HTML file that needs nothing else: styles and pictures inside, no script, light and dark."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import NamedTuple

from assay.report.page.inline import anchors, inline, linked, visible
from assay.report.page.model import Page, Picture, Section, TextTable, superscript
from assay.study.names import counted

__all__ = ["Additions", "escape", "html_notes", "html_page", "html_picture", "html_section"]

# How a verdict begins → its class, which gives the colour.
_VERDICTS = {
    "significant": "shown",
    "suggested": "suggested",
    "negligible": "negligible",
    "can go": "dispensable",
    "keep": "shown",
    "worse": "suggested",
    "no difference": "negligible",
    "too small": "negligible",
}


class Additions(NamedTuple):
    """Parts that a page has beyond the report, as markup."""

    head: str  # end of the head
    parts: Mapping[str, str]  # heading → content; they stand before the trials, with links to them on top
    tail: str  # end of the body


_NO_ADDITIONS = Additions("", {}, "")


def html_page(page: Page, added: Additions = _NO_ADDITIONS) -> str:
    """The file, ending in a newline. Every trial is listed, folded away by cell."""
    assert page.trials.table is not None
    writer = _Writer(anchors(page.trials.table))
    style = files("assay.report.page").joinpath("page.css").read_text(encoding="utf-8")
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(page.title)}</title>\n<style>\n{style}</style>",
        *filter(None, [added.head]),
        "</head>\n<body>\n<main>",
        f"<header>\n<h1>{escape(page.title)}</h1>",
        *([f'<p class="question">{_lines(page.question)}</p>'] if page.question else []),
        *([f'<p class="sentence">{_text(page.sentence)}</p>'] if page.sentence else []),
        f'<p class="count">{_text(page.count)}</p>\n</header>',
        *_part_links(added.parts),
    ]
    if page.answer is not None:
        parts += writer.section(page.answer, folded=False)
    if page.figure is not None:
        parts.append(html_picture(page.figure))
    parts += ["<section>\n<h2>Variants</h2>", *writer.table_and_notes(_count_first(page.table), ())]
    parts += [*writer.folded(page.notes), "</section>"]
    for section in page.sections:
        parts += writer.section(section)
    parts += [html_picture(picture) for picture in page.pictures]
    for section in page.search:
        parts += writer.section(section)
    parts += [
        f'<section id="{_part_anchor(title)}">\n<h2>{escape(title)}</h2>\n{content}\n</section>'
        for title, content in added.parts.items()
    ]
    parts += writer.trials(page.trials)
    return "\n".join([*parts, "</main>", *filter(None, [added.tail]), "</body>\n</html>"]) + "\n"


def _part_links(parts: Iterable[str]) -> Iterator[str]:
    links = [_link(escape(title), _part_anchor(title)) for title in parts]
    if links:
        yield "\n".join(["<nav>", *links, "</nav>"])


def _part_anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _count_first(table: TextTable) -> TextTable:
    """The table of the cells with n, its last column, beside the primary metric."""
    *places, n = range(len(table.columns))
    primary = next((place for place in places if table.columns[place].title.endswith(("↑", "↓"))), n - 1)
    return table.with_columns([*places[: primary + 1], n, *places[primary + 1 :]])


def html_section(section: Section) -> str:
    """A section alone, as a part of another page: its table has no links."""
    return "\n".join(_Writer({}).section(section))


def html_notes(table: TextTable, notes: Sequence[str]) -> str:
    """Notes below a table; empty where there are none."""
    return "\n".join(_Writer({}).notes(table, notes))


@dataclass(frozen=True)
class _Writer:
    """Sections and tables with links to the trials of cells."""

    anchors: Mapping[str, str]

    def section(self, section: Section, *, folded: bool = True) -> Iterator[str]:
        yield f"<section>\n<h2>{_text(section.title)}</h2>"
        if section.intro:
            yield f"<p>{_text(section.intro)}</p>"
        yield from self.table_and_notes(section.table, ())
        yield from self.folded(section.notes) if folded else self.notes(None, section.notes)
        yield "</section>"

    def folded(self, notes: Sequence[str]) -> Iterator[str]:
        """Notes that a reader unfolds."""
        if notes:
            yield f"<details>\n<summary>{counted(len(notes), 'note')}</summary>"
            yield from self.notes(None, notes)
            yield "</details>"

    def table_and_notes(self, table: TextTable | None, notes: Sequence[str]) -> Iterator[str]:
        if table is not None:
            yield self._table(table)
        yield from self.notes(table, notes)

    def notes(self, table: TextTable | None, notes: Sequence[str]) -> Iterator[str]:
        """Those that the table's cells refer to by number first."""
        numbered = enumerate(table.notes if table is not None else (), start=1)
        items = [f'<li class="numbered">{superscript(i)} {_text(note)}</li>' for i, note in numbered]
        items += [f"<li>{_text(note)}</li>" for note in notes]
        if items:
            yield "\n".join(['<ul class="notes">', *items, "</ul>"])

    def trials(self, section: Section) -> Iterator[str]:
        """Trials folded by cell. A link to what is folded away unfolds it: the anchor lies inside."""
        table = section.table
        assert table is not None
        yield f"<section>\n<h2>{_text(section.title)}</h2>\n<p>{_text(section.intro)}</p>"
        for cell, rows in groupby(table.rows, key=lambda row: row[0]):
            of_cell = tuple(row[1:] for row in rows)
            count = counted(len(of_cell), "trial")
            yield (
                f"<details>\n<summary>{escape(cell)} <span>{count}</span></summary>\n"
                f'<div id="{self.anchors[cell]}">\n{self._table(TextTable(table.columns[1:], of_cell))}\n'
                "</div>\n</details>"
            )
        yield "</section>"

    def _table(self, table: TextTable) -> str:
        head = "".join(f'<th class="{c.align}" scope="col">{escape(c.title)}</th>' for c in table.columns)
        lines = ['<div class="scroll">\n<table>', f"<thead><tr>{head}</tr></thead>\n<tbody>"]
        for i, row in enumerate(table.rows):
            cells = "".join(self._cell(table, text, (i, j)) for j, text in enumerate(row))
            lines.append(f"<tr>{cells}</tr>")
        return "\n".join([*lines, "</tbody>\n</table>\n</div>"])

    def _cell(self, table: TextTable, text: str, place: tuple[int, int]) -> str:
        column = table.columns[place[1]]
        marked = linked(text, table.links.get(place, ()), self.anchors, escape, _link)
        if place in table.bold:
            marked = f"<strong>{marked}</strong>"
        classes = column.align
        if column.title == "verdict":
            word = next((word for word in _VERDICTS if text.lower().startswith(word)), "")
            classes += f" verdict {_VERDICTS.get(word, '')}".rstrip()
        elif column.title == "trial":
            marked = f"<code>{marked}</code>"
        return f'<td class="{classes}">{marked}</td>'


def html_picture(picture: Picture) -> str:
    """As data of an image, so that nothing in it touches the page: neither ids, nor styles, nor scripts."""
    data = base64.b64encode(picture.draw("svg")).decode()
    return (
        f'<figure>\n<img alt="{escape(picture.alt)}" src="data:image/svg+xml;base64,{data}">\n'
        f"<figcaption>{_text(picture.caption)}</figcaption>\n</figure>"
    )


def _link(text: str, anchor: str) -> str:
    return f'<a href="#{anchor}">{text}</a>'


def escape(text: str) -> str:
    """Text as HTML shows it, control characters written out."""
    return html.escape(visible(text))


def _text(text: str) -> str:
    return inline(text, escape, lambda code: f"<code>{escape(code)}</code>")


def _lines(text: str) -> str:
    return "<br>\n".join(map(escape, text.split("\n")))
