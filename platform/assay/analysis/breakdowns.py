"""Scores taken apart cell by cell: by class and size of defects, over classes, and by the stages of a model.

A mean over classes weighs each class alike, however many defects it has. It is over the repeats that have all
classes: one without a class averages another thing.

A stage's maps are scored on test images, its pseudo labels on training images. Beside them stand baseline
maps: maps that know nothing of the image, above which a stage must rise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import pandas as pd

from assay.analysis.results.computed import computed
from assay.analysis.results.results import StudyResults
from assay.analysis.summary import CellSummary, Repeat, metric_summary, metric_table
from assay.statistics.intervals import MeanInterval, mean_intervals
from assay.statistics.scores import Splits
from assay.study import Cell, Study
from trainables.data.readers import READERS
from trainables.evaluation.metrics.regions import SIZES, DefectScore

__all__ = [
    "SIZE_METRIC",
    "STAGE_METRICS",
    "ClassMean",
    "DefectSummary",
    "Share",
    "StageSummary",
    "class_factor",
    "class_means",
    "defect_summaries",
    "stage_intervals",
    "stage_summaries",
]

# Defects by class and size -------------------------------------------------------------------------------


_DefectsOf = Literal["all", "class", "mean", "size"]
_DEFECT_ORDER: tuple[_DefectsOf, ...] = ("all", "class", "mean", "size")


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

    of: _DefectsOf
    name: str  # `scratch`, `small`; of the mean over classes their number
    cell: Cell
    regions: tuple[int, ...]  # of each repeat; of the mean over classes all that they have
    largest: tuple[int, ...]  # area of the largest, pixels as stored
    detected: Share | None
    outlined: Share | None
    flagged: Share | None  # of the images that show such a defect, those decided defective


@computed
def defect_summaries(results: StudyResults) -> list[DefectSummary]:
    """Summarise all defects, each class, the mean over classes, and sizes; within each the cells as planned.

    Empty for records without known masks.
    """
    of_cells: dict[str, list[Sequence[DefectScore]]] = {cell.name: [] for cell in results.reported.cells}
    for trial, _, result in results.trained:
        if result.defects:
            of_cells[trial.cell].append(result.defects)
    summaries = [
        summary for cell in results.reported.cells for summary in _cell_defects(cell, of_cells[cell.name])
    ]
    # Rows run from all defects to sizes, and sizes from small to large. Classes keep the order in which
    # they came: both sorts are stable.
    names = list(dict.fromkeys((summary.of, summary.name) for summary in summaries))
    names.sort(key=lambda key: (_DEFECT_ORDER.index(key[0]), SIZES.index(key[1]) if key[0] == "size" else 0))
    return sorted(summaries, key=lambda summary: names.index((summary.of, summary.name)))


def _cell_defects(cell: Cell, repeats: Sequence[Sequence[DefectScore]]) -> Iterator[DefectSummary]:
    # A repeat may lack a class or a size, where its split has no such defect: each row is over those that
    # have it.
    keys: dict[tuple[_DefectsOf, str], None] = {
        (score.of, score.name): None for each in repeats for score in each
    }
    for of, name in keys:
        alike = [[score for score in each if (score.of, score.name) == (of, name)] for each in repeats]
        yield _summed(of, name, cell, list(filter(None, alike)))

    # The mean over classes is of repeats that have every class of the cell.
    classes = [[score for score in repeat if score.of == "class"] for repeat in repeats]
    names = {score.name for repeat in classes for score in repeat}
    whole = [repeat for repeat in classes if len(repeat) == len(names)]  # else it is a mean of other classes
    if names and whole:
        yield _summed("mean", str(len(names)), cell, whole)


def _summed(of: _DefectsOf, name: str, cell: Cell, repeats: Sequence[Sequence[DefectScore]]) -> DefectSummary:
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


# Means over classes that a factor chooses ----------------------------------------------------------------


class ClassMean(NamedTuple):
    """Cells that differ in the class alone, as one."""

    levels: Mapping[str, str]  # of the other factors
    classes: tuple[str, ...]  # levels of the factor that chooses the class
    of: str  # which of all classes, `textures` or `with a published figure`; empty: all
    # Metric → its mean over the classes, of each repeat that has them all.
    means: Mapping[str, tuple[float, ...]]
    figures: Mapping[str, float]  # metric → mean of what is published, where it is of just these classes


def class_factor(study: Study, cells: Sequence[Cell]) -> str | None:
    """The factor each level of which keeps other `data.classes`, or another part of the reader's data sets.

    A part is what an option such as ``category: bottle`` chooses. None where there is no such factor.
    """
    for factor in study.factors:
        # A factor chooses the class if each of its levels always keeps the same classes, and no two levels
        # the same.
        kept: dict[str, set[tuple[str, ...] | None]] = {}
        for cell in cells:
            kept.setdefault(cell.levels[factor], set()).add(_kept(cell))
        chosen = [next(iter(classes)) for classes in kept.values() if len(classes) == 1]
        if len(chosen) == len(kept) == len(set(chosen)) > 1 and None not in chosen:
            return factor
    return None


def _kept(cell: Cell) -> tuple[str, ...] | None:
    """The classes and the part of the data sets that a cell keeps; None: all."""
    part = _part_of(cell)
    return (*(cell.data.classes or ()), *([part] if part else [])) or None


def _part_of(cell: Cell) -> str | None:
    """What the reader's option chooses, such as `bottle`; None where it does not, or is not installed."""
    if not cell.data.options or cell.data.reader not in READERS:
        return None
    part = cell.data.options.get(READERS[cell.data.reader].part_option or "")
    return None if part is None else str(part)


