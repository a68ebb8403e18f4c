"""A training step where freed memory stays with the process, against one where it goes back to the kernel.

    python -m benchmarks.freed_memory

Each measurement is a process of its own with one thread, which trains in another thread than the main one, as
workers do: with the environment of assay's workers, or with malloc's own settings. Interleaved rounds; prints
a Markdown table of seconds and page faults per step.
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
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from assay.engine.shipping import SETTINGS
from trainables.cam.config import ClassifierConfig
from trainables.cam.network import Classifier
from trainables.cam.presets import PRESETS as CAM_PRESETS
from trainables.focus.config import FocusConfig
from trainables.focus.presets import PRESETS
from trainables.nn.models import with_layout
from trainables.nn.segmentation import SegmentationNet
from trainables.segdec.config import SegDecConfig
from trainables.segdec.network import SegDecNet

ROOT = Path(__file__).resolve().parent.parent
_ROUNDS, _STEPS = 5, 10
_OF_MALLOC = ("MALLOC_", "GLIBC_TUNABLES")  # settings of the C library's memory
_NAMES = {
    "unet": "U-Net of `focus`, `reduced`, 8 images of 160 × 160",
    "classifier": "classifier of `cam`, `small`, 16 images of 160 × 160",
    "segdec": "SegDecNet at a quarter of its channels, 1 image of 704 × 256",
}


class Step(NamedTuple):
    """What one process measured."""

    seconds: float
    faults: float


def model(name: str) -> tuple[nn.Module, Tensor]:
    """A network and a batch for it."""
    if name == "unet":
        focus = FocusConfig.model_validate({**PRESETS["reduced"], "image_size": (160, 160)})
        return with_layout(SegmentationNet(focus), focus), torch.rand(8, focus.channels, 160, 160)
    if name == "classifier":
        settings: dict[str, Any] = {
            k: v for k, v in CAM_PRESETS["small"].items() if k in ClassifierConfig.model_fields
        }
        config = ClassifierConfig.model_validate({**settings, "image_size": (160, 160)})
        return with_layout(Classifier(config), config), torch.rand(16, config.channels, 160, 160)
    segdec = SegDecConfig.model_validate({"image_size": (704, 256), "channel_scale": 0.25})
    return with_layout(SegDecNet(segdec), segdec), torch.rand(1, segdec.channels, 704, 256)


def total(output: object) -> Tensor:
    """The sum of all numbers that a network returns: something to train on."""
    if isinstance(output, Tensor):
        return output.float().sum()
    parts = output if isinstance(output, tuple | list) else vars(output).values()
    return torch.stack([total(part) for part in parts if part is not None]).sum()


def measure(name: str) -> None:
    """Train in a thread, and print the median of a step's seconds with its page faults."""
    torch.set_num_threads(1)
    network, batch = model(name)
    seconds: list[float] = []
    faults: list[int] = []

    def train() -> None:
        for _ in range(3 + _STEPS):
            began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            total(network(batch)).backward()
            network.zero_grad()
            seconds.append(time.perf_counter() - began)
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

    training = threading.Thread(target=train)
    training.start()
    training.join()
    print(json.dumps([statistics.median(seconds[3:]), statistics.mean(faults[3:])]))  # noqa: T201


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
    print("| network | freed memory | seconds a step | page faults a step | of given back |")  # noqa: T201
    print("|---|---|---|---|---|")  # noqa: T201
    for name, title in _NAMES.items():
        rounds = [(spawn(name, kept=True), spawn(name, kept=False)) for _ in range(_ROUNDS)]
        ratios = sorted(kept.seconds / back.seconds for kept, back in rounds)
        share = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"
        for label, column, ratio in (("stays", 0, share), ("given back", 1, "1.00")):
            seconds = statistics.median(both[column].seconds for both in rounds)
            faults = statistics.median(both[column].faults for both in rounds)
            print(f"| {title} | {label} | {seconds:.3f} | {faults:.0f} | {ratio} |", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
