"""How long trials take, going by those that have ended, and how long one may take.

Seconds of a cell's trials are what a time budget reckons with (``order.py``). Limits are what ends a training
that hangs: as the study says, or so many times the longest so far. What displays show of the time that is
left is reckoned in ``forecast/forecast.py``.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

from assay.storage import Record, Store
from assay.study import Trial
from assay.study.file.schema import Resources

__all__ = ["Limits", "LimitsByNow", "cell_seconds"]

_TIMES_THE_LONGEST = 10  # a training that takes longer than this many of the longest so far hangs
_LEAST_HOURS = 1.0
_ENOUGH = 3  # trainings that have finished, before they say anything
_POLL_SECONDS = 60.0  # between two polls of how long trainings take


class Limits(NamedTuple):
    """Time that a training may take."""

    hours: float | None  # in all
    silent_minutes: float | None  # without a sign of life: a step, an epoch, a stage, a scored batch


class LimitsByNow:
    """The limits of a study's trainings, as far as is known by now: records are looked for once a minute."""

    def __init__(self, resources: Resources, store: Store, before: Iterable[Record]) -> None:
        """``before``: of the trainings that have ended."""
        self._resources, self._store = resources, store
        self._seconds = [_seconds(record) for record in before]
        self._batches: list[
            list[str]
        ] = []  # ids of the trials without a record, of batches that are handed out
        self._hours: float | None = None
        self._polled = -_POLL_SECONDS

    def limits_of_batch(self, trials: Iterable[str]) -> Limits:
        """The limits of a batch that is handed out now; its trials will end one after the other."""
        hours = self._resources.hours_per_trial
        if hours == "auto":
            if time.monotonic() - self._polled > _POLL_SECONDS:
                self._hours, self._polled = self._longest_hours(), time.monotonic()
            hours = self._hours
            self._batches.append(list(trials))
        return Limits(hours, self._resources.silent_minutes)

    def _longest_hours(self) -> float | None:
        """Hours that a training may take, going by those that finished; None where too few have."""
        for seconds in self._store.each(partial(_ended, self._store), self._batches):
            self._seconds += seconds
        self._batches = [trials for trials in self._batches if trials]
        known = [seconds for seconds in self._seconds if seconds > 0]
        return max(_LEAST_HOURS, _TIMES_THE_LONGEST * max(known) / 3600) if len(known) >= _ENOUGH else None


def _ended(store: Store, trials: list[str]) -> list[float]:
    """Take the trials with a record from the front of a batch; returns the seconds of their trainings."""
    ended: list[float] = []
    while trials and isinstance(record := store.record(trials[0]), Record):
        ended.append(_seconds(record))
        del trials[0]
    return ended


def _seconds(record: Record) -> float:
    """Seconds of the longest process of a trial, from its training to its evaluation; 0: it is unknown.

    One that diverged or failed may have ended early, and says nothing.
    """
    if record.status != "finished":
        return 0.0
    itself = sum(record.timings.get(part, 0.0) for part in ("train", "finish"))
    return max([itself, *(stage.seconds for stage in record.stages)])


def cell_seconds(trials: Iterable[Trial], records: Mapping[str, Record]) -> dict[str, float]:
    """Mean seconds of each cell's trials that have ended by themselves (diverged ones, too, cost time)."""
    spans: dict[str, list[float]] = {}
    for trial in trials:
        record = records.get(trial.id)
        if record is not None and record.started and record.ended and record.status != "pruned":
            spans.setdefault(trial.cell, []).append(_span(record))
    return {cell: statistics.fmean(values) for cell, values in spans.items()}


def _span(record: Record) -> float:
    """Seconds that a trial took by its own stopwatch: a clock may have been set between start and end."""
    watched = math.fsum(record.timings.get(part, 0.0) for part in ("data", "train", "finish"))
    if watched or record.started is None or record.ended is None:
        return watched
    return max(0.0, (record.ended - record.started).total_seconds())
