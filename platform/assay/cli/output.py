"""Output of the command line: one console, tables of plain texts, durations and sizes for a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["WIDTH_OF_FILES", "console", "duration", "size", "text_table"]

WIDTH_OF_FILES = 140  # columns of a table that goes to a file or a pipe


class _Redacted:
    """A stream to which nothing secret is written; in all else the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        from assay.storage.redaction import redact

        return self._stream.write(redact(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def console(*, stderr: bool = False) -> Console:
    """A console for one command; names from files are printed as they are, never read as markup.

    What is a credential is blotted out of all that it prints.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    piped = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(
        file=cast(TextIO, _Redacted(stream)),
        markup=False,
        highlight=False,
        emoji=False,
        width=WIDTH_OF_FILES if piped else None,
    )


def duration(seconds: float | None) -> str:
    """`8 s`, `3 min 20 s`, `2 h 05 min`; a dash where nothing is known."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(bytes_: float) -> str:
    """Bytes in decimal units: `740 kB`, `1.4 GB`."""
    for unit in ("B", "kB", "MB"):
        if bytes_ < 1000:
            return f"{bytes_:.0f} {unit}"
        bytes_ /= 1000
    return f"{bytes_:.1f} GB"


def text_table(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[str] = (),
    whole: Collection[str] = (),
    wide: Collection[str] = (),
) -> Table:
    """A table with a line below its titles; long texts are folded, and neither markup nor control characters.

    Args:
        titles: Of the columns.
        rows: A text for each column.
        right: Columns that are set to the right, such as numbers.
        whole: Columns that are never folded, such as ids.
        wide: Columns that share what the others leave of the width.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from assay.report.page.inline import visible

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(
            title,
            overflow="fold",
            justify="right" if title in right else "left",
            no_wrap=title in whole,
            ratio=1 if title in wide else None,
        )
    for row in rows:
        table.add_row(*(Text(visible(text)) for text in row))
    return table
