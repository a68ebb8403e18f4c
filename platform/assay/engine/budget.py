"""A study that must end in time: ``budget: {hours: 8}``. Pure Python, no Ray.

Trials come in rounds, one round per seed: all cells on all folds. A round is begun only if it can end within
the budget, reckoned from the trials that have finished, so that all cells end with the same seeds and can be
compared. Of a study of which nothing is known yet the first round is trained whatever it takes.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from assay.engine.packs import packs_as_asked
from assay.storage import Record
from assay.study import Trial

__all__ = ["TimeBudget", "budget_packs", "cell_seconds"]


@dataclass
class TimeBudget:
    """Time that a run may take, counted from here on, and the packs that train at once meanwhile."""

    seconds: float
    slots: Callable[[], int]  # as of now: nodes come and go
    pack: int | str  # `resources.pack`
    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)
    left_out: set[str] = field(default_factory=set[str])  # trials of rounds for which there was no room

    def __post_init__(self) -> None:
        self.begun = self.clock()


def budget_packs(
    missing: Sequence[Trial],
    budget: TimeBudget,
    seconds_of: Callable[[], Mapping[str, float]],
    in_flight: Collection[str],
    say: Callable[[str], None],
) -> Iterator[list[Trial] | None]:
    """The packs of one round after the other, as long as the next round can end in time.

    Args:
        missing: What has no record, in the plan's order.
        budget: Of the run.
        seconds_of: What a trial of each cell takes, as far as it is known by now.
        in_flight: Ids of the trials that are handed out and not over; kept by the caller.
        say: Called with what is left out, and why; ``budget.left_out`` then has its ids.

    Yields:
        The trials of a pack; None where it is not known yet whether the next round fits.
    """
    cells = {trial.cell for trial in missing}
    rounds = _rounds(missing)
    cell_of = {trial.id: trial.cell for trial in missing}
    first = not cells <= seconds_of().keys()
    for number, (_, trials) in enumerate(rounds):
        if not (first and number == 0):
            known = seconds_of()
            while not cells <= known.keys() and (flying := frozenset(in_flight)):
                yield None
                if flying != in_flight:  # asked ten times a second, and a look reads every record
                    known = seconds_of()
            # A round before this one has its records, though its last packs may still count as in flight.
            training = [cell_of[trial_id] for trial_id in in_flight if trial_id in cell_of]
            remaining = training + [trial.cell for trial in trials]
            span = _mean_or_known(known, remaining) / max(1, budget.slots())
            end = budget.clock() - budget.begun + span
            if end > budget.seconds:
                seeds = ", ".join(str(later) for later, _ in rounds[number:])
                say(
                    f"the budget of {_time(budget.seconds)} leaves no room for seed {seeds}: all cells on "
                    f"one take about {_time(span)}, and {_time(end)} would be over by then. Run again for "
                    "another budget."
                )
                budget.left_out.update(trial.id for _, later in rounds[number:] for trial in later)
                return
        yield from packs_as_asked(trials, budget.pack, budget.slots)


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


def _time(seconds: float) -> str:
    if seconds >= 1e6:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds / 60:.2g} min"


def _rounds(missing: Sequence[Trial]) -> list[tuple[int, list[Trial]]]:
    by_seed: dict[int, list[Trial]] = {}
    for trial in missing:
        by_seed.setdefault(trial.seed, []).append(trial)
    return list(by_seed.items())


def _mean_or_known(known: Mapping[str, float], cells: Sequence[str]) -> float:
    """Seconds of trials of ``cells``; a cell without a finished trial counts as the mean of the others."""
    mean = statistics.fmean(known.values()) if known else 0.0
    return sum(known.get(cell, mean) for cell in cells)
