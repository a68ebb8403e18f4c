"""The numbers of a report for a spreadsheet: cells, and beside them comparisons, stages and defects.

The other formats write the texts of a page. This one has numbers, and takes them from where the page does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from assay.analysis.breakdowns import defect_summaries, stage_summaries
from assay.report.formats import Files, ReportFormat, stem

if TYPE_CHECKING:
    from assay.analysis.results.results import StudyResults
    from assay.analysis.scores.score_file import AnalysedScores
    from assay.analysis.study_pair import StudyPair
    from assay.statistics.families import ComparisonResult

_SUFFIX = ".csv"


def _write_study(results: StudyResults, name: str) -> Files:
    from assay.report.rows import (
        cell_table,
        defect_table,
        report_table,
        stage_table,
        to_csv,
    )

    tables = {name: cell_table(results)}
    if name:
        tables[f"{stem(name)}_comparisons{_SUFFIX}"] = report_table(results)
    if name and stage_summaries(results):
        tables[f"{stem(name)}_stages{_SUFFIX}"] = stage_table(results)
    if name and defect_summaries(results):
        tables[f"{stem(name)}_defects{_SUFFIX}"] = defect_table(results)
    return {path: to_csv(table).encode() for path, table in tables.items()}


def _write_pair(pair: StudyPair, name: str) -> Files:
    return _comparisons_file(pair.comparisons, name)


def _write_scores(scores: AnalysedScores, name: str) -> Files:
    from assay.report.pages import score_comparisons

    return _comparisons_file(score_comparisons(scores), name)


def _comparisons_file(results: Sequence[ComparisonResult], name: str) -> Files:
    from assay.report.rows import comparison_table, to_csv

    return {name: to_csv(comparison_table(results)).encode()}


FORMAT = ReportFormat("csv", _SUFFIX, "CSV", "text/csv", _write_study, _write_pair, _write_scores)
