"""Score against the number of training masks: what the records of a study say of it.

Every point is at its true number of masks; "all" is what the records counted.
:mod:`assay.report.figures.masks_curve_figure` draws it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay.analysis.results import StudyResults
from assay.analysis.summary import CellSummary, metric_summary, repeats_text
from assay.study import Cell, Study
from assay.study.cell_names import line_name
from trainables.evaluation.metrics import Metric

__all__ = ["MasksCurve", "MasksLine", "MasksPoint", "masks_curve"]

_FEWEST = 3  # numbers of masks that make a curve


@dataclass(frozen=True)
class MasksPoint:
    """A cell at its number of masks."""

    masks: float  # mean over repeats, where "all" differs between them
    counted: tuple[int, ...]  # numbers of masks that occur, ascending
    all_masks: bool
    values: tuple[float, ...]  # of the repeats that have one, in the plan's order; () where there is none yet
    published: float | None

    @property
    def mean(self) -> float:
        """Over the repeats that have a value, of which there is at least one."""
        return statistics.fmean(self.values)


@dataclass(frozen=True)
class MasksLine:
    """Cells alike in all but the number of masks, by rising number."""

    name: str  # levels of the other factors; "" where there is none
    points: tuple[MasksPoint, ...]


@dataclass(frozen=True)
class MasksCurve:
    """The primary metric against the number of masks; at least one point has a value."""

    metric: Metric
    lines: tuple[MasksLine, ...]
    others: tuple[str, ...]  # the factors that tell lines apart
    source: str | None  # of what is published
    repeats: str  # of a cell, as planned: `2 seeds × 3 folds`

    @property
    def caption(self) -> str:
        """A sentence below the picture."""
        beside = " Open diamonds: published, not reproduced here." if self.source else ""
        return f"{self.metric.title} on test data against the number of training masks.{beside}"


def masks_curve(results: StudyResults) -> MasksCurve | None:
    """The curve of a study, or None where nothing orders its cells by masks or nothing is finished.

    One factor sets the supervision, and no method; cells that agree in all others form a line, which needs at
    least three numbers of masks, each once: none (or image labels) is 0, ``mixed: N`` is N, ``full`` is all.
    """
    study, metric = results.plan.study, results.primary
    factors = study.factors
    setting = [f for f, levels in factors.items() if any(level.supervision for level in levels.values())]
    if len(setting) != 1 or any(level.trainable for level in factors[setting[0]].values()):
        return None
    others = tuple(factor for factor in factors if factor != setting[0])
    groups: dict[tuple[str, ...], list[CellSummary]] = {}
    for summary in metric_summary(results, metric.name):
        groups.setdefault(tuple(summary.cell.levels[f] for f in others), []).append(summary)
    for group in groups.values():
        if len({_planned_masks(s.cell) for s in group}) < max(_FEWEST, len(group)):
            return None
    counts = _counts(results)
    lines = [
        MasksLine(line_name(factors, of[0].cell.levels, others), tuple(_points(study, of, counts)))
        for of in groups.values()
    ]
    if not any(point.values for line in lines for point in line.points):
        return None
    return MasksCurve(
        metric=metric,
        lines=tuple(line for line in lines if line.points),
        others=others,
        source=study.published.source if study.published else None,
        repeats=repeats_text(next(iter(groups.values()))[0].repeats),
    )


def _planned_masks(cell: Cell) -> float:
    """The number of masks that the study plans; ``all`` is more than any number."""
    if cell.supervision.kind == "full":
        return math.inf
    return cell.supervision.masks or 0


def _counts(results: StudyResults) -> dict[str, list[int]]:
    """Cell → masks that each of its trainings saw."""
    counts: dict[str, list[int]] = {}
    for trial, _, result in results.trained:
        counts.setdefault(trial.cell, []).append(result.n_masks)
    return counts


def _points(
    study: Study, group: Sequence[CellSummary], counts: Mapping[str, list[int]]
) -> Iterator[MasksPoint]:
    for summary in sorted(group, key=lambda s: _planned_masks(s.cell)):
        planned, counted = _planned_masks(summary.cell), counts.get(summary.cell.name, [])
        everything = math.isinf(planned)
        if everything and not counted:
            continue  # how many all are is known when the first is trained
        yield MasksPoint(
            masks=statistics.fmean(counted) if everything else planned,
            counted=tuple(sorted(set(counted))) if everything else (int(planned),),
            all_masks=everything,
            values=tuple(summary.values.values()),
            published=study.published_values(summary.cell.levels).get(summary.metric),
        )
