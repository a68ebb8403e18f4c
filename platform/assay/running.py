"""A study is trained, and what comes before and after: `assay run` and ``assay.run`` do the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.analysis.results import StudyResults
    from assay.storage import Store
    from assay.study import Plan

__all__ = ["begin_study", "drop_models", "end_study"]


def begin_study(
    store: Store, plan: Plan, say: Callable[[str], None], client: str = ""
) -> tuple[Plan, list[str]]:
    """Register the question, and write the study and its plan, unless another run is at them.

    ``say`` gets a line where the run before this one has not given the study back. ``client`` is the agent
    that asks; empty: a person.

    Returns:
        The plan, of a search with the points so far, and warnings for the user.

    Raises:
        InputError: If another run holds the study, or a search was changed since.
        StorageError: If the storage is full, read-only or away.
    """
    from assay.storage.interim_looks import added_seeds_warning, replaced_looks_warning
    from assay.storage.lease import refuse_if_held
    from assay.storage.plans import write_plan
    from assay.storage.registration import register
    from assay.storage.search_points import with_points
    from assay.study.reach import reach_warnings

    known = with_points(plan, store)  # a search that was changed is refused before anything is written
    # The engine would refuse the second of two runs, but by then the other run's plan would be gone.
    refuse_if_held(store, plan.study.study, say)
    added = added_seeds_warning(store, known)
    register(store, known, client)
    write_plan(store, plan)
    of_looks = filter(None, (added, replaced_looks_warning(store, known)))
    return known, [*plan.warnings, *reach_warnings(plan.reach), *of_looks]


def end_study(store: Store, plan: Plan) -> StudyResults:
    """Read what a run has made of a plan, note the look at it, and write the summary.

    Raises:
        StorageError: If the storage is full, read-only, away or gone.
    """
    from assay.analysis.reading import results_of_plan
    from assay.analysis.summary import write_summary
    from assay.storage.interim_looks import record_look

    results = results_of_plan(plan, store)
    if len(results.records) == len(results.plan.trials):
        record_look(store, results.plan)
    write_summary(results, store)
    return results


def drop_models(store: Store, results: StudyResults) -> str | None:
    """Free the models that no study keeps, once all repeats of their cell have a record.

    Returns:
        Why they stay, if something is in the way: the study has its results all the same.

    Raises:
        StorageError: If the folder of the results is gone.
    """
    from assay.storage.plans import stored_plans
    from assay.storage.retention import KeepRule, free, unkept_models

    store.refuse_if_gone()
    try:
        others = partial(stored_plans, store, but=results.name)
        free(store, unkept_models(store, KeepRule.of(results.plan), results.records, others))
    except (InputError, OSError) as error:
        return str(error)
    return None
