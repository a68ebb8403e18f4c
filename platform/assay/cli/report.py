"""`assay report` and `assay logs`: what a study found, and what a trial said while it trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from assay.cli.options import DEFAULT_STORAGE, Storage

if TYPE_CHECKING:
    from assay.report.formats import Form
    from assay.storage import Record, Store
    from assay.study import Plan

__all__ = ["logs", "register", "report"]

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name or file.")]
OtherStudy = Annotated[
    str | None, typer.Argument(metavar="[OTHER]", help="Another study, to be put beside it.")
]
Format = Annotated[
    Literal["md", "latex", "html", "csv"] | None,
    typer.Option(
        "--format", help="How it is written; default: as FILE ends (.md, .tex, .html, .csv), else md."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", help="Write here, not to stdout, and pictures into FILE_files beside it."
    ),
]
Overlays = Annotated[
    Path | None,
    typer.Option(
        "--overlays",
        metavar="PNG",
        help="Also draw the probe images of all cells; and into PNG_files beside it the stages of each cell, "
        "where models show them.",
    ),
]
TestLuck = Annotated[
    bool,
    typer.Option(
        help="Intervals over test items: read a file of each trial. Leave them out for thousands of trials."
    ),
]
TrialId = Annotated[str, typer.Argument(metavar="TRIAL", help="The id of a trial, or its unique start.")]
Lines = Annotated[int, typer.Option("--lines", min=1, help="Lines from the end.")]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay report quickstart --output report.html")(report)
    app.command(epilog="Example: assay logs 3f9c --lines 40")(logs)


def report(
    study: StudyName,
    other: OtherStudy = None,
    *,
    format: Format = None,
    output: Output = None,
    overlays: Overlays = None,
    test_luck: TestLuck = True,
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
    from assay.analysis.label_analysis import analyse_labels
    from assay.analysis.study_analysis import analyse_study
    from assay.analysis.test_set_uncertainty import read_item_intervals
    from assay.cli.lookup import study_name
    from assay.report.formats import Form, form_of, report_files
    from assay.storage import Store
    from assay.storage.interim_looks import read_interim_looks
    from assay.storage.plans import stored_plan
    from trainables.errors import InputError

    suffix = output.suffix.lower() if output is not None else ""
    form = form_of(Form(format) if format else None, suffix)
    store = Store(storage)
    plan = stored_plan(store, study_name(store, study))
    if other is not None:
        beside = stored_plan(store, study_name(store, other))
        if overlays is not None:
            raise InputError("--overlays draws the cells of one study: leave it out, or name one study.")
        _report_pair(store, (plan, beside), form, output)
        return
    found = store.records_of(trial.id for trial in plan.trials)
    luck = read_item_intervals(plan, found.records, store.read_part) if test_luck else None
    looks = read_interim_looks(store, plan.study.study)
    answers = analyse_study(plan, found.records, found.problems, luck=luck, looks=looks)
    name = output.name if output is not None else ""
    files = report_files(
        form,
        plan,
        found.records,
        answers,
        problems=found.problems,
        importance=_importance(plan, found.records),
        labels=analyse_labels(plan, found.records, found.problems, looks=looks),
        name=name,
    )
    _give(files, output)
    if overlays is not None:
        _write_overlays(plan.answer(), store, found.records, overlays)


def _report_pair(store: Store, plans: tuple[Plan, Plan], form: Form, output: Path | None) -> None:
    from assay.report.formats import pair_files
    from assay.report.two_studies import Side, side_by_side

    sides: list[Side] = []
    for plan in plans:
        found = store.records_of(trial.id for trial in plan.trials)
        sides.append(Side(plan, found.records, found.problems))
    pair = side_by_side(*sides)
    _give(pair_files(form, pair, output.name if output is not None else ""), output)


def _give(files: Mapping[str, bytes], output: Path | None) -> None:
    """Print a report, or write it (or a sheet) with what lies beside it."""
    if output is None:
        typer.echo(files[""].decode(), nl=False)
        return
    for name, content in files.items():
        file = output.parent / name
        if "/" in name:  # a picture's folder; that of the report is the user's
            file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        typer.echo(f"wrote {file}", err=True)


def _importance(plan: Plan, records: Mapping[str, Record]) -> dict[str, dict[str, float]]:
    """Cell → parameter → share of variance; empty for a study that is no search."""
    if plan.study.search is None:
        return {}
    from assay.engine.proposals import importance
    from assay.report.search_tables import evaluated_points

    return {cell: importance(plan, judged) for cell, judged in evaluated_points(plan, records).items()}


def _write_overlays(plan: Plan, store: Store, records: dict[str, Record], file: Path) -> None:
    import cv2

    from assay.report.figures.mask_sheets import lineage_sheets, overlay_sheet
    from trainables.errors import InputError

    if file.suffix.lower() != ".png":
        raise InputError(f"--overlays writes a PNG, found {file}. Name a file that ends with .png.")
    sheets = {file.name: overlay_sheet(plan, store, records)}
    for name, sheet in lineage_sheets(plan, store, records):
        sheets[f"{file.stem}_files/{name}"] = sheet
    encoded = {name: cv2.imencode(".png", sheet) for name, sheet in sheets.items()}
    assert all(written for written, _ in encoded.values()), "a sheet is a uint8 picture"
    _give({name: data.tobytes() for name, (_, data) in encoded.items()}, file)


def logs(trial: TrialId, lines: Lines = 100, storage: Storage = DEFAULT_STORAGE) -> None:
    """Print the end of the log of a trial's last attempt, and why it failed if it did."""
    from assay.cli.lookup import trial_id
    from assay.cli.plan import format_diff
    from assay.storage import Record, Store

    store = Store(storage)
    id_ = trial_id(store, trial)
    record = store.record(id_)
    attempts = [start.attempt for start in store.attempts(id_)]
    if isinstance(record, Record):
        typer.echo(f"{id_} {record.status}" + (f": {record.reason}" if record.reason else ""))
        typer.echo(f"differs from the base in: {format_diff(record.trial.get('diff', {}))}")
        attempts = [record.attempt] if record.attempt else attempts
    else:
        typer.echo(f"{id_} has no record yet; {len(attempts)} attempt(s)")
    text = _log(store, id_, attempts[-1]) if attempts else None
    if text is None:
        typer.echo("it left no log")
    else:
        typer.echo("\n".join(text.splitlines()[-lines:]))
    if isinstance(record, Record) and record.error and (text is None or record.error not in text):
        typer.echo(record.error)


def _log(store: Store, trial: str, attempt: str) -> str | None:
    try:
        return store.read_bytes(f"{store.trial(trial)}/{attempt}/log.txt").decode(errors="replace")
    except FileNotFoundError:
        return None
