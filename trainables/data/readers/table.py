"""Your own images by a table, one row per image: a CSV or Parquet file that ``data.path`` names.

Columns: ``image`` (path relative to the table, or to a folder above it up to the data root) and ``label``
(0/1, true/false, good/defect, normal/defective, ok/ng, normal/anomaly) are required; ``mask`` (path),
``defect_class``, ``group`` (physical item), ``split`` (train/validation/test), ``fold`` (the fold in which
the image is test, from 0) and ``object`` (what it shows; ``object: candle`` in the options keeps rows of
one) are optional, and so is a value in them. The tables of VisA (``split_csv/1cls.csv``) are such.

Rules: a CSV has commas, semicolons or tabs, in UTF-8, UTF-16 or Latin-1; paths have slashes or
backslashes, and those that are absolute lead below the table's folder. Every row is checked, and all
faults are told at once (the first 20). An image without ``group`` is an item of its own. One column says
where an image belongs: ``split`` or ``fold``, and ``fold`` in every row, for an image without a fold would
be trained on in all of them.

With ``mask_classes: {1: scratch, 2: hole}`` in the options, masks hold class indices (grey values, or
indices into a PNG's palette; 0: background): the mask then says which classes an image shows
(``hole+scratch``), and ``data.classes`` chooses among them, pixel by pixel. A defective image that shows
only other classes is left out, or is what ``data.others`` says.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from trainables.data.files.sources import DataFolders
from trainables.data.inspect.findings import counted, first_lines
from trainables.data.inspect.unread import unread_files
from trainables.data.readers.base import Entry, Listing, MaskOptions, MaskSettings, Reader, options_of
from trainables.data.spec import DataSpec
from trainables.errors import InputError, validation_message

__all__ = ["READER", "is_table", "names_images_of"]

_LABELS = {
    **dict.fromkeys(("0", "false", "good", "normal", "ok", "pass", "io"), False),
    **dict.fromkeys(("1", "true", "defect", "defective", "ng", "nok", "bad", "fail"), True),
    **dict.fromkeys(("anomaly", "anomalous", "abnormal", "ko", "nio", "faulty"), True),
}
_SEPARATORS = ",;\t|"
_LINE_END = re.compile(r"\r\n?|\n")  # a carriage return alone: of old Macs, and of Excel's format for them


class TableOptions(MaskSettings, frozen=True):
    """Settings of reader table."""

    object: str | None = Field(
        None, description="Rows to keep, by the column `object` (a product or category); default: all."
    )


def _as_label(value: Any) -> bool:
    label = _LABELS.get(str(value).strip().lower())
    if label is None:
        raise ValueError("expected 0/1, true/false, good/defect, normal/defective or ok/ng")
    return label


class _Row(BaseModel, frozen=True, extra="forbid"):
    image: str = Field(min_length=1)
    label: Annotated[bool, BeforeValidator(_as_label)]
    mask: str | None = None
    defect_class: str | None = None
    group: str | None = None
    split: Literal["train", "validation", "test"] | None = None
    fold: Annotated[int, Field(ge=0, le=999)] | None = None
    object: str | None = None


def read_table(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index the rows of a CSV or Parquet file."""
    options = options_of(TableOptions, spec)
    if spec.path is None:
        raise InputError(
            "reader table needs data.path: the CSV or Parquet file, relative to the data root. "
            f"Found data.path {spec.path!r}. Add it."
        )
    path = folders.below_root(READER.name, spec.path)
    table = _load(path)
    root = _root_of(path, table, folders.root)
    rows = _check_rows(path, root, table)
    read = {file for row in rows for file in (row.image, row.mask or "")}

    # Rows of other objects are left out before parts are checked, but the files they name count as read.
    if options.object is not None:
        present = sorted({row.object for row in rows if row.object})
        rows = tuple(row for row in rows if row.object == options.object)
        if not rows:
            raise InputError(
                f"data.options.object: no row of {path.name} has {options.object!r} in column object, found "
                f"{', '.join(present) or 'none'}. Choose one of them, or leave it out."
            )
    entries = tuple(map(_entry, rows))
    _check_parts(path, entries)
    indices = options.indices(spec)
    return Listing(
        root,
        entries,
        options.mask_above,
        unsplit=f"{path.name} has no full column split or fold: fill one, or use `splits: per_seed`.",
        missing_mask_way_out="Fill column mask",
        indices=indices,
        classes=tuple(indices.names.values()) if indices else None,
        mask_options=MaskOptions.of(options),
        look_alike_way_out="Name it in column mask, in the row of its image, and remove its own row",
        unread=unread_files(root, read, lambda _: f"no row of {path.name} names it. Add a row"),
    )


