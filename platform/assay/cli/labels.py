"""`assay labels`: whether to spend hours on image labels or masks, and which images to draw masks of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from assay.cli.answers import AsJson, answers
from assay.cli.files import create_file
from assay.cli.lookup import study_results
from assay.cli.options import DEFAULT_CACHE, DEFAULT_STORAGE, Cache, Data, Storage, StoredStudy, as_path
from assay.cli.report import refuse_beside_json
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.analysis.results import StudyResults

__all__ = ["labels"]

# `trainables.data.ChoiceRule`, which `--help` does not load.
Rule = Literal["random", "uncertainty", "disagreement", "coverage"]
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
Next = Annotated[
    int | None,
    typer.Option("--next", metavar="N", min=1, help="List the N images to draw masks of next, best first."),
]
By = Annotated[Rule, typer.Option("--by", help="Rule that picks them.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", parser=as_path, help="New file of --next: .csv, or .json (COCO)."
    ),
]


def labels(
    study: StoredStudy,
    *,
    hours: Hours = None,
    start: Start = None,
    count: Next = None,
    by: By = "uncertainty",
    output: Output = None,
    as_json: AsJson = False,
    data: Data = None,
    cache: Cache = DEFAULT_CACHE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Say what to label next: image labels or masks, with the gain of each, or why the study does not tell.

    The study varies both kinds of label (three numbers of each or more), has three repeats, and says in its
    file what a label takes (`labelling`). With --next: which defective training images without a mask to draw
    masks of, by the models that the study kept, as a file for a labelling tool.
    """
    from assay.analysis.label_analysis import next_labels

    results = study_results(storage, study)
    if as_json:
        refuse_beside_json({"--next": count, "--output": output})
    if count is not None or output is not None:
        if hours is not None:
            raise InputError(
                f"a list has the length that --next says, found --hours {hours:g} beside it. Leave one of "
                "the two out."
            )
        _list_images(results, by, count, start, output, data=data, cache=cache)
        return
    further = next_labels(results, hours=hours, start=start)
    if as_json:
        from assay.report.answers.results import LabelsAnswer, label_advice

        advice = tuple(map(label_advice, further))
        answers().give(LabelsAnswer(study=results.name, advice=advice))
        return
    from assay.report.label_tables import next_section
    from assay.report.page.markdown import markdown_section

    typer.echo(markdown_section(next_section(further)))


def _list_images(
    results: StudyResults,
    by: Rule,
    count: int | None,
    cell: str | None,
    output: Path | None,
    *,
    data: Path | None,
    cache: Path,
) -> None:
    from assay.production.next_labels import list_bytes, list_to_label, records_for, refuse_list_file

    if count is None or output is None or results.store is None:
        raise InputError(
            "a list has a length and a file: write --next 10 --output next.csv, found "
            f"{'--output' if count is None else '--next'} alone."
        )
    refuse_list_file(output)
    records = records_for(by, cell, list(results.records.values()))
    labels = list_to_label(by, count, records, results.store, data=data, cache=cache)
    create_file(output, list_bytes(labels, output.suffix))
    source = f", asked of trial {' and '.join(labels.trials)}" if labels.trials else ""
    typer.echo(
        f"{output}: {len(labels.images)} of {labels.candidates} defective training images without a mask, by "
        f"{by}{source}. Draw their masks, add them to the data, and run the study again."
    )
