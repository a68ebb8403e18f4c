"""The numbers of a report for a spreadsheet: cells, and beside them comparisons, stages and defects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.report.report_format import Files, ReportFormat, stem

if TYPE_CHECKING:
    from assay.analysis.results import StudyResults
    from assay.analysis.score_file import AnalysedScores
    from assay.analysis.study_pair import StudyPair

_SUFFIX = ".csv"


def _write_study(results: StudyResults, name: str) -> Files:
    from assay.report.csv_tables import cells_csv, comparisons_csv, defects_csv, stages_csv

    files = {name: cells_csv(results).encode()}
    if name:
        files[f"{stem(name)}_comparisons{_SUFFIX}"] = comparisons_csv(results).encode()
    if name and results.stages:
        files[f"{stem(name)}_stages{_SUFFIX}"] = stages_csv(results).encode()
    if name and results.defects:
        files[f"{stem(name)}_defects{_SUFFIX}"] = defects_csv(results).encode()
    return files


def _write_pair(pair: StudyPair, name: str) -> Files:
    from assay.report.csv_tables import comparison_rows_csv

    return {name: comparison_rows_csv(pair.comparisons).encode()}


def _write_scores(scores: AnalysedScores, name: str) -> Files:
    from assay.report.score_page import score_csv

    return {name: score_csv(scores).encode()}


FORMAT = ReportFormat("csv", _SUFFIX, "CSV", "text/csv", _write_study, _write_pair, _write_scores)
