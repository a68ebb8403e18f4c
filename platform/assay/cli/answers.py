"""Standard output of a command that is asked for JSON: its answer, and nothing else.

All else that is printed, by the command, a library or a process that it starts, goes to standard error.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from assay.cli.streams import output_to

if TYPE_CHECKING:
    from assay.report.answers import Answer

__all__ = ["FLAG", "Answers", "AsJson", "answers", "json_alone"]

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
