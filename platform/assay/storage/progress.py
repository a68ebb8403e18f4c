"""Trials that train, and their heartbeat: how far one is and how long it will take."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, Field

from assay.study import Trial

__all__ = ["Progress", "Running"]


class Progress(BaseModel, frozen=True, extra="forbid"):
    """One heartbeat, written over the last one: after each epoch, and every few seconds in a long one."""

    trial: str
    epoch: int = Field(description="Epochs finished.")
    epochs: int = Field(description="Epochs in all.")
    step: int | None = Field(default=None, description="Optimiser steps done, where an epoch is long.")
    steps: int | None = Field(default=None, description="Optimiser steps in all.")
    metrics: dict[str, float | None] = Field(
        default_factory=dict, description="Of the last epoch; null: not a number."
    )
    seconds_per_epoch: float | None = None
    eta: float | None = Field(default=None, description="Seconds left; null before the first epoch.")
    time: float = Field(description="Unix time of this heartbeat.")
    pid: int
    host: str
    attempt: str = ""
    stage: str = Field(default="", description="The stage that is being made; epochs are then its own.")

    @property
    def seconds(self) -> float | None:
        """Seconds of all epochs, reckoned from those that are over, or from the steps of the first."""
        if self.seconds_per_epoch:
            return self.seconds_per_epoch * self.epochs
        if self.eta is None or not self.step or not self.steps or self.step >= self.steps:
            return None
        return self.eta * self.steps / (self.steps - self.step)

    @classmethod
    def now(  # noqa: PLR0917 - the order of the fields
        cls,
        trial: str,
        epoch: int,
        epochs: int,
        metrics: Mapping[str, float],
        seconds_per_epoch: float | None = None,
        attempt: str = "",
    ) -> Progress:
        """A heartbeat of this process at this moment; the time left is reckoned from the epochs left."""
        eta = None if seconds_per_epoch is None else seconds_per_epoch * (epochs - epoch)
        return cls(
            trial=trial,
            epoch=epoch,
            epochs=epochs,
            metrics={name: value if math.isfinite(value) else None for name, value in metrics.items()},
            seconds_per_epoch=seconds_per_epoch,
            eta=eta,
            time=time.time(),
            pid=os.getpid(),
            host=socket.gethostname(),
            attempt=attempt,
        )


@dataclass(frozen=True)
class Running:
    """A trial between its start and its record."""

    trial: Trial
    progress: Progress | None  # None: before its first epoch
    silent: float | None = None  # seconds since the last sign of life, when that is alarmingly long

    @property
    def left(self) -> float | None:
        """Seconds left of its epochs, counted on from the last heartbeat."""
        return self.left_with(0.0)

    def left_with(self, evaluation: float) -> float | None:
        """The same, with so many seconds that come after the last epoch."""
        if self.progress is None or self.progress.eta is None:
            return None
        age = max(0.0, time.time() - self.progress.time)  # of a clock that is ahead it would be negative
        return max(0.0, self.progress.eta + evaluation - age)
