"""Tables of plain texts, as commands print them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["text_table"]


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
