"""Misses and false alarms: all test images that are decided wrongly, and each of them in every variant."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import partial
from statistics import fmean

import pandas as pd
import streamlit as st

from assay.analysis.names import study_names, variant_name
from assay.analysis.summary import metric_summary
from assay.report.masks.payload import MOST_CELLS
from assay.report.tables.cells import base_and_best
from assay_dashboard import study_view as reading
from assay_dashboard.best_variant import counts_text, tested_images
from assay_dashboard.layout import choose_cells, message, nothing_found, plain
from assay_dashboard.parts.masks import draw_grid, read_columns, records_of, remember_in_url
from assay_dashboard.predictions import KINDS, has_predictions, of_kind, wrong_images, wrong_shares
from assay_dashboard.state import choose_one, keep_in_url, select_rows
from trainables.evaluation.operating_point import limit_text

_ROW, _MOST_HEIGHT = 46, 520  # pixels: a thumbnail can be seen in it
_SAMPLE = "sample"  # in the URL: the test image that is shown
_PICTURE = "small picture"  # of two words, as the others: no variant is called so
_BESIDE = ("variants", "repeats")


def show(view: reading.StudyView) -> None:
    """The wrong decisions of a study."""
    remember_in_url()
    names = has_predictions(view)
    cells = choose_cells(view.results, names)
    if not cells:
        message("Choose the variants to look at.")
        return

    # At first the best variant: its mistakes are those that remain.
    pair = base_and_best(view.results)
    best = pair[1] if pair is not None and pair[1] in cells else cells[0]
    left, right = st.columns(2)
    words = study_names(view.results).variant
    cell = choose_one(left, "Errors of", cells, key="of", usual=best, words=words)
    kind = right.selectbox(
        "Show", KINDS, index=None, key="kind", bind="query-params", placeholder="all wrong"
    )

    # The counts are of the variant chosen, the bars of all of them.
    shares = wrong_shares(view, cells)
    counts = {name: len(of_kind(shares, name, cell)) for name in KINDS}
    plain(_counts(view, cell, shares, counts), "quiet")
    rows = of_kind(shares, kind, cell)
    if rows.empty:
        nothing_found(f"No image is {kind or 'decided wrongly'}.", {"kind": None})
        return
    sample = _list(view, rows, cells)
    st.download_button(
        "All misses and false alarms (CSV)",
        lambda: wrong_images(view, cells).to_csv(index=False).encode(),
        file_name=f"{view.name}_wrong_images.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    if sample is not None:
        _single(view, sample, cell, cells)


def _counts(view: reading.StudyView, cell: str, shares: pd.DataFrame, counts: dict[str, int]) -> str:
    """A line that counts the mistakes of each kind: per run of the variant, and in most of its runs."""
    # Per run and in most runs are two things: ten misses may be the same image ten times.
    results, variant = view.results.without_predictions(), variant_name(view.results, cell)
    per_run: list[str] = []
    tested = tested_images(view, cell)
    for metric, what in {"fn": "misses", "fp": "false alarms"}.items():
        of_name = {summary.cell.name: summary for summary in metric_summary(results, metric)}
        if cell in of_name and of_name[cell].values:
            values = of_name[cell].values
            images = tested.of_metric.get(metric)
            of = "" if images is None else f" of {images}"
            if images is not None and tested.with_limit:
                of += f" ({limit_text(fmean(values.values()), images)})"
            per_run.append(f"{counts_text(values)} {what}{of}")
    text = f"{len(shares)} test images. {variant}, per run: {', '.join(per_run)}. " if per_run else ""
    none, missed, alarms = (counts[name] for name in KINDS)
    text += (
        f"In most runs: {none} missed by all, {missed} missed and {alarms} false alarms by {variant}. A bar "
        "is the share of a variant's runs that decide the image wrongly."
    )
    blank = shares[[name for name in shares.columns if name in has_predictions(view)]].isna()
    if blank.to_numpy().any():
        text += " Blank: no run of the variant was tested on the image."
    return text


def _list(view: reading.StudyView, rows: pd.DataFrame, cells: Sequence[str]) -> str | None:
    """The images as a table, the worst first, with thumbnails of those that were kept; returns the chosen."""
    # Shares as percent, with a small picture where some run has kept one.
    table = rows.copy()
    table[list(cells)] = (100 * table[list(cells)]).round()  # not `assign`: a variant may be called `self`
    thumbnails = view.results.once("thumbnails", lambda: _thumbnails(view))
    samples = list(table["test image"])
    table.insert(0, _PICTURE, [thumbnails.get(sample) for sample in samples])
    bars = {
        name: st.column_config.ProgressColumn(
            variant_name(view.results, name), format="%.0f %%", min_value=0, max_value=100
        )
        for name in cells
    }

    # The image is chosen by its name: a row's number means another image as soon as the order changes.
    key = f"wrong images of {view.name}"
    chosen = st.query_params.get(_SAMPLE)
    select_rows(key, [samples.index(chosen)] if chosen in samples else [])
    st.dataframe(
        table,
        hide_index=True,
        column_config={_PICTURE: st.column_config.ImageColumn("", width=60), **bars},
        row_height=_ROW,
        height=min(_MOST_HEIGHT, _ROW * (1 + len(table)) + 2),
        key=key,
        on_select=partial(_choose, key, samples),
        selection_mode="single-row",
        placeholder="",
    )
    return chosen if chosen in samples else None


def _choose(key: str, samples: Sequence[str]) -> None:
    """The row that was clicked is the image of the URL."""
    rows = st.session_state[key]["selection"]["rows"]
    keep_in_url(_SAMPLE, samples[rows[0] : rows[0] + 1] if rows else [])


def _thumbnails(view: reading.StudyView) -> dict[str, str]:
    """Test image → address of its small picture, of the images that some run has kept."""
    found: dict[str, str] = {}
    for records in view.kept_maps.values():
        record = next(iter(records.values()))
        try:
            table = reading.read_part(view.store, record, "maps.parquet")
        except OSError:  # the picture itself says so when it is asked for
            continue
        for row in [] if table is None else table.select(["sample", "thumbnail"]).to_pylist():
            if row["sample"] not in found:
                found[row["sample"]] = f"data:image/jpeg;base64,{base64.b64encode(row['thumbnail']).decode()}"
    return found


def _single(view: reading.StudyView, sample: str, cell: str, cells: Sequence[str]) -> None:
    """One test image, large, in all variants or in all repeats of one."""
    variant = variant_name(view.results, cell)
    beside = st.segmented_control(
        "Beside each other", _BESIDE, default=_BESIDE[0], required=True, key="single", bind="query-params",
        format_func=lambda name: f"all {name}" if name == "variants" else f"all {name} of {variant}",
        label_visibility="collapsed",
    )  # fmt: skip

    # Variants are shown in the first repeat that has any of them.
    if beside == "repeats":
        records = records_of(view, cell)
    else:
        first = next((r for r in view.kept_maps.values() if any(name in r for name in cells)), {})
        records = {name: first[name] for name in cells if name in first}
    columns = [c for c in read_columns(view, dict(list(records.items())[:MOST_CELLS])) if sample in c.rows]
    if columns:
        draw_grid([sample], columns, records, None, study_names(view.results).variant)
        return

    # Without a picture the decisions are still known.
    plain(f"No run has kept a picture of {sample}. What each decided:", "quiet")
    decided = wrong_images(view, cells)
    st.dataframe(decided[decided["image"] == sample].drop(columns="image"), hide_index=True)
