"""Content of a report, apart from how it is written: a :class:`Page` of tables, notes and pictures.

Texts are plain, with `code` in backticks as their only mark-up; each form escapes them for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

__all__ = [
    "NOTHING",
    "SUPERSCRIPTS",
    "Column",
    "Page",
    "Picture",
    "PictureForm",
    "Section",
    "TextTable",
    "numbered",
    "superscript",
]

NOTHING = "–"
PictureForm = Literal["svg", "png", "pdf"]

SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_LISTED = 200  # trials; more are listed where a reader can fold them away


class Column(NamedTuple):
    """Heading of a column and where its text stands."""

    title: str
    align: Literal["left", "center", "right"]
    spare: bool = False  # left out where a terminal is too narrow for all columns


@dataclass(frozen=True)
class TextTable:
    """Rows of text, and the notes that its cells refer to by number (the first is 1)."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    bold: frozenset[tuple[int, int]] = frozenset()  # (row, column)
    # (row, column) → cells of the study that the text is about. One: all of it; two: left and right of `→`.
    links: Mapping[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)

    def with_columns(self, places: Sequence[int]) -> TextTable:
        """The columns at ``places``, in this order, with their bold type and links."""
        moved = {place: new for new, place in enumerate(places)}
        return TextTable(
            columns=tuple(self.columns[place] for place in places),
            rows=tuple(tuple(row[place] for place in places) for row in self.rows),
            notes=self.notes,
            bold=frozenset((row, moved[column]) for row, column in self.bold if column in moved),
            links={(row, moved[at]): cells for (row, at), cells in self.links.items() if at in moved},
        )

    def with_rows(self, places: Sequence[int]) -> TextTable:
        """The rows at ``places``, in this order, with their bold type and links."""
        moved = {place: new for new, place in enumerate(places)}
        return replace(
            self,
            rows=tuple(self.rows[place] for place in places),
            bold=frozenset((moved[row], column) for row, column in self.bold if row in moved),
            links={(moved[row], at): cells for (row, at), cells in self.links.items() if row in moved},
        )

    def with_own_notes(self) -> TextTable:
        """The table with the notes to which its cells refer, numbered anew: of one that was cut."""
        mark = re.compile(f"(?<= )[{SUPERSCRIPTS}]+(?= |$)")
        shown = {found for row in self.rows for text in row for found in mark.findall(text)}
        kept = [number for number in range(1, len(self.notes) + 1) if superscript(number) in shown]
        anew = {superscript(number): superscript(new) for new, number in enumerate(kept, start=1)}
        return replace(
            self,
            rows=tuple(
                tuple(mark.sub(lambda found: anew.get(found[0], found[0]), text) for text in row)
                for row in self.rows
            ),
            notes=tuple(self.notes[number - 1] for number in kept),
        )


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph, a table and notes below it."""

    title: str
    intro: str = ""
    table: TextTable | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A picture that is drawn when a form asks for it."""

    stem: str  # of its files
    caption: str
    alt: str  # what a reader who cannot see it must know
    draw: Callable[[PictureForm], bytes]


@dataclass(frozen=True)
class Page:
    """The report of one study: question, answer, figure, table, then what stands behind them."""

    title: str
    question: str  # may be empty, or of several lines
    count: str  # how many trials ended how, and on which data
    table: TextTable  # a row for each variant, with a column for each factor
    notes: tuple[str, ...]  # below it, without those that its cells refer to by number
    sections: tuple[Section, ...]  # all that is not the answer itself
    trials: Section  # a row for each trial; the first column is its cell
    pictures: tuple[Picture, ...] = ()
    search: tuple[Section, ...] = ()  # what a search adds: the best points first
    all_trials: str = ""  # where all are listed, should they be too many for a page
    named: TextTable | None = (
        None  # the same rows by their names, where a page is narrow; None: it has no others
    )
    best_first: tuple[int, ...] = ()  # rows of the table by the primary metric; empty: they stand so
    caption: str = ""  # of the table in a paper: what its numbers are
    sentence: str = ""  # the answer in words
    answer: Section | None = None  # a row for each comparison, the strongest first
    figure: Picture | None = None  # of the answer

    @property
    def all_pictures(self) -> tuple[Picture, ...]:
        """The figure of the answer, and the others."""
        return self.pictures if self.figure is None else (self.figure, *self.pictures)

    @property
    def narrow_table(self) -> TextTable:
        """The table with one column of names."""
        return self.table if self.named is None else self.named

    @property
    def listed_trials(self) -> Section:
        """The trials for a page that cannot fold them away: of more than 200, where they are listed."""
        assert self.trials.table is not None
        if len(self.trials.table.rows) <= _LISTED:
            return self.trials
        return Section(
            self.trials.title,
            f"{self.trials.intro} They are more than {_LISTED}: {self.all_trials}",
        )


def numbered(note: str, notes: list[str]) -> str:
    """The mark of a note in a table's cell; ``notes`` collects them, each once."""
    if note not in notes:
        notes.append(note)
    return superscript(notes.index(note) + 1)


def superscript(number: int) -> str:
    """``12`` as ``¹²``."""
    return str(number).translate(str.maketrans("0123456789", SUPERSCRIPTS))
