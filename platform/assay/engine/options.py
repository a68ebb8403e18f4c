"""Options of a run, and what it did: the engine's input beside the plan, its output beside the records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.engine.interrupts import Ending
from assay.faults import Fault, Interrupted, RayLost, TrialsFailed
from assay.storage import Record
from assay.study import Plan

__all__ = ["End", "EngineOptions", "Outcome"]


@dataclass(frozen=True)
class EngineOptions:
    """Options that the surroundings of a run decide; the study decides all else."""

    data_root: Path | None
    cache: Path
    retry_failed: bool = False
    cpus: int | None = None  # of a local Ray; None: all cores
    on_message: Callable[[str], None] = field(default=lambda message: None)
    ending: Ending | None = None  # of the program; None: one for the run alone
    local: bool = False  # without Ray, on this machine
    hours: float | None = None  # that the run may take; the smaller of it and the study's own budget holds
    processes: int | None = None  # that train then at once; 0: this one alone; None: as many as cores allow
    needed: Callable[[Plan, Mapping[str, Record]], Plan] | None = None  # see `plan_by_now`

    def plan_by_now(self, plan: Plan, trained: Mapping[str, Record]) -> Plan:
        """The plan with the trials that are needed going by what is ``trained`` so far.

        All of it, but for a study with ``repeats.decide``: its next seeds depend on what the records say, and
        the engine draws no conclusions. ``assay.api.running`` says who does.
        """
        if not plan.study.repeats.decide:
            return plan
        assert self.needed is not None, "a study with `repeats.decide` is run with `EngineOptions.needed`"
        return self.needed(plan, trained)


@dataclass(frozen=True)
class End:
    """End of the training of a run's batches."""

    interrupted: bool = False
    lost: str | None = None  # the part of Ray that died, and the run with it
    problems: tuple[str, ...] = ()  # batches that broke for another reason than their trials
    left_out: frozenset[str] = frozenset()  # trials for which the study's budget had no room


@dataclass(frozen=True)
class Outcome:
    """Numbers of trials by how they ended, and what this run did."""

    finished: int
    failed: int
    diverged: int
    pruned: int
    missing: int
    postponed: int  # left for another budget, where nothing else ended the run
    trained_now: int
    interrupted: bool
    seconds: float
    lost: str | None = None  # the part of Ray that died, and the run with it
    problems: tuple[str, ...] = ()  # batches that broke for another reason than their trials

    @property
    def fault(self) -> Fault | None:
        """Why the study has not all of its results; None: it has, or its budget has ended."""
        if self.interrupted:
            return Interrupted()
        if self.lost is not None:
            return RayLost(self.lost)
        return TrialsFailed() if self.failed or self.missing else None
