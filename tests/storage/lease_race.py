"""Two starters race for the lease of a study, round after round, on a real S3 server.

``python -m tests.storage.lease_race [--rounds 500]`` prints how many rounds had one holder, two or none.
Exits with 1 unless each had one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from assay.storage import Store
from assay.storage.lease import Lease
from tests.helpers.s3_server import CREDENTIALS, S3Server
from trainables.errors import InputError

__all__ = ["Starter", "race"]


class Starter:
    """A process of its own that takes leases on command; ends with the ``with`` block."""

    def __init__(self, uri: str) -> None:
        command = [sys.executable, "-m", "tests.storage.lease_race", "--obey", uri]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        self.pid = self._process.pid

    def __enter__(self) -> Starter:
        assert self.hears() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def say(self, *words: str) -> None:
        """Give it a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()

    def hears(self) -> str:
        """The next line of its answer."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def race(uri: str, rounds: int) -> Counter[int]:
    """Let two processes start each of ``rounds`` studies at once; returns number of holders → rounds."""
    holders: Counter[int] = Counter()
    with Starter(uri) as first, Starter(uri) as second:
        for number in range(rounds):
            for starter in (first, second):
                starter.say("take", f"round{number}")
            holders[[first.hears(), second.hears()].count("holds")] += 1
            for starter in (first, second):
                starter.say("give")
                assert starter.hears() == "given"
    return holders


def _obey(uri: str) -> None:
    """Take and give back as the lines of standard input say."""
    lease: Lease | None = None
    _answer("ready")
    for line in sys.stdin:
        match line.split():
            case ["take", study]:
                lease = Lease(Store(uri), study)
                try:
                    lease.take()
                    _answer("holds")
                except InputError:
                    lease = None
                    _answer("refused")
            case _:
                if lease is not None:
                    lease.give_back()
                _answer("given")


def _answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Race and sleep; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--obey", metavar="URI", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.obey:
        _obey(arguments.obey)
        return 0
    os.environ.update(CREDENTIALS)
    with tempfile.TemporaryDirectory() as folder, S3Server(Path(folder)) as server:
        start = time.monotonic()
        holders = race(server.uri("bucket/race"), arguments.rounds)
        shares = f"{holders[1]} with one holder, {holders[2]} with two, {holders[0]} with none"
        _answer(f"{arguments.rounds} rounds of two starters in {time.monotonic() - start:.0f} s: {shares}")
    return 0 if holders[1] == arguments.rounds else 1


if __name__ == "__main__":
    raise SystemExit(main())
