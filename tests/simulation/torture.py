"""The protocol under attack: thousands of histories of runs, workers and storage, drawn by seed.

``python -m tests.simulation.torture [--histories 10000] [--seed 0]`` draws them in batches of 100, one seed
each. A history that breaks a rule is shrunk to the few steps that break it, and printed with the command that
repeats it. Exits with 1 then. At last a run, and its workers, sleep past the lease at each of their calls.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from itertools import product

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.histories import TOTALS, Histories, sleep_at_calls
from tests.simulation.program import STUDIES

__all__ = ["AWAKE_AFTER", "BATCH", "draw"]

AWAKE_AFTER = (40, 4000)  # rounds: in the midst of another run, and after it
BATCH = 100  # histories of one seed
_STEPS = 25


def draw(number: int, histories: int = BATCH, *, shrink: bool = True) -> None:
    """Draw the histories of one seed; ``shrink``: look for the shortest that breaks a rule, where one does.

    Raises:
        AssertionError: If one breaks a rule; the steps that lead to it are printed.
    """
    chosen = settings(
        max_examples=histories,
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        print_blob=False,
        verbosity=Verbosity.normal,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(seed(number)(Histories), settings=chosen)


def main() -> int:
    """Draw batch after batch; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first batch")
    arguments = parser.parse_args()
    start = time.monotonic()
    for number in range(arguments.seed, arguments.seed + -(-arguments.histories // BATCH)):
        try:
            draw(number)
        except Exception:  # noqa: BLE001 - shown with the command that repeats it
            traceback.print_exc()
            _say(f"again: python -m tests.simulation.torture --histories {BATCH} --seed {number}")
            return 1
        _say(f"seed {number}: {_totals()}; {time.monotonic() - start:.0f} s")
    for name, workers, awake_after in product(STUDIES, (False, True), AWAKE_AFTER):
        sleeps = sleep_at_calls(name, workers=workers, awake_after=awake_after, every=1)
        who = "workers sleep" if workers else "a run sleeps"
        _say(f"{name}: {who} at {sleeps} calls, awake after {awake_after} rounds of another run")
    return 0


def _totals() -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(TOTALS.items()))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
