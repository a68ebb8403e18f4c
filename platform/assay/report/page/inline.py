"""Texts of a page: their one mark-up, `code` in backticks, and control characters as what they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from assay.report.page.model import TextTable

__all__ = ["anchors", "inline", "linked", "spans", "visible"]

_CODE = re.compile(r"`([^`]+)`")
_ARROW = " → "
# C0 and C1 but tab and line feed, marks that turn the direction of what follows, and other line ends.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def inline(text: str, plain: Callable[[str], str], code: Callable[[str], str]) -> str:
    """The same as :func:`spans`, with a number and its unit on one line."""
    return spans(text.replace(" %", "\u00a0%"), plain, code)


def spans(text: str, plain: Callable[[str], str], code: Callable[[str], str]) -> str:
    """``text`` with ``plain`` over what stands outside backticks and ``code`` over what stands inside."""
    parts = _CODE.split(text)
    return "".join(code(part) if i % 2 else plain(part) for i, part in enumerate(parts))


def visible(text: str) -> str:
    """``text`` with control characters written out (``\\x1b``): none of them reaches a terminal or a page."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def anchors(trials: TextTable) -> dict[str, str]:
    """Cell → the anchor of its trials: `cell-1`, `cell-2`, …"""
    cells = dict.fromkeys(row[0] for row in trials.rows)
    return {cell: f"cell-{number}" for number, cell in enumerate(cells, start=1)}


def linked(
    text: str,
    cells: tuple[str, ...],
    anchors: Mapping[str, str],
    write: Callable[[str], str],
    link: Callable[[str, str], str],
) -> str:
    """A table's text with links to the trials of the cells that it is about.

    Args:
        text: ``3``, or for two cells ``stop: off → on``.
        cells: That ``text`` is about (``TextTable.links``).
        anchors: Cell → anchor; cells without one get no link.
        write: Escapes text.
        link: Written text and anchor → a link.
    """
    parts = [text]
    if len(cells) == 2:  # names of cells may hold an arrow, where a table of scores gives them
        parts = cells if text == _ARROW.join(cells) else text.rsplit(_ARROW, 1)
    if len(parts) != len(cells):
        return write(text)
    marked = [
        link(write(part), anchors[cell]) if cell in anchors else write(part)
        for part, cell in zip(parts, cells, strict=True)
    ]
    return write(_ARROW).join(marked)
