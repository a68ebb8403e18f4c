"""Names beside the rows of a picture, in as many lines as a row has room for."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

__all__ = ["short_lines", "wide_lines"]

# A name stands in several lines: cut off, names that differ at their end are the same.
_LINE, _MOST_LINES = 27, 5  # in a window as narrow as that of a telephone: letters of a line, and lines
_WIDE_LINE, _MOST_WIDE_LINES = 48, 4  # elsewhere; they take no more room than the short ones


def short_lines(*texts: str) -> list[str]:
    """A row's name for a narrow window."""
    return _lines(texts, _LINE, _MOST_LINES)


def wide_lines(*texts: str) -> str:
    """A row's name for any other window, as one text."""
    return "\n".join(_lines(texts, _WIDE_LINE, _MOST_WIDE_LINES))


def _lines(texts: Sequence[str], letters: int, most: int) -> list[str]:
    """Texts in lines, each beginning one; of very long ones the beginning and the end."""
    lines = [line for text in texts for line in textwrap.wrap(text, letters, break_on_hyphens=False)]
    return lines if len(lines) <= most else [*lines[:2], "…", *lines[3 - most :]]
