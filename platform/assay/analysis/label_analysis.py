"""What labels buy, answered: steps along the front, masks that are enough, what to label next.

Joins :mod:`assay.analysis.label_costs` with :mod:`assay.analysis.statistics`, which knows neither plan nor
records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from assay.analysis.label_costs import LabelCell, LabelCosts, label_costs, label_factors
from assay.analysis.statistics import ComparisonResult, Splits, compare, comparison
from assay.analysis.statistics.enough_masks import Enough, enough_masks
from assay.analysis.statistics.next_labels import LabelAdvice, Labels, advise_labels, most_hours
from assay.analysis.summary import tidy
from assay.storage.record import Record, UnreadableRecord
from assay.study import Plan
from trainables.errors import InputError

__all__ = ["LabelAnalysis", "NextLabels", "analyse_labels", "next_labels"]

_HOUR = 3600.0
_MOST_HOURS = 100_000
_NUMBERS = 3  # of masks that make a line along which "enough" can be looked for


@dataclass(frozen=True)
class NextLabels:
    """The advice for one start: a cell whose labels are the ones there are."""

    start: LabelCell | None  # None: there is no start, see the advice's reason
    labels: Labels
    counted: str  # what the first of the labels counts: `image labels`, or `labels of defective images`
    advice: LabelAdvice


@dataclass(frozen=True)
class LabelAnalysis:
    """All that a study says about its labels."""

    costs: LabelCosts
    steps: tuple[ComparisonResult, ...]  # each cell of a front against the one before, for each claim
    enough: tuple[tuple[str, tuple[Enough, ...]], ...]  # line → its answer for each claim
    further: tuple[NextLabels, ...]  # () where labels and masks do not both vary


def analyse_labels(
    plan: Plan,
    records: Mapping[str, Record],
    problems: Sequence[UnreadableRecord] = (),
    *,
    looks: Sequence[int] = (),
) -> LabelAnalysis | None:
    """What labels buy; None where :func:`label_costs` finds nothing.

    Args:
        plan: All that was to be trained; of a search, its replicated points answer.
        records: By trial id.
        problems: Records that could not be read.
        looks: Numbers of seeds at which the study was answered before.
    """
    costs = label_costs(plan, records)
    if costs is None:
        return None
    plan = plan.answer()
    table = _table(plan, records, problems)
    splits = _splits(plan)
    steps = [
        comparison(f"{one.cell.name} → {other.cell.name}", one.cell.name, other.cell.name)
        for front in costs.fronts
        for one, other in pairwise(front)
        if one.hours < other.hours
    ]
    answers = compare(
        table,
        steps,
        metric=costs.metric.name,
        splits=splits,
        family="labels",
        resolve=plan.study.resolve,
        earlier_looks=looks,
        test=plan.study.exact_test,
    )
    return LabelAnalysis(
        costs=costs,
        steps=answers,
        enough=tuple(_enough(costs, table, splits, plan.study.resolve)),
        further=tuple(_next(costs, table, group) for group in _groups(plan, costs) if _is_grid(group)),
    )


def next_labels(
    plan: Plan, records: Mapping[str, Record], *, hours: float | None = None, start: str | None = None
) -> tuple[NextLabels, ...]:
    """What to label next, whatever the study's grid: the advice says why it says nothing.

    Args:
        plan: All that was to be trained.
        records: By trial id.
        hours: Of labelling; None: as many as the study can judge.
        start: Name of the cell that has the labels there are; None: the dearest that leaves masks to draw.

    Raises:
        InputError: If the study names no costs, all cells have the same labels, or none is called ``start``.
    """
    if hours is not None and not 0 < hours <= _MOST_HOURS:
        raise InputError(f"hours of labelling are above 0 and at most {_MOST_HOURS:,}, found {hours:g}.")
    if plan.study.labelling is None:
        raise InputError(
            f"study {plan.study.study} does not say what labels take. Add `labelling: {{image_label_seconds: "
            "1, mask_seconds: 79}` with your own seconds to its file, and run it again: nothing is trained."
        )
    costs = label_costs(plan, records)
    if costs is None:
        raise InputError(
            f"study {plan.study.study} has no two finished cells that differ in hours of labelling. Vary "
            "`supervision` or `data.positives` in its factors, or run it first."
        )
    plan = plan.answer()
    groups = _groups(plan, costs)
    if start is not None:
        groups = [group for group in groups if any(cell.cell.name == start for cell in group)]
        if not groups:
            names = ", ".join(cell.cell.name for cell in costs.cells)
            raise InputError(f"no finished cell is called {start}. There are: {names}.")
    table = _table(plan, records, ())
    return tuple(_next(costs, table, group, hours=hours, start=start) for group in groups)


def _table(plan: Plan, records: Mapping[str, Record], problems: Sequence[UnreadableRecord]) -> pd.DataFrame:
    return tidy(plan, records, problems, metric=plan.study.metrics.primary).to_pandas()


def _splits(plan: Plan) -> dict[str, Splits]:
    return {cell.name: "per_seed" if cell.data.splits == "per_seed" else "prescribed" for cell in plan.cells}


def _enough(
    costs: LabelCosts, table: pd.DataFrame, splits: Mapping[str, Splits], resolve: float | None
) -> list[tuple[str, tuple[Enough, ...]]]:
    found: list[tuple[str, tuple[Enough, ...]]] = []
    for line in costs.lines:
        cells = [cell for cell in line if cell.cell.supervision.kind != "none"]
        numbers = [cell.masks for cell in cells]
        rising = all(one < other for one, other in pairwise(numbers))
        if (
            resolve is None
            or len(cells) < _NUMBERS
            or not rising
            or cells[-1].cell.supervision.kind != "full"
        ):
            continue
        masks = {cell.cell.name: cell.masks for cell in cells}
        answer = enough_masks(table, masks, metric=costs.metric.name, resolve=resolve, splits=splits)
        found.append((line[0].line, answer))
    return found


def _groups(plan: Plan, costs: LabelCosts) -> list[list[LabelCell]]:
    """Cells alike in all that is no choice of labels; those without masks or defective images left out."""
    chosen = set(label_factors(plan))
    groups: dict[tuple[str, ...], list[LabelCell]] = {}
    for cell in costs.cells:
        key = cell.cell.trainable, *(v for factor, v in cell.cell.levels.items() if factor not in chosen)
        if cell.cell.supervision.kind != "none":
            groups.setdefault(key, []).append(cell)
    return list(groups.values())


def _is_grid(group: Sequence[LabelCell]) -> bool:
    """Whether both kinds of label vary: with one alone there is nothing to choose between."""
    return len({round(cell.image_labels) for cell in group}) > 1 and len({round(c.masks) for c in group}) > 1


def _next(
    costs: LabelCosts,
    table: pd.DataFrame,
    group: Sequence[LabelCell],
    *,
    hours: float | None = None,
    start: str | None = None,
) -> NextLabels:
    # Where all cells have the same normal images, further labels are labels of defective ones.
    same_normal = len({round(cell.image_labels - cell.defective) for cell in group}) == 1
    defective = same_normal and len({round(cell.defective) for cell in group}) > 1
    counted = "labels of defective images" if defective else "image labels"
    counts = {c.cell.name: Labels(c.defective if defective else c.image_labels, c.masks) for c in group}
    seconds = Labels(costs.labelling.image_label_seconds, costs.labelling.mask_seconds)
    now = _start(group, start)
    if now is None:
        which = "no cell has" if start is None else f"{start} does not have"
        reason = f"{which} the masks of some defective images and not of others: there is no choice to make"
        return NextLabels(None, Labels(0, 0), counted, LabelAdvice(hours or 0.0, Labels(0, 0), None, reason))
    labels, pending_points = counts[now.cell.name], now.defective - now.masks
    if hours is None:
        hours = min(most_hours(labels, seconds), pending_points * seconds.masks / _HOUR)
    advice = advise_labels(table, counts, now=labels, hours=hours, seconds=seconds, metric=costs.metric.name)
    if advice.masks is not None and advice.bought.masks > pending_points * (1 + 1e-9):
        reason = (
            f"{pending_points:.0f} defective training images have no mask yet, and the hours are for "
            f"{advice.bought.masks:.0f}: ask for {pending_points * seconds.masks / _HOUR:.2g} hours or fewer"
        )
        advice = LabelAdvice(hours, advice.bought, None, reason)
    return NextLabels(now, labels, counted, advice)


def _start(group: Sequence[LabelCell], name: str | None) -> LabelCell | None:
    """The dearest cell with some masks, but not all."""
    some = [cell for cell in group if 0 < cell.masks <= cell.defective - 1 and name in (None, cell.cell.name)]
    return max(some, key=lambda cell: cell.hours, default=None)
