"""A storage as Python users open it: ``assay.open("./assay-storage").study("quickstart")``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from assay.analysis.results import StudyResults
    from assay.storage import Store
    from assay.storage.search_points import EvaluatedPoint
    from assay.study import Plan

__all__ = ["OpenedStorage", "parameter_importance"]


@dataclass(frozen=True)
class OpenedStorage:
    """The studies below one root."""

    store: Store

    @classmethod
    def at(cls, uri: str) -> Self:
        """Open a folder, or a URI that pyarrow knows."""
        from assay.storage import Store

        return cls(Store(uri))

    def studies(self) -> list[str]:
        """Names of the studies that were run into it."""
        return self.store.studies()

    def study(self, name: str) -> StudyResults:
        """A study as its last `assay run` left it.

        Raises:
            InputError: If it was never started, or its plan cannot be read.
        """
        from assay.analysis.results import StudyResults

        return StudyResults.read(self.store, name, parameter_importance)


def parameter_importance(plan: Plan, points: Sequence[EvaluatedPoint]) -> Mapping[str, float]:
    """Share of the objective's variance by parameter, from the points of one searched cell."""
    from assay.engine.proposals import importance  # Optuna: seconds, for those who ask

    return importance(plan, points)
