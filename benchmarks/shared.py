"""Shared parts of all benchmarks: command line, measuring in turn, and figures as text and on pages."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

__all__ = [
    "END",
    "ROOT",
    "Seconds",
    "environment_of",
    "interleaved",
    "options",
    "parser_of",
    "ratio_text",
    "spread_text",
    "timed",
    "write_block",
]

ROOT = Path(__file__).resolve().parent.parent
END = "<!-- end -->\n"

_T = TypeVar("_T")


# The command line ------------------------------------------------------------------------------------


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose ``--help`` begins with ``doc`` as it stands."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def options(
    doc: str | None, choice: tuple[str, list[str]] | None = None, *, threads: int = 1
) -> argparse.Namespace:
    """``quick``, ``threads`` and ``rounds`` of the command line; torch gets the threads.

    Args:
        doc: Text of ``--help``.
        choice: Name and values of what may be chosen by its name alone, any number.
        threads: Where none are given.
    """
    import torch

    parser = parser_of(doc)
    if choice is not None:
        parser.add_argument(choice[0], nargs="*", metavar=choice[0].upper(), help=", ".join(choice[1]))
    parser.add_argument("--quick", action="store_true", help="the smallest case, two rounds: a smoke test")
    parser.add_argument("--threads", type=int, default=threads, help=f"of torch (default: {threads})")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: 5)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.quick:
        given.rounds = 2
    return given


def environment_of(checkout: Path, *plugins: str) -> dict[str, str]:
    """Environment of a process that imports assay from a checkout, and from more folders of it."""
    folders = [checkout / folder for folder in (*plugins, "platform", "dashboard", ".")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


# Measuring -------------------------------------------------------------------------------------------


class Seconds(NamedTuple):
    """Seconds of one step: on the clock, and of CPU."""

    wall: float
    cpu: float


def timed(action: Callable[[], _T]) -> tuple[_T, Seconds]:
    """The result of ``action`` and its seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = action()
    return result, Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def interleaved(
    ways: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each way in each round by ``clock`` (that on the wall), after one round to warm up.

    Each round visits all ways, so a busy machine slows all alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            begin = clock()
            way()
            if number:
                seconds[name].append(clock() - begin)
    return seconds


# Writing ---------------------------------------------------------------------------------------------


def spread_text(values: Sequence[float]) -> str:
    """``1.62 (1.50–2.04)``: median, least and most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def ratio_text(times: Iterable[float], others: Iterable[float]) -> str:
    """The spread of times over others, round by round."""
    return spread_text([time / other for time, other in zip(times, others, strict=True)])


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