def class_means(results: StudyResults) -> list[ClassMean]:
    """A mean for each combination of the other factors' levels; empty where no factor chooses the class.

    Further means are over the groups that the reader names, such as textures and objects, and over the
    classes of which figures of a metric are published, where they are some of the classes only.
    """
    study, cells = results.plan.study, results.reported.cells
    factor = class_factor(study, cells)
    if factor is None:
        return []
    # Cells that agree in every other factor are the classes of one mean.
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for index, cell in enumerate(cells):
        others = tuple((name, level) for name, level in cell.levels.items() if name != factor)
        groups.setdefault(others, []).append(index)
    return [
        mean for others, chosen in groups.items() for mean in _class_means(results, factor, others, chosen)
    ]


def _class_means(
    results: StudyResults, factor: str, others: Sequence[tuple[str, str]], chosen: Sequence[int]
) -> Iterator[ClassMean]:
    cells, study = results.reported.cells, results.plan.study
    # Which classes have a published figure, metric by metric: a paper may leave some out.
    published = {index: study.published_values(cells[index].levels) for index in chosen}
    given = {
        metric.name: tuple(index for index in chosen if metric.name in published[index])
        for metric in results.metrics
    }

    # The mean over all classes comes first, then those of the reader's groups, then one for each smaller set
    # with published figures: a paper's mean may only be set beside a mean over the same classes.
    sets = {tuple(chosen): ""}
    for group, parts in _part_groups(cells[chosen[0]]).items():
        sets.setdefault(tuple(index for index in chosen if _part_of(cells[index]) in parts), group)
    for kept in given.values():
        sets.setdefault(kept, "with a published figure")
    for kept, of in sets.items():
        if len(kept) < 2:
            continue
        yield ClassMean(
            levels=dict(others),
            classes=tuple(cells[index].levels[factor] for index in kept),
            of=of,
            means={name: _means([metric_summary(results, name)[index] for index in kept]) for name in given},
            figures={
                name: statistics.fmean(published[index][name] for index in kept)
                for name, of_metric in given.items()
                if of_metric == kept
            },
        )


def _part_groups(cell: Cell) -> Mapping[str, Sequence[str]]:
    """The groups that the reader of a cell names: `textures` → their names."""
    return READERS[cell.data.reader].part_groups if cell.data.reader in READERS else {}


def _means(summaries: Sequence[CellSummary]) -> tuple[float, ...]:
    # A repeat counts if every class has it; seeds and folds are put in order so that repeats stand alike in
    # rows.
    common: set[Repeat] = set.intersection(*(set(summary.values) for summary in summaries))
    ordered = sorted(common, key=lambda repeat: (repeat.seed, -1 if repeat.fold is None else repeat.fold))
    return tuple(statistics.fmean(summary.values[repeat] for summary in summaries) for repeat in ordered)


# Stages of a model ---------------------------------------------------------------------------------------


