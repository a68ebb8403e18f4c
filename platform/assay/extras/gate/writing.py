"""The verdict of a gate as Markdown for a pull request, JUnit XML and JSON."""

from __future__ import annotations

from typing import Literal
from xml.etree import ElementTree

from pydantic import BaseModel, Field

from assay.extras.gate.revisions import Revision
from assay.extras.gate.verdict import GateDecision, GateVerdict
from assay.report.answers.base import Answer, schema_name
from assay.report.page.inline import visible
from assay.report.page.markdown import escape
from assay.report.rows import ComparisonRow, comparison_rows
from assay.study.names import counted

__all__ = ["GateAnswer", "gate_answer", "gate_junit", "gate_markdown"]

_BLOCKS = {
    "worse": "This change makes it worse.",
    "not worse": "This change does not make it worse.",
    "undecided": "Whether it is worse is not decided, which blocks nothing.",
}


class GateRow(BaseModel):
    """A cell of the study, or its trainings without a result."""

    cell: str
    decision: GateDecision
    text: str
    comparison: ComparisonRow | None = Field(description="Head minus base; null: nothing was compared.")


class GateAnswer(Answer):
    """Verdict on a change of method code."""

    schema_: Literal["assay/gate/1"] = schema_name("assay/gate/1")
    study: str
    base: str = Field(description="Commit.")
    head: str
    decision: GateDecision
    seeds: int = Field(description="Trained on both sides; 0: the code is the same.")
    cells: tuple[GateRow, ...]


def gate_markdown(study: str, base: Revision, head: Revision, verdict: GateVerdict) -> str:
    """A headline, and a line for each cell."""
    sides = f"`{head.name}` ({head.commit[:8]}) against `{base.name}` ({base.commit[:8]})"
    lines = [f"- **{cell.cell}**: {cell.decision}. {escape(cell.text)}" for cell in verdict.cells]
    return "\n".join(
        [
            f"**{verdict.decision.capitalize()}**: study {study}, {sides}, "
            f"{counted(verdict.seeds, 'seed')}. {_BLOCKS[verdict.decision]}",
            "",
            *lines,
            "",
        ]
    )


def gate_junit(study: str, verdict: GateVerdict) -> bytes:
    """A test case for each cell: worse is a failure, undecided is skipped."""
    suite = ElementTree.Element("testsuite", name=f"assay gate {study}", tests=str(len(verdict.cells)))
    for mark, decision in (("failures", "worse"), ("skipped", "undecided")):
        suite.set(mark, str(sum(cell.decision == decision for cell in verdict.cells)))
    for cell in verdict.cells:
        case = ElementTree.SubElement(suite, "testcase", classname=study, name=cell.cell)
        if cell.decision != "not worse":
            kind = "failure" if cell.decision == "worse" else "skipped"
            ElementTree.SubElement(case, kind, message=visible(cell.text))
    return ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)


def gate_answer(study: str, base: Revision, head: Revision, verdict: GateVerdict) -> GateAnswer:
    """The verdict with its numbers."""
    rows = [comparison_rows([cell.comparison]) if cell.comparison else (None,) for cell in verdict.cells]
    return GateAnswer(
        study=study,
        base=base.commit,
        head=head.commit,
        decision=verdict.decision,
        seeds=verdict.seeds,
        cells=tuple(
            GateRow(cell=cell.cell, decision=cell.decision, text=cell.text, comparison=row)
            for cell, (row,) in zip(verdict.cells, rows, strict=True)
        ),
    )
