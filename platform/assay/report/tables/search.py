"""Sections of a report on a search: its front, its best points, its history, and which parameters mattered.

Values are the objective on validation images, mean over the repeats that evaluated a point. They chose the
point, so they flatter it: what it is worth stands in the table of its replicates on fresh seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from assay.analysis.results.search_results import SearchResults
from assay.analysis.search_front import FreshValue, FrontPoint, optimism, search_front
from assay.report.page.model import NOTHING, Column, Section, TextTable
from assay.statistics.wording import number_text
from assay.storage.search_points import EvaluatedPoint, best_points
from assay.study import SearchPlan
from assay.study.names import counted
from assay.study.search.points import drawn_text
from assay.study.search.space import format_parameter, format_scalar
from assay.study.search.spec import COSTS, Objective, Scalar
from trainables.evaluation.metrics import LABEL_FREE_METRICS, METRICS

__all__ = ["front_section", "objective_text", "search_line", "search_sections"]


_BEST = 5  # points shown of each cell


def search_line(plan: SearchPlan, points: Mapping[str, Sequence[EvaluatedPoint]]) -> str:
    """``Search with tpe: 12 of 60 points drawn in 2 variants; 20 finished, 3 pruned, 1 failed.``"""
    drawn = [point for of_cell in points.values() for point in of_cell]
    counts = [
        f"{sum(point.status == status for point in drawn)} {status}"
        for status in ("finished", "pruned", "failed", "open")
        if any(point.status == status for point in drawn)
    ]
    unit = "searches" if plan.search.nested else "variants"
    where = "" if len(points) == 1 else f" in {len(points)} {unit}"
    count = f"{drawn_text(len(drawn), plan.budget * len(points), 'points ')}{where}"
    return f"Search with {plan.search.sampler}: {'; '.join([count, ', '.join(counts)]).rstrip('; ')}."


def search_sections(results: SearchResults, *, brief: bool = False) -> tuple[Section, ...]:
    """Sections that a search adds to a report: best points, importance of parameters, history, space.

    Args:
        results: The search.
        brief: Leave out what mattered, which takes seconds.
    """
    plan, points = results.plan, results.evaluated_points
    importance = {} if brief else results.importance
    front = (front_section(results),) if plan.search.has_front else ()
    first = f"the first objective, {_objectives(plan)[0].title}," if front else "the objective"
    importance_table = _importance_table(plan, importance)
    # Why points have no value, each once.
    reasons = [f"{row.point.name}: {row.reason}" for each in points.values() for row in each if row.reason]
    titles = ", ".join(objective.title for objective in _objectives(plan))
    repeats = max((len(searched.repeats) for searched in plan.searched), default=0)
    chose = "they chose the points, and flatter" if front else "it chose the points, and flatters"
    return (
        *front,
        Section(
            "Settings of the Pareto front" if front else "Best points",
            f"{titles} on validation images, mean over {counted(repeats, 'repeat')}; {chose} them. Values "
            "that were not drawn are `–`.",
            _best_table(plan, points),
        ),
        Section(
            "Importance",
            f"Share of the variance of {first} (fANOVA over the finished points). Parameters that only "
            "some points have are left out."
            if importance_table is not None
            else "Too few finished points, or all of one value: nothing can be said yet.",
            importance_table,
        ),
        Section("History", "", _history_table(plan, points), tuple(dict.fromkeys(reasons))),
        Section("Space", notes=tuple(_space(plan))),
    )


def _best_table(plan: SearchPlan, points: Mapping[str, Sequence[EvaluatedPoint]]) -> TextTable:
    """The best points of each cell, with all drawn values."""
    columns = [Column("point", "left"), *_value_columns(plan), Column("from", "left")]
    few = None if len(_objectives(plan)) > 1 else _BEST
    best = [point for of_cell in points.values() for point in best_points(plan, of_cell, few)[:few]]
    rows = [
        (row.point.name, *_value_texts(plan, row), row.point.source, *_values(plan, row.point.values))
        for row in best
    ]
    return TextTable((*columns, *_parameters(plan)), tuple(rows), links=_links(best))


def _history_table(plan: SearchPlan, points: Mapping[str, Sequence[EvaluatedPoint]]) -> TextTable:
    """Every point in the order in which it was drawn, what became of it, and the best value until then.

    Of several objectives there is no best value.
    """
    goal, several = _objectives(plan)[0], len(_objectives(plan)) > 1
    rows: list[tuple[str, ...]] = []
    for of_cell in points.values():
        best: float | None = None
        for row in of_cell:
            if row.value is not None and (best is None or goal.sign * row.value > goal.sign * best):
                best = row.value
            drawn = _values(plan, row.point.values)
            so_far = [] if several else [objective_text(goal, best)]
            rows.append(
                (row.point.name, row.status, *_value_texts(plan, row), *so_far, row.point.source, *drawn)
            )
    columns = [
        Column("point", "left"),
        Column("state", "left"),
        *_value_columns(plan),
        *([] if several else [Column("best so far", "right")]),
        Column("from", "left"),
    ]
    links = _links([point for of_cell in points.values() for point in of_cell])
    return TextTable((*columns, *_parameters(plan)), tuple(rows), links=links)


def _importance_table(plan: SearchPlan, shares: Mapping[str, Mapping[str, float]]) -> TextTable | None:
    """Share of the objective's variance by parameter, a column per cell; None when nothing is known."""
    known = {cell: of_cell for cell, of_cell in shares.items() if of_cell}
    if not known:
        return None
    weight = {path: sum(of_cell.get(path, 0.0) for of_cell in known.values()) for path in plan.study.space}
    rows = [
        (path, *(f"{of_cell[path]:.2f}" if path in of_cell else NOTHING for of_cell in known.values()))
        for path in sorted(weight, key=lambda path: -weight[path])
    ]
    columns = [Column("parameter", "left"), *(Column(cell, "right") for cell in known)]
    return TextTable(tuple(columns), tuple(rows))


def _space(plan: SearchPlan) -> Iterator[str]:
    for path, parameter in plan.study.space.items():
        where = (f", where `{other}` is {format_scalar(value)}" for other, value in parameter.when.items())
        yield f"`{path}`: {format_parameter(parameter)}{''.join(where)}"


def _links(points: Sequence[EvaluatedPoint]) -> dict[tuple[int, int], tuple[str, ...]]:
    """The name of a point, in the first column, leads to its trials."""
    return {(row, 0): (point.point.name,) for row, point in enumerate(points)}


def _objectives(plan: SearchPlan) -> tuple[Objective, ...]:
    return plan.search.objectives


def _value_columns(plan: SearchPlan) -> list[Column]:
    return [Column(objective.title, "right") for objective in _objectives(plan)]


def _value_texts(plan: SearchPlan, row: EvaluatedPoint) -> list[str]:
    goals = _objectives(plan)
    values = row.values or (None,) * len(goals)
    return [objective_text(goal, value) for goal, value in zip(goals, values, strict=True)]


def _parameters(plan: SearchPlan) -> list[Column]:
    return [Column(path.removeprefix("config."), "right") for path in plan.study.space]


def _values(plan: SearchPlan, drawn: Mapping[str, Scalar]) -> list[str]:
    return [format_scalar(drawn[path]) if path in drawn else NOTHING for path in plan.study.space]


# The front of several objectives, on fresh seeds too ---------------------------------------------------


def front_section(results: SearchResults) -> Section:
    """The front of each searched cell: values that chose its points, and those of fresh seeds beside them."""
    goals = results.plan.search.objectives
    fronts = {cell: search_front(results, cell) for cell in results.evaluated_points}
    columns = [
        Column("point", "left"),
        *(Column(goal.title, "right") for goal in goals),
        *(Column(f"{goal.metric}, fresh seeds", "right") for goal in goals),
        Column("on fresh seeds", "left"),
    ]
    points = [point for front in fronts.values() for point in front]
    rows = [
        (
            point.name,
            *(objective_text(goal, value) for goal, value in zip(goals, point.evaluated.values, strict=True)),
            *(
                _interval_text(goal, value)
                for goal, value in zip(goals, point.fresh or (None,) * len(goals), strict=True)
            ),
            _state(point),
        )
        for point in points
    ]
    return Section(
        "Pareto front",
        "The points that no other point of the search beats in all objectives. No point of it is best: which "
        "one to take is a choice, and `assay best --point` writes it as a study. The first values chose the "
        "points, and flatter them. Those of fresh seeds did not: metrics on test images, costs measured "
        "again, in brackets 95 % intervals of each mean by itself.",
        TextTable(tuple(columns), tuple(rows), links={(i, 0): (p.name,) for i, p in enumerate(points)}),
        (*_notes(goals, points), *_reference_note(results)),
    )


def objective_text(objective: Objective, value: float | None) -> str:
    """A value of an objective: a metric with four decimals, a cost with three digits."""
    if value is None:
        return NOTHING
    return number_text(value, 4) if objective.is_cost else f"{value:.4f}"


def _interval_text(objective: Objective, value: FreshValue | None) -> str:
    if value is None:
        return NOTHING
    mean = objective_text(objective, value.mean)
    if value.low is None or value.high is None:
        return mean
    return f"{mean} [{objective_text(objective, value.low)}, {objective_text(objective, value.high)}]"


def _state(point: FrontPoint) -> str:
    if point.fresh is None:
        return "not trained again"
    if point.unbeaten is None:
        return "not complete"
    return "on the Pareto front" if point.unbeaten else f"beaten by {point.beaten_by}"


def _notes(goals: Sequence[Objective], points: Sequence[FrontPoint]) -> Iterator[str]:
    for number, goal in enumerate(goals):
        means = optimism(points, number)
        if means is not None:
            searched, fresh = (objective_text(goal, mean) for mean in means)
            yield (
                f"{goal.metric} of the points that were trained again, mean: {searched} in the search, "
                f"{fresh} on fresh seeds{'' if goal.is_cost else ' and test images'}."
            )
        if goal.is_cost:
            yield f"`{goal.metric}`: {COSTS[goal.metric]}."
        elif goal.metric in LABEL_FREE_METRICS and goal.metric not in METRICS:
            yield f"`{goal.metric}` has no value on test images: on fresh seeds it is that of validation."


def _reference_note(results: SearchResults) -> Iterator[str]:
    """Tell the range of the reference network's times: the steadiness of the machines."""
    times = (record.timings.get("reference_one") for record in results.records.values())
    known = sorted(1000 * time for time in times if time)
    if results.plan.search.times_models and known:
        middle, low, high = map(number_text, (known[len(known) // 2], known[0], known[-1]))
        yield (
            f"The reference network took {middle} ms ({low} to {high}) beside the models: "
            "where that range is wide, `latency_ms` tells of machines and their load too, "
            "`latency_ratio` less so."
        )
