"""The pages of a search: its best points, its history, and which parameters mattered.

Values are the objective on validation images, mean over the repeats that judged a point. They chose the
point, so they flatter it: what it is worth stands in the table of its replicates on fresh seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from assay.report.page.model import NOTHING, Column, Section, TextTable
from assay.storage.record import Record
from assay.storage.search_points import EvaluatedPoint, best_points, judge
from assay.study import Plan
from assay.study.points import budget
from assay.study.search import Scalar
from assay.study.space import format_parameter, format_scalar

__all__ = ["evaluated_points", "search_line", "search_sections"]

_BEST = 5  # points shown of each cell


def evaluated_points(plan: Plan, records: Mapping[str, Record]) -> dict[str, list[EvaluatedPoint]]:
    """What is known of the points, cell by cell."""
    return {one.cell.name: judge(plan, one, plan.points, records) for one in plan.searched}


def search_line(plan: Plan, judged: Mapping[str, Sequence[EvaluatedPoint]]) -> str:
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


def search_sections(
    plan: Plan, records: Mapping[str, Record], shares: Mapping[str, Mapping[str, float]]
) -> tuple[Section, ...]:
    """What a search adds to a report: best points, importance of the parameters, history, space."""
    judged = evaluated_points(plan, records)
    importance = _importance_table(plan, shares)
    return (
        Section(
            "Best points",
            f"{_objective(plan)} on validation images, mean over {_repeats(plan)}; it chose the points, and "
            "flatters them. Values that were not drawn are `–`.",
            _best_table(plan, judged),
        ),
        Section(
            "Importance",
            "Share of the variance of the objective (fANOVA over the finished points). Parameters that only "
            "some points have are left out."
            if importance is not None
            else "Too few finished points, or all of one value: nothing can be said yet.",
            importance,
        ),
        Section("History", "", _history_table(plan, judged), _reasons(judged)),
        Section("Space", notes=tuple(_space(plan))),
    )


def _best_table(plan: Plan, judged: Mapping[str, Sequence[EvaluatedPoint]]) -> TextTable:
    """The best points of each cell, with all drawn values."""
    columns = [Column("point", "left"), Column(_objective(plan), "right"), Column("from", "left")]
    best = [one for of_cell in judged.values() for one in best_points(plan, of_cell)[:_BEST]]
    rows = [
        (one.point.name, _value(one.value), one.point.source, *_values(plan, one.point.values))
        for one in best
    ]
    return TextTable((*columns, *_parameters(plan)), tuple(rows), links=_links(best))


def _history_table(plan: Plan, judged: Mapping[str, Sequence[EvaluatedPoint]]) -> TextTable:
    """Every point in the order in which it was drawn, what became of it, and the best value until then."""
    assert plan.study.search is not None
    sign = plan.study.search.objective.sign
    rows: list[tuple[str, ...]] = []
    for of_cell in judged.values():
        best: float | None = None
        for one in of_cell:
            if one.value is not None and (best is None or sign * one.value > sign * best):
                best = one.value
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
    links = _links([one for of_cell in judged.values() for one in of_cell])
    return TextTable((*columns, *_parameters(plan)), tuple(rows), links=links)


def _reasons(judged: Mapping[str, Sequence[EvaluatedPoint]]) -> tuple[str, ...]:
    """Why points have no value, each once."""
    said = [f"{one.point.name}: {one.reason}" for of_cell in judged.values() for one in of_cell if one.reason]
    return tuple(dict.fromkeys(said))


def _importance_table(plan: Plan, shares: Mapping[str, Mapping[str, float]]) -> TextTable | None:
    """Share of the objective's variance by parameter, a column per cell; None when nothing is known."""
    told = {cell: of_cell for cell, of_cell in shares.items() if of_cell}
    if not told:
        return None
    weight = {path: sum(of_cell.get(path, 0.0) for of_cell in told.values()) for path in plan.study.space}
    rows = [
        (path, *(f"{of_cell[path]:.2f}" if path in of_cell else NOTHING for of_cell in told.values()))
        for path in sorted(weight, key=lambda path: -weight[path])
    ]
    columns = [Column("parameter", "left"), *(Column(cell, "right") for cell in told)]
    return TextTable(tuple(columns), tuple(rows))


def _space(plan: Plan) -> Iterator[str]:
    for path, parameter in plan.study.space.items():
        where = (f", where `{other}` is {format_scalar(value)}" for other, value in parameter.when.items())
        yield f"`{path}`: {format_parameter(parameter)}{''.join(where)}"


def _links(points: Sequence[EvaluatedPoint]) -> dict[tuple[int, int], tuple[str, ...]]:
    """The name of a point, in the first column, leads to its trials."""
    return {(row, 0): (one.point.name,) for row, one in enumerate(points)}


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
    return [format_scalar(drawn[path]) if path in drawn else NOTHING for path in plan.study.space]


def _value(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"
