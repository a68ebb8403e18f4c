"""Costs of damage to a study, in sentences: repeats whose record is damaged or gone, and files that are gone.

Scores of a record whose files are gone stand: the record holds them. What was computed from the files
is left out. ``assay check`` looks at every byte. Here a file is there or it is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from assay.analysis.results.results import StudyResults
from assay.analysis.test_set_uncertainty import MOST_TRIALS_AT_ONCE
from assay.storage.record import DamagedRecord
from trainables.data.inspect.findings import counted, summarise

__all__ = ["left_out"]

_NAMED = 5  # trials by their ids; more are counted
_COSTS = {
    "regions.parquet": "no list has their defects one by one",
    "maps.parquet": "no picture shows them",
    "lineage.parquet": "no picture shows their stages",
    "curve.parquet": "they have no learning curve",
    "model": "they neither predict nor export",
}


def left_out(results: StudyResults) -> tuple[str, ...]:
    """Sentences on what a report or page of these results leaves out, worked out once.

    Predictions that are gone are not among them: who reads them names them.
    """
    return results.once("left out", lambda: (*_lost_records(results), *_gone_files(results)))


def _lost_records(results: StudyResults) -> Iterator[str]:
    # One sentence for each cell, with every damaged record: a reader has to know which mean is over fewer
    # repeats.
    cells = {trial.id: trial.cell for trial in results.plan.trials}
    planned = Counter(trial.cell for trial in results.plan.trials)
    damaged: dict[str, list[DamagedRecord]] = {}
    for problem in results.problems:
        damaged.setdefault(cells[problem.trial], []).append(problem)
    for cell, problems in damaged.items():
        yield (
            f"Left out: {len(problems)} of {planned[cell]} repeats of `{cell}`. "
            + " ".join(f"{problem.path}: {problem.text}." for problem in problems)
            + " `assay check --repair` sets damaged records aside, and `assay run` trains their trials anew."
        )


def _gone_files(results: StudyResults) -> list[str]:
    store = results.store
    # On an object store a look at each file costs a request, so of many trials nothing is said there.
    ids = dict.fromkeys(trial.id for trial in results.reported.trials)  # a trial may stand in two rows
    records = [results.records[id_] for id_ in ids if id_ in results.records]
    if store is None or (store.local_path is None and len(records) > MOST_TRIALS_AT_ONCE):
        return []
    gone: dict[str, list[str]] = {}
    for record, names in store.gone_files(records):
        # A folder with several files that are gone, as a model, is one loss of its trial.
        parts = dict.fromkeys(name.removeprefix(f"{record.attempt}/").split("/")[0] for name in names)
        for part in parts:
            gone.setdefault(part, []).append(record.id)
    return [
        f"Gone: {part} of {_trials(ids)}: {_COSTS[part]}. `assay check` says more."
        for part, ids in gone.items()
        if part in _COSTS
    ]


def _trials(ids: Sequence[str]) -> str:
    return f"{counted(len(ids), 'trial')} ({summarise(ids, _NAMED)})"