STAGE_METRICS = ("pixel_ap", "pixel_pro", "pixel_iou_positive", "pixel_iou", "pixel_iou_oracle")
SIZE_METRIC = "image_ap"  # of one baseline only: what the photographs' sizes tell

_StageOf = Literal["test", "train", "floor"]
_STAGE_ORDER: tuple[_StageOf, ...] = ("test", "train", "floor")


class StageSummary(NamedTuple):
    """One stage of one cell, or a baseline map beside it, over the repeats."""

    of: _StageOf
    stage: str
    summaries: tuple[CellSummary, ...]  # one of each of these metrics that the stage has


@computed
def stage_summaries(results: StudyResults) -> list[StageSummary]:
    """Summarise the stages: maps in the order of the chain, then pseudo labels of training images, then
    baseline maps.

    Within a stage the cells come in the plan's order; one without that stage is left out. Empty for methods
    without stages.
    """
    reported = results.reported
    repeats: dict[str, list[Repeat]] = {cell.name: [] for cell in reported.cells}
    scores: dict[tuple[_StageOf, str], dict[str, dict[Repeat, Mapping[str, float]]]] = {}
    chains: list[list[tuple[_StageOf, str]]] = []
    for trial in reported.trials:
        repeats[trial.cell].append(Repeat(trial.seed, trial.fold))

    # Stages are scored after a training: of one that did not finish there are none to speak of.
    for trial, record, result in results.trained:
        if record.status != "finished":
            continue
        chains.append([(stage.of, stage.stage) for stage in result.stages])
        for stage in result.stages:
            of_cells = scores.setdefault((stage.of, stage.stage), {})
            of_cells.setdefault(trial.cell, {})[Repeat(trial.seed, trial.fold)] = stage.metrics

    # Cells may have different chains, as of an ablation that leaves a stage out: one order has to hold for
    # all.
    stages = sorted(_merged(chains), key=lambda stage: _STAGE_ORDER.index(stage[0]))
    return [
        StageSummary(*stage, tuple(_summaries(cell, repeats[cell.name], scores[stage][cell.name])))
        for stage in stages
        for cell in reported.cells
        if cell.name in scores[stage]
    ]


def stage_intervals(results: StudyResults) -> list[tuple[MeanInterval | None, ...]]:
    """Interval of the mean of each of the ``summaries`` of each stage, made like those of cells."""
    planned, splits = metric_table(results, SIZE_METRIC), results.splits
    return [
        tuple(_interval(summary, planned, splits[summary.cell.name]) for summary in stage.summaries)
        for stage in stage_summaries(results)
    ]


def _interval(summary: CellSummary, planned: pd.DataFrame, splits: Splits) -> MeanInterval | None:
    # The table of any metric tells which repeats were planned, and the sizes of their parts, which the
    # interval needs. Only its values are put aside for those of the stage.
    of_cell = planned[planned["cell"] == summary.cell.name]
    repeats = [
        Repeat(int(seed), None if pd.isna(fold) else int(fold))
        for seed, fold in zip(of_cell["seed"], of_cell["fold"], strict=True)
    ]
    values = [summary.values.get(repeat, math.nan) for repeat in repeats]
    of_stage = of_cell.assign(metric=summary.metric, value=values)
    return mean_intervals(of_stage, metric=summary.metric, splits=splits).get(summary.cell.name)


def _summaries(
    cell: Cell, repeats: list[Repeat], values: Mapping[Repeat, Mapping[str, float]]
) -> Iterable[CellSummary]:
    for metric in (*STAGE_METRICS, SIZE_METRIC):
        known = {repeat: scores[metric] for repeat, scores in values.items() if metric in scores}
        if known:
            yield CellSummary(metric=metric, repeats=tuple(repeats), values=known, lost=(), cell=cell)


def _merged(chains: Iterable[list[tuple[_StageOf, str]]]) -> list[tuple[_StageOf, str]]:
    """One order for all chains: a stage that is new stands after the one that it follows in its own chain."""
    order: list[tuple[_StageOf, str]] = []
    for chain in chains:
        place = 0
        # A stage that is known moves the place on, so what follows in this chain is put behind it.
        for stage in chain:
            if stage not in order:
                order.insert(place, stage)
            place = order.index(stage) + 1
    return order
