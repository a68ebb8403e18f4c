"""The program's standard streams: it has all three, and who reads its output may leave.

A daemon or cron may start it without one (``>&-``), ``head`` ends before it does, and a terminal is closed.
What is printed then goes nowhere, the command goes on, and its exit code says how that ended: a study trains,
whoever reads.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["output_to", "prepare"]

_NAMES = ("stdin", "stdout", "stderr")  # by their descriptors


def prepare() -> None:
    """Open what is missing as ``/dev/null``, before a file gets its number, and outlast who reads."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < len(_NAMES):  # the lowest that is free
        os.set_inheritable(descriptor, True)  # processes that are started have all three, too
    os.close(descriptor)

    # The program's own streams are replaced by some that go on when their reader leaves. Those of another
    # program, which calls this one in Python, are not ours.
    for descriptor, name in enumerate(_NAMES):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):  # another's, who calls the program in Python
            continue
        if stream is None:
            empty = io.BufferedReader(io.FileIO(0, closefd=False))
            stream = output_to(descriptor) if descriptor else io.TextIOWrapper(empty, encoding="utf-8")
        elif descriptor:
            stream = output_to(descriptor, like=stream)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def output_to(descriptor: int, like: io.TextIOWrapper | None = None) -> io.TextIOWrapper:
    """A stream that goes on where nobody reads any more: of UTF-8, or of the ways of another one."""
    raw = _Output(descriptor)
    if like is None:
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")
    return io.TextIOWrapper(
        raw if like.write_through else io.BufferedWriter(raw),  # as Python does with -u
        encoding=like.encoding,
        errors=like.errors,
        line_buffering=like.line_buffering,
        write_through=like.write_through,
    )


class _Output(io.FileIO):
    """A descriptor that leads nowhere from the moment on in which its reader is gone."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._leaves = {errno.EPIPE}  # what the system says when nobody reads any more
        if self.isatty():  # asked now: a terminal that was closed is none
            self._leaves.add(errno.EIO)

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in self._leaves:
                raise

            # The reader has left, as `head` does, which is no fault of the command: from here on it writes
            # nowhere.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes
