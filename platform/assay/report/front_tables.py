"""The section of a report on a search with several objectives: its front, on fresh seeds too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.analysis.search_front import FreshValue, FrontPoint, optimism, search_front
from assay.analysis.search_results import SearchResults
from assay.report.page.model import NOTHING, Column, Section, TextTable
from assay.statistics.wording import number_text
from assay.study.search import COSTS, Objective
from trainables.evaluation.metrics import METRICS, PROXIES

__all__ = ["front_section", "objective_text"]


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
            *_fresh_texts(goals, point),
            _state(point),
        )
        for point in points
    ]
    return Section(
        "Front",
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


def _fresh_texts(goals: Sequence[Objective], point: FrontPoint) -> list[str]:
    values = point.fresh or (None,) * len(goals)
    return [_interval_text(goal, value) for goal, value in zip(goals, values, strict=True)]


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
    return "on the front" if point.unbeaten else f"beaten by {point.beaten_by}"


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
        elif goal.metric in PROXIES and goal.metric not in METRICS:
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
