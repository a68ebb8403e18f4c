"""A study is trained, and what comes before and after: `assay run`, ``assay.run`` and all that call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.analysis.results.results import StudyResults
    from assay.engine import EngineOptions, Outcome
    from assay.storage import Store
    from assay.study import Plan

__all__ = ["Begun", "Trained", "begin_study", "drop_models", "end_study", "train"]

# Told the plan, of a search with the points so far, and warnings for the user.
Begun = Callable[["Plan", Sequence[str]], None]


class Trained(NamedTuple):
    """Outcome of a run, and the study as it left it."""

    outcome: Outcome
    results: StudyResults


def train(
    store: Store,
    plan: Plan,
    options: EngineOptions,
    *,
    begun: Begun,
    say: Callable[[str], None],
    asked_by: str = "",
) -> Trained:
    """Train what is missing of a study, from its preregistration to its summary.

    The lease comes first: of two runs that begin at once one is refused before it has written anything, and
    nobody else writes the study until its summary lies there.

    Args:
        store: Where the study lies.
        plan: All trials of the study, or the cells in which a search draws them.
        options: Of the engine.
        begun: Is called once the study is preregistered, before anything trains.
        say: Is called with what a user should know of an earlier holder of the study, or of the storage.
        asked_by: Who asks, in the register of what was tried; empty: a person at the command line.

    Raises:
        InputError: If another run holds the study, a search was changed since, the cluster cannot hold a
            single trial, or one of its nodes differs from this one.
        StorageError: If the storage is full, read-only, away or gone; what is finished is kept.
    """
    from assay.analysis.results.reading import needed_plan
    from assay.engine import hold_study, train_missing

    refuse_to_train_elsewhere(plan)
    # The engine draws no conclusions: which trials a study with `repeats.decide` needs by now, it asks.
    options = replace(options, needed=needed_plan)
    with hold_study(store, plan.study.study, options, say) as held:
        known, warnings = begin_study(held.store, plan, asked_by)
        outcome = train_missing(plan, held, options, partial(begun, known, warnings))
        return Trained(outcome, end_study(held.store, plan))


def refuse_to_train_elsewhere(plan: Plan) -> None:
    """See that nothing of a plan is to be trained by a loop of somebody's own.

    Raises:
        InputError: If something is.
    """
    from trainables.plugins.catalogue import find_trainable

    for name in plan.trainables:
        if not find_trainable(name).trained_here:
            raise InputError(
                f"`trainable: {name}` is trained by a loop of your own, found {plan.study.study} to be "
                "trained here. `assay data split` writes what each repeat may see, `assay score` reads what "
                "it predicts."
            )


def begin_study(store: Store, plan: Plan, asked_by: str = "") -> tuple[Plan, list[str]]:
    """Preregister the question of a study that this run holds, and write the study and its plan.

    Returns:
        The plan, of a search with the points so far, and warnings for the user.

    Raises:
        InputError: If a search was changed since: nothing is written then.
        StorageError: If the storage is full, read-only or away.
    """
    from assay.storage.plans import write_plan
    from assay.storage.preregistration import added_seeds_warning, preregister, replaced_looks_warning
    from assay.storage.search_points import with_points
    from assay.study.planning.resolution_limit import resolution_warnings

    # What can refuse comes before the first write. The question is noted before the plan is, which replaces
    # the one that the question is compared with.
    known = with_points(plan, store)
    added = added_seeds_warning(store, known)
    preregister(store, known, asked_by)
    write_plan(store, plan)
    warnings = filter(None, (added, replaced_looks_warning(store, known)))
    return known, [*plan.warnings, *resolution_warnings(plan.resolution_limits), *warnings]


def end_study(store: Store, plan: Plan) -> StudyResults:
    """Read what a run has made of a plan, note the look at it, and write the summary.

    Raises:
        StorageError: If the storage is full, read-only, away or gone.
    """
    from assay.analysis.results.reading import results_of_plan
    from assay.analysis.summary import write_summary
    from assay.storage.preregistration import record_interim_look

    results = results_of_plan(plan, store)

    # With its last trial a study's p-values can be seen, so that this counts as a look.
    if len(results.records) == len(results.plan.trials):
        record_interim_look(store, results.plan)
    write_summary(results, store)
    return results


def drop_models(store: Store, results: StudyResults) -> str | None:
    """Free the models that no study keeps, once all repeats of their cell have a record.

    Returns:
        Why they stay, if something is in the way: the study has its results all the same.

    Raises:
        StorageError: If the folder of the results is gone.
    """
    from assay.storage.check.retention import KeepRule, free, unkept_models
    from assay.storage.plans import stored_plans

    store.refuse_if_gone()
    try:
        # A fault here costs room and no result: it is told, and the study stands.
        others = partial(stored_plans, store, but=results.name)
        free(store, unkept_models(store, KeepRule.of(results.plan), results.records, others))
    except (InputError, OSError) as error:
        return str(error)
    return None
