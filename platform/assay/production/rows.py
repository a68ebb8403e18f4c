"""The table of a prediction, written row by row as CSV or Parquet: an interrupted one holds what was done.

Where a model decides parts, :class:`PartRows` makes a second table of the rows: a row for each part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import TracebackType
from typing import Literal, NamedTuple, Self

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from assay.production.photos import Photo
from trainables.data.files.names import as_text
from trainables.data.items import item_of

__all__ = ["PartRows", "PhotoRow", "RowWriter", "TableFormat"]

TableFormat = Literal["csv", "parquet"]

_SCHEMA = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),  # as named on the command line
        pa.field("score", pa.float64()),
        pa.field("decision", pa.bool_()),
        pa.field("defect_pixels", pa.int64()),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("mask", pa.string()),
        pa.field("overlay", pa.string()),
        pa.field("error", pa.string()),
    ]
)
_PART_SCHEMA = pa.schema(
    [
        pa.field("part", pa.string(), nullable=False),
        pa.field("score", pa.float64()),  # the highest of its views; null where none has one
        pa.field("decision", pa.bool_()),  # null where no view is bad and one was not seen
        pa.field("views", pa.int32(), nullable=False),
        pa.field("defective_views", pa.int32(), nullable=False),
        pa.field("unread_views", pa.int32(), nullable=False),
    ]
)
_CSV = pyarrow.csv.WriteOptions(quoting_style="needed")
# A Parquet file of tiny row groups is slow to read; a CSV should be there to look at while it grows.
_ROWS_AT_ONCE: dict[TableFormat, int] = {"csv": 16, "parquet": 4096}


class PhotoRow(NamedTuple):
    """Row of one photo; all but its name is None where it could not be read or scored."""

    image: str
    score: float | None  # in [0, 1]
    decision: bool | None  # True: defective
    defect_pixels: int | None  # of the mask at the photo's own size
    height: int | None  # of the photo, pixels
    width: int | None
    mask: str | None  # path of the PNG, below the table's folder
    overlay: str | None
    error: str | None  # why it has no score


class RowWriter:
    """Writes rows into a new file, from entering to leaving a ``with`` block; ``parts`` sums them up."""

    def __init__(self, path: Path, form: TableFormat, parts: PartRows | None = None) -> None:
        self._parts = parts
        self._at_once = _ROWS_AT_ONCE[form]
        self._rows: list[PhotoRow] = []
        self._file = pa.OSFile(str(path), "wb")  # no Python in its writes: Ctrl-C cannot cut one in two
        self._sink = (
            pyarrow.csv.CSVWriter(self._file, _SCHEMA, write_options=_CSV)
            if form == "csv"
            else pq.ParquetWriter(self._file, _SCHEMA, compression="zstd")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()
        self._sink.close()
        self._file.close()

    def add(self, row: PhotoRow) -> None:
        """Take a row; it is in the file after some more, and when the block ends."""
        self._rows.append(row)
        if self._parts is not None:
            self._parts.add(row)
        if len(self._rows) >= self._at_once:
            self._write()

    def _write(self) -> None:
        if not self._rows:
            return
        table = _table(self._rows, _SCHEMA)  # an interruption meanwhile loses no row
        try:
            self._sink.write(table)
        finally:  # where that fails too: half of them may be in the file
            self._rows = []


@dataclass
class _Part:
    expected: int  # views
    score: float | None = None
    views: int = 0
    defective: int = 0
    unread: int = 0

    @property
    def decision(self) -> bool | None:
        if self.defective:
            return True
        return None if self.unread or self.views < self.expected else False


class PartRows:
    """Sums rows up by part: a part is bad where any of its views is, with the highest score of them.

    One without a bad view is good where all of its photos have a row with a score: an interruption may have
    left some out. The pattern of file names comes with the model (``data.item`` of its study).
    """

    def __init__(self, pattern: str, photos: list[Photo]) -> None:
        items = {photo.name: item_of(pattern, PurePath(as_text(photo.path.absolute()))) for photo in photos}
        self.others = tuple(name for name, item in items.items() if item is None)  # parts of their own
        self._part_of = {name: item or name for name, item in items.items()}
        self._expected = Counter(self._part_of[photo.name] for photo in photos)
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
        """Take the row of one photo."""
        name = self._part_of[row.image]
        part = self._parts.setdefault(name, _Part(self._expected[name]))
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
        table = _table(rows, _PART_SCHEMA)
        if form == "parquet":
            pq.write_table(table, path)
        else:
            pyarrow.csv.write_csv(table, path, write_options=_CSV)


def _table(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
