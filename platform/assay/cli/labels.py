"""`assay labels`: whether to spend hours on image labels or masks."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.answers import AsJson, answers
from assay.cli.lookup import study_results
from assay.cli.options import DEFAULT_STORAGE, Storage, StoredStudy

__all__ = ["labels"]

Hours = Annotated[
    float | None,
    typer.Option("--hours", metavar="HOURS", help="Hours to spend; default: as many as the study tells of."),
]
Start = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="CELL",
        help="The cell that has your labels; default: the dearest that leaves masks.",
    ),
]


def labels(
    study: StoredStudy,
    *,
    hours: Hours = None,
    start: Start = None,
    as_json: AsJson = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Say what to label next: image labels or masks, with the gain of each, or why the study does not tell.

    The study varies both kinds of label (three numbers of each or more), has three repeats, and says in its
    file what a label takes (`labelling`).
    """
    from assay.analysis.labels import next_labels

    results = study_results(storage, study)
    further = next_labels(results, hours=hours, start=start)
    if as_json:
        from assay.report.answers.results import LabelsAnswer, label_advice

        advice = tuple(map(label_advice, further))
        answers().give(LabelsAnswer(study=results.name, advice=advice))
        return
    from assay.report.label_tables import next_section
    from assay.report.page.markdown import markdown_section

    typer.echo(markdown_section(next_section(further)))
