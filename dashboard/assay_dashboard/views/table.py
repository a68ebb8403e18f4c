"""The ablation table: means with intervals and marks, sortable; a cell leads to its trials; downloads."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from assay.analysis.results.left_out import left_out
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.test_set_uncertainty import MOST_TRIALS_AT_ONCE
from assay.report.formats import FORMATS, ReportFormat
from assay.report.page.model import NOTHING
from assay.report.pages import table_notes
from assay.report.tables.cells import in_order
from assay.report.tables.parts import class_sections
from assay.study import Study
from assay_dashboard import study_view as reading
from assay_dashboard.cells import (
    CellTable,
    ablation,
    cell_table,
    means_and_repeats,
    number_format,
    trial_table,
)
from assay_dashboard.charts import MOST_CELLS, dot_plots
from assay_dashboard.layout import draw, head, message, notes, plain, section, study_view, theme, to_trial
from assay_dashboard.plots import interval_plot
from assay_dashboard.state import CELLS, of_another_study, select_rows
from trainables.evaluation.metrics import METRICS, Metric

_ROW = 35  # pixels
_DRAWN = 60  # rows of the plot
_LETTER, _USUAL = 8, 100  # pixels: of a letter in a column, and of a column whose width nobody names
_METRICS = 4  # further metrics that are shown before the reader picks
_COLUMNS = "columns"  # key of the picked columns
_BOLD = "What these notes call bold is marked ● in the column best."
_NAMED = 5  # sentences on what is left out
_DOWNLOADS = ("md", "latex", "csv")  # formats of the program itself; those of other packages follow


def _controls(view: reading.StudyView) -> tuple[Metric, bool, StudyResults]:
    """Metric of the plot, true for best first, and results with item intervals if they are wanted."""
    results = view.results
    metrics = [metric.name for metric in results.metrics]
    few = len(results.reported.trials) <= MOST_TRIALS_AT_ONCE
    if of_another_study("items", view.name):
        st.session_state["items"] = few
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
        items = st.toggle(
            "Item intervals",
            value=few,
            key="items",
            bind="query-params",
            help="Test-set uncertainty: intervals over test items. Reads the predictions of every trial.",
        )
        st.space("stretch")
        results = results if items else results.without_predictions()
        for name in (*_DOWNLOADS, *(name for name in FORMATS if FORMATS.plugin(name) is not None)):
            form = FORMATS[name]
            st.download_button(
                form.title,
                partial(_report, results, form),
                file_name=f"{view.name}{form.suffix}",
                mime=form.mime,
                icon=":material/download:",
                on_click="ignore",
                key=f"download-{name}",
            )
    return METRICS[metric], best_first, results


def _report(results: StudyResults, form: ReportFormat) -> bytes:
    """The report as `assay report` prints it."""
    return form.study_files(results, "")[""]


def _select(key: str, order: list[str]) -> None:
    """The rows that were clicked are the chosen cells."""
    rows = st.session_state[key]["selection"]["rows"]
    st.session_state[CELLS] = [order[row] for row in rows if row < len(order)]


def _pick_columns(results: StudyResults) -> list[str]:
    """Names of the columns that are shown: what the reader may not leave out, and what is picked."""
    table = cell_table(results)
    picks = list(table.picks)
    usual = picks[: len(picks) - max(0, len(results.metrics) - 1 - _METRICS)]
    if of_another_study(_COLUMNS, results.name):
        st.session_state[_COLUMNS] = usual
    picked = st.pills(
        "Columns", picks, selection_mode="multi", default=usual, key=_COLUMNS, bind="query-params"
    )
    left_out = {name for title in picks if title not in picked for name in table.picks[title]}
    return [name for name in table.frame if name not in left_out]


def _table(results: StudyResults, order: list[str], chosen: list[str], shown: list[str]) -> None:
    table = cell_table(results)
    config: dict[str, Any] = {
        name: st.column_config.NumberColumn(table.titles[name], format=table.formats[name])
        if name in table.formats
        else _level(table, name)
        if name.startswith("level")
        else table.titles[name]
        for name in shown
    }
    frame = table.frame.loc[order, shown]
    if len(table.frame) <= MOST_CELLS:
        dots = results.once("dots", lambda: dot_plots(results))
        frame.insert(shown.index("n") + 1, "dots", [dots.pictures.get(name) for name in order])
        config["dots"] = st.column_config.ImageColumn(
            dots.title, width=170, help="Every repeat, their mean and its 95 % interval, all on one axis"
        )
    key = f"cells of {results.name}"
    select_rows(key, (row for row, name in enumerate(order) if name in chosen))
    st.dataframe(
        frame,
        hide_index=True,
        column_config=config,
        key=key,
        on_select=partial(_select, key, order),
        selection_mode="multi-row",
        height=min(640, _ROW * (1 + len(order)) + 2),
        row_height=_ROW,
        placeholder=NOTHING,
    )


def _level(table: CellTable, name: str) -> Any:
    """A column of levels, which stays when the table is scrolled.

    Streamlit lets it go where such columns take most of the grid, but counts the widths that are named alone.
    """
    title = table.titles[name]
    width = _LETTER * max(map(len, [title, *table.frame[name]]))
    return st.column_config.TextColumn(title, pinned=True, width=width if width > _USUAL else None)


def _left_out(results: StudyResults) -> None:
    """Damaged records and files that are gone, by name."""
    sentences = left_out(results)
    for sentence in sentences[:_NAMED]:
        plain(sentence, "warn")
    more = len(sentences) - _NAMED
    if more > 0:
        plain(f"{more} more: `assay report {results.name}` names all.", "warn")


def _plot(results: StudyResults, order: list[str], metric: Metric) -> None:
    shown = order[:_DRAWN]
    group = _group(results.plan.study)
    means, repeats = means_and_repeats(results, metric.name, shown, group)
    if repeats.empty:
        message(f"No trial has a value of {metric.title} yet.")
        return
    unit = metric.scale
    # The order of the rows is the reader's choice; that of the colours stays.
    levels = [cell.levels.get(group, "") if group else "" for cell in results.reported.cells]
    chart = interval_plot(
        means,
        repeats,
        axis=f"{metric.title} on test images ({unit})",
        group=group,
        theme=theme(),
        groups=levels,
    )
    draw(chart, f"{metric.title} of each cell: mean, 95 % interval and every repeat")
    if len(order) > len(shown):
        st.caption(f"The first {_DRAWN} of {len(order)} cells.")


def _group(study: Study) -> str | None:
    """The first factor, where there are others that tell the rows of a level apart."""
    factors = list(study.factors)
    return factors[0] if len(factors) > 1 else None


def _choose_cells(results: StudyResults) -> list[str]:
    return st.multiselect(
        "Trials of",
        [cell.name for cell in results.reported.cells],
        key=CELLS,
        bind="query-params",
        placeholder="Cells: choose them here, or by their rows above",
    )


def _trials(view: reading.StudyView, chosen: list[str]) -> None:
    trials = trial_table(view, chosen)
    metrics = {
        metric.name: st.column_config.NumberColumn(metric.title, format=number_format(metric))
        for metric in view.results.metrics
    }
    picked = st.dataframe(
        trials,
        hide_index=True,
        column_config={**metrics, "minutes": st.column_config.NumberColumn("minutes", format="%.1f")},
        key=f"trials-{'|'.join(chosen)}",
        on_select="rerun",
        selection_mode="single-row",
        placeholder=NOTHING,
    )
    rows = picked["selection"]["rows"]
    if rows and rows[0] < len(trials):
        row = trials.iloc[rows[0]]
        to_trial(view.name, str(row["cell"]), str(row["repeat"]))


def _page() -> None:
    view = study_view()
    head(view)
    metric, best_first, results = _controls(view)
    order = in_order(results, metric if best_first else None)
    if not order:
        message("The search has no winner yet. Its points are on the page Search.")
        return
    with_items = results.read_part is not None
    with st.spinner("Reading predictions …" if with_items else "Comparing cells …"):
        table = ablation(results)
    shown = _pick_columns(results)
    above = st.container()  # filled after the choice below it, which it marks
    chosen = _choose_cells(results)
    with above:
        _table(results, order, chosen, shown)
        _left_out(results)
    if chosen:
        _trials(view, chosen)
    _plot(results, order, metric)
    below = results.of_storage.once(f"notes {with_items}", lambda: table_notes(results))
    notes(table, (*([_BOLD] if study_analysis(results).best is not None else []), *below))
    for part in results.once("classes", lambda: tuple(class_sections(results))):
        with st.expander(part.title):
            section(part)


_page()
