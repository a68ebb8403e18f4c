"""Misses: which of all test images are decided wrongly, by which cells, in how many of their repeats."""

from __future__ import annotations

import streamlit as st

from assay.report.tables.cells import base_and_best
from assay.study.names import counted
from assay_dashboard.layout import choose_cells, message, missing, plain, study_view
from assay_dashboard.predictions import KINDS, has_predictions, of_kind, wrong_shares

_ROW = 34  # pixels


def _page() -> None:
    view = study_view()
    names = has_predictions(view)
    if not names:
        missing("No finished trial of this study has kept its predictions yet.")
        return
    cells = choose_cells(view.results, names)
    if not cells:
        message("Choose the cells to look at.")
        return
    pair = base_and_best(view.results)
    best = pair[1] if pair is not None and pair[1] in cells else cells[0]
    left, right = st.columns(2)
    cell = left.selectbox("Misses of", cells, index=cells.index(best), key="of", bind="query-params")
    kind = right.selectbox(
        "Show", KINDS, index=None, key="kind", bind="query-params", placeholder="all wrong"
    )
    shares = wrong_shares(view, cells)
    counts = {name: len(of_kind(shares, name, cell)) for name in KINDS}
    none, missed, alarms = (counts[name] for name in KINDS)
    text = (
        f"{counted(len(shares), 'test image')}. Wrong in most repeats: {counted(none, 'defect')} that no "
        f"cell tested on it finds, {missed} that {cell} misses, {counted(alarms, 'false alarm')} of {cell}. "
        "A bar is the share of a cell's repeats that decide the image wrongly."
    )
    if shares[cells].isna().to_numpy().any():
        text += " Blank: no repeat of the cell was tested on the image."
    text += (
        " Pictures are kept of probe images alone: the page Masks has them."
        if view.kept_maps
        else " No record has kept pictures of them."
    )
    plain(text, "quiet")
    bars = {
        name: st.column_config.ProgressColumn(name, format="%.0f %%", min_value=0, max_value=100)
        for name in cells
    }
    rows = of_kind(shares, kind, cell).copy()
    rows[cells] = (100 * rows[cells]).round()  # not `assign`: a cell may be called `self`
    height = min(560, _ROW * (1 + len(rows)) + 2)
    st.dataframe(rows, hide_index=True, column_config=bars, row_height=_ROW, height=height)


_page()
