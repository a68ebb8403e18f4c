"""Answers that `assay mcp` has beside the others, and the lines of `assay agents`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from assay.analysis.names import study_names
from assay.api.opened_storage import OpenedStorage
from assay.extras.agents.requests import agent_requests, hours_spent
from assay.extras.agents.tries import agent_tries, best_note, better_cell, kept_changes, tries_beside
from assay.report.answers.base import Answer, Value, schema_name
from assay.report.answers.progress import StatusOfAllAnswer
from assay.report.answers.results import ReportAnswer, report_answer
from assay.report.rows import comparison_rows
from assay.statistics.wording import number_text
from assay.study.names import counted

if TYPE_CHECKING:
    from assay.analysis.results.results import StudyResults
    from assay.storage import Store

__all__ = ["AgentReportAnswer", "LedgerAnswer", "agent_lines", "agent_report", "agents_line"]

_NAMED = 5  # refused requests that `assay agents` names


class RefusedRequest(BaseModel):
    """Request of an agent that was refused."""

    at: str = Field(description="UTC, to the minute: `2026-01-31 12:00`.")
    client: str
    tool: str
    study: str = Field(description="As it was asked for.")
    why: str


class AgentsLine(BaseModel):
    """All that agents asked of a storage through `assay mcp`."""

    clients: tuple[str, ...]
    studies: tuple[str, ...] = Field(description="In the order in which they began.")
    settings: int = Field(description="Distinct ones that were tried.")
    levels: dict[str, float] = Field(description="Study that may show a change → level of its test.")
    hours: float = Field(description="By the clock, that runs took or may still take.")
    refused: tuple[RefusedRequest, ...]


class LedgerAnswer(StatusOfAllAnswer):
    """All studies of a storage, and all that agents asked of it."""

    agents: AgentsLine | None = Field(default=None, description="null: no agent asked for anything.")


class KeptChange(BaseModel):
    """A change that is shown to be better."""

    comparison: str
    better: str | None = Field(description="Cell to keep.")
    worse: str | None
    p: Value = Field(description="Corrected for the study's family and looks; at most `level`.")
    sentence: str


class AgentReportAnswer(Answer):
    """A report, and what of it an agent may keep."""

    schema_: Literal["assay/agent-report/2"] = schema_name("assay/agent-report/2")
    tried: str = Field(description="All that agents tried in this storage, in words.")
    level: Value = Field(
        description="At which this study is tested after so many; null: it can show no change of an agent's."
    )
    keep: tuple[KeptChange, ...] = Field(
        description="Changes to keep. Any other that looks better is not shown to be, whatever its verdict."
    )
    report: ReportAnswer


def agent_report(results: StudyResults) -> AgentReportAnswer:
    """The report of a study for an agent."""
    kept, agents = kept_changes(results), tries_beside(results)
    rows = zip(kept, comparison_rows(kept, study_names(results).change), strict=True)
    return AgentReportAnswer(
        tried="Agents tried nothing here." if agents is None else f"{agents}.",
        level=None if agents is None else agents.levels.get(results.name),
        keep=tuple(
            KeptChange(
                comparison=row.comparison,
                better=better_cell(result),
                worse=row.cell_b if better_cell(result) == row.cell_a else row.cell_a,
                p=row.p_adjusted,
                sentence=row.sentence,
            )
            for result, row in rows
        ),
        report=report_answer(results),
    )


def agents_line(store: Store) -> AgentsLine | None:
    """All that agents asked of a storage; None where they asked for nothing.

    Raises:
        InputError: If a note of a request was changed by hand.
    """
    requests, tries = agent_requests(store).values(), agent_tries(store)
    if not requests and tries is None:
        return None
    clients = dict.fromkeys([*(tries.clients if tries else ()), *(request.client for request in requests)])
    return AgentsLine(
        clients=tuple(clients),
        studies=tries.studies if tries else (),
        settings=tries.settings if tries else 0,
        levels=dict(tries.levels) if tries else {},
        hours=hours_spent(store),
        refused=tuple(
            RefusedRequest(
                at=f"{each.at:%Y-%m-%d %H:%M}",
                client=each.client,
                tool=each.tool,
                study=each.study,
                why=each.refused,
            )
            for each in requests
            if each.refused
        ),
    )


def agent_lines(store: Store) -> Iterator[str]:
    """Lines of `assay agents`; none where they asked for nothing."""
    line, tries = agents_line(store), agent_tries(store)
    if line is None:
        return
    tried = str(tries) if tries else f"The agent {', '.join(line.clients)} tried nothing"
    yield f"{tried}, {number_text(line.hours, 2)} h; {counted(len(line.refused), 'request')} refused"
    for request in line.refused[-_NAMED:]:
        yield f"  {request.at} {request.client}: {request.tool} {request.study}: {request.why}"
    opened = OpenedStorage(store)
    for name in filter(set(store.studies()).__contains__, line.studies):
        if note := best_note(opened.study(name).results):
            yield note
