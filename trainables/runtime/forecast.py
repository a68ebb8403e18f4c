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
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from trainables.contract import ConfigT, LocalRun, Trainable, TrainingCutError
from trainables.data.samples import TrainingData
from trainables.errors import Diverged, InputError
from trainables.stages import Stage

__all__ = ["Cost", "measure"]

_WARM_UP = 2  # first steps that are not counted: memory is allocated, kernels are chosen
_LEAST_STEPS = 5  # that are timed, however long they take
_FORWARD_SHARE = 1 / 3  # of a training step: a backward pass costs about two forward ones


@dataclass(frozen=True)
class Cost:
    """Cost of one training on this machine."""

    train_seconds: float  # steps and validations, first to last, without stages
    image_seconds: float  # to score an image; a third of its share of a step where nothing was scored
    steps: int  # in all; 0: the method does not say
    epochs: int  # in all
    timed: int  # steps (or, of a method that does not say, epochs) that were timed
    stages: Mapping[str, float] = field(default_factory=dict[str, float])  # seconds to make each one
    untimed: str = ""  # why later stages were not timed: they come on top


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
    """Time the first steps of a training, and of each of its stages.

    A stage's training is cut short and its files are made from what it has learnt, so that the next stage can
    start. What a stage does beside training is timed as it is.

    Args:
        trainable: The method.
        config: Its settings.
        data: What it would train on.
        device: Where it would train.
        seed: Of the training.
        fold: Of the training.
        seconds: When a training is ended, but not before five steps; one that does not call ``run.step`` is
            ended after its first epoch at the earliest. Stages share them.

    Raises:
        InputError, Diverged: As ``fit`` does.
    """
    # The time is shared between the stages; what a cut training leaves may be too little for the next one,
    # which is told and not raised.
    seconds /= max(1, len(trainable.stages(config)))
    watch = _Watch(device=device, seed=seed, fold=fold, seconds=seconds)
    watch.validation = 0 if data.validation is None else len(data.validation)
    watch.begin()
    untimed = ""
    try:
        with suppress(_EnoughError, TrainingCutError):
            trainable.fit(config, data, watch)
    except (InputError, Diverged) as error:
        if not watch.was_cut:  # then it would fail as well when trained in full
            raise
        untimed = str(error)
    return replace(watch.cost(), stages=watch.stage_seconds, untimed=untimed)


class _EnoughError(Exception):
    """Enough was seen of the training itself: what comes after it need not be done."""


@dataclass
class _Seen:
    """Observations of a training, or of a stage."""

    begun: float
    last: float
    images: list[int] = field(default_factory=list)  # of each step
    spans: list[float] = field(default_factory=list)  # seconds of each step
    ends: list[float] = field(default_factory=list)  # seconds from an epoch's last step until it was logged
    steps: int = 0
    epochs: int = 0


@dataclass
class _Watch(LocalRun):
    """A run that times steps, and ends the training when it has seen enough."""

    seconds: float = 10.0
    validation: int = 0  # images that are scored at an epoch's end
    seen: _Seen = field(default_factory=lambda: _Seen(0.0, 0.0))
    stage_seconds: dict[str, float] = field(default_factory=dict[str, float])
    was_cut: bool = False  # a stage has learnt less than it would
    within_stage: bool = False

    def begin(self) -> None:
        now = self._now()
        self.seen = _Seen(now, now)

    def shard(self, batch: Sequence[int]) -> Sequence[int]:
        self.seen.images.append(len(batch))
        return super().shard(batch)

    def stage(self, stage: Stage, data: TrainingData) -> Path:
        self.begin()
        start = self.seen.begun
        # A stage's time is what its training would take in full, and whatever it does beside it as it was.
        self.within_stage = True  # of the copy that it runs with, which shares `seen`
        folder = super().stage(stage, data)
        self.within_stage = False
        seen, took = self.seen, self._now() - start
        rest = took - sum(seen.spans) - sum(seen.ends)
        trained = self.cost().train_seconds if seen.spans or seen.ends else 0.0
        self.was_cut = self.was_cut or len(seen.spans) < seen.steps or len(seen.ends) < seen.epochs
        self.stage_seconds[stage.name] = rest + trained
        self.begin()
        return folder

    def step(self, done: int, total: int, epochs: int) -> None:
        seen = self.seen
        seen.spans.append(self._lap())
        seen.steps, seen.epochs = total, epochs
        if self._saw_enough():
            self._end()

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        super().log(epoch, metrics, epochs)
        seen = self.seen
        seen.ends.append(self._lap())
        seen.epochs = epochs
        if self._saw_enough() and epoch + 1 < epochs:
            self._end()

    def cost(self) -> Cost:
        """The cost from what was seen."""
        seen = self.seen
        if not seen.spans:  # the method counts no steps: an epoch is all there is to time
            pace = sum(seen.ends) / max(1, len(seen.ends))
            return Cost(seen.epochs * pace, 0.0, 0, seen.epochs, len(seen.ends))
        # Steps without the first ones, which pay for memory and the choice of kernels.
        timed = seen.spans[_WARM_UP:] or seen.spans
        pace = sum(timed) / len(timed)
        shown = sum(seen.images) / len(seen.images) if seen.images else 1.0
        image = pace / shown * _FORWARD_SHARE
        # Where no epoch ended its validation is estimated by forward passes.
        end = sum(seen.ends) / len(seen.ends) if seen.ends else self.validation * image
        if seen.ends and self.validation:
            image = end / self.validation
        train = seen.steps * pace + seen.epochs * end
        return Cost(train, image, seen.steps, seen.epochs, len(timed))

    def _saw_enough(self) -> bool:
        seen = self.seen
        # An epoch may have one step: ended after it, the training would be reckoned from its warm-up.
        timed = not seen.spans or len(seen.spans) >= _WARM_UP + _LEAST_STEPS
        return timed and seen.last - seen.begun > self.seconds

    def _end(self) -> None:
        raise TrainingCutError if self.within_stage else _EnoughError

    def _lap(self) -> float:
        now = self._now()
        span, self.seen.last = now - self.seen.last, now
        return span

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
