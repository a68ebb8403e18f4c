"""The plan: every trial of a study, checked and named before anything is trained.

:func:`~assay.study.planning.planner.plan_study` makes it of a :class:`Study`. That of a search draws its
trials on the way: :class:`~assay.study.search.search_plan.SearchPlan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, Self

from pydantic import BaseModel, Field

from assay.study.file.schema import Study
from assay.study.names import counted
from assay.study.planning.cells import Cell, Trial
from assay.study.planning.compare import Comparison
from assay.study.planning.repeats import ManifestSummary
from assay.study.search.spec import LATENCIES, Objective
from assay.study.settings.settings import Device
from trainables.evaluation.resolution_limit import ResolutionLimit

__all__ = ["CellResolutionLimit", "Plan"]


class CellResolutionLimit(BaseModel, frozen=True, extra="forbid"):
    """Resolution limit of the cells that have data, size and grid in common."""

    cells: tuple[str, ...] = Field(description="Names, as the study file has them.")
    limit: ResolutionLimit


class Plan(BaseModel, frozen=True, extra="forbid"):
    """All that a study is going to do."""

    study: Study
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]  # round-robin over cells, repeat by repeat
    comparisons: tuple[Comparison, ...]
    manifests: dict[str, ManifestSummary]  # by hash
    warnings: tuple[str, ...]
    gigabytes: float | None  # estimate of what is kept; None if the trainable does not count its weights
    device: Device = "cpu"
    resolution_limits: tuple[CellResolutionLimit, ...] = ()  # on these masks; empty in a plan without data

    @property
    def designed(self) -> tuple[Cell, ...]:
        """The cells that the study file names."""
        return self.cells

    @property
    def trainables(self) -> tuple[str, ...]:
        """Names of the methods, in the order of the cells."""
        return tuple(dict.fromkeys(cell.trainable for cell in self.designed))

    @property
    def size(self) -> int:
        """Trials in all, those that are not known yet among them."""
        return len(self.trials)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The values by which a search chooses between points; none of any other study."""
        return ()

    @property
    def has_front(self) -> bool:
        """True where several objectives are traded: no point is best then, and none is compared."""
        return len(self.objectives) > 1

    @property
    def times_models(self) -> bool:
        """True where each model is timed: latency is measured only where it is an objective."""
        return any(objective.metric in LATENCIES for objective in self.objectives)

    @property
    def pruned_by(self) -> Literal["repeats", "epochs"] | None:
        """What a pruner counts, or None where nothing is pruned."""
        return None

    def pending(self) -> Iterator[tuple[Trial, int]]:
        """Trials that stand for those that are not known yet, each with the number of these."""
        return iter(())

    def __repr__(self) -> str:
        cells = counted(len(self.designed), "cell")
        return f"<plan of {self.study.study}: {counted(self.size, 'trial')} of {cells}>"

    def __str__(self) -> str:  # pydantic's own is every field of every trial
        return repr(self)

    def first_repeats(self) -> Iterator[tuple[Cell, int, int | None]]:
        """Each cell of the study file with seed and fold of its first repeat."""
        cells = {cell.name: cell for cell in self.cells}
        for trial in self.trials:
            if cell := cells.pop(trial.cell, None):
                yield cell, trial.seed, trial.fold

    def with_cells(self, change: Callable[[Cell], Cell]) -> Self:
        """The plan with every cell as ``change`` returns it."""
        return self.model_copy(update={"cells": tuple(map(change, self.cells))})