def is_table(path: Path) -> bool:
    """True for a CSV file with the columns image and label."""
    return {"image", "label"} <= set(_header(path)[0])


def names_images_of(path: Path) -> bool:
    """True where a CSV file names an image that lies below its folder."""
    try:
        rows = _load(path).to_pylist()
    except InputError:  # what is wrong with it is told when it is read
        return True
    return any(row["image"] and _is_there(path.parent, row["image"]) for row in rows)


def _is_there(folder: Path, image: str) -> bool:
    return os.path.exists(folder / _relative(folder, image))  # False too of names that no disk holds


def _root_of(path: Path, table: pa.Table, data_root: Path | None) -> Path:
    """The folder that paths of a table start at: its own, or one above it that holds the first image."""
    # Published tables name paths from a folder further up; the first image shows which.
    first = table.column("image")[0].as_py()
    folder = path.parent
    while isinstance(first, str) and not _is_there(folder, first):
        if data_root is None or folder.resolve() == data_root.resolve() or folder.parent == folder:
            return path.parent
        folder = folder.parent
    return folder


def _header(path: Path) -> tuple[list[str], str, str, bool]:
    """Columns of a CSV file as they are called here, its separator, its encoding, and whether rows follow."""
    # Spreadsheets write in many ways, so separator and encoding are told by the content.
    content = path.read_bytes()
    encoding = "utf16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        encoding = "cp1252"  # as spreadsheets of western Windows save it; it has all of Latin-1's letters
        text = content.decode(encoding, "replace")
    line, *rows = _LINE_END.split(text.removeprefix("\ufeff"), maxsplit=1)
    separator = max(_SEPARATORS, key=line.count)
    try:
        names = next(csv.reader([line], delimiter=separator), [])
    except csv.Error:  # one endless line is no header
        names = []
    return [name.strip().lower() for name in names], separator, encoding, any(map(str.strip, rows))


