"""Decisions on parts: a part is bad where any of its views is, with the highest score of them.

The pattern of file names comes with the model (``data.item`` of its study).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from assay.production.photos import Photo
from assay.production.rows import PhotoRow, TableFormat
from trainables.data.items import item_of
from trainables.data.unread import as_text

__all__ = ["PartRows", "RowSink"]

_SCHEMA = pa.schema(
    [
        pa.field("part", pa.string(), nullable=False),
        pa.field("score", pa.float64()),  # the highest of its views; null where none has one
        pa.field("decision", pa.bool_()),  # null where no view is bad and one could not be read
        pa.field("views", pa.int32(), nullable=False),
        pa.field("defective_views", pa.int32(), nullable=False),
        pa.field("unread_views", pa.int32(), nullable=False),
    ]
)


class RowSink(Protocol):
    """Takes the rows of a prediction."""

    def add(self, row: PhotoRow) -> None:
        """Take the row of one photo."""
        ...


@dataclass
class _Part:
    score: float | None = None
    views: int = 0
    defective: int = 0
    unread: int = 0

    @property
    def decision(self) -> bool | None:
        return True if self.defective else None if self.unread else False


class PartRows:
    """Hands rows on to ``rows``, and sums them up by part."""

    def __init__(self, pattern: str, photos: list[Photo], rows: RowSink) -> None:
        self._rows = rows
        items = {photo.name: item_of(pattern, PurePath(as_text(photo.path.absolute()))) for photo in photos}
        self.others = tuple(name for name, item in items.items() if item is None)  # parts of their own
        self._part_of = {name: item or name for name, item in items.items()}
        self._parts: dict[str, _Part] = {}

    @property
    def defective(self) -> int:
        """Number of parts decided defective."""
        return sum(bool(part.decision) for part in self._parts.values())

    @property
    def total(self) -> int:
        """Number of parts."""
        return len(self._parts)

    def add(self, row: PhotoRow) -> None:
        """Take the row of one photo, and hand it on."""
        self._rows.add(row)
        part = self._parts.setdefault(self._part_of[row.image], _Part())
        part.views += 1
        part.defective += bool(row.decision)
        part.unread += row.score is None
        if row.score is not None:
            part.score = row.score if part.score is None else max(part.score, row.score)

    def write(self, path: Path, form: TableFormat) -> None:
        """Write a row for each part, in the order of their first views."""
        rows = [
            (name, part.score, part.decision, part.views, part.defective, part.unread)
            for name, part in self._parts.items()
        ]
        table = pa.Table.from_pylist([dict(zip(_SCHEMA.names, row, strict=True)) for row in rows], _SCHEMA)
        if form == "parquet":
            pq.write_table(table, path)
        else:
            options = pyarrow.csv.WriteOptions(quoting_style="needed")
            pyarrow.csv.write_csv(table, path, write_options=options)
