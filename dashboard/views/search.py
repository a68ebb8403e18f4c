"""A search: its history, its points as parallel coordinates, each parameter, and what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from assay.results.search import Judged
from assay.results.search_tables import judged_cells, search_line
from assay.study.space import say_scalar
from dashboard import store as results
from dashboard.frame import look, message, paragraph, plain, study_view, to_trial
from dashboard.parallel import Axis, inside, objective_axis, pack, parallel, parameter_axis
from dashboard.plots import bar_plot, history_plot, slice_plot
from dashboard.state import repeat_name

_SLICES = 12  # parameters that are drawn one by one


def _objective(view: results.StudyView) -> str:
    search = view.plan.study.search
    assert search is not None
    return f"validation.{search.objective.metric}"


def _history(view: results.StudyView, judged: Sequence[Judged]) -> None:
    search = view.plan.study.search
    assert search is not None
    table = pd.DataFrame(
        [
            {"point": one.point.name, "index": one.point.index, "value": one.value, "from": one.point.source}
            for one in judged
        ]
    ).dropna(subset=["value"])
    if table.empty:
        message("No point has been judged yet.")
        return
    best = table["value"].cummax() if search.objective.sign == 1 else table["value"].cummin()
    table = table.assign(best=best)
    chart = history_plot(table, axis=_objective(view), look=look())
    st.altair_chart(chart, alt="The objective of each point, and the best so far")


def _axes(view: results.StudyView, judged: Sequence[Judged]) -> list[Axis]:
    search = view.plan.study.search
    assert search is not None
    axes = [
        parameter_axis(path, rule, [one.point.values.get(path) for one in judged])
        for path, rule in view.plan.study.space.items()
    ]
    objective = objective_axis(_objective(view), [one.value for one in judged], search.objective.sign)
    return [*axes, objective]


def _points(view: results.StudyView, judged: Sequence[Judged]) -> None:
    """Parallel coordinates, and the points inside their brushes."""
    search = view.plan.study.search
    assert search is not None
    sign = search.objective.sign
    ranked = sorted(judged, key=lambda one: (one.value is None, -sign * (one.value or 0.0), one.point.index))
    axes = _axes(view, ranked)
    plain("Points: drag along an axis to brush it, click it to clear", "heading")
    told: Any = parallel(data=pack(axes), key="parallel", on_brushes_change=lambda: None)
    brushes: Mapping[str, Sequence[float]] = told.get("brushes") or {}
    chosen = inside(axes, brushes)
    kept = [one for one, is_in in zip(ranked, chosen, strict=True) if is_in]
    plain(
        f"{len(kept)} of {len(ranked)} points"
        + (", inside the brushes" if brushes else "; the best tenth in full colour"),
        "quiet",
    )
    _list(view, kept)


def _list(view: results.StudyView, kept: Sequence[Judged]) -> None:
    paths = list(view.plan.study.space)
    titles = {path: path.removeprefix("config.") for path in paths}
    rows = [
        {
            "point": one.point.name,
            "state": one.status,
            "objective": one.value,
            "from": one.point.source,
            **{path: _drawn(one, path) for path in paths},
            "why": one.reason,
        }
        for one in kept
    ]
    config: dict[str, Any] = {path: st.column_config.Column(title) for path, title in titles.items()}
    config["objective"] = st.column_config.NumberColumn(_objective(view), format="%.4f")
    picked = st.dataframe(
        pd.DataFrame(rows, columns=["point", "state", "objective", "from", *paths, "why"]),
        hide_index=True,
        column_config=config,
        key=f"points-{hash(tuple(one.point.name for one in kept))}",
        on_select="rerun",
        selection_mode="single-row",
    )
    chosen = picked["selection"]["rows"]
    if chosen and chosen[0] < len(kept):
        name = kept[chosen[0]].point.name
        trial = next((one for one in view.plan.trials if one.cell == name), None)
        if trial is not None:
            to_trial(view.name, name, repeat_name(trial.seed, trial.fold))


def _drawn(one: Judged, path: str) -> object:
    """A number stays a number, so that the column sorts; what was not drawn is empty."""
    value = one.point.values.get(path)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    return say_scalar(value)


def _slices(view: results.StudyView, judged: Sequence[Judged]) -> None:
    plain("Each parameter against the objective", "heading")
    space = dict(list(view.plan.study.space.items())[:_SLICES])
    columns = st.columns(3, gap="medium")
    for number, (path, rule) in enumerate(space.items()):
        rows = [
            {"point": one.point.name, "x": one.point.values[path], "value": one.value}
            for one in judged
            if one.value is not None and path in one.point.values
        ]
        if rows:
            chart = slice_plot(
                rows, title=path.removeprefix("config."), rule=rule, axis=_objective(view), look=look()
            )
            columns[number % 3].altair_chart(chart, alt=f"{path} against the objective")
    if len(view.plan.study.space) > _SLICES:
        st.caption(f"The first {_SLICES} of {len(view.plan.study.space)} parameters.")


def _importance(view: results.StudyView, cell: str) -> None:
    wanted = st.toggle(
        "Importance of parameters",
        key="importance",
        bind="query-params",
        help="Share of the objective's variance (fANOVA over the finished points); takes some seconds.",
    )
    if not wanted:
        return
    with st.spinner("Reckoning importance …"):
        shares = results.importance(view).get(cell, {})
    if not shares:
        plain("Too few finished points, or all of one value: nothing can be said yet.", "quiet")
        return
    rows = [{"parameter": path.removeprefix("config."), "share": share} for path, share in shares.items()]
    st.altair_chart(bar_plot(pd.DataFrame(rows), look=look()), alt="Importance of each parameter")


def _page() -> None:
    view = study_view()
    if view.plan.study.search is None:
        message(f"{view.name} is no search: its cells are on the page Table.")
        return
    judged = view.computed.once("judged", lambda: judged_cells(view.plan, view.records))
    line = search_line(view.plan, judged)
    st.html(paragraph(view.plan.study.question, "question") + paragraph(line, "quiet"))
    cells = list(judged)
    cell = cells[0]
    if len(cells) > 1:
        cell = (
            st.segmented_control(
                "Searched cell", cells, default=cell, required=True, key="searched", bind="query-params"
            )
            or cell
        )
    if not judged[cell]:
        message(f"No point is drawn in {cell} yet.")
        return
    plain("History: every point on validation images, and the best so far", "heading")
    _history(view, judged[cell])
    _points(view, judged[cell])
    left, right = st.columns([3, 1], gap="large")
    with left:
        _slices(view, judged[cell])
    with right:
        _importance(view, cell)


_page()
