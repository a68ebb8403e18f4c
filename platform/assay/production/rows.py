"""The table of a prediction, written row by row as CSV or Parquet: an interrupted one holds what was done."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

__all__ = ["PhotoRow", "RowWriter", "TableFormat"]

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
    """Writes rows into a new file, from entering to leaving a ``with`` block."""

    def __init__(self, path: Path, form: TableFormat) -> None:
        self._at_once = _ROWS_AT_ONCE[form]
        self._rows: list[PhotoRow] = []
        self._file = pa.OSFile(str(path), "wb")  # no Python in its writes: Ctrl-C cannot cut one in two
        options = pyarrow.csv.WriteOptions(quoting_style="needed")
        self._sink = (
            pyarrow.csv.CSVWriter(self._file, _SCHEMA, write_options=options)
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
        if len(self._rows) >= self._at_once:
            self._write()

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            self._sink.write(pa.table(dict(zip(_SCHEMA.names, columns, strict=True)), schema=_SCHEMA))
