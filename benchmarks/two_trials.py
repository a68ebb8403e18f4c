"""Training steps per second of two trials with one thread each, beside one trial with two threads.

    python -m benchmarks.two_trials [--quick] [--rounds 5]

Each trial is a process of its own, as workers are, and trains for as long as the others in its turn. Steps
per second are those of all trials of a turn. ``cpu`` is the processor's time for a step.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from typing import NamedTuple

import torch

from benchmarks.networks import Training, segdec, segmenter
from benchmarks.shared import options, spread_text

_CASES = {
    "SegDecNet, a quarter of its channels": Training(segdec, "ksdd", 1, (704, 256)),
    "U-Net of `focus`, `reduced`": Training(segmenter, "reduced", 8, (128, 128)),
}


class Turn(NamedTuple):
    """Work of the trials that ran at once."""

    steps_per_second: float
    cpu_per_step: float  # seconds


def _process(threads: int) -> ProcessPoolExecutor:
    """A process of its own for a trial."""
    return ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (threads,))


@cache
def _step(case: str) -> Callable[[], None]:
    """The training step of this process, made and tried out when it is first wanted."""
    run = _CASES[case].step()
    run()
    return run


def _train(case: str, seconds: float) -> tuple[int, float, float]:
    """Steps, seconds on the clock and of the processor."""
    run, steps = _step(case), 0
    begin, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < seconds or not steps:
        run()
        steps += 1
    return steps, time.perf_counter() - begin, time.process_time() - cpu


def turn(processes: list[ProcessPoolExecutor], case: str, seconds: float) -> Turn:
    """Let a trial in each of ``processes`` train at once."""
    training = [process.submit(_train, case, seconds) for process in processes]
    ended = [trial.result() for trial in training]
    steps = sum(count for count, _, _ in ended)
    return Turn(sum(count / wall for count, wall, _ in ended), sum(cpu for _, _, cpu in ended) / steps)


def main() -> None:
    """Print a line for each network."""
    given = options(__doc__)
    seconds = 1.0 if given.quick else 4.0
    write = sys.stdout.write
    write(f"Median (least–most) of {given.rounds} interleaved rounds, torch {torch.__version__}.\n\n")
    write("| network | steps/s, two of one thread | one of two | ratio | cpu of a step, of the other way |\n")
    write("|---|---:|---:|---|---|\n")
    for case, training in _CASES.items():
        ways = {"two": [_process(1), _process(1)], "one": [_process(2)]}
        turns: dict[str, list[Turn]] = {way: [] for way in ways}
        for number in range(given.rounds + 1):
            for way, processes in ways.items():
                measured = turn(processes, case, seconds)
                if number:
                    turns[way].append(measured)
        for process in ways["two"] + ways["one"]:
            process.shutdown()
        pairs = list(zip(turns["two"], turns["one"], strict=True))
        speeds = [statistics.median(each.steps_per_second for each in turns[way]) for way in ways]
        faster = spread_text([two.steps_per_second / one.steps_per_second for two, one in pairs])
        dearer = spread_text([one.cpu_per_step / two.cpu_per_step for two, one in pairs])
        write(f"| {case}, {training} | {speeds[0]:.1f} | {speeds[1]:.1f} | {faster} | {dearer} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
