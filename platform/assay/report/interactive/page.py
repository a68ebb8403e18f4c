"""The HTML report as a file to explore: tables that sort, probe images with their slider, training curves.

Everything lies inside, and the page's own policy forbids it to ask a server for anything. The page is the
HTML report's, the probe images are drawn by the scripts of the dashboard (:mod:`assay.report.masks.grid`).

Trade-off: tables hold all cells, probe images and curves six at most, those of the page Images, so that a
file can be sent by mail. A reader chooses among them, and the others are named.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any

from assay.analysis.names import variant_name
from assay.analysis.results.results import StudyResults
from assay.analysis.results.search_results import SearchResults
from assay.analysis.trials import curves_of
from assay.report.interactive.parallel import best_first, parallel_component, point_axes, points_payload
from assay.report.masks.grid import study_grid
from assay.report.masks.payload import MOST_CELLS
from assay.report.masks.sheets import records_with_maps
from assay.report.page.html import Additions, escape, html_page
from assay.report.pages import study_page
from assay.report.tables.cells import highlighted_cells, in_order
from assay.storage import Record, Store
from assay.storage.stage_store import stage_curve
from assay.study.planning.repeats import repeat_name
from trainables.data.inspect.findings import summarise
from trainables.errors import InputError

__all__ = ["interactive_page"]

_IMAGES = 12
_NAMED = 12  # cells that are left out; more are counted
_POINTS = 400  # of a line; of more epochs every n-th is drawn
_POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_NO_MAPS = "<p>No finished trial has kept probe images. <code>keep: {probes: 12}</code> keeps them.</p>"
_BRUSH = "<p>A line is a point. Drag along an axis to keep the points inside, click it to clear.</p>"
_NO_CURVES = "<p>No trial of these cells has a curve of more than one epoch.</p>"


def interactive_page(results: StudyResults) -> str:
    """The file, ending in a newline. Equal records give equal bytes.

    Raises:
        InputError: If the results come from no storage.
        DamagedFileError: If maps or a curve are not what their trial wrote.
    """
    store = results.store
    if store is None:
        raise InputError(
            f"an interactive report reads maps and curves from a storage, found {results.name} without one. "
            "Read the study with `read_results`."
        )
    css, tables, curves, columns = (
        files("assay.report.interactive").joinpath(name).read_text(encoding="utf-8")
        for name in ("interactive.css", "tables.js", "curves.js", "columns.js")
    )
    head = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<style>\n{css}</style>'
    parts = {
        **({"Points": _points(results)} if isinstance(results, SearchResults) else {}),
        "Probe images": _probe_images(results, store),
        "Training curves": _curves(results, store, curves),
    }
    return html_page(study_page(results), Additions(head, parts, f"<script>\n{tables}{columns}</script>"))


def _points(results: SearchResults) -> str:
    """Parallel coordinates of each searched cell."""
    plan, component = results.plan, parallel_component()
    drawn = [
        f"<h3>{escape(variant_name(results, cell))}</h3>\n"
        f"{component.markup(points_payload(point_axes(plan, ranked), {}))}"
        for cell, points in results.evaluated_points.items()
        if (ranked := best_first(plan, points))
    ]
    return "\n".join([_BRUSH, *drawn]) if drawn else "<p>No point has been evaluated yet.</p>"


def _probe_images(results: StudyResults, store: Store) -> str:
    kept = records_with_maps(results, results.plan.trials, store.read_part)
    if not kept:
        return _NO_MAPS
    repeat, of_repeat = next(iter(kept.items()))
    cells = highlighted_cells(results, of_repeat, MOST_CELLS)
    intro = f"<p>Test images of {repeat_name(*repeat)}. Pixels are counted at the network's size.</p>"
    choice = "".join(
        f'<label><input type="checkbox" checked> {escape(variant_name(results, name))}</label>'
        for name in cells
    )
    return (
        f'{intro}\n{_left_out(results, cells, of_repeat)}<div class="choices cells">{choice}</div>\n'
        f"{study_grid(results, store, cells, repeat.seed, _IMAGES).markup()}"
    )


def _left_out(results: StudyResults, shown: Sequence[str], names: Iterable[str]) -> str:
    """The cells that there is no room for, named up to a line; empty where there are none."""
    others = [variant_name(results, name) for name in names if name not in shown]
    if not others:
        return ""
    named = escape(summarise(others, _NAMED, "; "))
    return f"<p>Left out: {named}. The tables above have them, and so has the dashboard.</p>\n"


# Curves ---------------------------------------------------------------------------------------------------


def _curves(results: StudyResults, store: Store, script: str) -> str:
    names = in_order(results, None)
    cells = highlighted_cells(results, names, MOST_CELLS)
    plots = _plots(results, store, cells)
    if not plots:
        return _NO_CURVES
    data = json.dumps(
        {"cells": [variant_name(results, cell) for cell in cells], "plots": plots}, allow_nan=False
    )
    return (
        f'{_left_out(results, cells, names)}<div class="curves"></div>\n<script>\n(() => {{\n{script}'
        "showCurves(document.currentScript.previousElementSibling, "
        f"{data.replace('<', chr(92) + 'u003c')});\n}})();\n</script>"
    )


def _plots(results: StudyResults, store: Store, cells: Sequence[str]) -> list[dict[str, Any]]:
    """Quantities in the order in which trials logged them; a line for each repeat of each cell."""
    plots: dict[tuple[str, str], dict[str, Any]] = {}
    for trial in results.reported.trials:
        record = results.records.get(trial.id)
        if trial.cell not in cells or record is None:
            continue
        for group, unit, what, epochs, values in _lines(store, record):
            plot = plots.setdefault((group, what), {"group": group, "what": what, "unit": unit, "lines": []})
            repeat = repeat_name(trial.seed, trial.fold)
            plot["lines"].append(
                {"cell": cells.index(trial.cell), "repeat": repeat, "x": epochs, "y": values}
            )
    return list(plots.values())


def _lines(store: Store, record: Record) -> Iterator[tuple[str, str, str, list[int], list[float]]]:
    """Group, unit, quantity, epochs and values: of the training, then of the stages that it went through."""
    tables = {"": store.read_part(record, "curve.parquet")}
    tables |= {f"{use.name}: ": stage_curve(store, use.key) for use in record.stages}
    for stage, table in tables.items():
        if table is None or table.num_rows < 2:
            continue
        for group, (unit, frame) in curves_of(table.to_pandas()).items():
            for what, of_one in frame.groupby("what", sort=False):
                thin = of_one.iloc[:: -(-len(of_one) // _POINTS)]
                values = [float(f"{value:.6g}") for value in thin["value"]]
                yield f"{stage}{group}", unit, str(what), thin["epoch"].astype(int).tolist(), values
