"""Statistics of labels: steps along the front, masks that are enough, the labels to make next.

Joins :mod:`assay.analysis.label_costs` with :mod:`assay.statistics`, which knows tables only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pandas as pd

from assay.analysis.computed import computed
from assay.analysis.label_costs import LabelCell, LabelCosts, label_costs, label_factors
from assay.analysis.results import StudyResults
from assay.analysis.study_analysis import score_tables, study_analysis
from assay.analysis.study_pair import listed
from assay.analysis.summary import metric_table
from assay.statistics.contrasts import comparison
from assay.statistics.enough_masks import Enough, enough_masks
from assay.statistics.families import ComparisonResult
from assay.statistics.next_labels import LabelAdvice, Labels, advise_labels, most_hours
from assay.statistics.score_table import Splits
from assay.statistics.wording import most_text
from assay.study import Study
from trainables.errors import InputError
from trainables.evaluation.metrics import Metric

__all__ = ["LabelAnalysis", "NextLabels", "label_analysis", "next_labels"]

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
    enough: tuple[tuple[str, tuple[Enough, ...]], ...]  # line → what is enough, for each claim
    further: tuple[NextLabels, ...]  # () where labels and masks do not both vary


@computed
def label_analysis(results: StudyResults) -> LabelAnalysis | None:
    """Analyse what labels buy; None where there are no label costs."""
    costs, study = label_costs(results), results.plan.study
    if costs is None:
        return None
    table = metric_table(results, costs.metric.name)
    steps = [
        comparison(f"{cheap.cell.name} → {dear.cell.name}", cheap.cell.name, dear.cell.name)
        for front in costs.fronts
        for cheap, dear in pairwise(front)
        if cheap.hours < dear.hours
    ]
    scores = replace(score_tables(results), smallest_step=_no_step)
    return LabelAnalysis(
        costs=costs,
        steps=study_analysis(results).as_they_stand(scores.tested(costs.metric, "labels", steps)),
        enough=tuple(_enough(costs, table, results.splits, study.resolve)),
        further=_advised(costs, table, [group for group in _groups(study, costs) if _is_grid(group)]),
    )


def _no_step(_: Metric) -> None:
    """Leave the step of a metric unknown: predictions tell it, and whoever prices labels reads none."""


def next_labels(
    results: StudyResults, *, hours: float | None = None, start: str | None = None
) -> tuple[NextLabels, ...]:
    """Advise what to label next, whatever the study's grid: the advice says why it says nothing.

    Args:
        results: The study.
        hours: Of labelling; None: as many as the study can tell of.
        start: Name of the cell that has the labels there are; None: the dearest that leaves masks to draw.

    Raises:
        InputError: If the study names no costs, all cells have the same labels, or none is called ``start``.
    """
    if hours is not None and not 0 < hours <= _MOST_HOURS:
        raise InputError(f"hours of labelling are above 0 and at most {_MOST_HOURS:,}, found {hours:g}.")
    if results.plan.study.labelling is None:
        raise InputError(
            f"study {results.name} does not say what labels take. Add `labelling: {{image_label_seconds: "
            "1, mask_seconds: 79}` with your own seconds to its file, and run it again: nothing is trained."
        )
    costs = label_costs(results)
    if costs is None:
        raise InputError(
            f"study {results.name} has no two finished cells that differ in hours of labelling. Vary "
            "`supervision` or `data.positives` in its factors, or run it first."
        )
    groups = _groups(results.plan.study, costs)
    if start is not None:
        groups = [group for group in groups if any(cell.cell.name == start for cell in group)]
        if not groups:
            names = ", ".join(cell.cell.name for cell in costs.cells)
            raise InputError(f"no finished cell is called {start}. There are: {names}.")
    table = metric_table(results, costs.metric.name)
    return _advised(costs, table, groups, hours=hours, start=start)


def _enough(
    costs: LabelCosts, table: pd.DataFrame, splits: Mapping[str, Splits], resolve: float | None
) -> list[tuple[str, tuple[Enough, ...]]]:
    lines: list[tuple[str, tuple[Enough, ...]]] = []
    for line in costs.lines:
        cells = [cell for cell in line if cell.cell.supervision.kind != "none"]
        numbers = [cell.masks for cell in cells]
        rising = all(fewer < more for fewer, more in pairwise(numbers))
        if (
            resolve is None
            or len(cells) < _NUMBERS
            or not rising
            or cells[-1].cell.supervision.kind != "full"
        ):
            continue
        masks = {cell.cell.name: cell.masks for cell in cells}
        enough = enough_masks(table, masks, metric=costs.metric.name, resolve=resolve, splits=splits)
        lines.append((line[0].line, enough))
    return lines


def _groups(study: Study, costs: LabelCosts) -> list[list[LabelCell]]:
    """Cells alike in all that is no choice of labels; those without masks or defective images left out."""
    chosen = set(label_factors(study))
    groups: dict[tuple[str, ...], list[LabelCell]] = {}
    for cell in costs.cells:
        key = cell.cell.trainable, *(v for factor, v in cell.cell.levels.items() if factor not in chosen)
        if cell.cell.supervision.kind != "none":
            groups.setdefault(key, []).append(cell)
    return list(groups.values())


def _is_grid(group: Sequence[LabelCell]) -> bool:
    """True where both kinds of label vary: with one alone there is nothing to choose between."""
    return len({round(cell.image_labels) for cell in group}) > 1 and len({round(c.masks) for c in group}) > 1


def _advised(
    costs: LabelCosts,
    table: pd.DataFrame,
    groups: Sequence[Sequence[LabelCell]],
    *,
    hours: float | None = None,
    start: str | None = None,
) -> tuple[NextLabels, ...]:
    """Advice for the start of each group, and why there is none for all cells of the groups without one."""
    starts = [(group, _start(group, start)) for group in groups]
    advice = [_next(costs, table, group, now, hours) for group, now in starts if now is not None]
    names = [cell.cell.name for group, now in starts if now is None for cell in group]
    if names:
        names = names if start is None else [start]
        which = f"{names[0]} does not have" if len(names) == 1 else f"none of {listed(names)} has"
        reason = f"{which} the masks of some defective images and not of others: there is no choice to make"
        none = LabelAdvice(hours or 0.0, Labels(0, 0), None, reason)
        advice.append(NextLabels(None, Labels(0, 0), "image labels", none))
    return tuple(advice)


def _next(
    costs: LabelCosts,
    table: pd.DataFrame,
    group: Sequence[LabelCell],
    now: LabelCell,
    hours: float | None,
) -> NextLabels:
    # Where all cells have the same normal images, further labels are labels of defective ones.
    same_normal = len({round(cell.image_labels - cell.defective) for cell in group}) == 1
    defective = same_normal and len({round(cell.defective) for cell in group}) > 1
    counted = "labels of defective images" if defective else "image labels"
    counts = {c.cell.name: Labels(c.defective if defective else c.image_labels, c.masks) for c in group}
    seconds = Labels(costs.labelling.image_label_seconds, costs.labelling.mask_seconds)
    labels, without_mask = counts[now.cell.name], now.defective - now.masks
    most = costs.labelling.hours(0, without_mask)
    if hours is None:
        hours = min(most_hours(labels, seconds), most)
    advice = advise_labels(
        table,
        counts,
        now=labels,
        hours=hours,
        seconds=seconds,
        metric=costs.metric.name,
        counted_as=counted,
    )
    if advice.masks is not None and advice.bought.masks > without_mask * (1 + 1e-9):
        reason = (
            f"{without_mask:.0f} defective training images have no mask yet, and the hours are for "
            f"{advice.bought.masks:.0f}: ask for {most_text(most)} hours or fewer"
        )
        advice = LabelAdvice(hours, advice.bought, None, reason)
    return NextLabels(now, labels, counted, advice)


def _start(group: Sequence[LabelCell], name: str | None) -> LabelCell | None:
    """The dearest cell with some masks, but not all."""
    some = [cell for cell in group if 0 < cell.masks <= cell.defective - 1 and name in (None, cell.cell.name)]
    return max(some, key=lambda cell: cell.hours, default=None)
