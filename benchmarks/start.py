"""CPU seconds until a command has answered or a process has what it needs.

    git worktree add ../earlier 3773014
    python -m benchmarks.start [../earlier]

Each part runs in an interpreter of its own, three times, in turns with the earlier checkout where one is
named; the least is printed, which another program on the machine disturbs least.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.shared import ROOT, environment_of, parser_of

__all__ = ["PARTS"]

_ROUNDS = 3

# What runs, by the name that docs/benchmarks.md gives it.
PARTS: dict[str, tuple[str, ...]] = {
    "assay --help": ("-m", "assay", "--help"),
    "assay studies": ("-m", "assay", "studies"),
    "assay plan quickstart --no-data": ("-m", "assay", "plan", "quickstart", "--no-data"),
    "assay plan quickstart": ("-m", "assay", "plan", "quickstart"),
    "import of the engine": ("-c", "import assay.engine"),
    "import of a driver": ("-c", "import assay.engine.on_ray.driver"),
    "import of a Train controller": ("-c", "import assay.engine.on_ray.train"),
    "import of what trains": ("-c", "import ray, assay.engine.on_ray.own_process"),
    "import of `--local`": ("-c", "import assay.engine.local"),
}


def cpu_seconds(arguments: tuple[str, ...], checkout: Path) -> float | None:
    """CPU time of one interpreter and all that it waits for; None where a checkout has no such part."""
    command, environment = [sys.executable, *arguments], environment_of(checkout)
    before = os.times()
    ended = subprocess.run(command, check=False, capture_output=True, env=environment, cwd=checkout)
    after = os.times()
    if ended.returncode:
        return None
    return sum(after[2:4]) - sum(before[2:4])


def _least(measured: list[float | None]) -> str:
    known = [seconds for seconds in measured if seconds is not None]
    return f"{min(known):.2f}" if known else "–"


def _main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("earlier", nargs="*", type=Path, help="a checkout to compare with")
    checkouts = [*parser.parse_args().earlier, ROOT]
    seconds: dict[str, list[list[float | None]]] = {name: [] for name in PARTS}
    for _ in range(_ROUNDS):
        for name, arguments in PARTS.items():
            seconds[name].append([cpu_seconds(arguments, checkout.resolve()) for checkout in checkouts])
    for name, rounds in seconds.items():
        cells = [_least(list(measured)) for measured in zip(*rounds, strict=True)]
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    _main()
