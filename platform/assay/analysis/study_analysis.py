"""The statistics of one study: its comparisons, main effects and interactions, and which cells are bold.

Joins a study's results with :mod:`assay.analysis.statistics`, which knows tables only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from assay.analysis.decided import as_decided, interim
from assay.analysis.decisions import StudyDecisions
from assay.analysis.results import StudyResults
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
from assay.analysis.test_set_uncertainty import RESAMPLED_METRIC
from assay.study import Cell, ReportedPlan
from assay.study.cell_names import common_name
from trainables.metrics import Metric

__all__ = ["StudyAnalysis", "analyse_study", "splits_of"]


@dataclass(frozen=True)
class StudyAnalysis:
    """The statistics of the primary metric, each group a family (for each claim) of its own."""

    comparisons: tuple[ComparisonResult, ...]
    main_effects: tuple[ComparisonResult, ...]  # of an orthogonal design; else empty
    interactions: tuple[ComparisonResult, ...]  # of a full factorial
    # The comparisons by each further metric: a family each, exploratory. Without any, the main effects.
    further: tuple[ComparisonResult, ...]
    best: Best | None  # None: fewer than two cells can be compared
    intervals: Mapping[str, Mapping[str, MeanInterval]]  # of each reported metric: cell → of its mean


def analyse_study(results: StudyResults) -> StudyAnalysis:
    """Test everything that the study compares; of a search, its replicated points."""
    reported, (primary, *further) = results.reported, results.metrics
    table = results.table(primary.name)
    splits = splits_of(reported.cells)
    contrasts = _contrasts(reported)
    mains = main_effects(table)
    families = _tested(
        results,
        primary,
        {
            "comparisons": contrasts,
            "main effects": mains,
            "interactions": interactions(table),
        },
    )
    decisions, comparisons = results.decisions, families["comparisons"]
    if decisions is not None:
        comparisons = as_decided(decisions, lambda seeds: _comparisons(results, contrasts, seeds))
    best = None
    if len({trial.manifest for trial in reported.trials}) == 1:
        best = best_cells(table, metric=primary.name, splits=splits, test=reported.study.exact_test)
    analysis = StudyAnalysis(
        comparisons=comparisons,
        main_effects=families["main effects"],
        interactions=families["interactions"],
        further=tuple(
            comparison
            for metric in further
            for comparison in _tested(results, metric, {"further metrics": contrasts or mains})[
                "further metrics"
            ]
        ),
        best=best,
        intervals={metric.name: _intervals(results, metric.name, splits) for metric in results.metrics},
    )
    return analysis if decisions is None or decisions.over else _interim(analysis, decisions)


def splits_of(cells: Iterable[Cell]) -> dict[str, Splits]:
    """Cell → whether its seeds draw splits of their own."""
    return {cell.name: "per_seed" if cell.data.splits == "per_seed" else "prescribed" for cell in cells}


def _interim(analysis: StudyAnalysis, decisions: StudyDecisions) -> StudyAnalysis:
    """The analysis of a study that goes on: nothing is bold or shown but comparisons that are settled."""
    main_effects, interactions, further = (
        tuple(interim(result, decisions) for result in family)
        for family in (analysis.main_effects, analysis.interactions, analysis.further)
    )
    return replace(analysis, main_effects=main_effects, interactions=interactions, further=further, best=None)


def _comparisons(
    results: StudyResults, contrasts: Sequence[Contrast], seeds: int | None
) -> tuple[ComparisonResult, ...]:
    return _tested(results, results.primary, {"comparisons": contrasts}, seeds)["comparisons"]


def _tested(
    results: StudyResults,
    metric: Metric,
    families: Mapping[str, Sequence[Contrast]],
    seeds: int | None = None,
) -> Mapping[str, tuple[ComparisonResult, ...]]:
    """Families of contrasts by one metric; a difference worth knowing is named for the primary one only.

    ``seeds``: the first so many of the study's; None: all.
    """
    table = results.table(metric.name)
    if seeds is not None:
        table = table.loc[table["seed"].isin(results.plan.study.repeats.seeds[:seeds])]
    if table.empty:
        return dict.fromkeys(families, ())
    study = results.plan.study
    return compare_families(
        table,
        families,
        metric=metric.name,
        splits=splits_of(results.reported.cells),
        resolve=study.resolve if metric is results.primary else None,
        resolution=_smallest_step(results, metric),
        earlier_looks=() if study.repeats.decide else results.interim_looks,  # those are planned
        test=study.exact_test,
        seed=results.sign_seed,
    )


def _intervals(results: StudyResults, metric: str, splits: Mapping[str, Splits]) -> dict[str, MeanInterval]:
    table = results.table(metric)
    return {} if table.empty else mean_intervals(table, metric=metric, splits=splits)


def _smallest_step(results: StudyResults, metric: Metric) -> float | None:
    """The step by which one test image moves the metric by; None where that is not known."""
    if metric.unit == "images":
        return 1.0
    if metric.name != RESAMPLED_METRIC:
        return None
    uncertainty = results.test_set_uncertainty
    return None if uncertainty is None else uncertainty.smallest_step


def _contrasts(reported: ReportedPlan) -> list[Contrast]:
    levels = {cell.name: cell.levels for cell in reported.cells}
    return [
        comparison(planned.name, start, end, common_name(reported.study.factors, levels[start], levels[end]))
        for planned in reported.comparisons
        for start, end in planned.pairs
    ]
