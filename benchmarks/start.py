"""CPU seconds until a command has answered or a process has what it needs: `python -m benchmarks.start`.

Each part runs in an interpreter of its own, three times in turns; the least is printed, which another program
on the machine disturbs least. To compare with another revision, run both with the same cache.
"""

from __future__ import annotations

import os
import subprocess
import sys

__all__ = ["PARTS"]

_ROUNDS = 3

# What runs, by the name that docs/benchmarks.md gives it.
PARTS: dict[str, tuple[str, ...]] = {
    "assay --help": ("-m", "assay", "--help"),
    "assay studies": ("-m", "assay", "studies"),
    "assay plan quickstart --no-data": ("-m", "assay", "plan", "quickstart", "--no-data"),
    "assay plan quickstart": ("-m", "assay", "plan", "quickstart"),
    "import of the engine": ("-c", "import assay.engine"),
    "import of a driver": ("-c", "import assay.engine.driver"),
    "import of a Train controller": ("-c", "import assay.engine.train"),
    "import of what trains": ("-c", "import ray, assay.engine.own_process"),
    "import of `--local`": ("-c", "import assay.engine.local"),
}


def cpu_seconds(arguments: tuple[str, ...]) -> float:
    """CPU time of one interpreter and all that it waits for."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def _main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in PARTS}
    for _ in range(_ROUNDS):
        for name, arguments in PARTS.items():
            seconds[name].append(cpu_seconds(arguments))
    for name, measured in seconds.items():
        sys.stdout.write(f"| {name} | {min(measured):.2f} |\n")


if __name__ == "__main__":
    _main()
