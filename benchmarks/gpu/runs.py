"""Trainings of ``check.py``: noise to train on, runs that time, trace or interrupt a method's ``fit``.

What is timed is ``fit`` as users call it, with its sampler, losses and optimiser, so a faster step of a
method shows here without a change of this file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainables.contract import LocalRun, Predictor, TrainableConfig, TrainingCutError
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.plugins.catalogue import find_trainable
from trainables.runtime.device import forget_peak_memory, peak_memory_mb, prepare_gpu, set_deterministic
from trainables.stages import Stage

__all__ = [
    "Bench",
    "InterruptedRun",
    "LeftOutError",
    "Pace",
    "PacedRun",
    "Part",
    "Training",
    "kernels_of",
    "noise",
    "seconds_of",
    "wait",
]


class LeftOutError(Exception):
    """Raised by a part that cannot be run here; the text says why, as a sentence."""


@dataclass(frozen=True)
class Bench:
    """Device to measure, and the patience to do so."""

    device: torch.device
    quick: bool  # tiny sizes: proves the script, says nothing of the device

    @property
    def seconds(self) -> float:
        """Length of a measurement."""
        return 0.02 if self.quick else 1.0

    @property
    def warm_up(self) -> int:
        """First steps, not counted: kernels are chosen, memory is taken, a graph is captured."""
        return 2 if self.quick else 12

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"


Part = Callable[[Bench], Iterator[str]]  # yields lines of Markdown


class Pace(NamedTuple):
    """Speed of a training."""

    images_per_second: float
    step_ms: float
    peak_mb: float


@dataclass
class _Seen:
    steps: int = 0
    images: int = 0
    begun: float = 0.0
    seconds: float = 0.0


@dataclass
class PacedRun(LocalRun):
    """A run that is cut after ``budget`` seconds of steps, not counting the first ones."""

    warm_up: int = 2
    budget: float = 1.0
    at_start: Callable[[], object] = lambda: None  # called before the clock starts
    seen: _Seen = field(default_factory=_Seen)

    def shard(self, batch: Sequence[int]) -> Sequence[int]:
        self.seen.images += len(batch)
        return super().shard(batch)

    def step(self, done: int, total: int, epochs: int) -> None:
        seen = self.seen
        seen.steps += 1
        if seen.steps == self.warm_up:
            wait(self.device)
            self.at_start()
            seen.images, seen.begun = 0, time.perf_counter()
        elif seen.steps > self.warm_up and time.perf_counter() - seen.begun >= self.budget:
            wait(self.device)
            seen.seconds = time.perf_counter() - seen.begun
            raise TrainingCutError

    def stage(self, stage: Stage, data: TrainingData) -> Any:
        folder = super().stage(stage, data)
        self.seen = _Seen()  # what counts are the steps of the method itself
        return folder


@dataclass
class _TracedRun(LocalRun):
    """A run that profiles some steps and is cut after them."""

    warm_up: int = 2
    steps: int = 4
    profile: torch.profiler.profile = field(default_factory=torch.profiler.profile)
    seen: int = 0

    def step(self, done: int, total: int, epochs: int) -> None:
        self.seen += 1
        if self.seen == self.warm_up:
            wait(self.device)
            self.profile.start()
        elif self.seen == self.warm_up + self.steps:
            wait(self.device)
            self.profile.stop()
            raise TrainingCutError


class CutShortError(Exception):
    """Raised by :class:`InterruptedRun` when its training is to end."""


@dataclass
class InterruptedRun(LocalRun):
    """A run with a folder that dies when the first checkpoint is written."""

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        super().checkpoint(epoch, tensors, meta)
        if self.folder is not None:  # a stage has none
            raise CutShortError


@dataclass(frozen=True)
class Training:
    """A method with settings and a training set of noise."""

    method: str
    settings: Mapping[str, Any]
    images: int = 64
    deterministic: bool = True  # as in a study

    def config(self, device: torch.device) -> TrainableConfig:
        """The settings with every ``auto`` decided."""
        trainable = find_trainable(self.method)
        preset = trainable.presets[self.settings["preset"]]
        more = {name: value for name, value in self.settings.items() if name != "preset"}
        config = trainable.Config.model_validate({**preset, **more})
        return config.resolved(device.type)

    def fit(self, run: LocalRun) -> Predictor:
        """Train until the run cuts it, in a process that is set up as in a study."""
        prepare_gpu(run.device, 1.0)
        set_deterministic(run.device, self.deterministic)
        config = self.config(run.device)
        data = TrainingData(noise(config, self.images), None, Supervision(kind="full"))
        return find_trainable(self.method).fit(config, data, run)

    def pace(self, bench: Bench, at_start: Callable[[], object] = lambda: None) -> Pace:
        """Time its steps on the bench's device."""
        run = PacedRun(device=bench.device, warm_up=bench.warm_up, budget=bench.seconds, at_start=at_start)
        forget_peak_memory(bench.device)
        self.fit(run)
        seen = run.seen
        steps = seen.steps - bench.warm_up
        assert seen.seconds > 0, "a training lasts longer than its timing"
        return Pace(seen.images / seen.seconds, 1e3 * seen.seconds / steps, peak_memory_mb(bench.device))


class Kernels(NamedTuple):
    """Work that a training step gives to the GPU."""

    launched: float
    busy_ms: float
    copies: float  # between host and GPU


def kernels_of(training: Training, bench: Bench) -> Kernels:
    """Profile some steps of a training; kernels are counted on a GPU only."""
    run = _TracedRun(device=bench.device, warm_up=bench.warm_up)
    training.fit(run)
    events = [
        event
        for event in run.profile.events() or ()
        if event.device_type == torch.autograd.DeviceType.CUDA  # pyright: ignore
    ]
    copies = sum("HtoD" in event.name or "DtoH" in event.name for event in events)
    busy_us = sum(event.time_range.elapsed_us() for event in events)
    return Kernels(len(events) / run.steps, busy_us / 1e3 / run.steps, copies / run.steps)


def noise(config: TrainableConfig, count: int) -> ImageSet:
    """Noise of the config's size, half of it with a defect and its mask."""
    rng = np.random.default_rng(0)
    height, width = config.image_size
    ids = tuple(f"{number:03d}" for number in range(count))
    labels = np.arange(count) % 2 == 0
    shape = (height, width, config.channels)
    images = {name: rng.integers(60, 160, shape, dtype=np.uint8) for name in ids}
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 1
    for name, defective in zip(ids, labels, strict=True):
        if defective:
            images[name][mask > 0] += 60
    shown = {name: mask for name, defective in zip(ids, labels, strict=True) if defective}
    return ImageSet(ids, labels, images, shown)


def wait(device: torch.device) -> None:
    """Return when the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(action: Callable[[], object], bench: Bench) -> float:
    """Seconds of one call, in the mean over calls that the device takes in one after the other."""
    for _ in range(3):
        action()
    wait(bench.device)
    count, begin = 0, time.perf_counter()
    while count < 2 or time.perf_counter() - begin < bench.seconds:
        action()
        count += 1
    wait(bench.device)
    return (time.perf_counter() - begin) / count
