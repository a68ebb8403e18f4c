"""The part of a plan that enters tables: all of it, or of a search its winners on fresh seeds.

A search plans many cells that only chose: their scores on validation images flatter them. What is reported
are the points that were trained again, and the comparisons between them. A type of its own keeps the two
apart: nobody reports a :class:`ReportedPlan` twice, or a search's points by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.study.file.schema import Study
from assay.study.planning.cells import Cell, Trial
from assay.study.planning.compare import Comparison, improvement
from assay.study.planning.plan import Plan
from assay.study.search.points import PointCell
from assay.study.search.search_plan import SearchPlan

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

    A comparison of a search is then between the best point of the one cell and the best of the other, and
    between the best point and those that the search started from (where they are trained again too). With
    several objectives no point is best, and none is compared. Where a cell has several searches, their best
    points are one row.
    """
    if not isinstance(plan, SearchPlan):
        return ReportedPlan(plan.study, plan.cells, plan.trials, plan.comparisons)
    if plan.search.nested:
        return _pooled_plan(plan)
    names = {cell.name for cell in plan.replicates}
    trials = tuple(trial for trial in plan.trials if trial.cell in names)
    comparisons = () if plan.search.has_front else tuple(_comparisons(plan))
    return ReportedPlan(plan.study, plan.replicates, trials, comparisons)


def _pooled_plan(plan: SearchPlan) -> ReportedPlan:
    """One row for the winners of all searches of a cell, and one for each point that they started from.

    A row has the repeats of all searches, each trained with what its own search found. A cell whose searches
    are not all over, or one of which found nothing, has no rows.
    """
    retrained: dict[str, list[PointCell]] = {}  # by the cell that was searched
    for cell in plan.replicates:
        retrained.setdefault(cell.searched, []).append(cell)
    best: dict[str, Cell] = {}  # by the cell of the design
    cells: list[Cell] = []
    trials: list[Trial] = []
    comparisons: list[Comparison] = []
    for name in dict.fromkeys(searched.design_cell for searched in plan.searched):
        parts = [searched.cell for searched in plan.searched if searched.design_cell == name]
        if not all(part.name in retrained for part in parts):
            continue
        winners = [retrained[part.name][0] for part in parts]
        best[name] = _pooled(parts[0], winners, name, "winners replicated")
        rows = [(best[name], winners)]
        for index, source in _starts(plan, parts[0]).items():
            of_parts = [_retrained_start(plan, part, index, retrained[part.name]) for part in parts]
            started = [cell for cell in of_parts if cell is not None]
            if len(started) == len(parts) and started not in [members for _, members in rows]:
                row = _pooled(started[0], started, name, f"#{index} replicated")
                rows.append((row, started))
                # Each search changed what it found: all of the space is what the difference is made of.
                changed = {"paths": tuple(plan.study.space), "values": {}}
                comparisons.append(improvement(row, source, best[name]).model_copy(update=changed))
        cells += [row for row, _ in rows]
        trials += [trial for row, members in rows for trial in _pooled_trials(plan, row, members)]
    between = [*_between_cells(plan, best), *comparisons]
    return ReportedPlan(plan.study, tuple(cells), tuple(trials), tuple(between))


def _pooled(like: Cell, members: Sequence[Cell], name: str, row: str) -> PointCell:
    """The row of several searches' points; ``like`` has the settings that it shows."""
    notes = dict.fromkeys(note for member in members for note in member.footnotes)
    values: dict[str, Any] = {"drawn": {}, **dict(like), "name": f"{name} {row}", "searched": name}
    values |= {"replicated": True, "footnotes": tuple(notes)}
    return PointCell.model_construct(**values)


def _pooled_trials(plan: Plan, row: Cell, members: Sequence[Cell]) -> Iterator[Trial]:
    """The trials of a row. On a split of its own the fold only named the split."""
    names = {member.name for member in members}
    update = {"cell": row.name} | ({"fold": None} if row.data.splits == "per_seed" else {})
    yield from (trial.model_copy(update=update) for trial in plan.trials if trial.cell in names)


def _starts(plan: SearchPlan, part: Cell) -> dict[int, str]:
    """Index of each start point of a search → where it comes from."""
    return {p.index: p.source for p in plan.points if p.cell == part.name and p.source != plan.search.sampler}


def _retrained_start(
    plan: SearchPlan, part: Cell, index: int, retrained: Sequence[PointCell]
) -> PointCell | None:
    """The start point of a search among its points that were trained again; None where it is not."""
    configs = [p.config for p in plan.points if (p.cell, p.index) == (part.name, index)]
    return next((cell for cell in retrained if cell.config in configs), None)


def _between_cells(plan: Plan, best: Mapping[str, Cell]) -> Iterator[Comparison]:
    """The comparisons of the design, between the best of its cells."""
    for comparison in plan.comparisons:
        if all(name in best for pair in comparison.pairs for name in pair):
            pairs = tuple((best[a].name, best[b].name) for a, b in comparison.pairs)
            yield comparison.model_copy(update={"pairs": pairs})


def _comparisons(plan: SearchPlan) -> Iterator[Comparison]:
    """Comparisons between cells of a search, then with its start points."""
    best: dict[str, Cell] = {}
    for cell in plan.replicates:
        best.setdefault(cell.searched, cell)
    yield from _between_cells(plan, best)
    sampler = plan.search.sampler
    started = {f"{point.name} replicated": point.source for point in plan.points if point.source != sampler}
    for cell in plan.replicates:
        if cell.name in started and cell is not best[cell.searched]:
            yield improvement(cell, started[cell.name], best[cell.searched])
