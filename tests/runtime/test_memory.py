"""Freed memory stays with the process while it trains, and a training's peak is its own."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

import pytest

from assay.engine.cluster.shipping import SETTINGS

_STEPS = """
import resource, threading
import torch
from trainables.runtime.device import forget_peak_memory, keep_freed_memory, peak_memory_mb
from trainables.nn.layers.unet import PlainEncoder, UNet

torch.set_num_threads(1)
if {keep}:
    assert keep_freed_memory()
encoder = PlainEncoder(1, 8, 3, "gn")
net = UNet(encoder, encoder.widths, "gn")
images = torch.randn(8, 1, 128, 128)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def train():
    for step in range(5):
        if step == 2:
            before = faults()
        net(images).map_BOHW.square().sum().backward()
        net.zero_grad()
    print((faults() - before) // 3)

if {thread}:  # as a worker does
    training = threading.Thread(target=train)
    training.start()
    training.join()
else:
    train()
high = peak_memory_mb(torch.device("cpu"))
forget_peak_memory(torch.device("cpu"))
print(high - peak_memory_mb(torch.device("cpu")))
"""


def _plain() -> dict[str, str]:
    """The environment without what is said in it to malloc."""
    of_malloc = ("MALLOC_", "GLIBC_TUNABLES")
    return {name: value for name, value in os.environ.items() if not name.startswith(of_malloc)}


@cache
def faults_and_fall(*, keep: bool = False, thread: bool = False, worker: bool = False) -> tuple[int, float]:
    """Page faults of a training step of a small U-Net, and MiB by which the peak falls after training."""
    command = [sys.executable, "-c", _STEPS.format(keep=keep, thread=thread)]
    environment = _plain() | (SETTINGS if worker else {})
    faults, fall = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout.split()
    return int(faults), float(fall)


@pytest.mark.parametrize(
    ("kept", "given_back"),
    [
        ({"keep": True}, {}),
        ({"keep": True, "thread": True}, {"thread": True}),
        ({"thread": True, "worker": True}, {"thread": True}),
    ],
    ids=["this process", "its threads", "a worker"],
)
def test_a_step_takes_few_pages_anew_that_the_last_one_freed(
    kept: dict[str, bool], given_back: dict[str, bool]
) -> None:
    assert faults_and_fall(**kept)[0] < faults_and_fall(**given_back)[0] / 4


_LARGE = """
import resource
import torch
from trainables.runtime.device import MMAP_THRESHOLD, keep_freed_memory

torch.set_num_threads(1)
if {keep}:
    assert keep_freed_memory()
weight = torch.randn(1024, 64, 15, 15)  # SegDecNet's widest layer, in float32
assert weight.nbytes < MMAP_THRESHOLD
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for step in range(12):
    gradient = weight * 2
    weight = gradient + weight
    del gradient
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_the_largest_tensors_of_a_published_size_take_their_pages_again_after_a_few_steps() -> None:
    def faults(keep: bool) -> int:
        command = [sys.executable, "-c", _LARGE.format(keep=keep)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, env=_plain()).stdout)

    assert faults(keep=True) < faults(keep=False) / 2


def test_memory_kept_of_one_training_is_not_the_peak_of_the_next() -> None:
    assert faults_and_fall(keep=True)[1] > 20
