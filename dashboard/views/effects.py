"""Every comparison, main effect and interaction: difference, interval, single repeats and verdict."""

from __future__ import annotations

import streamlit as st

from assay.results.effects_plot import EffectRow, EffectsPlot, comparisons_plot, effects_plot
from assay.results.report import answer_sections
from assay.results.statistics import Answer
from assay.results.statistics.words import sentence
from assay.results.tables import decimals_of
from dashboard import store as results
from dashboard.frame import head, look, message, plain, section, study_view, to_cells
from dashboard.plots import difference_plot
from trainables.metrics import METRICS

_WHAT = {"comparisons": "Comparisons", "effects": "Main effects and interactions"}


def _groups(plot: EffectsPlot) -> list[tuple[str, list[EffectRow]]]:
    """Heading → the rows below it."""
    groups: list[tuple[str, list[EffectRow]]] = []
    for row in plot.rows:
        if row.answer is None:
            groups.append((row.name, []))
        else:
            groups[-1][1].append(row)
    return groups


def _plot(plot: EffectsPlot) -> None:
    better = ("worse", "better") if plot.metric.better == "higher" else ("better", "worse")
    band = "" if plot.resolve is None else f" Grey band: below {plot.resolve:g}, too small to matter."
    cut = f" {plot.left_out} more are in the numbers below." if plot.left_out else ""
    plain(
        f"Difference in {plot.metric.title} with its 95 % interval; every repeat as a tick. Left of zero is "
        f"{better[0]}, right of it {better[1]}.{band}{cut}",
        "quiet",
    )
    for heading, rows in _groups(plot):
        plain(heading, "heading")
        chart = difference_plot(rows, axis=plot.axis, limits=plot.limits, resolve=plot.resolve, look=look())
        st.altair_chart(chart, alt=plot.alt)


def _name(one: Answer) -> str:
    where = f", {one.within}" if one.within else ""
    return f"{one.comparison}{where} ({one.claim})"


def _closer(view: results.StudyView, answers: tuple[Answer, ...]) -> None:
    """One comparison in words, and the way to its masks and trials."""
    of_name = {_name(one): one for one in answers}
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
    one = of_name[chosen]
    metric = METRICS[one.metric]
    plain(f"{metric.title}: {sentence(one, decimals_of(metric, one.n_planned))}")
    if one.cell_a is not None and one.cell_b is not None:
        to_cells(view.name, [one.cell_b, one.cell_a])


def _page() -> None:
    view = study_view()
    head(view)
    with st.spinner("Comparing cells …"):
        found = results.answers(view)
    plan = view.plan.answer()
    plots = {"comparisons": comparisons_plot(plan, found), "effects": effects_plot(plan, found)}
    shown = [name for name, plot in plots.items() if plot is not None]
    if not shown:
        message(
            "No repeat answers a comparison yet: it needs a finished trial of one seed in both cells."
            if found.comparisons
            else "The study compares nothing: `comparisons` in its file names factors to compare."
        )
        return
    what = shown[0]
    if len(shown) > 1:
        what = st.segmented_control(
            "What", shown, default=shown[0], required=True, key="what", bind="query-params",
            format_func=lambda name: _WHAT[name], label_visibility="collapsed",
        )  # fmt: skip
    plot = plots[what or shown[0]]
    assert plot is not None, "only those that there are can be chosen"
    _plot(plot)
    answers = found.comparisons if what == "comparisons" else (*found.main_effects, *found.interactions)
    _closer(view, answers)
    with st.expander("All numbers, as the report has them"):
        for part in view.computed.once("sections", lambda: answer_sections(view.plan, view.records, found)):
            section(part)


_page()
