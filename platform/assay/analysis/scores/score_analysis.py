"""The statistics of scores, whoever computed them: comparisons, effects, bold cells and intervals of means.

A study's own analysis (:mod:`assay.analysis.study_analysis`) and that of a table from elsewhere
(:mod:`assay.analysis.scores.score_file`) are both made here, so the rules are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from assay.analysis.results.computed import Computed
from assay.statistics.contrasts import Contrast, interactions, main_effects
from assay.statistics.data_sets import FRIEDMAN_CELLS, FRIEDMAN_SETS, Ranking, rank_cells
from assay.statistics.families import Best, ComparisonResult, Rules, best_cells, compare
from assay.statistics.intervals import MeanInterval, mean_intervals
from assay.statistics.scores import Scores, read_scores
from trainables.evaluation.metrics import Metric

__all__ = ["ScoreAnalysis", "ScoreTables"]


@dataclass(frozen=True, eq=False)
class ScoreTables:
    """Tidy tables of scores, and all that the statistics ask beside them."""

    metrics: Sequence[Metric]  # the primary one first
    table: Callable[[str], pd.DataFrame]  # name of a metric → a row per repeat
    contrasts: Sequence[Contrast]  # the comparisons
    rules: Rules  # of the primary metric; `resolution` comes from `smallest_step`
    smallest_step: Callable[[Metric], float | None]
    asked: bool = True  # False: nobody named comparisons, and these are all that the table allows
    planned_looks: bool = False  # True: they are of exact tests, so nothing is compared for new data
    over_data_sets: Sequence[Contrast] = ()  # comparisons whose unit is a data set
    on_data_sets: Sequence[Mapping[str, Mapping[str, str]]] = ()  # what is ranked: level → data set → cell

    @property
    def primary(self) -> Metric:
        """The metric that the question is about."""
        return self.metrics[0]

    def comparisons(self, seeds: Sequence[int] | None = None) -> tuple[ComparisonResult, ...]:
        """The comparisons by the primary metric. ``seeds``: those that count; None: all."""
        return self.tested(self.primary, "comparisons", self.contrasts, seeds)

    def tested(
        self,
        metric: Metric,
        family: str,
        contrasts: Sequence[Contrast],
        seeds: Sequence[int] | None = None,
    ) -> tuple[ComparisonResult, ...]:
        """A family of contrasts by one metric; a difference worth knowing is named for the primary one only.

        ``seeds``: those that count; None: all.
        """
        # A test on fewer seeds is one on fewer rows: the look at five seeds is that of a study with five.
        table = self.table(metric.name)
        if seeds is not None:
            table = table.loc[table["seed"].isin(seeds)]
        if table.empty:
            return ()
        results = compare(table, contrasts, metric=metric, rules=self.rules_of(metric), family=family)
        return tuple(result for result in results if result.claim != "new data" or not self.planned_looks)

    def rules_of(self, metric: Metric) -> Rules:
        """Rules by which the scores of a metric are tested."""
        resolve = self.rules.resolve if metric is self.primary else None
        return replace(self.rules, resolve=resolve, resolution=self.smallest_step(metric))


class ScoreAnalysis:
    """The statistics of scores, each group a family (for each claim) of its own.

    A group is tested when it is first asked for: the first page of a study of a thousand cells shows the main
    effects, and does not wait for two thousand comparisons.
    """

    def __init__(
        self,
        scores: ScoreTables,
        *,
        comparisons: Callable[[], tuple[ComparisonResult, ...]] | None = None,
        until_then: Callable[[ComparisonResult], ComparisonResult] | None = None,
        with_best: bool = True,
    ) -> None:
        """Take the tables; nothing is computed yet.

        Args:
            scores: The tables.
            comparisons: The comparisons of a study that decides or goes on; None: as tested.
            until_then: A result of any other group while the study goes on; None: it has ended.
            with_best: False where no cell can be the best.
        """
        self._scores, self._until_then, self._with_best = scores, until_then, with_best
        self._make_comparisons = comparisons or scores.comparisons
        self._once = Computed().once

    @property
    def asked(self) -> bool:
        """True where the comparisons are somebody's question; False: they are all that the table allows."""
        return self._scores.asked

    @property
    def comparisons(self) -> tuple[ComparisonResult, ...]:
        """The comparisons by the primary metric."""
        return self._once("comparisons", self._make_comparisons)

    @property
    def over_data_sets(self) -> tuple[ComparisonResult, ...]:
        """The comparisons that claim over data sets, by the primary metric: a family of their own."""
        return self._once("over data sets", self._make_over_data_sets)

    @property
    def rankings(self) -> tuple[Ranking, ...]:
        """Mean ranks of levels over data sets, where there are enough of both and the study is over."""
        return self._once("rankings", self._make_rankings)

    @property
    def main_effects(self) -> tuple[ComparisonResult, ...]:
        """The main effects of an orthogonal design; empty for any other, and beside claims over data sets."""
        return self._once("main effects", lambda: self._family("main effects", main_effects))

    @property
    def interactions(self) -> tuple[ComparisonResult, ...]:
        """The interactions of a full factorial; empty for any other design."""
        return self._once("interactions", lambda: self._family("interactions", interactions))

    @property
    def further(self) -> tuple[ComparisonResult, ...]:
        """The comparisons, else the main effects, by each further metric: a family each, exploratory."""
        return self._once("further", self._make_further)

    @property
    def best(self) -> Best | None:
        """The bold cells; None: fewer than two can be compared, or the study goes on."""
        return self._once("best", self._make_best)

    def intervals(self, metric: str) -> Mapping[str, MeanInterval]:
        """Cell → interval of its mean; empty for a metric that is not reported."""
        return self._once(f"intervals {metric}", lambda: self._make_intervals(metric))

    def as_they_stand(self, results: Iterable[ComparisonResult]) -> tuple[ComparisonResult, ...]:
        """Results of a group other than the comparisons; without a verdict while the study goes on."""
        until_then = self._until_then
        return tuple(results) if until_then is None else tuple(until_then(result) for result in results)

    def _family(
        self, name: str, contrasts: Callable[[pd.DataFrame], Sequence[Contrast]]
    ) -> tuple[ComparisonResult, ...]:
        # Seeds of several data sets have nothing in common: an average over data sets has these for units.
        if self._scores.over_data_sets:
            return ()
        primary = self._scores.primary
        results = self._scores.tested(primary, name, contrasts(self._scores.table(primary.name)))
        return self.as_they_stand(results)

    def _make_over_data_sets(self) -> tuple[ComparisonResult, ...]:
        scores = self._scores
        if not scores.over_data_sets:
            return ()
        results = scores.tested(scores.primary, "over data sets", scores.over_data_sets)
        return self.as_they_stand(results)

    def _make_rankings(self) -> tuple[Ranking, ...]:
        scores, primary = self._scores, self._scores.primary
        if self._until_then is not None or not scores.on_data_sets:
            return ()
        read = read_scores(scores.table(primary.name), primary, splits=scores.rules.splits)
        rankings: list[Ranking] = []
        for levels in scores.on_data_sets:
            sets = dict.fromkeys(name for cells in levels.values() for name in cells)
            means = np.array(
                [
                    [_mean(read, cells[name]) if name in cells else math.nan for cells in levels.values()]
                    for name in sets
                ]
            )
            # A data set on which a level has no value ranks nothing.
            whole = means[~np.isnan(means).any(axis=1)]
            if len(levels) >= FRIEDMAN_CELLS and len(whole) >= FRIEDMAN_SETS:
                rankings.append(rank_cells(whole, tuple(levels), primary.sign))
        return tuple(rankings)

    def _make_further(self) -> tuple[ComparisonResult, ...]:
        # A study of factors without comparisons is about its main effects, so its further metrics are too.
        primary, *further = self._scores.metrics
        contrasts = self._scores.contrasts or main_effects(self._scores.table(primary.name))
        over = self._scores.over_data_sets
        return self.as_they_stand(
            result
            for metric in further
            for group in (contrasts, over)
            if group
            for result in self._scores.tested(metric, "further metrics", group)
        )

    def _make_best(self) -> Best | None:
        if self._until_then is not None or not self._with_best:
            return None
        scores, primary = self._scores, self._scores.primary
        return best_cells(scores.table(primary.name), metric=primary, rules=scores.rules_of(primary))

    def _make_intervals(self, name: str) -> Mapping[str, MeanInterval]:
        metric = next((metric for metric in self._scores.metrics if metric.name == name), None)
        if metric is None:
            return {}
        table = self._scores.table(name)
        return {} if table.empty else mean_intervals(table, metric=metric, splits=self._scores.rules.splits)


def _mean(scores: Scores, cell: str) -> float:
    """Mean over the repeats of a cell; one that diverged counts as the worst value. NaN: one has no value."""
    column = scores.cells.get(cell)
    if column is None:
        return math.nan
    values = scores.values[scores.planned[:, column], column]
    if scores.metric.worst is not None:
        lost = scores.diverged[scores.planned[:, column], column]
        values = np.where(lost, scores.metric.worst, values)
    return float(np.mean(values)) if len(values) else math.nan
