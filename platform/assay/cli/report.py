"""`assay report` and `assay logs`: what a study found, and what a trial wrote while it trained.

A report is printed, or written with the files beside it, in a format that is found by its name or by the
suffix of the file (:mod:`assay.report.formats`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.answers import AsJson, answers
from assay.cli.files import check_output, check_picture, replace_file
from assay.cli.lookup import study_results, trial_id
from assay.cli.options import DEFAULT_STORAGE, Storage, StoredStudy, as_path
from assay.cli.plan import format_diff
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.analysis.results import StudyResults
    from assay.storage import Store

__all__ = ["Format", "Output", "give_files", "logs", "refuse_beside_json", "report"]

OtherStudy = Annotated[
    str | None, typer.Argument(metavar="[OTHER]", help="Another study, to be put beside it.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="md, latex, html, csv, json, or a format of another package; default: as FILE ends (.md, .tex, "
        ".html, .csv, .json), else md.",
    ),
]


Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        parser=as_path,
        metavar="FILE",
        help="Write here, not to stdout, and pictures into FILE_files beside it.",
    ),
]
Overlays = Annotated[
    Path | None,
    typer.Option(
        "--overlays",
        parser=as_path,
        metavar="PNG",
        help="Also draw the probe images of all cells; and into PNG_files beside it the stages of each cell, "
        "where models show them.",
    ),
]
Interactive = Annotated[
    bool,
    typer.Option(
        "--interactive",
        help="HTML to explore without a network: tables that sort, probe images with a slider, curves.",
    ),
]
TestUncertainty = Annotated[
    bool,
    typer.Option(
        "--test-uncertainty/--no-test-uncertainty",
        help="Intervals over test items: read a file of each trial. Leave them out for thousands of trials.",
    ),
]
Medians = Annotated[
    bool,
    typer.Option(
        "--medians",
        help="Medians of the primary metric beside its means; always shown where a repeat never left chance.",
    ),
]
TrialId = Annotated[str, typer.Argument(metavar="TRIAL", help="The id of a trial, or its unique start.")]
Lines = Annotated[int, typer.Option("--lines", min=1, help="Lines from the end.")]


def report(
    study: StoredStudy,
    other: OtherStudy = None,
    *,
    format: Format = None,
    output: Output = None,
    as_json: AsJson = False,
    overlays: Overlays = None,
    interactive: Interactive = False,
    medians: Medians = False,
    test_uncertainty: TestUncertainty = True,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Print the answer of a study: the table of its cells, comparisons with verdicts, footnotes, trials.

    Of a search: the replicated winners, the best points, what mattered, and every point that was drawn. With
    --output the pictures too (comparisons, effects, the curve over masks, scores against hours of labelling),
    which HTML always holds. CSV is the numbers of the cells, and with --output those of the comparisons in
    FILE_comparisons.csv and of a method's stages in FILE_stages.csv.

    With OTHER two studies side by side: what their settings differ in, and the paired differences of the
    repeats that were tested on the same images.
    """
    from assay.report.formats import format_of

    if as_json:
        refuse_beside_json({"--format": format, "--output": output, "--overlays": overlays})
        format = "json"
    check_output(output, study, other)
    check_picture("--overlays", overlays)
    form = format_of(format, output.suffix.lower() if output is not None else "")
    name = output.name if output is not None else ""
    if interactive and (form.name != "html" or other is not None):
        raise InputError(
            f"--interactive writes one study as HTML, found {f'beside {other}' if other else form.name}. "
            "Name one study and an --output that ends with .html."
        )
    results = study_results(storage, study)
    if other is not None:
        from assay.analysis.study_pair import pair_studies

        beside = study_results(storage, other)
        if overlays is not None:
            raise InputError(
                f"--overlays draws the cells of one study, found {results.name} and {beside.name}. Leave it "
                "out, or name one study."
            )
        give_files(form.pair_files(pair_studies(results, beside), name), output, as_json=as_json)
        return
    if not test_uncertainty:
        results = results.without_predictions()
    if medians:
        results = results.with_medians()
    if interactive:
        from assay.report.interactive import interactive_page

        give_files({name: interactive_page(results).encode()}, output)
    else:
        give_files(form.study_files(results, name), output, as_json=as_json)
    if overlays is not None:
        _write_overlays(results, overlays)


def refuse_beside_json(options: Mapping[str, object]) -> None:
    """See that what is printed as JSON is asked for in no other form.

    Raises:
        InputError: Naming the first option that has a value.
    """
    for option, value in options.items():
        if value is not None:
            raise InputError(f"--json is printed, found it with {option} {value}. Leave out one of the two.")


def give_files(files: Mapping[str, bytes], output: Path | None, *, as_json: bool = False) -> None:
    """Print a report, or write it (or a sheet) with what lies beside it."""
    if as_json:
        answers().write(files[""].decode())
        return
    if output is None:
        typer.echo(files[""].decode(), nl=False)
        return
    for name, content in files.items():
        file = output.parent / name
        replace_file(file, content)
        typer.echo(f"wrote {file}", err=True)


def _write_overlays(results: StudyResults, file: Path) -> None:
    import cv2

    from assay.report.figures.mask_sheets import lineage_sheets, overlay_sheet

    store = results.store
    assert store is not None, "results of the command line come from a storage"
    sheets = {file.name: overlay_sheet(results, store)}
    for name, sheet in lineage_sheets(results, store):
        sheets[f"{file.stem}_files/{name}"] = sheet
    encoded = {name: cv2.imencode(".png", sheet) for name, sheet in sheets.items()}
    assert all(written for written, _ in encoded.values()), "a sheet is a uint8 picture"
    give_files({name: data.tobytes() for name, (_, data) in encoded.items()}, file)


def logs(trial: TrialId, lines: Lines = 100, storage: Storage = DEFAULT_STORAGE) -> None:
    """Print the end of the log of a trial's last attempt, and why it failed if it did."""
    from assay.report.page.inline import visible
    from assay.storage import DamagedRecord, Record, Store
    from assay.study.names import counted

    store = Store.open(storage)
    id_ = trial_id(store, trial)
    record = store.record(id_)
    attempts = [start.attempt for start in store.attempts(id_)]
    if isinstance(record, Record):
        typer.echo(visible(f"{id_} {record.status}" + (f": {record.reason}" if record.reason else "")))
        typer.echo(visible(f"differs from the base in: {format_diff(record.trial.get('diff', {}))}"))
        attempts = [record.attempt] if record.attempt else attempts
    elif isinstance(record, DamagedRecord):
        typer.echo(visible(f"the record of {id_} is damaged: {record}"))
    else:
        typer.echo(f"{id_} has no record yet; {counted(len(attempts), 'attempt')}")
    text = _log(store, id_, attempts[-1]) if attempts else None
    if text is None:
        typer.echo("it left no log")
    else:
        typer.echo("\n".join(map(visible, text.splitlines()[-lines:])))
    if isinstance(record, Record) and record.error and (text is None or record.error not in text):
        typer.echo(visible(record.error))


def _log(store: Store, trial: str, attempt: str) -> str | None:
    try:
        return store.read_bytes(f"{store.trial(trial)}/{attempt}/log.txt").decode(errors="replace")
    except FileNotFoundError:
        return None
