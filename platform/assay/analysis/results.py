"""A study as trained: its plan, its records, and all that is computed from them.

>>> results = StudyResults.read(Store("./assay-storage"), "quickstart")
>>> results.summary("image_ap")[0].mean

Reports, the command line, the dashboard and MLflow read this one object, so their numbers cannot differ. It
never changes. What is computed from it is computed when it is first asked for, and then kept: the modules of
this package that do so are loaded only then.

Intervals over test items (``test_set_uncertainty``) need a file of each trial. Who does not want to wait for
them asks :meth:`StudyResults.without_predictions`, which shares everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Self, TypeVar

from assay.analysis.computed import Computed
from assay.storage.interim_looks import read_interim_looks
from assay.storage.plans import written_plan
from assay.storage.record import DamagedRecord, Record, Result
from assay.storage.registration import Registered, read_registration
from assay.storage.search_points import EvaluatedPoint, evaluate_points, with_points
from assay.storage.store import Store
from assay.study import Plan, ReportedPlan, Trial, reported_plan
from trainables.metrics import METRICS, Metric

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from assay.analysis.agents import AgentTries
    from assay.analysis.collapse import Collapses
    from assay.analysis.decisions import StudyDecisions
    from assay.analysis.defect_scores import DefectSummary
    from assay.analysis.label_analysis import LabelAnalysis
    from assay.analysis.label_costs import LabelCosts
    from assay.analysis.ledger import Ledger
    from assay.analysis.score_analysis import ScoreAnalysis
    from assay.analysis.stage_scores import StageSummary
    from assay.analysis.statistics.score_table import Splits
    from assay.analysis.summary import CellSummary
    from assay.analysis.test_set_uncertainty import ItemIntervals
    from assay.study.schema import Labelling

__all__ = ["ImportanceOf", "ReadPart", "StudyResults", "needed_plan"]

ReadPart = Callable[[Record, str], "pa.Table | None"]  # `Store.read_part`
# Share of the objective's variance by parameter, from the points of one searched cell.
ImportanceOf = Callable[[Plan, Sequence[EvaluatedPoint]], Mapping[str, float]]
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class StudyResults:
    """One state of a study. Another state is another object."""

    plan: Plan  # all that was to be trained; of a search, with the points drawn so far
    records: Mapping[str, Record]  # by trial id
    problems: tuple[DamagedRecord, ...] = ()
    store: Store | None = None  # None: made from a plan and its records
    read_part: ReadPart | None = None  # reads a file of a record; None: no predictions are read
    importance_of: ImportanceOf | None = None  # None: nothing is said of a search's parameters
    looks: tuple[int | tuple[int, ...], ...] | None = None  # as `compare` takes them; None: as noted
    medians: bool = False  # beside means also where every repeat left chance
    computed: Computed = field(default_factory=Computed, repr=False)
    of_storage: Computed = field(default_factory=Computed, repr=False)  # what depends on its other studies

    @classmethod
    def read(cls, store: Store, name: str, importance_of: ImportanceOf | None = None) -> Self:
        """Read a study as its last `assay run` left it.

        Raises:
            InputError: If it was never started, or its plan cannot be read.
        """
        return cls.of_plan(written_plan(store, name), store, importance_of)

    @classmethod
    def of_plan(
        cls,
        plan: Plan,
        store: Store,
        importance_of: ImportanceOf | None = None,
        known: Mapping[str, Record] = MappingProxyType({}),
    ) -> Self:
        """Read the records of a plan, but those that are ``known``; of a search, also the points drawn."""
        plan = with_points(plan, store)
        records, problems = store.records_of_trials(trial for trial in plan.trials if trial.id not in known)
        records = {**known, **records}
        plan = needed_plan(plan, records)
        records = {trial.id: records[trial.id] for trial in plan.trials if trial.id in records}
        return cls(plan, records, problems, store, store.read_part, importance_of)

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
    def measured(self) -> Mapping[str, Record]:
        """The records, with metrics of the table that came after them and follow from what they kept."""
        from assay.analysis.later_metrics import with_later_metrics

        read_part = None if self.store is None else self.store.read_part
        return self.once("measured", lambda: with_later_metrics(self.records, self.metrics, read_part))

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
    def trials(self) -> tuple[Trial, ...]:
        """The plan's trials, those that a table joins to a row of several searches before them."""
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
    def gone(self) -> set[str]:
        """Ids of trials that have a score in the last summary, and a record no more; none was set aside."""

        def find() -> set[str]:
            store = self.store
            missing = {trial.id for trial in self.plan.trials} - self.records.keys() - self.damaged
            if store is None or not missing:
                return set()
            from assay.storage.integrity.damage import set_aside_since
            from assay.storage.integrity.studies import finished_trials

            scored = finished_trials(store, self.name)
            return {
                trial
                for trial in missing & scored.keys()
                if not set_aside_since(store, store.trial(trial), scored[trial])
            }

        return self.once("gone", find)

    @property
    def all_ended(self) -> bool:
        """True where each trial has a record, whatever it says; one that is damaged was there."""
        ended = self.records.keys() | self.damaged
        return not self.plan.pending_points and all(trial.id in ended for trial in self.plan.trials)

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
    def registered(self) -> tuple[Registered, ...]:
        """The question as it was when the study began, and each time that it was changed.

        Raises:
            InputError: If the storage's note of it cannot be read.
        """
        store = self.store
        return () if store is None else self.once("registered", lambda: read_registration(store, self.name))

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
        study = self.plan.study.model_copy(update={"labelling": labelling})
        plan = self.plan.model_copy(update={"study": study})
        return replace(self, plan=plan, computed=Computed())

    # Computed once ------------------------------------------------------------------------------------

    def once(self, name: str, make: Callable[[], _T]) -> _T:
        """The value that ``make`` returned when ``name`` was first asked for; pages keep theirs here too."""
        return self.computed.once(name, make)

    def summary(self, metric: str) -> list[CellSummary]:
        """Mean, spread and n of a metric on test data, for each reported cell in the plan's order."""
        from assay.analysis.summary import cell_summaries

        return self.once(f"summary {metric}", lambda: cell_summaries(self, self.reported.cells, metric))

    def table(self, metric: str) -> pd.DataFrame:
        """One row per reported trial: its value of a metric on test data, or why there is none."""
        from assay.analysis.summary import metric_rows

        def make() -> pd.DataFrame:
            return metric_rows(self, metric).to_pandas()

        return self.once(f"table {metric}", make)

    @property
    def test_set_uncertainty(self) -> ItemIntervals | None:
        """Intervals over test items; None where no predictions are read or none can be resampled."""
        from assay.analysis.test_set_uncertainty import read_item_intervals

        read_part = self.read_part
        if read_part is None:
            return None
        return self.once("item intervals", lambda: read_item_intervals(self, read_part))

    @property
    def collapses(self) -> Mapping[str, Collapses]:
        """Cells with repeats that never left chance; empty where no predictions are read."""
        from assay.analysis.collapse import read_collapses

        read_part = self.read_part
        return {} if read_part is None else self.once("collapses", lambda: read_collapses(self, read_part))

    @property
    def analysis(self) -> ScoreAnalysis:
        """Comparisons, main effects, interactions, and which cells are bold."""
        from assay.analysis.study_analysis import analyse_study

        with_items = "" if self.read_part is None else " with item intervals"
        return self.once(f"analysis{with_items}", lambda: analyse_study(self))

    @property
    def decisions(self) -> StudyDecisions | None:
        """State of the comparisons of a study with ``repeats.decide``; None of any other."""
        if not self.plan.study.repeats.decide:
            return None
        from assay.analysis.decisions import study_decisions

        return self.once("decisions", lambda: study_decisions(self))

    @property
    def ledger(self) -> Ledger | None:
        """All studies of the storage on the same data and methods; None where this is the only one."""
        from assay.analysis.ledger import ledger_of

        store = self.store
        return None if store is None else self.of_storage.once("ledger", lambda: ledger_of(self, store))

    @property
    def agents(self) -> AgentTries | None:
        """All that agents tried in the storage; None where they tried nothing."""
        from assay.analysis.agents import agent_tries

        store = self.store
        return None if store is None else self.of_storage.once("agents", lambda: agent_tries(store))

    @property
    def label_costs(self) -> LabelCosts | None:
        """Scores against hours of labelling; None where there is nothing to say of that."""
        from assay.analysis.label_costs import label_costs

        return self.once("label costs", lambda: label_costs(self))

    @property
    def labels(self) -> LabelAnalysis | None:
        """Analysis of what labels buy; None where there are no label costs."""
        from assay.analysis.label_analysis import analyse_labels

        return self.once("labels", lambda: analyse_labels(self))

    @property
    def stages(self) -> list[StageSummary]:
        """Scores of each stage of a model, cell by cell; empty for methods without stages."""
        from assay.analysis.stage_scores import stage_summaries

        return self.once("stages", lambda: stage_summaries(self))

    @property
    def defects(self) -> list[DefectSummary]:
        """Defects by class and size, cell by cell, and how many were found; empty where no record tells."""
        from assay.analysis.defect_scores import defect_summaries

        return self.once("defects", lambda: defect_summaries(self))

    @property
    def evaluated_points(self) -> Mapping[str, list[EvaluatedPoint]]:
        """Map each searched cell to its points and their values, in the order in which they were drawn."""
        if self.plan.study.search is None:
            return {}
        return self.once(
            "points",
            lambda: {
                searched.cell.name: evaluate_points(
                    self.plan.study, self.plan.points_of(searched), self.records
                )
                for searched in self.plan.searched
            },
        )

    @property
    def importance(self) -> Mapping[str, Mapping[str, float]]:
        """Map each searched cell and parameter to its share of the objective's variance."""
        share = self.importance_of
        if share is None:
            return {}
        return self.once(
            "importance",
            lambda: {cell: share(self.plan, points) for cell, points in self.evaluated_points.items()},
        )


def needed_plan(plan: Plan, trained: Mapping[str, Record]) -> Plan:
    """The plan with the trials that are needed by now: all, unless the study has ``repeats.decide``.

    Args:
        plan: Of any study.
        trained: Its records by trial id, as far as there are any.
    """
    decisions = StudyResults(plan, trained).decisions
    if decisions is None:
        return plan
    return plan.model_copy(update={"trials": decisions.needed(plan.trials, plan.study.repeats.seeds)})
