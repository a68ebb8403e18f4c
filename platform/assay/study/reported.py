"""The part of a plan that enters tables: all of it, or of a search its winners on fresh seeds.

A search plans many cells that only chose: their scores on validation images flatter them. What is reported
are the points that were trained again, and the comparisons between them. A type of its own keeps the two
apart: nobody reports a :class:`ReportedPlan` twice, or a search's points by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from assay.study.cells import Cell, Trial
from assay.study.compare import Comparison, ablation, improvement
from assay.study.plan import Plan
from assay.study.schema import Study

__all__ = ["ReportedPlan", "reported_plan"]


@dataclass(frozen=True)
class ReportedPlan:
    """Cells, trials and comparisons of a report, in the plan's order."""

    study: Study
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    comparisons: tuple[Comparison, ...]


def reported_plan(plan: Plan) -> ReportedPlan:
    """All of a plan; of a search, the points that are trained again on fresh seeds.

    A comparison of a search is then between the best point of the one cell and the best of the other, between
    the best point and those that the search started from (where they are trained again too), and between the
    best point and itself with a parameter at its default.
    """
    if plan.study.search is None:
        return ReportedPlan(plan.study, plan.cells, plan.trials, plan.comparisons)
    cells = tuple(cell for cell in plan.cells if cell.role in ("replicate", "ablation"))
    names = {cell.name for cell in cells}
    trials = tuple(trial for trial in plan.trials if trial.cell in names)
    return ReportedPlan(
        plan.study, cells, trials, tuple(_comparisons(plan, cells, plan.study.search.sampler))
    )


def _comparisons(plan: Plan, cells: tuple[Cell, ...], sampler: str) -> Iterator[Comparison]:
    """Those between cells of a search, then with its start points, then with its ablations."""
    best: dict[str, Cell] = {}
    for cell in cells:
        best.setdefault(cell.searched or "", cell)
    for comparison in plan.comparisons:
        if all(name in best for pair in comparison.pairs for name in pair):
            pairs = tuple((best[a].name, best[b].name) for a, b in comparison.pairs)
            yield comparison.model_copy(update={"pairs": pairs})
    started = {f"{point.name} replicated": point.source for point in plan.points if point.source != sampler}
    for cell in cells:
        if cell.name in started and cell is not best[cell.searched or ""]:
            yield improvement(cell, started[cell.name], best[cell.searched or ""])
    yield from (ablation(cell, best[cell.searched or ""]) for cell in cells if cell.ablates)
