"""The pages of a search: its best points, its history, and which parameters mattered.

Values are the objective on validation images, mean over the repeats that judged a point. They chose the
point, so they flatter it: what it is worth stands in the table of its replicates on fresh seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.results.record import Record
from assay.results.search import Judged, best_points, judge
from assay.results.tables import Column, TextTable
from assay.study import Plan
from assay.study.points import budget
from assay.study.search import Scalar
from assay.study.space import say_parameter, say_scalar

__all__ = ["best_table", "history_table", "importance_table", "judged_cells", "search_line", "search_page"]

_BEST = 5  # points shown of each cell
_NOTHING = "–"


def judged_cells(plan: Plan, records: Mapping[str, Record]) -> dict[str, list[Judged]]:
    """What is known of the points, cell by cell."""
    return {one.cell.name: judge(plan, one, plan.points, records) for one in plan.searched}


def search_line(plan: Plan, judged: Mapping[str, Sequence[Judged]]) -> str:
    """``Search with tpe: 12 of 60 points drawn in each of 2 cells; 20 finished, 3 pruned, 1 failed.``"""
    assert plan.study.search is not None
    points = [one for of_cell in judged.values() for one in of_cell]
    counts = [
        f"{sum(one.status == status for one in points)} {status}"
        for status in ("finished", "pruned", "failed", "open")
        if any(one.status == status for one in points)
    ]
    where = "" if len(judged) == 1 else f" in {len(judged)} cells"
    asked = f"{len(points)} of {budget(plan.study) * len(judged)} points drawn{where}"
    return f"Search with {plan.study.search.sampler}: {'; '.join([asked, ', '.join(counts)]).rstrip('; ')}."


def best_table(plan: Plan, judged: Mapping[str, Sequence[Judged]], count: int = _BEST) -> TextTable:
    """The best points of each cell, with all drawn values."""
    columns = [Column("point", "left"), Column(_objective(plan), "right"), Column("from", "left")]
    rows = [
        (one.point.name, _value(one.value), one.point.source, *_values(plan, one.point.values))
        for of_cell in judged.values()
        for one in best_points(plan, of_cell)[:count]
    ]
    return TextTable((*columns, *_parameters(plan)), tuple(rows))


def history_table(plan: Plan, judged: Mapping[str, Sequence[Judged]]) -> TextTable:
    """Every point in the order in which it was drawn, what became of it, and the best value until then."""
    assert plan.study.search is not None
    sign = plan.study.search.objective.sign
    rows: list[tuple[str, ...]] = []
    notes: dict[str, None] = {}
    for of_cell in judged.values():
        best: float | None = None
        for one in of_cell:
            if one.value is not None and (best is None or sign * one.value > sign * best):
                best = one.value
            if one.reason:
                notes[f"{one.point.name}: {one.reason}"] = None
            drawn = _values(plan, one.point.values)
            rows.append(
                (one.point.name, one.status, _value(one.value), _value(best), one.point.source, *drawn)
            )
    columns = [
        Column("point", "left"),
        Column("state", "left"),
        Column(_objective(plan), "right"),
        Column("best so far", "right"),
        Column("from", "left"),
    ]
    return TextTable((*columns, *_parameters(plan)), tuple(rows), tuple(notes))


def importance_table(plan: Plan, shares: Mapping[str, Mapping[str, float]]) -> TextTable | None:
    """Share of the objective's variance by parameter, a column per cell; None when nothing is known."""
    told = {cell: of_cell for cell, of_cell in shares.items() if of_cell}
    if not told:
        return None
    weight = {path: sum(of_cell.get(path, 0.0) for of_cell in told.values()) for path in plan.study.space}
    rows = [
        (path, *(f"{of_cell[path]:.2f}" if path in of_cell else _NOTHING for of_cell in told.values()))
        for path in sorted(weight, key=lambda path: -weight[path])
    ]
    columns = [Column("parameter", "left"), *(Column(cell, "right") for cell in told)]
    return TextTable(tuple(columns), tuple(rows))


def search_page(
    plan: Plan, records: Mapping[str, Record], shares: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """The parts of the report's page that a search adds, in Markdown."""
    judged = judged_cells(plan, records)
    history, importance = history_table(plan, judged), importance_table(plan, shares)
    space = "\n".join(
        f"- `{path}`: {say_parameter(parameter)}"
        + "".join(f", where `{other}` is {say_scalar(value)}" for other, value in parameter.when.items())
        for path, parameter in plan.study.space.items()
    )
    parts = [
        "## Best points",
        f"{_objective(plan)} on validation images, mean over {_repeats(plan)}; it chose the points, and "
        "flatters them. Values that were not drawn are `–`.",
        best_table(plan, judged).markdown(),
        "## Importance",
        "Share of the variance of the objective (fANOVA over the finished points). Parameters that only some "
        "points have are left out."
        if importance is not None
        else "Too few finished points, or all of one value: nothing can be said yet.",
        importance.markdown() if importance is not None else "",
        "## History",
        history.markdown(),
        "\n".join(f"- {note}" for note in history.notes),
        "## Space",
        space,
    ]
    return parts


def _objective(plan: Plan) -> str:
    assert plan.study.search is not None
    objective = plan.study.search.objective
    return f"validation.{objective.metric} {'↑' if objective.sign == 1 else '↓'}"


def _repeats(plan: Plan) -> str:
    most = max((len(one.repeats) for one in plan.searched), default=0)
    return f"{most} repeat" if most == 1 else f"{most} repeats"


def _parameters(plan: Plan) -> list[Column]:
    return [Column(path.removeprefix("config."), "right") for path in plan.study.space]


def _values(plan: Plan, drawn: Mapping[str, Scalar]) -> list[str]:
    return [say_scalar(drawn[path]) if path in drawn else _NOTHING for path in plan.study.space]


def _value(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.4f}"
