"""The statistics of one study: its comparisons, main effects and interactions, and which cells are bold.

Joins a plan and its records with :mod:`assay.analysis.statistics`, which knows neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.analysis.statistics import (
    Best,
    ComparisonResult,
    Contrast,
    MeanInterval,
    Splits,
    best_cells,
    compare_families,
    comparison,
    interactions,
    main_effects,
    mean_intervals,
)
from assay.analysis.summary import reported_metrics, tidy
from assay.analysis.test_set_uncertainty import RESAMPLED_METRIC, ItemIntervals
from assay.storage.record import Record, UnreadableRecord
from assay.study import Plan
from assay.study.cell_names import common_name
from trainables.metrics import Metric

__all__ = ["StudyAnalysis", "analyse_study", "splits_of"]


@dataclass(frozen=True)
class StudyAnalysis:
    """What the primary metric says, each group a family (for each claim) of its own."""

    comparisons: tuple[ComparisonResult, ...]
    main_effects: tuple[ComparisonResult, ...]  # of a full factorial design; else empty
    interactions: tuple[ComparisonResult, ...]
    further: tuple[
        ComparisonResult, ...
    ]  # the comparisons by each further metric: a family each, exploratory
    best: Best | None  # None: fewer than two cells can be compared
    luck: ItemIntervals | None
    intervals: Mapping[str, Mapping[str, MeanInterval]]  # of each reported metric: cell → of its mean


def analyse_study(
    plan: Plan,
    records: Mapping[str, Record],
    problems: Sequence[UnreadableRecord] = (),
    *,
    luck: ItemIntervals | None = None,
    looks: Sequence[int] = (),
) -> StudyAnalysis:
    """Everything the study was asked, answered.

    Args:
        plan: All that was to be trained; of a search, its replicated points answer.
        records: By trial id.
        problems: Records that could not be read.
        luck: Test luck, where predictions were read.
        looks: Numbers of seeds at which the study was answered before (``earlier_looks``).
    """
    plan = plan.answer()
    primary, *further = reported_metrics(plan)
    tables = {
        metric.name: tidy(plan, records, problems, metric=metric.name).to_pandas()
        for metric in (primary, *further)
    }
    table = tables[primary.name]
    splits = splits_of(plan)
    on_one_data_set = len({trial.manifest for trial in plan.trials}) == 1

    def answer(
        families: Mapping[str, Sequence[Contrast]], metric: Metric = primary
    ) -> Mapping[str, tuple[ComparisonResult, ...]]:
        if table.empty:
            return dict.fromkeys(families, ())
        return compare_families(
            tables[metric.name],
            families,
            metric=metric.name,
            splits=splits,
            resolve=plan.study.resolve if metric is primary else None,
            resolution=_smallest_step(metric, luck),
            earlier_looks=looks,
            test=plan.study.exact_test,
        )

    asked = _comparisons(plan)
    answers = answer(
        {"comparisons": asked, "main effects": main_effects(table), "interactions": interactions(table)}
    )
    best = None
    if on_one_data_set:
        best = best_cells(table, metric=primary.name, splits=splits, test=plan.study.exact_test)
    return StudyAnalysis(
        comparisons=answers["comparisons"],
        main_effects=answers["main effects"],
        interactions=answers["interactions"],
        further=tuple(
            one
            for metric in further
            for of_metric in answer({"further metrics": asked}, metric).values()
            for one in of_metric
        ),
        best=best,
        luck=luck,
        intervals={
            name: {} if of_metric.empty else mean_intervals(of_metric, metric=name, splits=splits)
            for name, of_metric in tables.items()
        },
    )


def splits_of(plan: Plan) -> dict[str, Splits]:
    """Cell → whether its seeds draw splits of their own."""
    return {cell.name: "per_seed" if cell.data.splits == "per_seed" else "prescribed" for cell in plan.cells}


def _smallest_step(metric: Metric, luck: ItemIntervals | None) -> float | None:
    """What one test image moves the metric by; None where that is not known."""
    if metric.unit == "images":
        return 1.0
    return luck.smallest_step if luck is not None and metric.name == RESAMPLED_METRIC else None


def _comparisons(plan: Plan) -> list[Contrast]:
    levels = {cell.name: cell.levels for cell in plan.cells}
    return [
        comparison(one.name, start, end, common_name(plan.study.factors, levels[start], levels[end]))
        for one in plan.comparisons
        for start, end in one.pairs
    ]
