"""Names beside the rows of a picture, in as many lines as a row has room for."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

__all__ = ["short_lines", "wide_lines"]

# A name stands in several lines: cut off, names that differ at their end are the same.
_LINE, _MOST_LINES = 27, 5  # in a window as narrow as that of a telephone: letters of a line, and lines
_WIDE_LINE, _MOST_WIDE_LINES = 48, 4  # elsewhere; they take no more room than the short ones
_PART = re.compile(r"[^\s=:,()]+")  # a factor or a level


def short_lines(*texts: str) -> list[str]:
    """A row's name for a narrow window."""
    return _lines(texts, _LINE, _MOST_LINES)


def wide_lines(*texts: str) -> str:
    """A row's name for any other window, as one text."""
    return "\n".join(_lines(texts, _WIDE_LINE, _MOST_WIDE_LINES))


def _lines(texts: Sequence[str], letters: int, most: int) -> list[str]:
    """Texts in lines, each beginning one; of very long ones the beginning and the end.

    Of each factor and level first: names of the same length may differ in any of them.
    """
    whole = _wrapped(texts, letters)
    if len(whole) <= most:
        return whole
    for parts in (2, 3, 4):  # that stand in a line
        room = letters // parts - 1
        cut = (_PART.sub(lambda part, room=room: _ends(part[0], room), text) for text in texts)
        lines = _wrapped(cut, letters)
        if len(lines) <= most:
            return lines
    return [*whole[:2], "…", *whole[3 - most :]]


def _wrapped(texts: Iterable[str], letters: int) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, letters, break_on_hyphens=False)]


def _ends(text: str, letters: int) -> str:
    """A text of at most so many letters, without its middle where it is longer."""
    if len(text) <= letters:
        return text
    last = (letters - 1) // 2
    return f"{text[: letters - 1 - last]}…{text[-last:]}"
