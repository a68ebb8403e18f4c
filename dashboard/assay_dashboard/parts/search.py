"""A search: is its winner better than the start, its points and their history, and what mattered."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from assay.analysis.results.search_results import SearchResults
from assay.analysis.search_front import search_front
from assay.report.interactive.parallel import Brushes, objective_name, points_payload
from assay.report.page.model import NOTHING
from assay.report.tables.search import search_line
from assay.statistics.wording import badge, sentence
from assay.study.planning.repeats import repeat_name
from assay_dashboard import study_view as reading
from assay_dashboard.charts import front_plot, front_rows
from assay_dashboard.components import parallel
from assay_dashboard.layout import draw, message, missing, paragraph, plain, theme, to_trial
from assay_dashboard.plots import bar_plot, history_plot, interval_plot, slice_plot
from assay_dashboard.search_points import (
    MOST_DRAWN,
    SearchPoints,
    against_start,
    best_point_rows,
    brush_texts,
    brushes_of,
    inside,
    objective_format,
    objective_title,
    search_points,
    thinning,
)
from assay_dashboard.state import keep_in_url, of_another_study, select_rows, times_restored

_SLICES = 12  # parameters that are drawn one by one
_START = "start: [preset]\nreplicate: {best: 1, start: true, seeds: [100, 101, 102, 103, 104, 105]}"
_BRUSH = "brush"  # in the URL, once for each axis that has one
_REST = "_rest of the search"  # in the session: the page shows what comes below the axes of a large search


def _winner(results: SearchResults, cell: str) -> None:
    """The best point against the start, in words and numbers: the question of every search."""
    plain("Is the winner better than the start?", "heading")
    answers = against_start(results, cell)
    for result in answers:
        # Words first, numbers below them.
        source = result.comparison.removeprefix("search: ").removesuffix(" → best")
        winner, start = (str(name).removesuffix(" replicated") for name in (result.cell_a, result.cell_b))
        words = f"{badge(result)}: {winner} against the start {start} ({source})"
        numbers = f"{result.scored_by.title} on test images of {result.claim}: {sentence(result)}"
        st.html(paragraph(words, "big") + paragraph(numbers))
    if not answers:
        _why_no_winner(results)


def _why_no_winner(results: SearchResults) -> None:
    # Three reasons: nobody asked for it, it is still to come, or there is nothing to compare.
    replicate = results.plan.study.replicate
    if replicate is None or not replicate.start:
        missing("Nobody knows: the values of the search chose the winner, and flatter it.", _START)
    elif results.plan.pending_points or not results.all_ended:
        message("Not known yet: winner and start are trained on fresh seeds when the search is over.")
    else:
        message("The best point is the start itself: nothing that was drawn is better.")


def _best(results: SearchResults, cell: str) -> None:
    """The best points with their intervals, beside what was trained again."""
    plain("The best points, with 95 % intervals", "heading")
    # Values of the search and on fresh seeds on one axis: the distance between them is what choosing
    # flattered.
    means, repeats = results.once(f"best of {cell}", lambda: best_point_rows(results, cell))
    if means.empty:
        message("No point has been evaluated yet.")
        return
    axis = f"{objective_title(results.plan)}; in the search of validation, on fresh seeds of test images"
    draw(
        interval_plot(means, repeats, axis=axis, group="", theme=theme()),
        "The best points of the search and those trained again: mean, interval and every repeat",
    )
    without = means.dropna(subset=["low"]).empty
    few = " An interval takes three repeats: `repeats: {seeds: [0, 1, 2]}`." if without else ""
    plain(
        f"Values in the search chose these points, and flatter them. Fresh seeds did not.{few}",
        "quiet",
    )


def _history(points: SearchPoints) -> None:
    plain("History: points on validation images, and the best so far", "heading")
    if points.history.empty:
        message("No point has been evaluated yet.")
        return
    chart = history_plot(points.history, axis=objective_name(points.plan), theme=theme())
    draw(chart, "The objective of each point, and the best so far")
    if left_out := thinning(points.valued):
        plain(left_out, "quiet")


def _front(results: SearchResults, cell: str, points: SearchPoints) -> None:
    """The front of several objectives, and what its points are worth on fresh seeds."""
    front = results.once(f"front of {cell}", lambda: search_front(results, cell))
    if not front:
        message("No point has been evaluated yet.")
        return
    plain("Front: the points that no other beats in all objectives", "heading")
    objectives = results.plan.search.objectives

    # A plane has two axes, so of more objectives the picture shows the first two and says so.
    titles, goals = (objectives[0].title, objectives[1].title), len(objectives)
    rows = front_rows(points.drawn, front)
    draw(front_plot(rows, axes=titles, theme=theme()), "The front of the search")
    plain(
        "The values of the search chose these points, and flatter them. Fresh seeds did not: metrics on test "
        "images, with 95 % intervals. No point of a front is best: `assay best --point` takes one.",
        "quiet",
    )
    drawn = "both objectives" if goals == 2 else f"the first two of {goals} objectives"
    plain(
        f"The picture has {drawn}, the list of points has all. All other pictures have the first alone: "
        f"{titles[0]}.",
        "quiet",
    )


def _brushes(key: str, points: SearchPoints) -> Brushes:
    """The brushes that were drawn, which the URL keeps. Until one is drawn, those of the URL."""
    drawn = (st.session_state.get(key) or {}).get("brushes")
    if drawn is not None:
        keep_in_url(_BRUSH, brush_texts(drawn))
    return brushes_of(st.query_params.get_all(_BRUSH), points.axes)


def _drawn(key: str, points: SearchPoints) -> bool:
    """True once the browser has drawn the axes: list and charts of a large search wait for it."""
    return points.valued <= MOST_DRAWN or bool((st.session_state.get(key) or {}).get("drawn"))


@st.fragment
def _points(view: reading.StudyView, cell: str, key: str, points: SearchPoints, payload: bytes) -> None:
    """Parallel coordinates, and the points inside their brushes; a brush runs nothing else again."""
    plain("Points: drag along an axis to brush it, click it to clear", "heading")
    parallel(data=payload, key=key)
    # Only this fragment runs when a brush moves: the charts below do not depend on it.
    brushes = _brushes(key, points)
    kept = points.table.loc[inside(points.axes, brushes)]
    plain(
        f"{len(kept)} of {len(points.table)} points"
        + (", inside the brushes" if brushes else "; the best tenth in full colour"),
        "quiet",
    )
    # A large search waits until the browser has drawn its axes, which would else wait for everything below.
    if not _drawn(key, points):
        return
    if not st.session_state[_REST]:
        st.session_state[_REST] = True
        st.rerun()
    _list(view, cell, points, kept)


def _list(view: reading.StudyView, cell: str, points: SearchPoints, kept: pd.DataFrame) -> None:
    """The points in a table; the one that was clicked stays chosen by its name, wherever it moves."""
    config: dict[str, Any] = {
        path: st.column_config.Column(path.removeprefix("config.")) for path in view.results.plan.study.space
    }
    for number, goal in enumerate(points.plan.search.objectives, 1):
        column = "objective" if number == 1 else f"objective {number}"
        config[column] = st.column_config.NumberColumn(goal.max or goal.min, format=objective_format(goal))

    # Chosen by name, since brushes change which row a point stands in.
    key, names = f"points of {view.name} {cell}", list(kept["point"])
    chosen = st.session_state.get(f"_{key}")
    select_rows(key, [names.index(chosen)] if chosen in names else [])
    st.dataframe(
        kept,
        hide_index=True,
        column_config=config,
        key=key,
        on_select=partial(_choose, key, names),
        selection_mode="single-row",
        placeholder=NOTHING,
    )
    trial = next((trial for trial in view.results.plan.trials if trial.cell == chosen), None)
    if chosen in names and trial is not None:
        to_trial(view.results, trial.cell, repeat_name(trial.seed, trial.fold), trial.cell)


def _choose(key: str, names: list[str]) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    st.session_state[f"_{key}"] = names[rows[0]] if rows and rows[0] < len(names) else None


def _slices(points: SearchPoints) -> None:
    """A chart for each parameter. Those of a large search take longer than its page, and wait for a click."""
    title = "Each parameter against the objective"
    if points.valued > MOST_DRAWN and not st.toggle(title, key="parameters", bind="query-params"):
        return
    plain(title, "heading")
    space = points.plan.study.space
    columns = st.columns(3, gap="medium")
    for number, (path, rule) in enumerate(list(space.items())[:_SLICES]):
        # A parameter that hangs on another one has values at some points only.
        rows = [
            {"point": row.point.name, "x": row.point.values[path], "value": row.value}
            for row in points.drawn
            if path in row.point.values
        ]
        if rows:
            title, axis = path.removeprefix("config."), objective_name(points.plan)
            chart = slice_plot(rows, title=title, rule=rule, axis=axis, theme=theme())
            with columns[number % 3]:
                draw(chart, f"{path} against the objective")
    if len(space) > _SLICES:
        st.caption(f"The first {_SLICES} of {len(space)} parameters.")


def _importance(results: SearchResults, cell: str) -> None:
    wanted = st.toggle(
        "Importance of parameters",
        key="importance",
        bind="query-params",
        help="Share of the objective's variance, by fANOVA over the finished points. Takes seconds.",
    )
    if not wanted:
        return
    with st.spinner("Computing importance …"):
        shares = results.importance.get(cell, {})
    if not shares:
        plain(
            "Importance cannot be computed yet: too few points are finished, or all have the same value.",
            "quiet",
        )
        return
    rows = [{"parameter": path.removeprefix("config."), "share": share} for path, share in shares.items()]
    draw(bar_plot(pd.DataFrame(rows), theme=theme()), "Importance of each parameter")


def _choose_cell(cells: list[str]) -> str:
    """One of the cells that are searched."""
    if len(cells) == 1:
        return cells[0]
    chosen = st.segmented_control(
        "Searched cell", cells, default=cells[0], required=True, key="searched", bind="query-params"
    )
    return chosen or cells[0]


def show(view: reading.StudyView) -> None:
    """The search of the study, below the page's title."""
    results = view.results
    assert isinstance(results, SearchResults), "the page offers this part to searches only"
    plan = results.plan
    with st.spinner("Evaluating points …"):
        evaluated = results.evaluated_points
    line = search_line(plan, evaluated)
    st.html(paragraph(plan.study.question, "question") + paragraph(line, "quiet"))
    cell = _choose_cell(list(evaluated))
    if not evaluated[cell]:
        message(f"No point has been drawn in {cell} yet.")
        return

    # The winner, or the front where no point is best, comes before the points themselves.
    points = results.once(f"points of {cell}", lambda: search_points(plan, evaluated[cell]))
    if plan.search.has_front:
        _front(results, cell, points)
    else:
        _winner(results.without_predictions(), cell)

    # Brushes of another study or cell would cut axes that mean something else.
    if of_another_study("brushes", f"{view.name} {cell}"):
        keep_in_url(_BRUSH, [])
    key = f"parallel of {view.name} {cell}"
    st.session_state[_REST] = rest = _drawn(key, points)
    payload = points_payload(points.axes, _brushes(key, points), times_restored())
    _points(view, cell, key, points, payload)
    if not rest:
        return
    left, right = st.columns(2, gap="large")
    with left:
        _best(results.without_predictions(), cell)
    with right:
        _history(points)
    left, right = st.columns([3, 1], gap="large")
    with left:
        _slices(points)
    with right:
        _importance(results, cell)
