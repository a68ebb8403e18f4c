"""A study as trained: its plan and its records, from which all numbers follow.

>>> results = read_results(Store("./assay-storage"), "quickstart")
>>> metric_summary(results, "image_ap")[0].mean

Reports, the command line, the dashboard and MLflow read this one object, so their numbers cannot differ. It
never changes. What other modules compute from it they keep with it, and it knows none of them
(:func:`~assay.analysis.results.computed.computed`).

Intervals over test items (``item_intervals``) need a file of each trial. Who does not want to wait for
them asks :meth:`StudyResults.without_predictions`, which shares everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self, TypeVar

from assay.analysis.results.computed import Computed
from assay.storage.preregistration import Preregistration, read_interim_looks, read_preregistrations
from assay.storage.record import DamagedRecord, Record, Result
from assay.storage.search_points import EvaluatedPoint
from assay.storage.store import Store
from assay.study import Plan, ReportedPlan, Trial, reported_plan
from trainables.evaluation.metrics import METRICS, Metric

if TYPE_CHECKING:
    import pyarrow as pa

    from assay.statistics.scores import Splits
    from assay.study.file.schema import Labelling

__all__ = ["ReadPart", "StudyResults"]

ReadPart = Callable[[Record, str], "pa.Table | None"]  # `Store.read_part`
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class StudyResults:
    """One state of a study. Another state is another object."""

    plan: Plan  # all that was to be trained
    records: Mapping[str, Record]  # by trial id
    problems: tuple[DamagedRecord, ...] = ()
    store: Store | None = None  # None: made from a plan and its records
    read_part: ReadPart | None = None  # reads a file of a record; None: no predictions are read
    looks: tuple[int | tuple[int, ...], ...] | None = None  # as `compare` takes them; None: as noted
    medians: bool = False  # beside means also where every repeat left chance
    computed: Computed = field(default_factory=Computed, repr=False)
    of_storage: Computed = field(default_factory=Computed, repr=False)  # what depends on its other studies

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.plan.study.study

    @property
    def sign_seed(self) -> int:
        """Seed of the signs that are drawn for families beyond 14 repeats: of what the study asks."""
        return int(self.plan.study.content_hash, 16)

    @property
    def primary(self) -> Metric:
        """The metric that the question is about."""
        return METRICS[self.plan.study.metrics.primary]

    @property
    def metrics(self) -> list[Metric]:
        """The primary metric and the further ones, each once."""
        names = dict.fromkeys([self.plan.study.metrics.primary, *self.plan.study.metrics.report])
        return [METRICS[name] for name in names]

    @property
    def evaluated_points(self) -> Mapping[str, list[EvaluatedPoint]]:
        """Map each searched cell of a search to its points and their values; empty for any other study."""
        return {}

    @property
    def reported(self) -> ReportedPlan:
        """The cells, trials and comparisons that enter tables."""
        return self.once("reported", lambda: reported_plan(self.plan))

    @property
    def splits(self) -> dict[str, Splits]:
        """Reported cell → whether its seeds draw splits of their own."""
        return {
            cell.name: "per_seed" if cell.data.splits == "per_seed" else "prescribed"
            for cell in self.reported.cells
        }

    @property
    def data_of(self) -> dict[str, str]:
        """Cell → hash of its data. Scores on different data do not compare, and none of them is the best."""
        return {trial.cell: trial.manifest for trial in self.trials}

    @property
    def data_sets(self) -> list[str]:
        """Hashes of the data of the reported trials, in their order."""
        return list(dict.fromkeys(trial.manifest for trial in self.reported.trials))

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The plan's trials, those that a table joins to a row of several searches before them."""
        # A row that joins several searches is no cell of the plan, so its trials come again under its name.
        rows = {cell.name for cell in self.reported.cells} - {cell.name for cell in self.plan.cells}
        joined = (trial for trial in self.reported.trials if trial.cell in rows)
        return (*joined, *self.plan.trials)

    @property
    def trained(self) -> list[tuple[Trial, Record, Result]]:
        """The reported trials that have a result; one that stands in two rows comes twice."""
        ended = ((trial, self.records.get(trial.id)) for trial in self.reported.trials)
        return [
            (trial, record, record.result)
            for trial, record in ended
            if record is not None and record.result is not None
        ]

    @property
    def damaged(self) -> set[str]:
        """Ids of the trials whose record is damaged."""
        return {problem.trial for problem in self.problems}

    @property
    def all_ended(self) -> bool:
        """True where each trial has a record, whatever it says; one that is damaged was there."""
        ended = self.records.keys() | self.damaged
        return sum(trial.id in ended for trial in self.plan.trials) == self.plan.size

    @property
    def interim_looks(self) -> tuple[int | tuple[int, ...], ...]:
        """The seeds with which the study was analysed so far, or their number.

        Raises:
            InputError: If the storage's note of them cannot be read.
        """
        if self.looks is not None:
            return self.looks
        store = self.store
        return () if store is None else self.once("looks", lambda: read_interim_looks(store, self.name))

    @property
    def preregistrations(self) -> tuple[Preregistration, ...]:
        """The question as it was when the study began, and each time that it was changed.

        Raises:
            InputError: If the storage's note of it cannot be read.
        """
        store = self.store
        return (
            () if store is None else self.once("registered", lambda: read_preregistrations(store, self.name))
        )

    # The same study, otherwise ------------------------------------------------------------------------

    def without_predictions(self) -> Self:
        """The same results without intervals over test items, for which a file of each trial is read."""
        return replace(self, read_part=None)

    def with_medians(self) -> Self:
        """The same results with medians beside the means of the primary metric."""
        return replace(self, medians=True)

    def with_labelling(self, labelling: Labelling | None) -> Self:
        """The same results at other costs of labels: nothing is trained for it. None: at the study's own."""
        if labelling in (None, self.plan.study.labelling):
            return self
        # What was computed is left behind: label costs among it are those of the old prices.
        study = self.plan.study.model_copy(update={"labelling": labelling})
        plan = self.plan.model_copy(update={"study": study})
        return replace(self, plan=plan, computed=Computed())

    # Computed once ------------------------------------------------------------------------------------

    def once(self, name: Hashable, make: Callable[[], _T]) -> _T:
        """The value that ``make`` returned when ``name`` was first asked for; pages keep theirs here too."""
        return self.computed.once(name, make)
