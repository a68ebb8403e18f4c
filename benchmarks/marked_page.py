"""Pages that are partly written by a program: what lies between two marks is its own."""

from __future__ import annotations

from pathlib import Path

__all__ = ["END", "write_block"]

END = "<!-- end -->\n"


def write_block(page: Path, begin: str, text: str) -> None:
    """Put ``text`` between the line ``begin`` and :data:`END`; what is written by hand around them stays.

    Raises:
        ValueError: If the page lacks a mark.
    """
    before, mark, rest = page.read_text(encoding="utf-8").partition(begin)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{page} holds the lines {begin.strip()} and {END.strip()}, found one or none")
    page.write_text(f"{before}{begin}\n{text}\n{END}{after}", encoding="utf-8")
