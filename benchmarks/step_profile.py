"""Shares of a training step by operation, and the speed of its convolutions beside a product of matrices.

    python -m benchmarks.step_profile [unet unet_standard classifier pretrained] [--quick] [--rounds 5]

One thread, time of the processor, channels last. Shares are torch's profiler's, of time within operations.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import networks
from benchmarks.networks import Training
from benchmarks.shared import interleaved, options

_SIDE = 768  # of the matrices that are multiplied
_STEPS = 2  # that are profiled
_PARTS = {  # by what an operation's name holds; the first that fits
    "convolutions": ("convolution", "conv2d"),
    "normalisation": ("norm", "Norm", "addcmul", "aten::mul"),
    "ReLU": ("threshold", "relu", "clamp_min"),
    "resizing, pooling": ("upsample", "pool"),
    "matrix products": ("mm",),
    "copies, joins": ("copy", "cat", "fill", "zero"),
    "sums": ("add", "sum"),
}


CASES = {
    "unet": Training(networks.segmenter, "reduced", 8, (128, 128)),
    "classifier": Training(networks.classifier, "small", 16, (128, 128)),
    "pretrained": Training(networks.classifier, "pretrained", 4, (224, 224)),
    "unet_standard": Training(networks.segmenter, "standard", 2, (224, 224)),
}


def least_seconds(task: Callable[[], object], rounds: int) -> float:
    """The processor's time of the fastest round."""
    return min(interleaved({"task": task}, rounds, time.thread_time)["task"])


def part_of(operation: str) -> str:
    """The part of a step that an operation belongs to."""
    return next((part for part, names in _PARTS.items() if any(name in operation for name in names)), "rest")


def line(name: str, training: Training, rounds: int) -> str:
    """A line of the table."""
    run = training.step()
    with FlopCounterMode(display=False) as counted:
        run()
    seconds = least_seconds(run, rounds)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(_STEPS):
            run()
    shares = dict.fromkeys((*_PARTS, "rest"), 0.0)
    for event in profiled.key_averages():
        shares[part_of(event.key)] += event.self_cpu_time_total
    total = sum(shares.values())
    speed = counted.get_total_flops() / (seconds * shares["convolutions"] / total)
    a: Tensor = torch.rand(_SIDE, _SIDE)
    peak = 2 * _SIDE**3 / least_seconds(lambda: a @ a, 4 * rounds)
    cells = " | ".join(f"{100 * share / total:.0f}" for share in shares.values())
    return (
        f"| {name}, {training} | {1000 * seconds:.0f} | {cells} | "
        f"{speed / 1e9:.0f} | {peak / 1e9:.0f} | {total / shares['convolutions']:.2f} |"
    )


def main() -> None:
    """Print a line for each network that is named, or for all."""
    given = options(__doc__, ("networks", list(CASES)))
    write = sys.stdout.write
    write(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}; parts in % of a step.\n\n")
    parts = " | ".join((*_PARTS, "rest"))
    write(f"| network | ms | {parts} | convolutions, GFLOP/s | matrices, GFLOP/s | were all else free |\n")
    write("|---" * (6 + len(_PARTS)) + "|\n")
    for name in given.networks or CASES:
        write(line(name, CASES[name], given.rounds) + "\n")
        sys.stdout.flush()
        if given.quick:
            break


if __name__ == "__main__":
    main()
