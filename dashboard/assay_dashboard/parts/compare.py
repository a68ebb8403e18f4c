"""Two studies side by side: differences of their settings, their scores, and paired differences."""

from __future__ import annotations

import streamlit as st

from assay.analysis.study_pair import StudyPair
from assay.report.figures.effects import studies_plot
from assay.report.formats import FORMATS
from assay.report.page.model import Section
from assay.report.tables.comparisons import full_name
from assay_dashboard import study_view as reading
from assay_dashboard.comparison_rows import comparison_list
from assay_dashboard.layout import message, paragraph, plain, section, watched
from assay_dashboard.state import OTHER


def _plot(pair: StudyPair) -> None:
    plot = studies_plot(pair, most=len(pair.comparisons))
    if plot is None:
        return
    plain("Paired differences, on the same test images", "heading")
    for heading, results in plot.groups.items():
        plain(heading, "quiet")
        st.html(comparison_list(plot, results, full_name))


def show(view: reading.StudyView) -> None:
    """The study beside another one."""
    others = [name for name in view.store.studies() if name != view.name]
    name = st.selectbox(
        f"Compare {view.name} with",
        others,
        index=0 if len(others) == 1 else None,
        key=OTHER,
        bind="query-params",
        placeholder="Another study",
    )
    if name is None:
        message("Choose a second study.")
        return

    # The other study may be running as well, so it is watched like the first.
    other = watched(view.store, name)
    with st.spinner("Comparing studies …"):
        pair, page = reading.beside(view.results, other.results)
    st.html(paragraph(page.question, "question lines") + paragraph(page.count, "quiet"))
    st.download_button(
        "Markdown",
        lambda: FORMATS["md"].pair_files(pair, "")[""],
        file_name=f"{view.name}_{name}.md",
        mime="text/markdown",
        icon=":material/download:",
        on_click="ignore",
    )

    # What differs in the settings stands beside the scores: a difference is read with its cause in view.
    what_differs, *further = page.sections
    scores, differences = st.columns([5, 7], gap="large")
    with scores:
        section(what_differs)
        section(Section("Scores", "", page.table, page.notes))
    with differences:
        _plot(pair)
    for part in further:
        section(part)
