"""The ledger of a question: what all studies of a storage tried on the same data with the same methods.

>>> str(ledger)
'Ledger of 3 studies on the same data and methods, 14 comparisons tried'

A study corrects for its own comparisons. Who asks again in another study tries anew, and the best of all
that was tried looks better than it is. The ledger reads what studies registered and their last summaries, a
small file or two of each.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from assay.analysis.results.results import StudyResults
from assay.analysis.summary import Repeat, RepeatSummary, best_mean, lost_repeats
from assay.storage.preregistration import Preregistration, read_preregistrations
from assay.storage.store import Store
from assay.study import Plan
from assay.study.names import counted
from trainables.errors import InputError
from trainables.evaluation.metrics import METRICS

__all__ = [
    "Ledger",
    "LedgerPage",
    "TriedCell",
    "best_of",
    "ledgers",
    "preregistered_studies",
    "spread_seen",
    "study_ledger",
]


@dataclass(frozen=True)
class LedgerPage:
    """One study of the ledger."""

    study: str
    comparisons: int  # each pair of cells once, those that were dropped later among them; see `of_winners`
    cells: int  # as registered last, the points of a search among them


@dataclass(frozen=True)
class TriedCell(RepeatSummary):
    """Scores of a cell on test images, as the last summary of its study has them."""

    study: str
    cell: str

    def __str__(self) -> str:
        """``stop=on of additions``, and of how many repeats its mean is where some have no value."""
        of_repeats = "" if self.n == self.planned else f" (mean of {self.count} repeats)"
        return f"{self.cell} of {self.study}{of_repeats}"


@dataclass(frozen=True)
class Ledger:
    """Two studies or more on the same question."""

    pages: tuple[LedgerPage, ...]
    best: (
        TriedCell | None
    )  # by the primary metric of the study that asks; None: no summary has it, or data sets differ

    @property
    def comparisons(self) -> int:
        """Comparisons that were tried in all."""
        return sum(page.comparisons for page in self.pages)

    @property
    def tried(self) -> int:
        """Cells and points that were tried in all."""
        return sum(page.cells for page in self.pages)

    def __str__(self) -> str:
        return (
            f"Test log of {len(self.pages)} studies on the same data and methods, "
            f"{counted(self.comparisons, 'comparison')} tried"
        )


def study_ledger(results: StudyResults) -> Ledger | None:
    """All studies of the storage on the same data and methods; None where this is the only one."""
    store = results.store
    return None if store is None else results.of_storage.once("ledger", lambda: _ledger(results, store))


def _ledger(results: StudyResults, store: Store) -> Ledger | None:
    if not results.preregistrations:
        return None
    # The question as registered last is the one that counts: an edit may have changed data or methods.
    mine = results.preregistrations[-1]
    known = preregistered_studies(store)
    pages = {name: entries for name, entries in known.items() if _same_question(entries[-1], mine)}
    if len(pages) < 2:
        return None
    best = best_of(store, list(pages), mine.primary) if len(mine.data) <= 1 else None
    return Ledger(_pages(pages.items()), best)


def ledgers(store: Store) -> list[Ledger]:
    """Every ledger of a storage, without winners."""
    # Studies fall into groups of one question. Each pass takes the group of the first that is left.
    remaining = preregistered_studies(store)
    shared: list[Ledger] = []
    while remaining:
        first = next(iter(remaining.values()))[-1]
        pages = {name: e for name, e in remaining.items() if _same_question(e[-1], first)}
        remaining = {name: entries for name, entries in remaining.items() if name not in pages}
        if len(pages) > 1:
            shared.append(Ledger(_pages(pages.items()), None))
    return shared


def preregistered_studies(store: Store) -> dict[str, tuple[Preregistration, ...]]:
    """Entries of the studies that have sound ones; `assay check` names the others."""
    known: dict[str, tuple[Preregistration, ...]] = {}
    for name in store.study_folders():
        try:
            entries = read_preregistrations(store, name)
        except InputError:
            continue
        if entries:
            known[name] = entries
    return known


def _same_question(first: Preregistration, second: Preregistration) -> bool:
    return (first.data, first.methods) == (second.data, second.methods)


def _pages(studies: Iterable[tuple[str, Sequence[Preregistration]]]) -> tuple[LedgerPage, ...]:
    return tuple(
        LedgerPage(
            # Comparisons of all entries count, those that a later edit dropped among them: they were tried.
            # Cells are those of the last entry; a search counts its points.
            name,
            len({pair for entry in entries for pair in (*entry.comparisons, *entry.of_winners)}),
            max(entries[-1].cells, entries[-1].points),
        )
        for name, entries in studies
    )


def best_of(store: Store, studies: Sequence[str], metric: str) -> TriedCell | None:
    """The cell with the best mean on test images, by the last summaries of some studies."""
    tried = (cell for name in studies for cell in _tried(store, name, metric))
    return best_mean(tried, METRICS[metric])


def _variances(store: Store, study: str, metric: str) -> list[float]:
    """Variance over the seeds of each cell that has two or more on one fold."""
    variances: list[float] = []
    for cell in _tried(store, study, metric):
        for fold in {repeat.fold for repeat in cell.values}:
            of_fold = [value for repeat, value in cell.values.items() if repeat.fold == fold]
            if len(of_fold) > 1:
                variances.append(statistics.variance(of_fold))
    return variances


def _tried(store: Store, study: str, metric: str) -> list[TriedCell]:
    """The cells in the last summary of a study, which may lack a later run; none where it is damaged."""
    try:
        table = store.read_table(f"{store.study(study)}/summary.parquet")
    except (FileNotFoundError, pa.ArrowInvalid):
        return []

    # The columns that tell repeats apart are enough, so a summary of thousands of rows is read quickly.
    ended: dict[str, dict[Repeat, str]] = {}  # by any metric: one that diverged has rows of those reported
    values: dict[str, dict[Repeat, float]] = {}
    columns = ("cell", "seed", "fold", "part", "metric", "value", "status")
    for row in table.select(columns).to_pylist():
        # Rows of any metric say how a repeat ended. The one that is asked for may be missing, of a metric
        # that the study did not report.
        if row["part"] == "test":
            repeat = Repeat(row["seed"], row["fold"])
            ended.setdefault(row["cell"], {})[repeat] = row["status"]
            if row["metric"] == metric and row["value"] is not None:
                values.setdefault(row["cell"], {})[repeat] = row["value"]
    tried: list[TriedCell] = []
    for cell, repeats in ended.items():
        # A repeat without a value is lost and not left out, so the mean tells of how many it is.
        scores = values.get(cell, {})
        lost = lost_repeats((status, None) for repeat, status in repeats.items() if repeat not in scores)
        tried.append(TriedCell(metric, tuple(repeats), scores, lost, study, cell))
    return tried


def spread_seen(store: Store, plan: Plan) -> tuple[float, str] | None:
    """Standard deviation of a difference by a plan's primary metric as other studies saw it, and which.

    Scores of one cell over its seeds, times √2: what seeds share would make it smaller. None where no study
    on the same data and methods has two seeds of a cell.
    """
    # Only studies on the same data and methods: how far seeds scatter depends on both. The plan's own study
    # is left out, because who asks has looked at its trials before.
    data, methods = tuple(sorted(plan.manifests)), tuple(sorted(plan.trainables))
    names = [
        name
        for name, entries in preregistered_studies(store).items()
        if name != plan.study.study and (entries[-1].data, entries[-1].methods) == (data, methods)
    ]
    variances = [
        variance for name in names for variance in _variances(store, name, plan.study.metrics.primary)
    ]
    if not variances or not sum(variances):
        return None

    # The variance of a difference of two independent scores is twice that of one.
    return math.sqrt(2 * sum(variances) / len(variances)), ", ".join(names)
