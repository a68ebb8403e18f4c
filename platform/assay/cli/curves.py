"""Heartbeats of running trials over time: curves of their scores, and the load where it slows them.

A heartbeat is written over the one before, so who displays trials remembers what it saw of them.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from assay.storage.progress import Progress, Running
from assay.storage.watch import score_names

__all__ = ["Curve", "Curves", "sparks"]

_BARS = "▁▂▃▄▅▆▇█"
_POINTS = 10  # of a curve: those that were seen last
_SLOWER = 2.0  # times a trial's fastest epochs; below that the pace varies by itself
_CROWDED = 1.5  # processes that want a core; of a study alone there are few more than one


class Curve(NamedTuple):
    """The score of a trial, as far as it was seen."""

    name: str  # primary metric, `validation.` and it, or loss
    values: tuple[float, ...]  # at least one, the newest last

    def __str__(self) -> str:
        return f"{self.values[-1]:.3f} {sparks(self.values)}".rstrip()


@dataclass
class _Seen:
    """Heartbeats of one attempt at a trial, or at a stage of it, as far as they were seen."""

    epoch: int = -1
    values: dict[str, deque[float]] = field(default_factory=dict)
    pace: float = 0.0  # seconds per epoch, the newest; 0: not known
    fastest: float = 0.0


class Curves:
    """Collects heartbeats of the trials that run.

    Args:
        primary: The metric whose validations are wanted; the loss stands in where none was seen.
    """

    def __init__(self, primary: str) -> None:
        self._names = score_names(primary)
        self._seen: dict[tuple[str, str, str], _Seen] = {}

    def see(self, running: Iterable[Running]) -> None:
        """Add the newest heartbeats, and forget the trials that run no more."""
        beats = [trial.progress for trial in running if trial.progress is not None]
        self._seen = {_key(beat): self._seen.get(_key(beat), _Seen()) for beat in beats}
        for beat in beats:
            seen = self._seen[_key(beat)]
            if beat.epoch > seen.epoch:
                self._add(seen, beat)

    def _add(self, seen: _Seen, beat: Progress) -> None:
        seen.epoch = beat.epoch
        for name in self._names:
            value = beat.metrics.get(name)
            if value is not None:
                seen.values.setdefault(name, deque(maxlen=_POINTS)).append(value)
        if beat.seconds_per_epoch and beat.host == socket.gethostname():
            seen.pace = beat.seconds_per_epoch
            seen.fastest = min(seen.fastest or seen.pace, seen.pace)

    def of(self, progress: Progress) -> Curve | None:
        """The curve of a trial by its heartbeat; None before it has a score."""
        seen = self._seen.get(_key(progress), _Seen())
        for name in self._names:
            if name in seen.values:
                return Curve(name, tuple(seen.values[name]))
        return None

    def slow(self, load: float, cores: int) -> str:
        """Name the load where it is the cause of slow trials, else "".

        It is where half as much again wants to run as there are ``cores`` (a study alone wants them all), and
        a trial of this machine takes twice as long for an epoch as it took at its fastest.

        Args:
            load: Processes that run or want to, a mean over the last minute.
            cores: Of this machine.
        """
        slower = max((seen.pace / seen.fastest for seen in self._seen.values() if seen.fastest), default=1.0)
        if load < _CROWDED * cores or slower < _SLOWER:
            return ""
        noun = "core" if cores == 1 else "cores"
        return f"slow: load {load:.0f} on {cores} {noun}, epochs take {slower:.1f} times their fastest"


def sparks(values: Iterable[float]) -> str:
    """A bar for each value, between their least and their largest; "" for fewer than two."""
    heights = tuple(values)
    if len(heights) < 2:
        return ""
    least, spread = min(heights), max(heights) - min(heights)
    if spread == 0:
        return _BARS[len(_BARS) // 2] * len(heights)
    return "".join(_BARS[round((value - least) / spread * (len(_BARS) - 1))] for value in heights)


def _key(progress: Progress) -> tuple[str, str, str]:
    return progress.trial, progress.attempt, progress.stage
