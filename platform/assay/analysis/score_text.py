"""Files of scores as columns of text: CSV, TSV and Parquet, nothing of their meaning.

Everything stays text until it is known what a column is, because a seed may be `s1` and a score `91,2 %`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from assay.analysis.score_numbers import is_number
from trainables.errors import InputError

__all__ = ["TextColumns", "read_text_columns"]

_DELIMITERS = ("\t", ";", ",")
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class TextColumns:
    """A table of texts, with the line in which each row stands."""

    columns: dict[str, list[str]]
    lines: tuple[int, ...]  # of the file; of Parquet the number of the row

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def varies(self, name: str) -> bool:
        """True where a column has several values."""
        return len(set(self.columns[name])) > 1

    def has_numbers(self, name: str) -> bool:
        """True where some row has a number there; one that is none is an error for who reads them."""
        return any(is_number(text) for text in self.columns[name])

    def without(self, rows: Collection[int]) -> TextColumns:
        """The table without some of its rows, counted from 0."""
        kept = [row for row in range(len(self.lines)) if row not in rows]
        columns = {title: [texts[row] for row in kept] for title, texts in self.columns.items()}
        return TextColumns(columns, tuple(self.lines[row] for row in kept))

    def names_rows(self, name: str) -> bool:
        """True where every row has a text of its own there."""
        return "" not in self.columns[name] and len(set(self.columns[name])) == len(self.lines)


def read_text_columns(content: bytes, name: str) -> TextColumns:
    """Read the columns of a file.

    Args:
        content: CSV or TSV in UTF-8 (columns apart by tab, semicolon or comma), or Parquet.
        name: Of the file, for messages.

    Raises:
        InputError: If it is neither, a row has another number of columns than the first, two columns have
            one name, there is only one, or no row follows the first.
    """
    if content.startswith(_PARQUET) or name.lower().endswith(".parquet"):
        return _read_parquet(content, name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"scores are CSV, TSV (UTF-8) or Parquet; byte {error.start} of {name} is none of UTF-8. Save "
            "the table as CSV in UTF-8."
        ) from error
    if text.lstrip()[:1] in ("{", "["):
        raise InputError(
            f"a table of scores has a row for each repeat, found JSON in {name}, such as the summary of one "
            "run. Export the table of all runs as CSV or Parquet."
        )
    first = next(filter(str.strip, text.splitlines()), "")
    delimiter = next((mark for mark in _DELIMITERS if mark in first), ",")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    if len(rows) < 2:
        raise InputError(
            f"a table of scores has a line of titles and a line for each repeat, found {len(rows)} lines in "
            f"{name}. Give it the titles cell, seed and score."
        )
    (_, titles), *body = rows
    if len(titles) == 1:
        raise InputError(
            f"columns are apart by comma, semicolon or tab, found one column, {titles[0][:60]!r}, in {name}. "
            "Save the table as CSV."
        )
    _refuse_titles(titles, name)
    for line, row in body:
        if len(row) != len(titles):
            raise InputError(
                f"every row has as many columns as there are titles, {len(titles)}, found {len(row)} in line "
                f"{line} of {name}. Quote texts that hold the delimiter {delimiter!r}."
            )
    columns = {title: [row[i] for _, row in body] for i, title in enumerate(titles)}
    return TextColumns(columns, tuple(line for line, _ in body))


def _read_parquet(content: bytes, name: str) -> TextColumns:
    import pyarrow as pa

    from assay.storage.parquet import read_parquet

    try:
        table = read_parquet(content)
    except (pa.ArrowException, OSError) as error:
        why = str(error).rstrip(".")
        raise InputError(f"{name} is no readable Parquet: {why}. Write it again, or as CSV.") from error
    _refuse_titles(table.column_names, name)
    columns = {
        title: ["" if value is None else str(value) for value in table.column(title).to_pylist()]
        for title in table.column_names
    }
    return TextColumns(columns, tuple(range(1, table.num_rows + 1)))


def _refuse_titles(titles: Sequence[str], name: str) -> None:
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        raise InputError(
            f"each column has a title of its own, found {', '.join(map(repr, twice))} more than once in "
            f"{name}. Rename one of them."
        )
