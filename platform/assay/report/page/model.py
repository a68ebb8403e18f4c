"""Content of a report, apart from how it is written: a :class:`Page` of tables, notes and pictures.

Texts are plain, with `code` in backticks as their only mark-up; each form escapes them for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

__all__ = [
    "NOTHING",
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

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
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


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph, a table and notes below it."""

    title: str
    intro: str = ""
    table: TextTable | None = None
    notes: tuple[str, ...] = ()
    detail: bool = False  # numbers behind the answer, which a brief page leaves out


@dataclass(frozen=True)
class Picture:
    """A picture that is drawn when a form asks for it."""

    stem: str  # of its files
    caption: str
    alt: str  # what a reader who cannot see it must know
    draw: Callable[[PictureForm], bytes]


@dataclass(frozen=True)
class Page:
    """The report of one study, in reading order."""

    title: str
    question: str  # may be empty, or of several lines
    count: str  # how many trials ended how, and on which data
    table: TextTable  # a row for each cell
    notes: tuple[str, ...]  # below it, without those that its cells refer to by number
    sections: tuple[Section, ...]  # the answers
    trials: Section  # a row for each trial; the first column is its cell
    intervals: Section | None = None  # of the means; None: no cell has one
    pictures: tuple[Picture, ...] = ()
    search: tuple[Section, ...] = ()  # what a search adds: the best points first
    all_trials: str = ""  # where all are listed, should they be too many for a page
    answer: tuple[tuple[str, tuple[str, ...]], ...] = ()  # of a brief page: `Pays` → its sentences

    @property
    def sections_of_file(self) -> tuple[Section, ...]:
        """Intervals and answers: a terminal leaves out the intervals."""
        return self.sections if self.intervals is None else (self.intervals, *self.sections)

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
    return str(number).translate(_SUPERSCRIPTS)
