"""The ablation table: means with intervals and marks, sortable; a cell leads to its trials; downloads."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from assay.analysis.summary import reported_metrics
from assay.report.build import table_notes
from assay.report.formats import Form, report_files
from assay.study import Plan
from assay_dashboard import study_view as results
from assay_dashboard.cells import (
    ablation,
    cell_table,
    in_order,
    means_and_repeats,
    number_format,
    trial_table,
)
from assay_dashboard.layout import head, look, message, notes, plain, study_view, to_trial
from assay_dashboard.plots import interval_plot
from assay_dashboard.state import CELLS, of_another_study, select_rows
from trainables.metrics import METRICS, Metric

_LUCKY = 300  # trials whose predictions are read without being asked for
_DRAWN = 60  # rows of the plot
_BESIDE = 3  # factors up to which the plot stands beside the table
_NAMED = 5  # records that cannot be read
_TYPES = {
    Form.MARKDOWN: ("Markdown", "text/markdown"),
    Form.LATEX: ("LaTeX", "application/x-tex"),
    Form.CSV: ("CSV", "text/csv"),
}


def _controls(view: results.StudyView) -> tuple[Metric, bool, bool]:
    """Metric of the plot, whether its best come first, whether test luck is wanted."""
    metrics = [metric.name for metric in reported_metrics(view.plan)]
    few = len(view.plan.answer().trials) <= _LUCKY
    if of_another_study("luck", view.name):
        st.session_state["luck"] = few
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        metric = st.selectbox(
            "Metric",
            metrics,
            key="metric",
            bind="query-params",
            format_func=lambda name: METRICS[name].title,
            width=210,
        )
        best_first = st.toggle("Best first", key="best", bind="query-params")
        luck = st.toggle(
            "Test luck",
            value=few,
            key="luck",
            bind="query-params",
            help="Intervals over test items: reads the predictions of every trial.",
        )
        st.space("stretch")
        for form, (title, kind) in _TYPES.items():
            st.download_button(
                title,
                partial(_report, view, form, luck),
                file_name=f"{view.name}{form.suffix}",
                mime=kind,
                icon=":material/download:",
                on_click="ignore",
                key=f"download-{form}",
            )
    return METRICS[metric], best_first, luck


def _report(view: results.StudyView, form: Form, luck: bool) -> bytes:
    """The report as `assay report` prints it."""
    files = report_files(
        form,
        view.plan,
        view.records,
        results.answers(view, luck=luck),
        problems=view.problems,
        labels=results.labels(view),
    )
    return files[""]


def _select(key: str, order: list[str]) -> None:
    """The rows that were clicked are the chosen cells."""
    rows = st.session_state[key]["selection"]["rows"]
    st.session_state[CELLS] = [order[row] for row in rows if row < len(order)]


def _table(view: results.StudyView, order: list[str], chosen: list[str], luck: bool) -> None:
    table = cell_table(view, luck=luck)
    config: dict[str, Any] = {
        name: st.column_config.NumberColumn(title, format=table.formats[name])
        if name in table.formats
        else st.column_config.TextColumn(title)
        for name, title in table.titles.items()
    }
    key = f"cells of {view.name}"
    select_rows(key, (row for row, name in enumerate(order) if name in chosen))
    st.dataframe(
        table.frame.loc[order],
        hide_index=True,
        column_config=config,
        key=key,
        on_select=partial(_select, key, order),
        selection_mode="multi-row",
        height=min(640, 37 + 35 * len(order)),
    )


def _left_out(view: results.StudyView) -> None:
    """The records that cannot be read, by name."""
    for problem in view.problems[:_NAMED]:
        plain(f"Left out: {problem}", "warn")
    if len(view.problems) > _NAMED:
        plain(f"Left out: {len(view.problems) - _NAMED} more; `assay report {view.name}` names all.", "warn")


def _plot(view: results.StudyView, order: list[str], metric: Metric, luck: bool) -> None:
    shown = order[:_DRAWN]
    group = _group(view.plan)
    means, repeats = means_and_repeats(view, metric.name, shown, group, luck=luck)
    if repeats.empty:
        message(f"No trial has a value of {metric.title} yet.")
        return
    unit = metric.scale
    chart = interval_plot(
        means, repeats, axis=f"{metric.title} on test images ({unit})", group=group, look=look()
    )
    st.altair_chart(chart, alt=f"{metric.title} of each cell: mean, 95 % interval and every repeat")
    if len(order) > len(shown):
        st.caption(f"The first {_DRAWN} of {len(order)} cells.")


def _group(plan: Plan) -> str | None:
    """The first factor, where there are others that tell the rows of a level apart."""
    factors = list(plan.study.factors)
    return factors[0] if len(factors) > 1 else None


def _choose_cells(view: results.StudyView) -> list[str]:
    return st.multiselect(
        "Trials of",
        [cell.name for cell in view.plan.answer().cells],
        key=CELLS,
        bind="query-params",
        placeholder="Cells: choose them here, or by their rows above",
    )


def _trials(view: results.StudyView, chosen: list[str]) -> None:
    trials = trial_table(view, chosen)
    metrics = {
        metric.name: st.column_config.NumberColumn(metric.title, format=number_format(metric.name))
        for metric in reported_metrics(view.plan)
    }
    picked = st.dataframe(
        trials,
        hide_index=True,
        column_config={**metrics, "minutes": st.column_config.NumberColumn("minutes", format="%.1f")},
        key=f"trials-{'|'.join(chosen)}",
        on_select="rerun",
        selection_mode="single-row",
    )
    rows = picked["selection"]["rows"]
    if rows and rows[0] < len(trials):
        row = trials.iloc[rows[0]]
        to_trial(view.name, str(row["cell"]), str(row["repeat"]))


def _page() -> None:
    view = study_view()
    head(view)
    metric, best_first, luck = _controls(view)
    order = in_order(view, metric if best_first else None)
    if not order:
        message("The search has no winner yet: its points are on the page Search.")
        return
    with st.spinner("Reading predictions …" if luck else "Comparing cells …"):
        answers = results.answers(view, luck=luck)
    above = st.container()  # filled after the choice below it, which it marks
    chosen = _choose_cells(view)
    with above:
        if len(view.plan.study.factors) <= _BESIDE:
            left, right = st.columns([11, 9], gap="large")
        else:
            left = right = st.container()  # a table of many columns needs the whole width
        with left:
            _table(view, order, chosen, luck)
            _left_out(view)
        with right:
            _plot(view, order, metric, luck)
        below = view.computed.once(f"notes {luck}", lambda: table_notes(view.plan, view.records, answers))
        notes(ablation(view, luck=luck), below)
    if chosen:
        _trials(view, chosen)


_page()
