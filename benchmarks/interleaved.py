"""Shared parts of benchmarks of one process: their options, and seconds of several ways measured in turn."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import torch

from benchmarks.shared import parser_of

__all__ = ["interleaved", "options"]


def options(doc: str, rounds: int, choice: tuple[str, list[str]] | None = None) -> argparse.Namespace:
    """``quick``, ``threads`` and ``rounds`` of the command line; torch gets the threads.

    Args:
        doc: What ``--help`` says.
        rounds: Where none are given; with ``--quick`` two.
        choice: Name and values of what may be chosen by its name alone, any number.
    """
    parser = parser_of(doc)
    if choice is not None:
        parser.add_argument(choice[0], nargs="*", metavar=choice[0].upper(), help=", ".join(choice[1]))
    parser.add_argument("--quick", action="store_true", help="the smallest case, two rounds: a smoke test")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"interleaved rounds (default: {rounds})")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.quick:
        given.rounds = 2
    return given


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
