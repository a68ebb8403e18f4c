"""All that agents tried in a storage, the level at which each study is tested after it, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.analysis.ledger import TriedCell, best_of, preregistered_studies
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.extras.agents.requests import agent_requests
from assay.statistics.families import ComparisonResult
from assay.statistics.wording import number_text
from assay.storage import Store
from assay.study.names import counted

__all__ = [
    "AgentTries",
    "agent_tries",
    "best_note",
    "better_cell",
    "kept_changes",
    "tries_beside",
]

_LEVEL = 0.05  # chance that an agent of a world without effects is ever told to keep a change


@dataclass(frozen=True)
class AgentTries:
    """All that agents tried in a storage."""

    clients: tuple[str, ...]
    studies: tuple[str, ...]  # in the order in which they began
    settings: int  # distinct ones, and points of searches
    levels: Mapping[str, float]  # study that may show a change → level at which it is tested

    def __str__(self) -> str:
        who = f"The agent {self.clients[0]}" if len(self.clients) == 1 else "Agents"
        studies = f"{len(self.studies)} {'study' if len(self.studies) == 1 else 'studies'}"
        return f"{who} tried {counted(self.settings, 'setting')} in {studies} of this storage"


def agent_tries(store: Store) -> AgentTries | None:
    """Sum up all that agents tried in a storage; None where they tried nothing.

    A study of theirs is one that was registered with a name; the settings are those of all runs that began.
    """
    studies = preregistered_studies(store)
    clients: dict[str, None] = {}
    points = 0
    tried: list[str] = []
    levels: dict[str, float] = {}
    seeds: set[int] = set()
    for name in sorted(studies, key=lambda name: (studies[name][0].at, name)):
        entries = studies[name]
        by_agents = [entry for entry in entries if entry.asked_by]

        # A study can show something if it was registered once, before its first trial, with seeds that no
        # earlier one has used. With any other, an agent may have chosen after it had looked.
        fresh = len(entries) == 1 and not entries[0].ended and not seeds & set(entries[0].seeds)
        seeds |= {seed for entry in entries for seed in entry.seeds}
        if not by_agents:
            continue
        tried.append(name)
        clients |= dict.fromkeys(entry.asked_by for entry in by_agents)
        points += max(entry.points for entry in by_agents)
        if fresh:
            # 1/(n(n + 1)) sums up to 1 over all n: however many studies follow, all of them together err no
            # more often than one at the whole level.
            number = len(levels) + 1
            levels[name] = _LEVEL / (number * (number + 1))
    if not tried:
        return None
    settings = {setting for request in agent_requests(store).values() for setting in request.settings}
    return AgentTries(tuple(clients), tuple(tried), len(settings) + points, levels)


def tries_beside(results: StudyResults) -> AgentTries | None:
    """Sum up all that agents tried in the storage of a study; None where they tried nothing."""
    store = results.store
    return None if store is None else results.of_storage.once("agents", lambda: agent_tries(store))


def _best_tried(results: StudyResults, store: Store) -> TriedCell | None:
    """The best cell that agents tried on the data of a study, by its primary metric."""
    tries = tries_beside(results)
    if tries is None or not results.preregistrations or len(results.data_sets) > 1:
        return None
    known, data = preregistered_studies(store), results.preregistrations[-1].data
    same = [name for name in tries.studies if known[name][-1].data == data]
    return best_of(store, same, results.primary.name)


def kept_changes(results: StudyResults) -> tuple[ComparisonResult, ...]:
    """Comparisons of a study that are shown although agents tried so much, under the narrowest claim.

    Empty where no agent asked, or this is none of the studies that may show a change.
    """
    tries = tries_beside(results)
    level = 0.0 if tries is None else tries.levels.get(results.name, 0.0)
    comparisons = study_analysis(results).comparisons
    return tuple(
        result
        for result in comparisons
        if result.claim == comparisons[0].claim
        and result.verdict == "shown"
        and result.p_adjusted is not None
        and result.p_adjusted <= level
    )


def better_cell(result: ComparisonResult) -> str | None:
    """Name of the cell that scored better."""
    return result.cell_a if result.gain > 0 else result.cell_b


def best_note(results: StudyResults) -> str | None:
    """Tell whether the best that agents tried is shown to be better in spite of so many tries.

    None where no agent tried anything on the data of this study, or the best is of another study.
    """
    tries, store = tries_beside(results), results.store
    best = None if store is None else _best_tried(results, store)
    if tries is None or best is None or best.study != results.name:
        return None
    of_best = f"The best of them on these data by {results.primary.title} is {best}"
    level = tries.levels.get(results.name)
    tested_at = "" if level is None else f"at {number_text(level, 2)}, the level after so many"
    if any(better_cell(result) == best.cell for result in kept_changes(results)):
        return f"{of_best}: shown to be better, also {tested_at}."
    if level is None:
        why = "registered with fresh seeds before its first trial, and not changed since"
        return f"{of_best}: not shown to be better. Only a study that is {why} can show it."
    return f"{of_best}: not shown to be better {tested_at}."
