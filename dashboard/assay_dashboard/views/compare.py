"""Two studies side by side: differences of their settings, their scores, and paired differences."""

from __future__ import annotations

import streamlit as st

from assay.analysis.study_pair import StudyPair
from assay.report.figures.effects import studies_plot
from assay.report.formats import FORMATS
from assay.report.page.model import Section
from assay_dashboard.layout import draw, message, paragraph, plain, section, study_view, theme, watched
from assay_dashboard.plots import difference_plot
from assay_dashboard.state import OTHER
from assay_dashboard.study_view import beside


def _plot(pair: StudyPair) -> None:
    plot = studies_plot(pair)
    if plot is None:
        return
    plain("Paired differences, on the same test images", "heading")
    for heading, results in plot.groups.items():
        plain(heading, "quiet")
        draw(difference_plot(plot, results, theme=theme()), plot.alt)


def _page() -> None:
    view = study_view()
    others = [name for name in view.store.studies() if name != view.name]
    if not others:
        message("This storage holds one study. A comparison needs a second one: `assay run STUDY` brings it.")
        return
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
    other = watched(view.store, name)
    with st.spinner("Comparing studies …"):
        pair, page = beside(view.results, other.results)
    st.html(paragraph(page.question, "question lines") + paragraph(page.count, "quiet"))
    st.download_button(
        "Markdown",
        lambda: FORMATS["md"].pair_files(pair, "")[""],
        file_name=f"{view.name}_{name}.md",
        mime="text/markdown",
        icon=":material/download:",
        on_click="ignore",
    )
    what_differs, *further = page.sections
    scores, differences = st.columns([5, 7], gap="large")
    with scores:
        section(what_differs)
        section(Section("Scores", "", page.table, page.notes))
    with differences:
        _plot(pair)
    for part in further:
        section(part)


_page()
