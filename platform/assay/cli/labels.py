"""`assay labels`: whether further hours of labelling are better spent on image labels or on masks."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.answers import AsJson, answers
from assay.cli.options import DEFAULT_STORAGE, Storage

__all__ = ["labels", "register"]

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name or file.")]
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


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay labels segdec_masks_severstal --hours 0.5 --from p750·n50")(labels)


def labels(
    study: StudyName,
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
    from assay.analysis.label_analysis import next_labels
    from assay.cli.lookup import study_results

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
