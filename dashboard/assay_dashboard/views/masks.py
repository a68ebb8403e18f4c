"""Masks: the same probe images in every cell, at any threshold, and what two cells do differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator as Container

from assay.analysis.summary import Repeat
from assay.report.masks.payload import (
    FALSE_ALARMS,
    FOUND_BY_ONE,
    LOWEST_LEVEL,
    MISSED_BY_ALL,
    PAGE_ROWS,
    SORTS,
    Display,
    MaskColumn,
    Pair,
    Sort,
    arrange,
    cell_column,
    defect_classes,
    have_common_defects,
    page_payload,
    stage_columns,
)
from assay.report.masks.taught import PICTURES, lesson_of, teaches
from assay.report.tables.cells import base_and_best
from assay.storage import Record
from assay.study.planning.repeats import repeat_name
from assay_dashboard import study_view as reading
from assay_dashboard.components import mask_grid
from assay_dashboard.layout import choose_cells, errors_shown, message, missing_probes, study_view
from assay_dashboard.state import REPEAT, keep_in_url, times_restored
from trainables.evaluation.heatmaps import THRESHOLD_LEVEL

_GRID = "mask_grid"  # key of the component
_THRESHOLD, _DIFFERENCE, _PICTURE, _SHOW = "threshold", "difference", "picture", "show"
_WIDTH = 125  # of a choice, pixels; A and B, which name cells, share what the others leave


def main() -> None:
    """One run of the page."""
    study = study_view()
    if not study.kept_maps:
        missing_probes("No finished trial of this study has kept probe images yet.", study.results)
        return
    _compare(study)


@st.fragment
def _compare(study: reading.StudyView) -> None:
    """The page below its title; a choice runs this again, and nothing around it."""
    with errors_shown():
        _show_images(study)


def _show_images(study: reading.StudyView) -> None:
    _remember()
    place = st.container(key="mask-cells")
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="mask-choices")
    with row:
        records = _choose_cells(study, study.kept_maps, place)
    if not records:
        message("Choose the cells to compare.")
        return
    cells, level = _read(study, records), _level()
    if not cells:
        return
    with row:
        staged = {cell.name: cell for cell in cells if _has_stage_maps(records[cell.name])}
        pair = _choose_pair(cells, base_and_best(study.results))
        columns = _choose_stages(study, records, staged) or cells
        samples = _choose_images(columns, pair, level)
    if not samples:
        message(_why_none(pair))
        return
    grid, page = st.container(), 1
    if len(samples) > PAGE_ROWS:  # asked for before the grid, shown below it
        page = st.pagination(-(-len(samples) // PAGE_ROWS), key="page", bind="query-params")
    payload = page_payload(
        samples[(page - 1) * PAGE_ROWS : page * PAGE_ROWS],
        columns,
        base=pair.a if pair is not None and pair.a in columns else None,
        other=pair.b if pair is not None else None,
        view=Display(
            level,
            st.query_params.get(_DIFFERENCE) == "1",
            _picture(),
            any(teaches(record) for record in records.values()),
            times_restored(),
        ),
    )
    with grid:
        mask_grid(data=payload, key=_GRID)


def _why_none(pair: Pair | None) -> str:
    """A message on what to do where no image is left."""
    if st.session_state.get(_SHOW) in FOUND_BY_ONE and pair is not None and not have_common_defects(pair):
        return "A and B share no probe image with a defect that both have a mask of. Choose other cells."
    return "No probe image matches. Choose another threshold, or show all images."


# State of the browser, which the URL keeps ------------------------------------------------------------------


def _remember() -> None:
    """Threshold and difference as parts of the URL, where they are not what every page starts with."""
    state: Mapping[str, Any] = st.session_state.get(_GRID) or {}
    for name, usual in ((_THRESHOLD, THRESHOLD_LEVEL), (_DIFFERENCE, False), (_PICTURE, PICTURES[0])):
        value = state.get(name)
        if value is not None:
            keep_in_url(name, [] if value == usual else [value if name == _PICTURE else str(int(value))])


def _level() -> int:
    """The threshold of the URL where it is one, else each model's own."""
    text = st.query_params.get(_THRESHOLD, "")
    level = int(text) if text.isascii() and text.isdecimal() and len(text) <= 3 else THRESHOLD_LEVEL
    return level if LOWEST_LEVEL <= level <= 255 else THRESHOLD_LEVEL


def _picture() -> str:
    """The picture of the URL where there is such a one, else the net's decision."""
    named = st.query_params.get(_PICTURE)
    return named if named in PICTURES else PICTURES[0]


