"""The numbers of a report for a program: cells, comparisons, stages, defects and points in one document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.report.formats import Files, ReportFormat

if TYPE_CHECKING:
    from assay.analysis.results.results import StudyResults
    from assay.analysis.scores.score_file import AnalysedScores
    from assay.analysis.study_pair import StudyPair
    from assay.report.answers import Answer


def _write_study(results: StudyResults, name: str) -> Files:
    from assay.report.answers.results import report_answer

    return _file(report_answer(results), name)


def _write_pair(pair: StudyPair, name: str) -> Files:
    from assay.report.answers.results import pair_answer

    return _file(pair_answer(pair), name)


def _write_scores(scores: AnalysedScores, name: str) -> Files:
    from assay.report.answers.results import judge_answer

    return _file(judge_answer(scores), name)


def _file(answer: Answer, name: str) -> Files:
    return {name: f"{answer.text()}\n".encode()}


FORMAT = ReportFormat("json", ".json", "JSON", "application/json", _write_study, _write_pair, _write_scores)
