"""The statistics of one study: its comparisons, main effects and interactions, and which cells are bold.

Joins a study's results with :mod:`assay.analysis.scores.score_analysis`, which knows tables only.
"""

from __future__ import annotations

from assay.analysis.decisions import as_decided, interim, study_decisions
from assay.analysis.results.computed import computed
from assay.analysis.results.results import StudyResults
from assay.analysis.scores.score_analysis import ScoreAnalysis, ScoreTables
from assay.analysis.summary import metric_table
from assay.analysis.test_set_uncertainty import RESAMPLED_METRIC, item_intervals
from assay.statistics.contrast_test import TOO_FEW
from assay.statistics.contrasts import Contrast, comparison, levels_on_data_sets, over_data_sets
from assay.statistics.families import ComparisonResult, Rules
from assay.study import ReportedPlan
from assay.study.planning.cell_names import common_name
from trainables.evaluation.metrics import Metric

__all__ = ["score_tables", "so_far", "study_analysis", "until_planned"]


def study_analysis(results: StudyResults) -> ScoreAnalysis:
    """Test everything that the study compares; of a search, its replicated points.

    While a study goes on, nothing is bold or shown but comparisons that are settled.
    """
    return _analysis(results, with_items=results.read_part is not None)


@computed
def _analysis(results: StudyResults, *, with_items: bool) -> ScoreAnalysis:
    """The analysis, kept apart for results that read predictions: these know the primary metric's step."""
    assert with_items == (results.read_part is not None)
    scores = score_tables(results)
    with_best = len(results.data_sets) == 1

    # A study without planned looks has one, at its end. Verdicts before it would be further looks.
    decisions = study_decisions(results)
    if decisions is None:
        if results.all_ended:
            return ScoreAnalysis(scores, with_best=with_best)
        return ScoreAnalysis(
            scores,
            comparisons=lambda: tuple(until_planned(result) for result in scores.comparisons()),
            until_then=until_planned,
        )

    seeds = results.plan.study.repeats.seeds

    def decided() -> tuple[ComparisonResult, ...]:
        return as_decided(decisions, lambda number: scores.comparisons(seeds[:number]))

    # Other groups than the comparisons have no looks of their own, and wait for the last of the
    # comparisons.
    if decisions.over:
        return ScoreAnalysis(scores, comparisons=decided, with_best=with_best)
    at = decisions.taken.next
    return ScoreAnalysis(scores, comparisons=decided, until_then=lambda result: interim(result, at))


def so_far(results: StudyResults) -> ScoreAnalysis:
    """The analysis as if what has ended were all that was planned: for reckoning ahead, never for a page."""
    # The plan is cut down to what has ended: without looks to come and without pairs of which a cell is
    # missing, the tests take it for a finished study.
    plan, records = results.plan, results.records
    repeats = plan.study.repeats.model_copy(update={"decide": ()})
    study = plan.study.model_copy(update={"repeats": repeats})
    ended = tuple(trial for trial in plan.trials if trial.id in records)
    cells = {trial.cell for trial in ended}
    known = tuple(
        comparison.model_copy(update={"pairs": pairs})
        for comparison in plan.comparisons
        if (pairs := tuple(pair for pair in comparison.pairs if cells.issuperset(pair)))
    )
    ahead = plan.model_copy(update={"study": study, "trials": ended, "comparisons": known})
    return study_analysis(StudyResults(ahead, records))


def score_tables(results: StudyResults) -> ScoreTables:
    """The scores of a study, and what its file says of their statistics."""
    study, reported = results.plan.study, results.reported
    return ScoreTables(
        metrics=results.metrics,
        table=lambda metric: metric_table(results, metric),
        contrasts=_contrasts(reported),
        over_data_sets=_over_data_sets(reported),
        on_data_sets=_on_data_sets(reported),
        rules=Rules(
            results.splits,
            study.resolve,
            earlier_looks=() if study.repeats.decide else results.interim_looks,  # those are planned
            test=study.exact_test,
            seed=results.sign_seed,
        ),
        smallest_step=lambda metric: _smallest_step(results, metric),
        planned_looks=bool(study.repeats.decide),
    )


def until_planned(result: ComparisonResult) -> ComparisonResult:
    """Give a result before the one planned look; of two repeats at most no verdict will ever come."""
    if result.n_planned <= TOO_FEW:
        return result
    return interim(result, result.n_planned if result.n < result.n_planned else None)


def _smallest_step(results: StudyResults, metric: Metric) -> float | None:
    """The step by which one test image moves the metric by; None where that is not known."""
    if metric.unit == "images":
        return 1.0
    if metric.name != RESAMPLED_METRIC:
        return None
    uncertainty = item_intervals(results)
    return None if uncertainty is None else uncertainty.smallest_step


def _over_data_sets(reported: ReportedPlan) -> list[Contrast]:
    levels = {cell.name: cell.levels for cell in reported.cells}
    return [
        each
        for planned in reported.comparisons
        if planned.over is not None
        for each in over_data_sets(
            planned.name,
            planned.pairs,
            levels,
            factors=reported.study.factors,
            over=planned.over,
            ask=planned.ask,
        )
    ]


def _on_data_sets(reported: ReportedPlan) -> list[dict[str, dict[str, str]]]:
    """Level → data set → cell, for each factor that is compared over data sets and all else alike."""
    levels = {cell.name: cell.levels for cell in reported.cells}
    asked = dict.fromkeys((c.factor, c.over) for c in reported.comparisons if c.over is not None)
    return [each for factor, over in asked for each in levels_on_data_sets(levels, factor, over)]


def _contrasts(reported: ReportedPlan) -> list[Contrast]:
    levels = {cell.name: cell.levels for cell in reported.cells}
    return [
        comparison(
            planned.name,
            start,
            end,
            common_name(reported.study.factors, levels[start], levels[end]),
            planned.ask,
        )
        for planned in reported.comparisons
        for start, end in planned.pairs
    ]
