"""Requests, memory and seconds of a study of up to a million trials on a thousand nodes, by simulation.

``python -m benchmarks.scale.measure [--trials 10000 100000 1000000] [--nodes 1000]``: the program's own
functions on an object store in memory that counts requests (``storage.py``), each size in a process of its
own. A slot is simulated in a time of its own (``tests/simulation/one_slot.py``). A size beyond ``--held``
trials is planned, and all else of it follows from the largest that was held: such figures are marked with ≈.
Prints Markdown tables.

``python -m benchmarks.scale.measure --trials 2000 --storage DIR``: that many trials that do nothing, for real
(``for_real.py``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.scale.parts import PARTS, sync_lag
from benchmarks.scale.storage import KINDS
from benchmarks.shared import parser_of
from tests.simulation.one_slot import LATENCY_SECONDS

__all__ = ["Bench", "main"]

Figures = dict[str, Any]
_DEAR = ("PUT", "conditional PUT", "LIST")  # what a large provider sells at the higher price
_TUNE_KB = 1.7  # that Tune keeps of a batch, to the end (tracemalloc, 500 of its trials)
_HOLDERS = 3  # of all records when a run ends: display, MLflow sync, and the end itself
PROCESSES = ("worker", "driver", "run")


def main() -> int:
    """Measure the parts, each in a process of its own, and print the tables."""
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--nodes", type=int, default=1000, help="trials that train at once (default 1000)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of a training (default 10)")
    parser.add_argument("--epochs", type=int, default=60, help="of a training (default 60)")
    parser.add_argument(
        "--put", type=float, default=0.005, help="price of 1,000 PUT or LIST (list price: 0.005)"
    )
    parser.add_argument("--get", type=float, default=0.0004, help="of 1,000 GET or HEAD (list price: 0.0004)")
    parser.add_argument("--held", type=int, default=100_000, help="trials whose records are made and read")
    parser.add_argument("--storage", type=Path, help="train so many trials for real, with this storage")
    parser.add_argument("--local", action="store_true", help="for real without Ray")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part is not None:
        sys.stdout.write(json.dumps(PARTS[arguments.part](arguments)))
        return 0
    if arguments.storage is not None:
        from benchmarks.scale.for_real import train_for_real

        sys.stdout.write(train_for_real(arguments.trials[0], arguments.storage, local=arguments.local))
        return 0
    sys.stdout.write(Bench(arguments).tables())
    return 0


class Bench:
    """The parts of all sizes, and the tables of them."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.sizes = given, sorted(given.trials)
        self.trial, self.mlflow = self._part("trial", 100), self._part("mlflow", 1000)
        self.plans = {size: self._part("plan", size) for size in self.sizes}
        held = [size for size in self.sizes if size <= given.held] or [given.held]
        self.studies = {size: self._part("study", size) for size in held}
        self.times = dict.fromkeys(held, 1.0)  # by which a size exceeds the one that stands for it
        for size in set(self.sizes) - set(held):
            self.studies[size], self.times[size] = self.studies[held[-1]], size / held[-1]

    def tables(self) -> str:
        """All tables as Markdown."""
        parts = (self._of_a_trial(), self._of_studies())
        return "\n\n".join("\n".join(lines) for lines in parts) + "\n"

    def _part(self, name: str, trials: int) -> Figures:
        given = self.given
        options = {"nodes": given.nodes, "minutes": given.minutes, "epochs": given.epochs}
        command = [sys.executable, "-m", "benchmarks.scale.measure", "--part", name, "--trials", str(trials)]
        command += [f"--{option}={value}" for option, value in options.items()]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    def _of_a_trial(self) -> list[str]:
        lines = ["| of a trial | " + " | ".join(KINDS) + " |", f"|---|{'---:|' * len(KINDS)}"]
        for process in PROCESSES:
            row = (f"{self.trial[process].get(kind, 0.0):.1f}" for kind in KINDS)
            lines.append(f"| {process} | {' | '.join(row)} |")
        calls = sum(self.mlflow["calls"].values())
        first, second = (1000 * seconds for seconds in self.mlflow["seconds"])
        return [
            *lines,
            "",
            f"Results that Tune takes in: {self.trial['results']:.0f} a trial, "
            f"{self.trial['results'] * self.rate:.0f} a second. MLflow: {calls:.1f} calls and {first:.0f} ms "
            f"of CPU a trial ({second:.0f} ms behind the first hundred), "
            f"{1000 * self.mlflow['known']:.2f} ms at each delivery for one that it has.",
        ]

    def _of_studies(self) -> list[str]:
        rows: list[tuple[str, Callable[[int], str]]] = [
            ("length, h", lambda size: f"{self.hours(size):.1f}"),
            *((kind, partial(self._count, kind)) for kind in KINDS),
            ("price of the requests", lambda size: f"{self.price(size):,.2f}"),
            ("plan, s of CPU", lambda size: f"{self.plans[size]['seconds']:.2f}"),
            ("plan, KB a trial", lambda size: f"{1000 * self.plans[size]['mb'] / size:.1f}"),
            ("records in the run's process, KB a trial", lambda size: f"{self.record_kb(size):.1f}"),
            ("the run's process in all, GB", lambda size: f"{self.gigabytes(size):.1f}"),
            ("pages of a listing", lambda size: f"{self.pages(size):,.0f}"),
            (
                "before the first batch, s",
                lambda size: f"{self.studies[size]['begin_seconds'] * self.times[size]:.0f}",
            ),
            ("a look of the display, s", lambda size: f"{self.look_seconds(size):.1f}"),
            ("of that CPU", lambda size: f"{self.studies[size]['look_cpu'] * self.times[size]:.2f}"),
            (
                "reading all records, s of CPU",
                lambda size: f"{self.studies[size]['read'] * self.times[size]:.1f}",
            ),
            (
                "the report of them, s of CPU",
                lambda size: f"{self.studies[size]['report'] * self.times[size]:.1f}",
            ),
            ("MLflow is behind at the end, min", lambda size: f"{self.lag(size) / 60:.1f}"),
        ]
        measured = {"length, h", "plan, s of CPU", "plan, KB a trial"}
        head = " | ".join(f"{size:,} trials" for size in self.sizes)
        lines = [f"| of a study | {head} |", f"|---|{'---:|' * len(self.sizes)}"]
        for name, figure in rows:
            marks = ("≈ " if self.times[size] > 1 and name not in measured else "" for size in self.sizes)
            figures = (mark + figure(size) for mark, size in zip(marks, self.sizes, strict=True))
            lines.append(f"| {name} | {' | '.join(figures)} |")
        return lines

    # Figures of one size ------------------------------------------------------------------------------

    @property
    def rate(self) -> float:
        """Trials that end in a second."""
        return self.given.nodes / self.trial["seconds"]

    def hours(self, size: int) -> float:
        """Length of the study with all nodes at work."""
        return size / self.rate / 3600

    def pages(self, size: int) -> float:
        """Requests of one listing of all trials."""
        return self.studies[size]["look"]["LIST"] * self.times[size]

    def look_seconds(self, size: int) -> float:
        """Time of a look at the end of the study, when all trials are listed."""
        study = self.studies[size]
        listing = study["look"]["LIST"] * LATENCY_SECONDS
        return study["look_waited"] - listing + (listing + study["look_cpu"]) * self.times[size]

    def looks(self, size: int) -> float:
        """Looks of the display during the study: on average half of the trials are listed."""
        seconds = self.look_seconds(size) / 2
        return self.hours(size) * 3600 / (seconds + min(8.0, max(0.5, 10 * seconds)))

    def requests(self, kind: str, size: int) -> float:
        """Requests of a kind in the whole study."""
        study, of_trial = self.studies[size], sum(self.trial[process].get(kind, 0.0) for process in PROCESSES)
        take_snapshot = self.pages(size) / 2 if kind == "LIST" else study["look"].get(kind, 0)
        once = (study["begin"].get(kind, 0) + study["end"].get(kind, 0)) * self.times[size]
        running = self.hours(size) * 3600 * study["second"].get(kind, 0.0)
        return of_trial * size + take_snapshot * self.looks(size) + once + running

    def _count(self, kind: str, size: int) -> str:
        return f"{self.requests(kind, size):,.0f}"

    def price(self, size: int) -> float:
        """Price of all requests."""
        dear, cheap = float(self.given.put), float(self.given.get)
        prices = dict.fromkeys(KINDS, cheap) | dict.fromkeys(_DEAR, dear) | {"DELETE": 0.0}
        return sum(self.requests(kind, size) / 1000 * price for kind, price in prices.items())

    def record_kb(self, size: int) -> float:
        """Memory of a record that was read."""
        return 1000 * self.studies[size]["records_mb"] / min(size, size / self.times[size])

    def gigabytes(self, size: int) -> float:
        """Memory of the run's process: program, plan, and all records as display and MLflow sync hold
        them."""
        tune = _TUNE_KB * size / 10
        records = _HOLDERS * self.record_kb(size) * size
        return (self.studies[size]["program_mb"] + self.plans[size]["mb"]) / 1e3 + (records + tune) / 1e6

    def lag(self, size: int) -> float:
        """Seconds by which MLflow is behind when the study ends."""
        seconds = sum(self.mlflow["seconds"]) / 2
        return sync_lag(self.rate, seconds, self.mlflow["known"], self.hours(size))


if __name__ == "__main__":
    raise SystemExit(main())
