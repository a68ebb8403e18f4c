"""Defects by class and by size, cell by cell: which shares of them were found and outlined, from the records.

A mean over classes weighs each class alike, however many defects it has. It is over the repeats that have all
classes: one without a class averages another thing.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from assay.analysis.computed import computed
from assay.analysis.results import StudyResults
from assay.storage.record import DefectResult
from assay.study import Cell
from trainables.evaluation.metrics.regions import SIZES

__all__ = ["DefectSummary", "Share", "defect_summaries"]

_Of = Literal["all", "class", "mean", "size"]
_ORDER: tuple[_Of, ...] = ("all", "class", "mean", "size")


class Share(NamedTuple):
    """Share of defects or images, over the repeats that have any."""

    values: tuple[float, ...]  # one for each such repeat; at least one

    @property
    def mean(self) -> float:
        """Mean over repeats."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation (n − 1) over repeats; None for fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


class DefectSummary(NamedTuple):
    """Defects of one class or size in one cell, over its repeats; None: no repeat has any."""

    of: _Of
    name: str  # `scratch`, `small`; of the mean over classes their number
    cell: Cell
    regions: tuple[int, ...]  # of each repeat; of the mean over classes all that they have
    largest: tuple[int, ...]  # area of the largest, pixels as stored
    detected: Share | None
    outlined: Share | None
    flagged: Share | None  # of the images that show such a defect, those decided defective


@computed
def defect_summaries(results: StudyResults) -> list[DefectSummary]:
    """All defects, each class, the mean over classes, and sizes; within each the cells in the plan's order.

    Empty for records without known masks.
    """
    of_cells: dict[str, list[Sequence[DefectResult]]] = {cell.name: [] for cell in results.reported.cells}
    for trial, _, result in results.trained:
        if result.defects:
            of_cells[trial.cell].append(result.defects)
    summaries = [
        summary for cell in results.reported.cells for summary in _of_cell(cell, of_cells[cell.name])
    ]
    names = list(dict.fromkeys((summary.of, summary.name) for summary in summaries))
    names.sort(key=lambda key: (_ORDER.index(key[0]), SIZES.index(key[1]) if key[0] == "size" else 0))
    return sorted(summaries, key=lambda summary: names.index((summary.of, summary.name)))


def _of_cell(cell: Cell, repeats: Sequence[Sequence[DefectResult]]) -> Iterator[DefectSummary]:
    keys: dict[tuple[_Of, str], None] = {(score.of, score.name): None for each in repeats for score in each}
    for of, name in keys:
        alike = [[score for score in each if (score.of, score.name) == (of, name)] for each in repeats]
        yield _summed(of, name, cell, list(filter(None, alike)))
    classes = [[score for score in repeat if score.of == "class"] for repeat in repeats]
    names = {score.name for repeat in classes for score in repeat}
    whole = [repeat for repeat in classes if len(repeat) == len(names)]  # else it is a mean of other classes
    if names and whole:
        yield _summed("mean", str(len(names)), cell, whole)


def _summed(of: _Of, name: str, cell: Cell, repeats: Sequence[Sequence[DefectResult]]) -> DefectSummary:
    """The scores of one class or size, or those of all classes, which weigh alike; each repeat has them."""
    return DefectSummary(
        of,
        name,
        cell,
        tuple(sum(score.regions for score in repeat) for repeat in repeats),
        tuple(max(score.largest for score in repeat) for repeat in repeats),
        _share(_mean(_part(score.detected, score.regions) for score in repeat) for repeat in repeats),
        _share(_mean(_part(score.outlined, score.regions) for score in repeat) for repeat in repeats),
        _share(_mean(_part(score.flagged, score.images) for score in repeat) for repeat in repeats),
    )


def _part(count: int | None, of: int | None) -> float | None:
    return None if count is None or not of else count / of


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _share(values: Iterable[float | None]) -> Share | None:
    known = tuple(value for value in values if value is not None)
    return Share(known) if known else None
