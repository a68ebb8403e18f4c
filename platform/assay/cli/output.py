"""What a command leaves: text for a person, one JSON document for a program, and files.

With ``--json`` standard output is the answer's alone: all else that is printed, by the command, a library or
a process that it starts, goes to standard error. A file is there whole or not at all, and named where it
cannot be written. One that may be written in a folder where none may be put, or that is mounted alone, is
written in place.
"""

from __future__ import annotations

import errno
import os
import sys
import textwrap
import threading
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from assay.cli.streams import output_to
from trainables.errors import InputError, StorageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from assay.report.answers import Answer

__all__ = [
    "FLAG",
    "WIDTH_OF_FILES",
    "Answers",
    "AsJson",
    "answers",
    "check_output",
    "check_picture",
    "console",
    "create_file",
    "duration",
    "json_alone",
    "replace_file",
    "size",
    "text_table",
    "writing",
]


# Text --------------------------------------------------------------------------------------------------


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

    # Where nobody looks, rich would take 80 columns and fold what a program wants to read.
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


# JSON --------------------------------------------------------------------------------------------------


FLAG = "--json"
AsJson = Annotated[
    bool, typer.Option(FLAG, help="Print JSON: one document, and nothing else (docs/json.md).")
]


class Answers:
    """Writes answers, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.given = False

    def give(self, answer: Answer) -> None:
        """Write the one answer of a command."""
        self.write(answer.text())

    def give_line(self, answer: Answer) -> None:
        """Write a line of many."""
        self.write(answer.text(indent=None))

    def write(self, text: str) -> None:
        """Write the text of an answer."""
        with self._lock:
            self.given = True
            print(text.rstrip("\n"), file=self._stream, flush=True)


_ANSWERS: ContextVar[Answers] = ContextVar("answers")


def answers() -> Answers:
    """The standard output of this program."""
    return _ANSWERS.get(None) or Answers(sys.stdout)


@contextmanager
def json_alone() -> Generator[Answers]:
    """Keep standard output for answers within a ``with`` block: all else goes to standard error."""
    shown = sys.stdout
    stream = shown
    if shown is sys.__stdout__:  # the program's own: what libraries and children write to it moves, too
        shown.flush()
        stream = output_to(os.dup(shown.fileno()))
        os.dup2(sys.stderr.fileno(), shown.fileno())
    token = _ANSWERS.set(Answers(stream))
    sys.stdout = sys.stderr
    try:
        yield _ANSWERS.get()
    finally:
        sys.stdout = shown
        _ANSWERS.reset(token)


# Files -------------------------------------------------------------------------------------------------


# Of a folder that is another's or read-only, of one where others' files stay, and of a file mounted alone.
_NO_MOVE = {errno.EACCES, errno.EROFS, errno.EPERM, errno.EBUSY}


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Name ``path`` where the system refuses what is written: of a full disk it says no file.

    Raises:
        InputError: In place of an error of the system; one of a storage passes.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        why = textwrap.shorten(error.strerror or str(error), 200, placeholder=" …")
        raise InputError(f"{path} cannot be written: {why}. Mend that, or name another place.") from error


def check_output(output: Path | None, *read: str | Path | None) -> None:
    """See, before a command works for it, that a file can be written, and is none that the command reads.

    Its folder is made later, with the file.

    Raises:
        InputError: If there is no way to write ``output``, or it is one of the files in ``read``.
    """
    if output is None:
        return
    with writing(output):
        _require_place(output)
    if not output.is_file():
        return
    for file in (os.path.expanduser(str(each)) for each in read if each):
        if os.path.exists(file) and output.samefile(file):
            raise InputError(f"what is read is not written over, found {output} as both. Name another file.")


def _require_place(path: Path) -> None:
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe or a device
        return

    # This is looked at before the work begins, and writes nothing: the folder may be missing, but the nearest
    # one above it has to take files.
    folder = next(folder for folder in path.resolve().parents if folder.exists())
    fault = 0
    if path.is_dir():
        fault = errno.EISDIR
    elif not folder.is_dir():
        fault = errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK) and not os.access(path, os.W_OK):
        fault = errno.EACCES
    if fault:
        raise OSError(fault, os.strerror(fault))


def check_picture(option: str, file: Path | None) -> None:
    """See, before a command works for it, that a picture can be written.

    Raises:
        InputError: If its name ends with anything but .png, or there is no way to write it.
    """
    if file is not None and file.suffix.lower() != ".png":
        raise InputError(f"{option} writes a PNG, found {file}. Name a file that ends with .png.")
    check_output(file)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, over an older one if there is one, and make its folder where there is none.

    Raises:
        InputError: If it cannot be written; an older one is left as it was, unless it is written in place.
    """
    from assay.storage.files import local_disk

    with writing(path):
        if path.exists() and not path.is_file():  # a pipe or a device, such as /dev/stdout
            path.write_bytes(content)
            return
        try:
            local_disk.replace(path.resolve(), content)
        except OSError as error:
            if error.errno not in _NO_MOVE or not os.access(path, os.W_OK):
                raise
            path.write_bytes(content)


def create_file(path: Path, content: bytes) -> None:
    """Write a new file.

    Raises:
        InputError: If there is one, or it cannot be written.
    """
    from assay.storage.files import local_disk

    with writing(path):
        if not local_disk.create(path, content):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
