"""Masks: the same example images in several variants, at any threshold, and what two do differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator as Container

from assay.analysis.names import study_names
from assay.report.masks.payload import (
    FALSE_ALARMS,
    FOUND_BY_ONE,
    LOWEST_LEVEL,
    MISSED_BY_ALL,
    MOST_CELLS,
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
from assay.report.masks.targets import PICTURES, shows_targets, targets_of
from assay.report.tables.cells import base_and_best
from assay.storage import Record
from assay.study.planning.repeats import repeat_name
from assay_dashboard import study_view as reading
from assay_dashboard.components import mask_grid
from assay_dashboard.layout import choose_cells, errors_shown, message, nothing_found, plain
from assay_dashboard.state import CELL, REPEAT, Words, choose_one, keep_in_url, times_restored
from trainables.evaluation.heatmaps import THRESHOLD_LEVEL

_GRID = "mask_grid"  # key of the component
_SHOW = "show"
# State of the browser that the URL keeps, and what every page starts with.
_STATE: Mapping[str, object] = {
    "threshold": THRESHOLD_LEVEL,
    "image": THRESHOLD_LEVEL,
    "alarms": "",
    "difference": False,
    "picture": PICTURES[0],
}
_WIDTH = 125  # of a choice, pixels; A and B, which name variants, share what the others leave
_MOST_ALARMS = 1_000_000
_VARIANTS, _REPEATS = "variants", "repeats"


@st.fragment
def show(study: reading.StudyView) -> None:
    """The example images of a study; a choice runs this again, and nothing around it."""
    with errors_shown():
        _show_images(study)


def _show_images(study: reading.StudyView) -> None:
    # The browser's state goes into the URL first, so that the choices below find it there.
    remember_in_url()
    words = study_names(study.results).variant
    place = st.container(key="mask-cells")
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="mask-choices")
    with row:
        records = _choose_records(study, place)
    if not records:
        message("Choose the variants to compare.")
        return
    columns = read_columns(study, records)
    if not columns:
        return
    with row:
        staged = {column.name: column for column in columns if _has_stage_maps(records[column.name])}
        pair = _choose_pair(columns, base_and_best(study.results), words)
        columns = _choose_stages(study, records, staged) or columns
        samples = _choose_images(columns, pair, _view().level)
    if not samples:
        nothing_found(_why_none(pair), {_SHOW: None})
        return
    grid, page = st.container(), 1
    if len(samples) > PAGE_ROWS:  # asked for before the grid, shown below it
        page = st.pagination(-(-len(samples) // PAGE_ROWS), key="page", bind="query-params")
    with grid:
        draw_grid(samples[(page - 1) * PAGE_ROWS : page * PAGE_ROWS], columns, records, pair, words)


def draw_grid(
    samples: Sequence[str],
    columns: Sequence[MaskColumn],
    records: Mapping[str, Record],
    pair: Pair | None,
    words: Words,
) -> None:
    """The pictures of some images, with the state that the URL has."""
    # Columns are told apart by themselves and not by their titles, which two of them may share.
    titled = {id(column): replace(column, name=words(column.name)) for column in columns}
    payload = page_payload(
        samples,
        list(titled.values()),
        base=None if pair is None else titled.get(id(pair.a)),
        other=None if pair is None else titled.get(id(pair.b)),
        view=_view()._replace(shows_targets=any(shows_targets(record) for record in records.values())),
    )
    mask_grid(data=payload, key=_GRID)


def _why_none(pair: Pair | None) -> str:
    """A message on what to do where no image is left."""
    if st.session_state.get(_SHOW) in FOUND_BY_ONE and pair is not None and not have_common_defects(pair):
        return "A and B share no example image with a defect that both have a mask of."
    return "No example image matches."


# State of the browser, which the URL keeps ------------------------------------------------------------------


def remember_in_url() -> None:
    """What the browser keeps as parts of the URL, where it is not what every page starts with."""
    # What every page starts with is left out: the address stays short.
    state: Mapping[str, Any] = st.session_state.get(_GRID) or {}
    for name, usual in _STATE.items():
        value = state.get(name)
        if value is not None:
            text = str(int(value)) if isinstance(value, bool) else str(value)
            keep_in_url(name, [] if value == usual else [text])


def _view() -> Display:
    """The state that the URL has; what is none of its values does not count."""
    picture, alarms = st.query_params.get("picture"), _number("alarms", 0, _MOST_ALARMS)
    return Display(
        level=_number("threshold", LOWEST_LEVEL, 255) or THRESHOLD_LEVEL,
        difference=st.query_params.get("difference") == "1",
        picture=picture if picture in PICTURES else PICTURES[0],
        image=_number("image", LOWEST_LEVEL, 255) or THRESHOLD_LEVEL,
        alarms="" if alarms is None else alarms,
        restored=times_restored(),
    )


def _number(name: str, least: int, most: int) -> int | None:
    text = st.query_params.get(name, "")
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 7 else None
    return number if number is not None and least <= number <= most else None


# Choices ----------------------------------------------------------------------------------------------------


def _choose_records(study: reading.StudyView, place: Container) -> dict[str, Record]:
    """What stands beside each other: variants of one repeat, or repeats of one variant.

    They are chosen in ``place``, above: which there are, the repeat or the variant says.
    """
    # Variants of one repeat saw the same training images; repeats of one variant show how much chance is in
    # it.
    kept = {repeat_name(*repeat): cells for repeat, cells in study.kept_maps.items()}
    beside = _VARIANTS
    if len(kept) > 1:
        beside = st.selectbox(
            "Beside", [_VARIANTS, _REPEATS], key="beside", bind="query-params", width=_WIDTH
        )
    if beside == _REPEATS:
        names = list(dict.fromkeys(name for cells in kept.values() for name in cells))
        best = base_and_best(study.results)
        usual = best[1] if best is not None and best[1] in names else names[0]
        with place:
            words = study_names(study.results).variant
            cell = choose_one(st, "Variant", names, key=CELL, usual=usual, words=words)
        return records_of(study, cell)
    repeat = st.selectbox(
        "Repeat",
        list(kept),
        key=REPEAT,
        bind="query-params",
        help="The repeat of each variant that is shown. The first is the one that most variants have.",
        width=_WIDTH,
    )
    with place:
        chosen = choose_cells(study.results, kept[repeat])
    return {name: kept[repeat][name] for name in chosen}


def records_of(study: reading.StudyView, cell: str) -> dict[str, Record]:
    """Repeat → record of a variant with example images, of as many as stand beside each other."""
    of_cell = {repeat_name(*r): cells[cell] for r, cells in study.kept_maps.items() if cell in cells}
    return {name: of_cell[name] for name in sorted(of_cell)[:MOST_CELLS]}


def read_columns(study: reading.StudyView, records: Mapping[str, Record]) -> list[MaskColumn]:
    """The columns whose maps can be read; the others are named."""
    columns: list[MaskColumn] = []
    for name, record in records.items():
        try:
            # A damaged file leaves out its variant and not the page.
            maps = reading.read_part(study.store, record, "maps.parquet")
            predictions = reading.read_part(study.store, record, "predictions.parquet")
        except OSError as error:
            variant = study_names(study.results).variant(name)
            message(f"{variant} is left out: {error}. Run the study again, which trains this run anew.")
            continue
        assert maps is not None, "the record names its maps"
        column = cell_column(name, maps, record.result, predictions)
        taught = _view().picture != PICTURES[0]
        columns.append(replace(column, targets=targets_of(record, column.rows)) if taught else column)
    return columns


def _choose_pair(cells: Sequence[MaskColumn], usual: tuple[str, str] | None, words: Words) -> Pair | None:
    """A and B, where there are two; at first the cells of ``usual``."""
    by_name = {cell.name: cell for cell in cells}
    if len(by_name) < 2:
        return None
    # At first the base against the best: what most readers came to see.
    base, best = usual if usual is not None else ("", "")
    first = base if base in by_name else next(iter(by_name))
    help_a, help_b = "Differences are against this one.", "Sorting and filtering compare A with this one."
    a = choose_one(st, "A", list(by_name), key="a", usual=first, words=words, help=help_a, width="stretch")
    others = [name for name in by_name if name != a]
    second = best if best in others else others[0]
    b = choose_one(st, "B", others, key="b", usual=second, words=words, help=help_b, width="stretch")
    return Pair(by_name[a], by_name[b])


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
        placeholder="none",
        width=_WIDTH,
    )
    if chosen is None:
        return ()
    record = records[chosen]

    # The maps of stages are several times the size of the others, and are read for the one cell that is
    # asked for.
    maps = reading.read_part(study.store, record, "lineage.parquet")
    assert maps is not None, "the record names its stage maps"
    return stage_columns(staged[chosen], maps, _stage_notes(record))


def _has_stage_maps(record: Record) -> bool:
    return f"{record.attempt}/lineage.parquet" in record.files


def _stage_notes(record: Record) -> dict[str, str]:
    """Map each stage to a score of its maps on all test images."""
    return {
        scores.stage: f"IoU {scores.metrics['pixel_iou']:.3f} on test"
        for scores in (record.result.stages if record.result is not None else ())
        if scores.of == "test" and "pixel_iou" in scores.metrics
    }


def _choose_images(columns: Sequence[MaskColumn], pair: Pair | None, level: int) -> list[str]:
    """The samples that the reader wants to see, in the order of the reader's choice."""
    # Choices that compare A with B are there only where there are two.
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

    # Counted before anything is chosen, so a reader knows what a filter would leave.
    counts = " · ".join(
        f"{what} {len(arrange(columns, show=what, pair=pair, level=level))}"
        for what in ("defective", "normal", MISSED_BY_ALL, *of_pair)
    )
    images = len({sample for column in columns for sample in column.rows})
    plain(f"Of {images} example images: {counts}.", "quiet")
    return arrange(
        columns, sort=sort, show=show, defect_class=classes.get(show or ""), pair=pair, level=level
    )
