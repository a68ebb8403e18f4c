"""A training step where freed memory stays with the process, against one where it goes back to the kernel.

    python -m benchmarks.freed_memory

Each measurement is a process of its own with one thread, which trains in another thread than the main one, as
workers do: with the environment of assay's workers, or with malloc's own settings. Interleaved rounds; prints
a Markdown table of wall-clock seconds and page faults per step, and of peak memory.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import torch

from assay.engine.cluster.shipping import SETTINGS
from benchmarks.networks import Training, classifier, segdec, segmenter
from benchmarks.shared import ROOT, spread_text
from trainables.runtime.device import peak_memory_mb

_ROUNDS, _STEPS = 5, 10
_OF_MALLOC = ("MALLOC_", "GLIBC_TUNABLES")  # settings of the C library's memory


class Step(NamedTuple):
    """Measurements of one process."""

    seconds: float
    faults: float
    peak_mb: float


_CASES = {
    "U-Net of `focus`, `reduced`": Training(segmenter, "reduced", 8, (160, 160)),
    "classifier of `cam`, `small`": Training(classifier, "small", 16, (160, 160)),
    "SegDecNet, a quarter of its channels": Training(segdec, "ksdd", 1, (704, 256)),
}


def measure(name: str) -> None:
    """Train in a thread; print a step's median seconds, its page faults and the process's peak memory."""
    torch.set_num_threads(1)
    run = _CASES[name].step()
    seconds: list[float] = []
    faults: list[int] = []

    def train() -> None:
        for _ in range(3 + _STEPS):
            began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            run()
            seconds.append(time.perf_counter() - began)
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

    training = threading.Thread(target=train)
    training.start()
    training.join()
    step = Step(
        statistics.median(seconds[3:]), statistics.mean(faults[3:]), peak_memory_mb(torch.device("cpu"))
    )
    print(json.dumps(step))  # noqa: T201


def spawn(name: str, *, kept: bool) -> Step:
    """Measure in a process with or without the settings of workers."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(_OF_MALLOC)}
    malloc = {key: value for key, value in SETTINGS.items() if key.startswith(_OF_MALLOC)} if kept else {}
    command = [sys.executable, "-m", "benchmarks.freed_memory", name]
    done = subprocess.run(command, env=plain | malloc, check=True, capture_output=True, text=True, cwd=ROOT)
    return Step(*json.loads(done.stdout))


def main() -> int:
    """Measure all networks in interleaved rounds and print the table."""
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return 0
    print("| network, images | freed memory | s a step | page faults | peak, MiB | of given back |")  # noqa: T201
    print("|---|---|---|---|---|---|")  # noqa: T201
    for name, case in _CASES.items():
        rounds = [(spawn(name, kept=True), spawn(name, kept=False)) for _ in range(_ROUNDS)]
        share = spread_text([kept.seconds / back.seconds for kept, back in rounds])
        for label, column, ratio in (("stays", 0, share), ("given back", 1, "1.00")):
            seconds, faults, peak = (
                statistics.median(both[column][field] for both in rounds) for field in range(3)
            )
            figures = f"{seconds:.3f} | {faults:.0f} | {peak:.0f} | {ratio}"
            print(f"| {name}, {case} | {label} | {figures} |", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
