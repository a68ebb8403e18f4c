"""Scores of each stage of a model, cell by cell, from the records.

A stage's maps are scored on test images, its pseudo labels on training images. Beside them stand floors: maps
that know nothing of the image, above which a stage must rise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import pandas as pd

from assay.analysis.computed import computed
from assay.analysis.results import StudyResults
from assay.analysis.summary import CellSummary, Repeat, metric_table
from assay.statistics.mean_interval import MeanInterval, mean_intervals
from assay.statistics.score_table import Splits
from assay.study import Cell

__all__ = ["SIZE_METRIC", "STAGE_METRICS", "StageSummary", "stage_intervals", "stage_summaries"]

STAGE_METRICS = ("pixel_ap", "pixel_pro", "pixel_iou_positive", "pixel_iou", "pixel_iou_oracle")
SIZE_METRIC = "image_ap"  # of one floor only: what the photographs' sizes tell

_Of = Literal["test", "train", "floor"]
_ORDER: tuple[_Of, ...] = ("test", "train", "floor")


class StageSummary(NamedTuple):
    """One stage of one cell, or a floor beside it, over the repeats."""

    of: _Of
    stage: str
    summaries: tuple[CellSummary, ...]  # one of each of these metrics that the stage has


@computed
def stage_summaries(results: StudyResults) -> list[StageSummary]:
    """Stage by stage: maps in the order of the chain, then pseudo labels of training images, then floors.

    Within a stage the cells come in the plan's order; one without that stage is left out. Empty for methods
    without stages.
    """
    reported = results.reported
    repeats: dict[str, list[Repeat]] = {cell.name: [] for cell in reported.cells}
    scores: dict[tuple[_Of, str], dict[str, dict[Repeat, Mapping[str, float]]]] = {}
    chains: list[list[tuple[_Of, str]]] = []
    for trial in reported.trials:
        repeats[trial.cell].append(Repeat(trial.seed, trial.fold))
    for trial, record, result in results.trained:
        if record.status != "finished":
            continue
        chains.append([(stage.of, stage.stage) for stage in result.stages])
        for stage in result.stages:
            of_cells = scores.setdefault((stage.of, stage.stage), {})
            of_cells.setdefault(trial.cell, {})[Repeat(trial.seed, trial.fold)] = stage.metrics
    stages = sorted(_merged(chains), key=lambda stage: _ORDER.index(stage[0]))
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


def _merged(chains: Iterable[list[tuple[_Of, str]]]) -> list[tuple[_Of, str]]:
    """One order for all chains: a stage that is new stands after the one that it follows in its own chain."""
    order: list[tuple[_Of, str]] = []
    for chain in chains:
        place = 0
        for stage in chain:
            if stage not in order:
                order.insert(place, stage)
            place = order.index(stage) + 1
    return order
