"""Answers that `assay mcp` has beside the others, and the lines of `assay status` on agents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from assay.analysis.ledger import tries_beside
from assay.report.answers.base import Answer, Value, schema_name
from assay.report.answers.progress import AgentsLine, RefusedRequest
from assay.report.answers.results import ReportAnswer, report_answer
from assay.report.rows import comparison_rows
from assay.statistics.wording import number_text
from assay.study.names import counted

if TYPE_CHECKING:
    from assay.analysis.results.results import StudyResults
    from assay.storage import Store

__all__ = ["AgentReportAnswer", "agent_lines", "agent_report", "agents_line"]

_NAMED = 5  # refused requests that `assay status` names


class KeptChange(BaseModel):
    """A change that is shown to be better."""

    comparison: str
    better: str | None = Field(description="Cell to keep.")
    worse: str | None
    p: Value = Field(description="Corrected for the study's family and looks; at most `level`.")
    sentence: str


class AgentReportAnswer(Answer):
    """A report, and what of it an agent may keep."""

    schema_: Literal["assay/agent-report/1"] = schema_name("assay/agent-report/1")
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
    from assay.analysis.ledger import better_cell, kept_changes

    kept, agents = kept_changes(results), tries_beside(results)
    rows = zip(kept, comparison_rows(kept), strict=True)
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
    from assay.analysis.ledger import agent_tries
    from assay.extras.agents.requests import agent_requests, hours_spent

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
    """Lines of `assay status` on agents; none where they asked for nothing."""
    from assay.analysis.ledger import agent_tries

    line, tries = agents_line(store), agent_tries(store)
    if line is None:
        return
    tried = str(tries) if tries else f"The agent {', '.join(line.clients)} tried nothing"
    yield f"{tried}, {number_text(line.hours, 2)} h; {counted(len(line.refused), 'request')} refused"
    for request in line.refused[-_NAMED:]:
        yield f"  {request.at} {request.client}: {request.tool} {request.study}: {request.why}"
