"""Training steps per second of two trials with one thread each, beside one trial with two threads.

    python -m benchmarks.two_trials [--quick] [--rounds 5]

Each trial is a process of its own, as workers are, and trains for as long as the others in its turn. Steps
per second are those of all trials of a turn. ``cpu`` is the processor's time for a step.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

import torch

from benchmarks.freed_memory import segdec
from benchmarks.interleaved import options
from benchmarks.networks import segmenter, step
from benchmarks.shared import spread_text

_CASES = {
    "SegDecNet, a quarter of its channels, 1 × 704 × 256": (segdec, "ksdd", 1, (704, 256)),
    "U-Net of `focus`, `reduced`, 8 × 128 × 128": (segmenter, "reduced", 8, (128, 128)),
}


class Turn(NamedTuple):
    """Work of the trials that ran at once."""

    steps_per_second: float
    cpu_per_step: float  # seconds


class Trial:
    """A process that trains one network when it is told to."""

    def __init__(self, case: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_train, args=(theirs, case, threads), daemon=True)
        self.process.start()

    def begin(self, seconds: float) -> None:
        self._pipe.send(seconds)

    def end(self) -> tuple[int, float, float]:
        """Steps, seconds on the clock and of the processor."""
        return self._pipe.recv()


def _train(pipe: Connection, case: str, threads: int) -> None:
    torch.set_num_threads(threads)
    make, preset, batch, size = _CASES[case]
    net, loss = make(preset, size)
    run: Callable[[], None] = step(net, loss, torch.rand(batch, 1, *size), torch.channels_last)
    run()
    while True:
        seconds, steps = pipe.recv(), 0
        begin, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - begin < seconds or not steps:
            run()
            steps += 1
        pipe.send((steps, time.perf_counter() - begin, time.process_time() - cpu))


def turn(trials: list[Trial], seconds: float) -> Turn:
    """Let ``trials`` train at once."""
    for trial in trials:
        trial.begin(seconds)
    ended = [trial.end() for trial in trials]
    steps = sum(count for count, _, _ in ended)
    return Turn(sum(count / wall for count, wall, _ in ended), sum(cpu for _, _, cpu in ended) / steps)


def main() -> None:
    """Print a line for each network."""
    given = options(__doc__ or "", 5)
    seconds = 1.0 if given.quick else 4.0
    write = sys.stdout.write
    write(f"Median (least–most) of {given.rounds} interleaved rounds, torch {torch.__version__}.\n\n")
    write("| network | steps/s, two of one thread | one of two | ratio | cpu of a step, of the other way |\n")
    write("|---|---:|---:|---|---|\n")
    for case in _CASES:
        ways = {"two": [Trial(case, 1), Trial(case, 1)], "one": [Trial(case, 2)]}
        turns: dict[str, list[Turn]] = {way: [] for way in ways}
        for number in range(given.rounds + 1):
            for way, trials in ways.items():
                measured = turn(trials, seconds)
                if number:
                    turns[way].append(measured)
        for trial in ways["two"] + ways["one"]:
            trial.process.terminate()
        pairs = list(zip(turns["two"], turns["one"], strict=True))
        speeds = [statistics.median(each.steps_per_second for each in turns[way]) for way in ways]
        faster = spread_text([two.steps_per_second / one.steps_per_second for two, one in pairs])
        dearer = spread_text([one.cpu_per_step / two.cpu_per_step for two, one in pairs])
        write(f"| {case} | {speeds[0]:.1f} | {speeds[1]:.1f} | {faster} | {dearer} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
