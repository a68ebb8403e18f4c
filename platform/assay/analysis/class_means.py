"""Means over classes, where a factor chooses the class: what benchmarks of several classes report."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from assay.analysis.results import StudyResults
from assay.analysis.summary import CellSummary, Repeat, metric_summary
from assay.study import Cell, Study

__all__ = ["ClassMean", "class_factor", "class_means"]


class ClassMean(NamedTuple):
    """Cells that differ in the class alone, as one."""

    levels: Mapping[str, str]  # of the other factors
    classes: tuple[str, ...]  # levels of the factor that chooses the class
    published: bool  # only the classes of which the study gives a published figure of some metric
    # Metric → its mean over the classes, of each repeat that has them all.
    means: Mapping[str, tuple[float, ...]]
    figures: Mapping[str, float]  # metric → mean of what is published, where it is of just these classes


def class_factor(study: Study, cells: Sequence[Cell]) -> str | None:
    """The factor each level of which keeps other `data.classes`; None where there is none."""
    for factor in study.factors:
        kept: dict[str, set[tuple[str, ...] | None]] = {}
        for cell in cells:
            kept.setdefault(cell.levels[factor], set()).add(cell.data.classes)
        chosen = [next(iter(classes)) for classes in kept.values() if len(classes) == 1]
        if len(chosen) == len(kept) == len(set(chosen)) > 1 and None not in chosen:
            return factor
    return None


def class_means(results: StudyResults) -> list[ClassMean]:
    """A mean for each combination of the other factors' levels; empty where no factor chooses the class.

    Where figures of a metric are published of some of the classes only, a further mean is over these.
    """
    study, cells = results.plan.study, results.reported.cells
    factor = class_factor(study, cells)
    if factor is None:
        return []
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for index, cell in enumerate(cells):
        others = tuple((name, level) for name, level in cell.levels.items() if name != factor)
        groups.setdefault(others, []).append(index)
    return [mean for others, chosen in groups.items() for mean in _of_group(results, factor, others, chosen)]


def _of_group(
    results: StudyResults, factor: str, others: Sequence[tuple[str, str]], chosen: Sequence[int]
) -> Iterator[ClassMean]:
    cells, study = results.reported.cells, results.plan.study
    published = {index: study.published_values(cells[index].levels) for index in chosen}
    given = {
        metric.name: tuple(index for index in chosen if metric.name in published[index])
        for metric in results.metrics
    }
    for kept in dict.fromkeys((tuple(chosen), *given.values())):
        if len(kept) < 2:
            continue
        yield ClassMean(
            levels=dict(others),
            classes=tuple(cells[index].levels[factor] for index in kept),
            published=len(kept) < len(chosen),
            means={name: _means([metric_summary(results, name)[index] for index in kept]) for name in given},
            figures={
                name: statistics.fmean(published[index][name] for index in kept)
                for name, of_metric in given.items()
                if of_metric == kept
            },
        )


def _means(summaries: Sequence[CellSummary]) -> tuple[float, ...]:
    common: set[Repeat] = set.intersection(*(set(summary.values) for summary in summaries))
    ordered = sorted(common, key=lambda repeat: (repeat.seed, -1 if repeat.fold is None else repeat.fold))
    return tuple(statistics.fmean(summary.values[repeat] for summary in summaries) for repeat in ordered)
