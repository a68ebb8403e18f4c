"""Reading a study's results from a storage, as its last ``assay run`` left them.

>>> read_results(Store("./assay-storage"), "quickstart").primary.name
'image_ap'

Commands that read a study start without pandas and SciPy, unless the study has ``repeats.decide``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from assay.analysis.results.results import StudyResults
from assay.analysis.results.search_results import ImportanceOf, results_of_records
from assay.storage.plans import written_plan
from assay.storage.record import Record
from assay.storage.search_points import with_points
from assay.storage.store import Store
from assay.study import Plan

if TYPE_CHECKING:
    from assay.analysis.decisions import StudyDecisions

__all__ = ["decisions_so_far", "needed_plan", "read_results", "results_of_plan"]


def read_results(store: Store, name: str, importance_of: ImportanceOf | None = None) -> StudyResults:
    """Read a study by its name.

    Raises:
        InputError: If it was never started, or its plan cannot be read.
    """
    return results_of_plan(written_plan(store, name), store, importance_of)


def results_of_plan(
    plan: Plan,
    store: Store,
    importance_of: ImportanceOf | None = None,
    known: Mapping[str, Record] = MappingProxyType({}),
) -> StudyResults:
    """Read the records of a plan, but those that are ``known``; of a search, also the points drawn."""
    # The points of a search are drawn while it runs, and the written plan has none of them.
    plan = with_points(plan, store)
    records, problems = store.records_of_trials(trial for trial in plan.trials if trial.id not in known)
    records = {**known, **records}
    # Of a study that decides, records beyond what is needed by now do not count.
    plan = needed_plan(plan, records)
    records = {trial.id: records[trial.id] for trial in plan.trials if trial.id in records}
    return results_of_records(plan, records, problems, store, store.read_part, importance_of=importance_of)


def needed_plan(plan: Plan, trained: Mapping[str, Record]) -> Plan:
    """The plan with the trials that are needed by now: all, unless the study has ``repeats.decide``.

    Args:
        plan: Of any study.
        trained: Its records by trial id, as far as there are any.
    """
    decisions = decisions_so_far(plan, trained)
    if decisions is None:
        return plan
    return plan.model_copy(update={"trials": decisions.needed(plan.trials, plan.study.repeats.seeds)})


def decisions_so_far(plan: Plan, trained: Mapping[str, Record]) -> StudyDecisions | None:
    """Decisions of a study with ``repeats.decide``, and None of any other; see :func:`needed_plan`."""
    if not plan.study.repeats.decide:
        return None
    from assay.analysis.decisions import study_decisions

    return study_decisions(StudyResults(plan, trained))
