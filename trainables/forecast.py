"""Forecast of a training's cost, measured on its first steps instead of guessed.

:func:`measure` starts a real ``fit`` on the real images and ends it after a few seconds. A method says
through ``run.step`` how many steps it will take; one that does not is measured by its epochs.

Trade-off: one training is timed at a time. Trainings beside each other on one machine slow each other down by
what they share (memory, caches), which only the finished trials tell.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from trainables.contract import ConfigT, LocalRun, Trainable
from trainables.data.samples import TrainingData
from trainables.stages import Stage

__all__ = ["Cost", "measure"]

_WARM_UP = 2  # first steps that are not counted: memory is allocated, kernels are chosen
_LEAST_STEPS = 5  # that are timed, however long they take
_FORWARD_SHARE = 1 / 3  # of a training step: a backward pass costs about two forward ones


@dataclass(frozen=True)
class Cost:
    """Cost of one training on this machine."""

    train_seconds: float  # steps and validations, first to last
    image_seconds: (
        float  # to score one image; a third of its share of a training step where nothing was scored
    )
    steps: int  # in all; 0: the method does not say
    epochs: int  # in all
    timed: int  # steps (or, of a method that does not say, epochs) that were timed
    stage: str = ""  # the one stage that was timed, of a method that has several: later ones come on top


def measure(
    trainable: Trainable[ConfigT],
    config: ConfigT,
    data: TrainingData,
    *,
    device: torch.device,
    seed: int = 0,
    fold: int | None = None,
    seconds: float = 10.0,
) -> Cost:
    """Time the first steps of a training.

    Args:
        trainable: The method.
        config: Its settings.
        data: What it would train on.
        device: Where it would train.
        seed: Of the training.
        fold: Of the training.
        seconds: When it is ended, but not before five steps; a method that does not call ``run.step`` is
            ended after its first epoch at the earliest.

    Raises:
        InputError, Diverged: As ``fit`` does.
    """
    watch = _Watch(device=device, seed=seed, fold=fold, seconds=seconds)
    watch.begin()
    with suppress(_EnoughError):
        trainable.fit(config, data, watch)
    return watch.cost(0 if data.validation is None else len(data.validation))


class _EnoughError(Exception):
    """Enough was seen; no fault of the training."""


@dataclass
class _Seen:
    """Observations of a watch, of the training and of its stages alike."""

    begun: float
    last: float
    images: list[int] = field(default_factory=list)  # of each step
    spans: list[float] = field(default_factory=list)  # seconds of each step
    ends: list[float] = field(default_factory=list)  # seconds from an epoch's last step until it was logged
    steps: int = 0
    epochs: int = 0
    stage: str = ""


@dataclass
class _Watch(LocalRun):
    """A run that times steps, and ends the training when it has seen enough."""

    seconds: float = 10.0
    seen: _Seen = field(default_factory=lambda: _Seen(0.0, 0.0))

    def begin(self) -> None:
        now = self._now()
        self.seen = _Seen(now, now)

    def shard(self, batch: Sequence[int]) -> Sequence[int]:
        self.seen.images.append(len(batch))
        return super().shard(batch)

    def stage(self, stage: Stage, data: TrainingData) -> Path:
        self.seen.stage = stage.name
        return super().stage(stage, data)

    def step(self, done: int, total: int, epochs: int) -> None:
        seen = self.seen
        seen.spans.append(self._lap())
        seen.steps, seen.epochs = total, epochs
        if len(seen.spans) >= _WARM_UP + _LEAST_STEPS and seen.last - seen.begun > self.seconds:
            raise _EnoughError

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        seen = self.seen
        seen.ends.append(self._lap())
        seen.epochs = epochs
        if seen.last - seen.begun > self.seconds:
            raise _EnoughError

    def cost(self, validation: int) -> Cost:
        """The cost from what was seen. ``validation``: images that are scored at an epoch's end."""
        seen = self.seen
        if not seen.spans:  # the method counts no steps: an epoch is all there is to time
            pace = sum(seen.ends) / len(seen.ends)
            return Cost(seen.epochs * pace, 0.0, 0, seen.epochs, len(seen.ends), seen.stage)
        timed = seen.spans[_WARM_UP:] or seen.spans
        pace = sum(timed) / len(timed)
        shown = sum(seen.images) / len(seen.images) if seen.images else 1.0
        image = pace / shown * _FORWARD_SHARE
        end = sum(seen.ends) / len(seen.ends) if seen.ends else validation * image
        if seen.ends and validation:
            image = end / validation
        train = seen.steps * pace + seen.epochs * end
        return Cost(train, image, seen.steps, seen.epochs, len(timed), seen.stage)

    def _lap(self) -> float:
        now = self._now()
        span, self.seen.last = now - self.seen.last, now
        return span

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
