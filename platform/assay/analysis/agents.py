"""Trials of agents in a storage, and the changes that are shown to be better in spite of all the trying.

Each study corrects for its own comparisons. An agent that asks study after study finds something in the end:
of 37 studies without any effect, 5 % each, six agents in seven do. So a study can show an agent's change only
where it was registered once, before its first trial, with seeds that no earlier study of the storage used.
The k-th such study is tested at 5 % / (k (k + 1)), which sums to 5 % however many come and whenever the agent
stops. Other studies are free, and show nothing. All of a storage counts, whatever data and methods it names:
a name is easily changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.analysis.ledger import TriedCell, best_of, registered_studies
from assay.analysis.study_analysis import study_analysis
from assay.statistics.families import ComparisonResult
from assay.storage.registration import Registered
from assay.storage.store import Store
from assay.study.names import counted

if TYPE_CHECKING:
    from assay.analysis.results import StudyResults

__all__ = [
    "AgentTries",
    "agent_tries",
    "best_tried",
    "better_cell",
    "kept_changes",
    "tries_beside",
    "tries_of",
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


def tries_of(studies: Mapping[str, Sequence[Registered]]) -> AgentTries | None:
    """Sum up the entries of all studies by agents; None where none asked."""
    clients: dict[str, None] = {}
    settings: set[str] = set()
    points = 0
    tried: list[str] = []
    levels: dict[str, float] = {}
    seeds: set[int] = set()
    for name in sorted(studies, key=lambda name: (studies[name][0].at, name)):
        entries = studies[name]
        by_agents = [entry for entry in entries if entry.client]
        fresh = len(entries) == 1 and not entries[0].ended and not seeds & set(entries[0].seeds)
        seeds |= {seed for entry in entries for seed in entry.seeds}
        if not by_agents:
            continue
        tried.append(name)
        clients |= dict.fromkeys(entry.client for entry in by_agents)
        settings |= {setting for entry in by_agents for setting in entry.settings}
        points += max(entry.points for entry in by_agents)
        if fresh:
            number = len(levels) + 1
            levels[name] = _LEVEL / (number * (number + 1))
    return AgentTries(tuple(clients), tuple(tried), len(settings) + points, levels) if tried else None


def agent_tries(store: Store) -> AgentTries | None:
    """Sum up all that agents tried in a storage; None where they tried nothing."""
    return tries_of(registered_studies(store))


def tries_beside(results: StudyResults) -> AgentTries | None:
    """Sum up all that agents tried in the storage of a study; None where they tried nothing."""
    store = results.store
    return None if store is None else results.of_storage.once("agents", lambda: agent_tries(store))


def best_tried(results: StudyResults, store: Store) -> TriedCell | None:
    """The best cell that agents tried on the data of a study, by its primary metric."""
    tries = tries_beside(results)
    if tries is None or not results.registered:
        return None
    known, data = registered_studies(store), results.registered[-1].data
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
