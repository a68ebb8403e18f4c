"""A program that runs: started in a session of its own, watched, and ended with all that it started.

What it prints is passed on to this process's output, the first and the last part of it. SIGTERM to this
process ends the program in order: SIGTERM to it, ten seconds, then SIGKILL. What a program leaves behind, be
it in another session, becomes this process's child and is killed.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["GRACE_SECONDS", "Ended", "last_lines", "run_program", "traceback_line"]

GRACE_SECONDS = 10.0  # between SIGTERM and SIGKILL
_POLL_SECONDS = 0.1
_PASSED_ON = 64 * 2**10  # bytes from the start of what it prints, and as many from the end
_CHUNK = 2**16
_LINES = 50  # of stderr, in a reason
_ADOPT_ORPHANS, _ADOPTS = 36, 37  # prctl, PR_SET_CHILD_SUBREAPER and PR_GET_…
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)


class Ended(NamedTuple):
    """The end of a program."""

    code: int  # its exit code; −9: by signal 9
    errors: str  # the end of what it wrote to stderr


class _TerminatedError(BaseException):
    """SIGTERM came while a program ran."""


def run_program(
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    poll: Callable[[int], None] = lambda printed: None,
    *,
    passes_on: bool = True,
) -> Ended:
    """Run a program to its end.

    Args:
        words: Program and arguments; no shell reads them.
        folder: In which it runs.
        environment: All its variables.
        poll: Called ten times a second with the bytes printed so far; what it raises ends the program.
        passes_on: Pass on what it prints.

    Raises:
        OSError: If it cannot be started.
    """
    with _adopting() as kill_orphans, _terminable():
        # A session of its own makes a group that can be signalled as a whole; no shell reads the words.
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        printed = _Printed(process, passes_on=passes_on)
        try:
            while True:
                try:
                    code = process.wait(_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    poll(printed.size)
        except BaseException:
            _signal(process, signal.SIGTERM)
            _wait_for_group(process, GRACE_SECONDS)
            raise
        finally:
            _signal(process, signal.SIGKILL)  # what it started, and left running
            process.wait()
            kill_orphans()
            printed.close()
        return Ended(code, printed.errors())


def last_lines(text: str) -> str:
    """The last lines of stderr, as far as a reason shows them."""
    return "\n".join(text.strip("\n").splitlines()[-_LINES:])


def traceback_line(text: str, folder: Path) -> str:
    """``train.py:12: ValueError: too few`` of a Python traceback; else the last line that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    root = folder.resolve()
    # The innermost line of the program's own files: that of a library would not help its author.
    frames = [(root / match["file"], match["line"]) for match in _FRAME.finditer(text)]
    inside = [(path.resolve(), line) for path, line in frames if path.resolve().is_relative_to(root)]
    if not inside:
        return last
    path, line = inside[-1]
    return f"{path.relative_to(root).as_posix()}:{line}: {last}"


class _Printed:
    """What a program prints, read while it runs: a full pipe would stop it."""

    def __init__(self, process: subprocess.Popen[bytes], *, passes_on: bool) -> None:
        self.size = 0
        self._room = _PASSED_ON if passes_on else 0
        self._passes_on = passes_on
        self._last: deque[bytes] = deque()  # what is passed on at the end
        self._errors: deque[bytes] = deque()
        self._lock = threading.Lock()
        assert process.stdout is not None, "it is a pipe"
        assert process.stderr is not None, "it is a pipe"
        # Each pipe has a thread: read in turn, the other one would fill up, and the program would wait for
        # ever.
        self._pipes = (process.stdout, process.stderr)
        self._threads = [
            threading.Thread(target=self._read, args=(pipe.fileno(), keeps), daemon=True)
            for pipe, keeps in ((process.stdout, False), (process.stderr, True))
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Wait for the last of it, and pass it on."""
        for thread in self._threads:
            thread.join(2.0)  # a process that could not be killed may hold the other end
        if self._passes_on:
            for data in self._last:
                _write(data)
        for pipe, thread in zip(self._pipes, self._threads, strict=True):
            if not thread.is_alive():
                pipe.close()

    def errors(self) -> str:
        return b"".join(self._errors)[-_PASSED_ON:].decode(errors="replace")

    def _read(self, pipe: int, keeps: bool) -> None:
        while data := os.read(pipe, _CHUNK):
            # Both ends of a long output are passed on: the start says what was done, the end what went wrong.
            with self._lock:
                self.size += len(data)
                if keeps:
                    _keep(self._errors, data)
                if not self._passes_on:
                    continue
                first, rest = data[: self._room], data[self._room :]
                self._room -= len(first)
                if first:
                    _write(first)
                if rest:
                    _keep(self._last, rest)


def _keep(parts: deque[bytes], data: bytes) -> None:
    """Add to the last bytes that are kept."""
    parts.append(data)
    held = sum(map(len, parts))
    while held - len(parts[0]) >= _PASSED_ON:
        held -= len(parts.popleft())


def _write(data: bytes) -> None:
    with suppress(OSError):  # nobody reads any more
        os.write(sys.__stdout__.fileno() if sys.__stdout__ is not None else 1, data)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _wait_for_group(process: subprocess.Popen[bytes], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        process.poll()  # else it stays as a zombie, and its group with it
        try:
            os.killpg(process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(_POLL_SECONDS / 2)


@contextmanager
def _adopting() -> Generator[Callable[[], None]]:
    """Make what a program leaves behind a child of this process; gives what kills those."""
    # Children of the main thread are listed apart: no process that another thread started is among them.
    if not sys.platform.startswith("linux") or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    # As a subreaper this process inherits what the program leaves behind, so it can be found and killed.
    kernel, before = ctypes.CDLL(None), ctypes.c_int()
    kernel.prctl(_ADOPTS, ctypes.byref(before), 0, 0, 0)
    kernel.prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)
    known = _children()

    def kill_orphans() -> None:
        while orphans := _children() - known:
            for pid in orphans:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    try:
        yield kill_orphans
    finally:
        kernel.prctl(_ADOPT_ORPHANS, before.value, 0, 0, 0)


def _children() -> set[int]:
    """Processes that this one's main thread has as children."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(map(int, listed.read_text().split())) if listed.exists() else set()


@contextmanager
def _terminable() -> Generator[None]:
    """Within the block SIGTERM is an exception, so that the program hears of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise _TerminatedError(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
