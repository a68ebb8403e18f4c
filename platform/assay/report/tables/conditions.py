"""The section on other conditions: each comparison under each condition of ``test_under``."""

from __future__ import annotations

from assay.analysis.conditions import condition_findings
from assay.analysis.names import study_names
from assay.analysis.results.results import StudyResults
from assay.report.page.model import Column, Section, TextTable
from assay.report.tables.comparisons import difference_text, p_cell, p_column
from assay.study.names import counted

__all__ = ["condition_section"]

_INTRO = (
    "The same models on the test images under another condition, at the thresholds that validation chose. "
    "Against plain: the difference under the condition minus the one on the test images as they are, repeat "
    "by repeat; p beside each, adjusted over all rows."
)
_WORDS = (
    "Holds: the same way, and not shown to be smaller, or changed by less than is worth knowing. Shrinks: "
    "shown to be smaller. Turns: shown the other way. Appears: shown under the condition, and not before."
)


def condition_section(results: StudyResults) -> Section | None:
    """A row per comparison and condition; None for a study that was evaluated under none."""
    findings = condition_findings(results)
    if not findings:
        return None
    names, metric = study_names(results), results.primary.title
    columns = (
        Column("change", "left"),
        Column("condition", "left"),
        Column(f"difference in {metric}", "right"),
        p_column([finding.under for finding in findings]),
        Column("against plain", "right"),
        p_column([finding.interaction for finding in findings]),
        Column("the difference", "left"),
    )
    rows = tuple(
        (
            names.change(finding.plain),
            finding.condition.name,
            difference_text(finding.under),
            p_cell(finding.under.verdict_p),
            difference_text(finding.interaction),
            p_cell(finding.interaction.verdict_p),
            finding.word,
        )
        for finding in findings
    )
    lacking = max(finding.under.n_missing + finding.interaction.n_missing for finding in findings)
    missing = (
        f"Up to {counted(lacking, 'repeat')} of a row were not evaluated: the models were not kept. With "
        "`keep: {models: all}` they are, from the next training on."
    )
    return Section(
        "Under other conditions", _INTRO, TextTable(columns, rows), (_WORDS, *([missing] if lacking else []))
    )
