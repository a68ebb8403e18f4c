"""Results as a notebook shows them: the table of a study, and tables of comparisons below their plot."""

from __future__ import annotations

from typing import Any

import pandas as pd

from assay.analysis.results import StudyResults
from assay.report.ablation_table import ablation_table
from assay.report.build import count_line, table_notes
from assay.report.figures.effects import effects_picture
from assay.report.figures.effects_rows import EffectsPlot
from assay.report.page.html import html_picture, html_section
from assay.report.page.model import Section

__all__ = ["plotted", "study_html"]


class PlottedTable(pd.DataFrame):
    """A frame that a notebook shows below a plot. What is selected from it is a plain frame."""

    _metadata = ["effects"]  # noqa: RUF012 (pandas' own name and form)
    effects: EffectsPlot | None

    def _repr_html_(self) -> str | None:
        table: Any = super()._repr_html_()  # type: ignore[misc]
        if self.effects is None:
            return table
        return f"{html_picture(effects_picture('effects', self.effects))}{table or ''}"


def plotted(table: pd.DataFrame, plot: EffectsPlot | None) -> pd.DataFrame:
    """``table``, which a notebook shows below ``plot``; None: alone."""
    shown = PlottedTable(table)
    shown.effects = plot
    return shown


def study_html(results: StudyResults) -> str:
    """The question, how many trials ended, and the ablation table with its notes.

    Intervals over test items, for which a file of each trial is read, are left out.
    """
    brief = results.without_predictions()
    question = results.plan.study.question.strip()
    intro = " ".join(filter(None, [question, count_line(brief)]))
    return html_section(Section(brief.name, intro, ablation_table(brief), table_notes(brief)))
