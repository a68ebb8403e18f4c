"""The ablation table: means with intervals and marks, sortable; a cell leads to its trials; downloads."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from assay.analysis.names import study_names
from assay.analysis.results.left_out import left_out
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.test_set_uncertainty import MOST_TRIALS_AT_ONCE
from assay.report.page.model import NOTHING
from assay.report.pages import table_notes
from assay.report.tables.cells import in_order
from assay.report.tables.parts import class_sections
from assay.study import SearchPlan
from assay_dashboard import study_view as reading
from assay_dashboard.cells import (
    CellTable,
    ablation,
    cell_table,
    number_format,
    trial_table,
)
from assay_dashboard.charts import MOST_CELLS, dot_plots
from assay_dashboard.layout import (
    choose_part,
    head,
    message,
    notes,
    plain,
    section,
    study_view,
    to_trial,
)
from assay_dashboard.parts import effects
from assay_dashboard.state import CELLS, choose_several, of_another_study, select_rows

_ROW = 35  # pixels
_LETTER, _USUAL = 8, 100  # pixels: of a letter in a column, and of a column whose width nobody names
_TABLE, _BOXES, _DOTS = 1400, 33, 170  # pixels: of the table in a window of 1500, of two of its columns
_SMALL_LETTER, _PADDING = 6.5, 16  # pixels of a column whose width the browser chooses
_COLUMNS = "columns"  # key of the picked columns
_BOLD = "What these notes call bold is marked ● in the column best."
_NAMED = 5  # sentences on what is left out


def _controls(view: reading.StudyView) -> tuple[bool, StudyResults]:
    """True for best first, and results with intervals over test images if they are wanted."""
    results = view.results
    # Intervals over test images read a file for every trial, so in a large study they wait until they are
    # asked for.
    few = len(results.reported.trials) <= MOST_TRIALS_AT_ONCE
    if of_another_study("items", view.name):
        st.session_state["items"] = few
    with st.container(horizontal=True, gap="medium"):
        best_first = st.toggle("Best first", key="best", bind="query-params")
        items = st.toggle(
            "Intervals over test images",
            value=few,
            key="items",
            bind="query-params",
            help="Intervals had other test images been taken. Reads the predictions of every trial.",
        )
    return best_first, results if items else results.without_predictions()


def _select(key: str, order: list[str]) -> None:
    """The rows that were clicked are the chosen cells."""
    rows = st.session_state[key]["selection"]["rows"]
    st.session_state[CELLS] = [order[row] for row in rows if row < len(order)]


def _pick_columns(results: StudyResults) -> list[str]:
    """Names of the columns that are shown: what the reader may not leave out, and what is picked."""
    table = cell_table(results)
    # At first the metric that decides and a few more; the reader picks the rest.
    picks = list(table.picks)
    if of_another_study(_COLUMNS, results.name):
        st.session_state[_COLUMNS] = _usual(table)
    picked = st.pills(
        "Columns", picks, selection_mode="multi", default=_usual(table), key=_COLUMNS, bind="query-params"
    )
    left_out = {name for title in picks if title not in picked for name in table.picks[title]}
    return [name for name in table.frame if name not in left_out]


def _usual(table: CellTable) -> list[str]:
    """What is shown before the reader picks: as much as is seen whole in a window of 1500 pixels."""
    picked = {name for names in table.picks.values() for name in names}
    used = _BOXES + _DOTS + sum(_width(table, name) for name in table.frame if name not in picked)
    usual: list[str] = []
    for title, names in table.picks.items():
        width = sum(_width(table, name) for name in names)
        if used + width <= _TABLE:
            used += width
            usual.append(title)
    return usual


def _width(table: CellTable, name: str) -> float:
    """About so many pixels a column takes."""
    form = table.formats.get(name, "%s")
    letters = max(map(len, [table.titles[name], *(form % value for value in table.frame[name].dropna())]))
    if name.startswith("level") and _LETTER * letters > _USUAL:
        return _LETTER * letters
    return _SMALL_LETTER * letters + _PADDING


def _table(results: StudyResults, order: list[str], chosen: list[str], shown: list[str]) -> None:
    table = cell_table(results)
    # Numbers get the format of the report, levels stay in view, texts need only their title.
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
            dots.title, width=_DOTS, help="Every repeat, their mean and its 95 % interval, all on one axis"
        )

    # Rows are chosen by the names of their cells, which survive another order.
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


def _choose_cells(results: StudyResults) -> list[str]:
    return choose_several(
        st,
        "Runs of",
        [cell.name for cell in results.reported.cells],
        key=CELLS,
        usual=[],
        words=study_names(results).variant,
        placeholder="Variants: choose them here, or by their rows above",
    )


def _trials(view: reading.StudyView, chosen: list[str]) -> None:
    trials = trial_table(view, chosen)
    # A row leads to the page of its run.
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
        to_trial(view.results, str(row["cell"]), str(row["repeat"]))


def _variants(view: reading.StudyView) -> None:
    """A row for each variant, their runs, and what stands behind the numbers."""
    # Order and columns are settled before the table is drawn, the chosen cells after it: they are marked in
    # it.
    best_first, results = _controls(view)
    order = in_order(results, results.primary if best_first else None)
    if not order:
        message("The search has no winner yet. Its points are on the page Runs.")
        return
    with_items = results.read_part is not None
    with st.spinner("Reading predictions …" if with_items else "Comparing variants …"):
        table = ablation(results)
    shown = _pick_columns(results)
    above = st.container()  # filled after the choice below it, which it marks
    chosen = _choose_cells(results)
    with above:
        _table(results, order, chosen, shown)
        _left_out(results)
    if chosen:
        _trials(view, chosen)
    below = results.of_storage.once(f"notes {with_items}", lambda: table_notes(results))
    notes(table, (*([_BOLD] if study_analysis(results).best is not None else []), *below))
    for part in results.once("classes", lambda: tuple(class_sections(results))):
        with st.expander(part.title):
            section(part)


def _page() -> None:
    view = study_view()
    head(view)
    plan = view.results.plan
    compares = len(plan.cells) > 1 or isinstance(plan, SearchPlan)
    compared = {"Effects": effects.show} if compares else {}
    choose_part("table", {"Variants": _variants, **compared})(view)


_page()