# Choices ----------------------------------------------------------------------------------------------------


def _choose_cells(
    study: reading.StudyView, kept: Mapping[Repeat, Mapping[str, Record]], place: Container
) -> dict[str, Record]:
    """Cell → record of one repeat; the cells stand in ``place``, above: which there are, the repeat says."""
    by_name = {repeat_name(repeat.seed, repeat.fold): cells for repeat, cells in kept.items()}
    repeat = st.selectbox(
        "Repeat",
        list(by_name),
        key=REPEAT,
        bind="query-params",
        help="The repeat of each cell that is shown. The first is the one that most cells have.",
        width=_WIDTH,
    )
    cells = by_name[repeat]
    with place:
        chosen = choose_cells(study.results, cells)
    return {name: cells[name] for name in chosen}


def _read(study: reading.StudyView, records: Mapping[str, Record]) -> list[MaskColumn]:
    """The cells whose maps can be read; the others are named."""
    columns: list[MaskColumn] = []
    for name, record in records.items():
        try:
            maps = reading.read_part(study.store, record, "maps.parquet")
        except OSError as error:
            message(f"{name} is left out: {error}. Run the study again, which trains this trial anew.")
            continue
        assert maps is not None, "the record names its maps"
        column = cell_column(name, maps, record.result)
        taught = _picture() != PICTURES[0]
        columns.append(replace(column, lesson=lesson_of(record, column.rows)) if taught else column)
    return columns


def _choose_pair(cells: Sequence[MaskColumn], usual: tuple[str, str] | None) -> Pair | None:
    """A and B, where there are two; at first the cells of ``usual``."""
    by_name = {cell.name: cell for cell in cells}
    if len(by_name) < 2:
        return None
    base, best = usual if usual is not None else ("", "")
    a = st.selectbox(
        "A",
        list(by_name),
        index=_place(base, list(by_name)),
        key="a",
        bind="query-params",
        help="Differences are against this cell.",
        width="stretch",
    )
    others = [name for name in by_name if name != a]
    b = st.selectbox(
        "B",
        others,
        index=_place(best, others),
        key="b",
        bind="query-params",
        help="Sorting and filtering compare A with this cell.",
        width="stretch",
    )
    return Pair(by_name[a], by_name[b])


def _place(name: str, names: Sequence[str]) -> int:
    return names.index(name) if name in names else 0


def _choose_stages(
    study: reading.StudyView, records: Mapping[str, Record], staged: Mapping[str, MaskColumn]
) -> Sequence[MaskColumn]:
    """The stages of one of the cells; none where none is chosen."""
    if not staged:
        return ()
    chosen = st.selectbox(
        "Stages of",
        list(staged),
        index=None,
        key="stages",
        bind="query-params",
        placeholder="no cell",
        width=_WIDTH,
    )
    if chosen is None:
        return ()
    record = records[chosen]
    maps = reading.read_part(study.store, record, "lineage.parquet")
    assert maps is not None, "the record names its stage maps"
    return stage_columns(staged[chosen], maps, _stage_notes(record))


def _has_stage_maps(record: Record) -> bool:
    return f"{record.attempt}/lineage.parquet" in record.files


def _stage_notes(record: Record) -> dict[str, str]:
    """By stage: a score of its maps on all test images."""
    return {
        scores.stage: f"IoU {scores.metrics['pixel_iou']:.3f} on test"
        for scores in (record.result.stages if record.result is not None else ())
        if scores.of == "test" and "pixel_iou" in scores.metrics
    }


def _choose_images(columns: Sequence[MaskColumn], pair: Pair | None, level: int) -> list[str]:
    """The samples that the reader wants to see, in the order of the reader's choice."""
    sorts: list[Sort] = [sort for sort in SORTS if pair is not None or sort != "disagreement"]
    sort = st.selectbox("Sort by", sorts, key="sort", bind="query-params", width=_WIDTH)
    classes = {f"class {name}": name for name in defect_classes(columns)}
    of_pair = (*FOUND_BY_ONE, FALSE_ALARMS) if pair is not None else ()
    show = st.selectbox(
        "Show",
        ["defective", "normal", MISSED_BY_ALL, *of_pair, *classes],
        index=None,
        key=_SHOW,
        bind="query-params",
        placeholder="all images",
        width=_WIDTH,
    )
    return arrange(
        columns, sort=sort, show=show, defect_class=classes.get(show or ""), pair=pair, level=level
    )


main()
