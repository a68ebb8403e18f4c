"""Every main effect, interaction and comparison: difference, interval, single repeats and verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby

import streamlit as st
from streamlit.delta_generator import DeltaGenerator as Container

from assay.analysis.names import sentence_case, study_names
from assay.analysis.results.computed import Computed
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.test_set_uncertainty import MOST_TRIALS_AT_ONCE, RESAMPLED_METRIC
from assay.report.figures.effects import EffectsPlot, comparisons_plot, effects_plot
from assay.report.pages import compared_sections
from assay.report.tables.answer import strongest_first
from assay.report.tables.comparisons import full_name
from assay.report.tables.conditions import condition_section
from assay.statistics.families import ComparisonResult
from assay.statistics.wording import sentence
from assay_dashboard import study_view as reading
from assay_dashboard.comparison_rows import MOST_ROWS, comparison_list
from assay_dashboard.layout import missing_verdicts, nothing_found, plain, section, to_cells
from assay_dashboard.state import choose_one

_EVERY = ""  # of a select: nothing is chosen
_TITLES = {"comparisons": "Comparisons", "effects": "Main effects and interactions"}


def _compared(results: StudyResults) -> StudyResults:
    """Results with predictions, as in a report; without those of many trials, which the page then says."""
    if len(results.reported.trials) <= MOST_TRIALS_AT_ONCE:
        return results
    return results.without_predictions()


def _plots(results: StudyResults) -> dict[str, EffectsPlot]:
    """The plots that have something to show, by name, each with all rows."""
    # With all rows: the page picks a few of them, and its axis has to hold each.
    analysis = study_analysis(results)
    effects = len(analysis.main_effects) + len(analysis.interactions)
    compared = len(analysis.over_data_sets) + len(analysis.comparisons)
    plots = {
        "effects": effects_plot(results, most=effects),
        "comparisons": comparisons_plot(results, most=compared),
    }
    return {name: plot for name, plot in plots.items() if plot is not None}


def _shown(results: StudyResults, plot: EffectsPlot) -> list[tuple[str, ComparisonResult]]:
    """Rows with their headings, of each the strongest first: the chosen ones, eight at a time."""
    # A few rows need no choices above them.
    rows = [(heading, result) for heading, group in plot.groups.items() for result in strongest_first(group)]
    if len(rows) <= MOST_ROWS:
        return rows
    name, within, page = st.columns([2, 2, 3], vertical_alignment="bottom")
    names = study_names(results)
    steps = {result.comparison: names.step(result.comparison) for _, result in rows}
    places = {result.within: names.place(result) for _, result in rows}
    only = _choose(name, "Only", "only", steps, "all comparisons")
    cells = _choose(within, "Within", "within", places, "all variants")
    chosen = [row for row in rows if only in (None, row[1].comparison) and cells in (None, row[1].within)]
    if not chosen:
        nothing_found("No comparison has both.", {"only": _EVERY, "within": _EVERY})
    number = 1
    if len(chosen) > MOST_ROWS:
        number = page.pagination(-(-len(chosen) // MOST_ROWS), key="rows", bind="query-params")
    first = (number - 1) * MOST_ROWS
    shown = chosen[first : first + MOST_ROWS]
    if shown:
        plain(f"{first + 1} to {first + len(shown)} of {len(chosen)}, the strongest first", "quiet")
    return shown


def _choose(place: Container, label: str, key: str, words: Mapping[str, str], every: str) -> str | None:
    """One of the names, which are shown in words; None: all. There is no choice where they do not differ."""
    if len(words) < 2:
        return None
    shown = {_EVERY: every, **{name: sentence_case(text) for name, text in words.items()}}
    return choose_one(place, label, list(shown), key=key, usual=_EVERY, words=shown.__getitem__) or None


def _plot(results: StudyResults, plot: EffectsPlot) -> None:
    left, right = plot.sides
    band = "" if plot.resolve is None else f" Grey band: ±{plot.resolve:g}, the smallest effect of interest."
    over_sets = any(result.claim == "data sets" for result in plot.results)
    ticks = "every run as a tick" + ", over data sets every data set" * over_sets
    plain(
        f"Difference in {plot.metric.title}, second minus first, with 95 % interval; {ticks}. "
        f"Left of zero is {left}, right of it {right}.{band}{plot.dagger}",
        "quiet",
    )
    for heading, below in groupby(_shown(results, plot), key=lambda row: row[0]):
        plain(heading, "heading")
        shown, names = [result for _, result in below], study_names(results)
        # What both variants have beside the change, where its name does not tell it.
        places = [names.place(result) for result in shown]
        details = [
            f"With {place}" if place and place not in names.change(result) else ""
            for place, result in zip(places, shown, strict=True)
        ]
        st.html(comparison_list(plot, shown, names.change, details))


def _closer(results: StudyResults, comparisons: tuple[ComparisonResult, ...]) -> None:
    """One comparison in words, and the way to its masks and trials."""
    names = study_names(results)
    # The claim tells rows apart only where there are several of them.
    claims = len({result.claim for result in comparisons}) > 1
    of_name = {f"{full_name(result)} ({result.claim})": result for result in comparisons}
    shown = {_EVERY: "a comparison, in words"} | {
        name: sentence_case(names.change(result)) + f" ({result.claim})" * claims
        for name, result in of_name.items()
    }
    chosen = choose_one(
        st, "Look closer at", list(shown), key="comparison", usual=_EVERY, words=shown.__getitem__
    )
    if chosen == _EVERY:
        return
    comparison = of_name[chosen]
    plain(f"{comparison.scored_by.title}: {sentence(comparison)}")
    if comparison.cell_a is not None and comparison.cell_b is not None:
        to_cells(results, [comparison.cell_b, comparison.cell_a])


def show(view: reading.StudyView) -> None:
    """All comparisons and effects of the study."""
    with st.spinner("Comparing variants …"):
        results = _compared(view.results)
        analysis = study_analysis(results)
    plots = _plots(results)
    if not plots:
        missing_verdicts(view.results)
        return
    what = next(iter(plots))

    # Effects and comparisons ask different questions of the same numbers, so one of them is shown at a time.
    if len(plots) > 1:
        what = st.segmented_control(
            "What", list(plots), default=what, required=True, key="what", bind="query-params",
            format_func=lambda name: _TITLES[name], label_visibility="collapsed",
        ) or what  # fmt: skip
    _plot(results, plots[what])
    effects = (*analysis.main_effects, *analysis.interactions)
    _closer(results, analysis.comparisons if what == "comparisons" else effects)
    _conditions(results)
    _numbers(results)


def _conditions(results: StudyResults) -> None:
    """Each comparison under the conditions of ``test_under``."""
    # A later run may ask stored models alone: no record is new then, so what was computed from the records is
    # left behind, as soon as a run has written its summary.
    conditions = results.of_storage.once(
        "conditions", lambda: condition_section(replace(results, computed=Computed()))
    )
    if conditions is not None:
        section(conditions)


def _numbers(results: StudyResults) -> None:
    """The report's sections. Test items are resampled for them, so they are made when they are unfolded."""
    if results.read_part is None and results.primary.name == RESAMPLED_METRIC:
        plain(
            f"Left out in a study of more than {MOST_TRIALS_AT_ONCE} trials: intervals over test images, and "
            "intervals of repeats that are all equal. They need the predictions of every trial, which "
            "`assay report` reads.",
            "quiet",
        )
    unfolded = st.expander("All numbers, as the report has them", key="numbers", bind="query-params")
    if unfolded.open:
        with unfolded, st.spinner("Resampling test items …"):
            for part in results.once("sections", lambda: compared_sections(results)):
                section(part)
