"""The statistics of scores, whoever computed them: comparisons, effects, bold cells and intervals of means.

A study's own analysis (:mod:`assay.analysis.study_analysis`) and that of a table from elsewhere
(:mod:`assay.analysis.score_file`) are both made here, so the rules are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from assay.analysis.statistics import (
    Best,
    ComparisonResult,
    Contrast,
    MeanInterval,
    Splits,
    compare_families,
    interactions,
    main_effects,
    mean_intervals,
)
from assay.analysis.statistics.best_cells import best_cells
from assay.analysis.statistics.paired import Test
from trainables.metrics import Metric

__all__ = ["ScoreAnalysis", "ScoreTables", "analyse_scores"]


@dataclass(frozen=True)
class ScoreAnalysis:
    """The statistics of the primary metric, each group a family (for each claim) of its own."""

    comparisons: tuple[ComparisonResult, ...]
    main_effects: tuple[ComparisonResult, ...]  # of an orthogonal design; else empty
    interactions: tuple[ComparisonResult, ...]  # of a full factorial
    # The comparisons by each further metric: a family each, exploratory. Without any, the main effects.
    further: tuple[ComparisonResult, ...]
    best: Best | None  # None: fewer than two cells can be compared
    intervals: Mapping[str, Mapping[str, MeanInterval]]  # of each reported metric: cell → of its mean


@dataclass(frozen=True, eq=False)
class ScoreTables:
    """Tidy tables of scores, and all that the statistics ask beside them."""

    metrics: Sequence[Metric]  # the primary one first
    table: Callable[[str], pd.DataFrame]  # name of a metric → a row per repeat
    contrasts: Sequence[Contrast]  # the comparisons
    splits: Mapping[str, Splits]
    resolve: float | None  # of the primary metric; None: nothing is negligible
    smallest_step: Callable[[Metric], float | None]
    earlier_looks: Sequence[int]
    test: Test
    sign_seed: int

    @property
    def primary(self) -> Metric:
        """The metric that the question is about."""
        return self.metrics[0]

    def tested(
        self,
        metric: Metric,
        families: Mapping[str, Sequence[Contrast]],
        seeds: Sequence[int] | None = None,
    ) -> Mapping[str, tuple[ComparisonResult, ...]]:
        """Families of contrasts by one metric; a difference worth knowing is named for the primary one only.

        ``seeds``: those that count; None: all.
        """
        table = self.table(metric.name)
        if seeds is not None:
            table = table.loc[table["seed"].isin(seeds)]
        if table.empty:
            return dict.fromkeys(families, ())
        return compare_families(
            table,
            families,
            metric=metric,
            splits=self.splits,
            resolve=self.resolve if metric is self.primary else None,
            resolution=self.smallest_step(metric),
            earlier_looks=self.earlier_looks,
            test=self.test,
            seed=self.sign_seed,
        )


def analyse_scores(scores: ScoreTables) -> ScoreAnalysis:
    """Test all comparisons by every metric, and the effects of an orthogonal design by the primary one."""
    primary, *further = scores.metrics
    table = scores.table(primary.name)
    mains = main_effects(table)
    families = scores.tested(
        primary,
        {
            "comparisons": scores.contrasts,
            "main effects": mains,
            "interactions": interactions(table),
        },
    )
    return ScoreAnalysis(
        comparisons=families["comparisons"],
        main_effects=families["main effects"],
        interactions=families["interactions"],
        further=tuple(
            result
            for metric in further
            for result in scores.tested(metric, {"further metrics": scores.contrasts or mains})[
                "further metrics"
            ]
        ),
        best=best_cells(table, metric=primary, splits=scores.splits, test=scores.test),
        intervals={metric.name: _intervals(scores, metric) for metric in scores.metrics},
    )


def _intervals(scores: ScoreTables, metric: Metric) -> dict[str, MeanInterval]:
    table = scores.table(metric.name)
    return {} if table.empty else mean_intervals(table, metric=metric, splits=scores.splits)
