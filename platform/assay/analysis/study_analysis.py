"""The statistics of one study: its comparisons, main effects and interactions, and which cells are bold.

Joins a study's results with :mod:`assay.analysis.score_analysis`, which knows tables only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from assay.analysis.decided import as_decided, interim
from assay.analysis.decisions import StudyDecisions
from assay.analysis.results import StudyResults
from assay.analysis.score_analysis import ScoreAnalysis, ScoreTables, analyse_scores
from assay.analysis.statistics import ComparisonResult, Contrast, Splits, comparison
from assay.analysis.test_set_uncertainty import RESAMPLED_METRIC
from assay.study import Cell, ReportedPlan
from assay.study.cell_names import common_name
from trainables.metrics import Metric

__all__ = ["analyse_study", "splits_of"]


def analyse_study(results: StudyResults) -> ScoreAnalysis:
    """Test everything that the study compares; of a search, its replicated points."""
    scores = _score_tables(results)
    analysis = analyse_scores(scores)
    if len({trial.manifest for trial in results.reported.trials}) != 1:
        analysis = replace(analysis, best=None)  # of scores on several data sets none is the best
    decisions = results.decisions
    if decisions is None:
        return analysis

    def tested(seeds: int | None) -> tuple[ComparisonResult, ...]:
        """The comparisons with the first so many of the study's seeds, or with all."""
        first = None if seeds is None else results.plan.study.repeats.seeds[:seeds]
        return scores.tested(scores.primary, {"comparisons": scores.contrasts}, first)["comparisons"]

    analysis = replace(analysis, comparisons=as_decided(decisions, tested))
    return analysis if decisions.over else _interim(analysis, decisions)


def splits_of(cells: Iterable[Cell]) -> dict[str, Splits]:
    """Cell → whether its seeds draw splits of their own."""
    return {cell.name: "per_seed" if cell.data.splits == "per_seed" else "prescribed" for cell in cells}


def _score_tables(results: StudyResults) -> ScoreTables:
    study, reported = results.plan.study, results.reported
    return ScoreTables(
        metrics=results.metrics,
        table=results.table,
        contrasts=_contrasts(reported),
        splits=splits_of(reported.cells),
        resolve=study.resolve,
        smallest_step=lambda metric: _smallest_step(results, metric),
        earlier_looks=() if study.repeats.decide else results.interim_looks,  # those are planned
        test=study.exact_test,
        sign_seed=results.sign_seed,
    )


def _interim(analysis: ScoreAnalysis, decisions: StudyDecisions) -> ScoreAnalysis:
    """The analysis of a study that goes on: nothing is bold or shown but comparisons that are settled."""
    main_effects, interactions, further = (
        tuple(interim(result, decisions) for result in family)
        for family in (analysis.main_effects, analysis.interactions, analysis.further)
    )
    return replace(analysis, main_effects=main_effects, interactions=interactions, further=further, best=None)


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