def _load(path: Path) -> pa.Table:
    readers: dict[str, Callable[[Path], pa.Table]] = {
        ".csv": _load_csv,
        ".parquet": pyarrow.parquet.read_table,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise InputError(f"data.path: expected a .csv or .parquet file, found {path.name}. Name the table.")
    try:
        table = read(path)
    except (pa.ArrowInvalid, OSError, UnicodeError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}. Save it again.") from error
    if len(set(table.column_names)) < len(table.column_names):
        raise InputError(
            f"{path}: a column name occurs twice in {', '.join(table.column_names)}. Rename one."
        )

    # An unknown column is more often a misspelt one than a note.
    unknown = sorted(set(table.column_names) - set(_Row.model_fields))
    missing = sorted({"image", "label"} - set(table.column_names))
    if unknown or missing:
        raise InputError(
            f"{path}: columns missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(unknown) or 'none'}. "
            f"Expected image and label, and of {', '.join(list(_Row.model_fields)[2:])} what you have."
        )
    if not table.num_rows:
        raise InputError(
            f"{path} names no images: expected a row for each, found the header alone. Add them."
        )
    return table


def _load_csv(path: Path) -> pa.Table:
    names, separator, encoding, has_rows = _header(path)
    if names and not has_rows:  # pyarrow refuses a header without a line's end
        return pa.table([pa.array([], pa.string())] * len(names), names)
    # Every column as text: a group "007" or a class "1" must not turn into a number on the way.
    kinds = dict.fromkeys(names, pa.string())
    convert = pyarrow.csv.ConvertOptions(column_types=kinds, strings_can_be_null=True, null_values=[""])
    read = pyarrow.csv.ReadOptions(encoding=encoding, column_names=names, skip_rows=1)
    parse = pyarrow.csv.ParseOptions(delimiter=separator)
    return pyarrow.csv.read_csv(path, read_options=read, parse_options=parse, convert_options=convert)


def _check_rows(path: Path, root: Path, table: pa.Table) -> tuple[_Row, ...]:
    faults: list[str] = []
    seen: dict[str, int] = {}
    rows: list[_Row] = []
    for number, values in enumerate(table.to_pylist(), start=1):
        # Paths first, since a row is checked as it will be used.
        for column in ("image", "mask"):
            if isinstance(values.get(column), str):
                values[column] = _relative(root, values[column])
        try:
            row = _Row.model_validate(values)
        except ValidationError as error:
            faults += [
                f"row {number}, {fault['loc'][0]}: {validation_message(fault)}, found {fault['input']!r}"
                for fault in error.errors()
            ]
            continue
        if row.image in seen:
            faults.append(f"row {number}: {row.image} is a duplicate of row {seen[row.image]}")
        if not row.label and row.defect_class:
            faults.append(f"row {number}: a normal image has defect_class {row.defect_class!r}")
        seen[row.image] = number
        rows.append(row)
    if faults:
        raise InputError(
            f"{path}: {counted(len(faults), 'fault')}. Mend what follows:\n{first_lines(faults)}"
        )
    return tuple(rows)


def _relative(folder: Path, text: str) -> str:
    """A path as a table names it, relative to the table's folder and with slashes, if it leads below it.

    A path of another machine leads below it where the folder's name is in it.
    """
    # Slashes the other way, or a path of another machine: it counts from where the table's own folder is
    # named in it.
    windows = PureWindowsPath(text)
    if not ("\\" in text or windows.drive or text.startswith("/")) or "\0" in text:
        return text
    if "\\" in text and (folder / text).exists():  # a name with a backslash in it
        return text
    path: PurePath = PurePosixPath(text) if text.startswith("/") else windows
    if not path.is_absolute():
        return path.as_posix()
    base = folder.resolve()
    if path.is_relative_to(base):
        return path.relative_to(base).as_posix()
    names = [name.casefold() for name in path.parts]
    if base.name.casefold() not in names:
        return text
    last = len(names) - names[::-1].index(base.name.casefold())
    return PurePosixPath(*path.parts[last:]).as_posix()


def _check_parts(path: Path, entries: Sequence[Entry]) -> None:
    # An image without a fold would be trained on in every fold and tested in none.
    split = sum(entry.split is not None for entry in entries)
    fold = sum(entry.fold is not None for entry in entries)
    if split and fold:
        raise InputError(
            f"{path}: one column says where an image belongs, split or fold; found {split} rows with split "
            f"and {fold} with fold. Empty one of the two columns."
        )
    if fold and fold < len(entries):
        row, entry = next((row, entry) for row, entry in enumerate(entries, 1) if entry.fold is None)
        raise InputError(
            f"{path}: column fold is filled in every row or in none; found {fold} of {len(entries)}, "
            f"row {row} ({entry.image}) is empty. Fill it, or empty the column."
        )


def _entry(row: _Row) -> Entry:
    return Entry(
        sample=row.image,
        image=row.image,
        label=row.label,
        mask=row.mask,
        defect_class=(row.defect_class or "defect") if row.label else None,
        group=row.group or row.image,
        split=row.split,
        fold=row.fold,
    )


READER = Reader(
    name="table",
    title="A CSV or Parquet table of your own images",
    licence="yours",
    citation="none",
    Options=TableOptions,
    read=read_table,
    part_option="object",
)
