"""Every main effect, interaction and comparison: difference, interval, single repeats and verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

import streamlit as st
from streamlit.delta_generator import DeltaGenerator as Container

from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.test_set_uncertainty import MOST_TRIALS_AT_ONCE, RESAMPLED_METRIC
from assay.report.figures.effects import (
    MOST_ROWS,
    EffectsPlot,
    Mark,
    comparisons_plot,
    effects_plot,
    mark_texts,
)
from assay.report.page.html import escape
from assay.report.pages import compared_sections
from assay.report.tables.comparisons import full_name
from assay.statistics.families import ComparisonResult
from assay.statistics.wording import sentence
from assay_dashboard.layout import draw, head, missing_verdicts, plain, section, study_view, theme, to_cells
from assay_dashboard.plots import difference_plot

_LEFT_OUT = (
    f"Left out in a study of more than {MOST_TRIALS_AT_ONCE} trials: item intervals, and intervals of "
    "repeats that are all equal. They need the predictions of every trial, which `assay report` reads."
)
_SYMBOLS: dict[Mark, str] = {
    "shown": "●",
    "small": "●",
    "suggested": "◇",
    "negligible": "▲",
    "identical": "■",
    "open": "□",
}
_TITLES = {"comparisons": "Comparisons", "effects": "Main effects and interactions"}


def _compared(results: StudyResults) -> StudyResults:
    """With predictions, as a report has them; without those of many trials, which the page then says."""
    if len(results.reported.trials) <= MOST_TRIALS_AT_ONCE:
        return results
    return results.without_predictions()


def _plots(results: StudyResults) -> dict[str, EffectsPlot]:
    """By its name, each with all rows; only those that have something to show."""
    analysis = study_analysis(results)
    effects = len(analysis.main_effects) + len(analysis.interactions)
    plots = {
        "effects": effects_plot(results, most=effects),
        "comparisons": comparisons_plot(results, most=len(analysis.comparisons)),
    }
    return {name: plot for name, plot in plots.items() if plot is not None}


def _shown(plot: EffectsPlot) -> list[tuple[str, ComparisonResult]]:
    """All rows with their headings where a page holds them, else the chosen ones, a page at a time."""
    rows = [(heading, result) for heading, group in plot.groups.items() for result in group]
    if len(rows) <= MOST_ROWS:
        return rows
    name, within, page = st.columns([2, 2, 3], vertical_alignment="bottom")
    only = _choose(name, "Only", "only", (result.comparison for _, result in rows), "all comparisons")
    rows = [row for row in rows if only in (None, row[1].comparison)]
    cells = _choose(within, "Within", "within", (result.within for _, result in rows), "all cells")
    rows = [row for row in rows if cells in (None, row[1].within)]
    number = 1
    if len(rows) > MOST_ROWS:
        number = page.pagination(-(-len(rows) // MOST_ROWS), key="rows", bind="query-params")
    first = (number - 1) * MOST_ROWS
    shown = rows[first : first + MOST_ROWS]
    plain(f"{first + 1} to {first + len(shown)} of {len(rows)}, on one scale", "quiet")
    return shown


def _choose(place: Container, label: str, key: str, names: Iterable[str], empty: str) -> str | None:
    """One of the names; None: all of them. There is no choice where they do not differ."""
    options = list(dict.fromkeys(names))
    if len(options) < 2:
        return None
    return place.selectbox(label, options, index=None, key=key, bind="query-params", placeholder=empty)


def _plot(plot: EffectsPlot) -> None:
    left, right = plot.sides
    band = "" if plot.resolve is None else f" Grey band: below {plot.resolve:g}, too small to matter."
    plain(
        f"Difference in {plot.metric.title} with its 95 % interval; every repeat as a tick. Left of zero is "
        f"{left}, right of it {right}.{band}{plot.dagger}",
        "quiet",
    )
    st.html(_legend(plot))
    for heading, below in groupby(_shown(plot), key=lambda row: row[0]):
        results = [result for _, result in below]
        plain(heading, "heading")
        chart = difference_plot(plot, results, theme=theme())
        draw(chart, replace(plot, groups={heading: results}).alt)


def _legend(plot: EffectsPlot) -> str:
    """The marks that the plot has, in words."""
    return '<p class="marks">' + "".join(
        f'<span><i class="kind {mark}">{_SYMBOLS[mark]}</i> {escape(text)}</span>'
        for mark, text in mark_texts(plot).items()
    ) + "</p>"  # fmt: skip


def _closer(study: str, comparisons: tuple[ComparisonResult, ...]) -> None:
    """One comparison in words, and the way to its masks and trials."""
    of_name = {f"{full_name(result)} ({result.claim})": result for result in comparisons}
    chosen = st.selectbox(
        "Look closer at",
        list(of_name),
        index=None,
        key="comparison",
        bind="query-params",
        placeholder="A comparison, in words",
    )
    if chosen is None:
        return
    comparison = of_name[chosen]
    plain(f"{comparison.scored_by.title}: {sentence(comparison)}")
    if comparison.cell_a is not None and comparison.cell_b is not None:
        to_cells(study, [comparison.cell_b, comparison.cell_a])


def _page() -> None:
    view = study_view()
    head(view)
    with st.spinner("Comparing cells …"):
        results = _compared(view.results)
        analysis = study_analysis(results)
    plots = _plots(results)
    if not plots:
        missing_verdicts(view.results)
        return
    what = next(iter(plots))
    if len(plots) > 1:
        what = st.segmented_control(
            "What", list(plots), default=what, required=True, key="what", bind="query-params",
            format_func=lambda name: _TITLES[name], label_visibility="collapsed",
        ) or what  # fmt: skip
    _plot(plots[what])
    effects = (*analysis.main_effects, *analysis.interactions)
    _closer(view.name, analysis.comparisons if what == "comparisons" else effects)
    _numbers(results)


def _numbers(results: StudyResults) -> None:
    """The report's sections. Test items are resampled for them, so they are made when they are unfolded."""
    if results.read_part is None and results.primary.name == RESAMPLED_METRIC:
        plain(_LEFT_OUT, "quiet")
    unfolded = st.expander("All numbers, as the report has them", key="numbers", bind="query-params")
    if unfolded.open:
        with unfolded, st.spinner("Resampling test items …"):
            for part in results.once("sections", lambda: compared_sections(results)):
                section(part)


_page()
