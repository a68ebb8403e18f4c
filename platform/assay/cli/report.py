"""`assay report` and `assay logs`: what a study found, and what a trial said while it trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from assay.cli.options import DEFAULT_STORAGE, Storage

if TYPE_CHECKING:
    from assay.results import Record, Store
    from assay.study import Plan

__all__ = ["logs", "register", "report"]

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name or file.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", help="Write here, not to stdout, and diagrams into FILE_files beside it."
    ),
]
Overlays = Annotated[
    Path | None,
    typer.Option("--overlays", metavar="PNG", help="Also draw the probe images of all cells."),
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
    app.command(epilog="Example: assay report quickstart --output report.md")(report)
    app.command(epilog="Example: assay logs 3f9c --lines 40")(logs)


def report(
    study: StudyName,
    *,
    output: Output = None,
    overlays: Overlays = None,
    test_luck: TestLuck = True,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Print the answer of a study as Markdown: the table of its cells, comparisons with verdicts, footnotes.

    Of a search: the replicated winners, the best points, what mattered, and every point that was drawn. With
    --output, a study whose cells differ in the number of masks also gets its curve, and one that says what
    labels take (`labelling`) its scores against hours (SVG and PNG).
    """
    from assay.cli.lookup import stored_plan, study_name
    from assay.results import Store
    from assay.results.looks import read_looks
    from assay.results.luck import read_luck
    from assay.results.report import report as markdown

    store = Store(storage)
    plan = stored_plan(store, study_name(store, study))
    found = store.records_of(trial.id for trial in plan.trials)
    luck = read_luck(plan, found.records, store) if test_luck else None
    looks = read_looks(store, plan.study.study)
    importance = _importance(plan, found.records)
    pictures = _write_diagrams(plan, found.records, output) if output is not None else {}
    text = markdown(plan, found.records, found.problems, importance, pictures, luck=luck, looks=looks)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {output}", err=True)
    if overlays is not None:
        _write_overlays(plan.answer(), store, found.records, overlays)


def _importance(plan: Plan, records: Mapping[str, Record]) -> dict[str, dict[str, float]]:
    """Cell → parameter → share of variance; empty for a study that is no search."""
    if plan.study.search is None:
        return {}
    from assay.engine.search import importance
    from assay.results.search_tables import judged_cells

    return {cell: importance(plan, judged) for cell, judged in judged_cells(plan, records).items()}


def _write_diagrams(plan: Plan, records: Mapping[str, Record], page: Path) -> dict[str, str]:
    """Draw what the study has to show; caption → path of the picture, relative to the page."""
    from urllib.parse import quote

    from assay.results.labels import label_costs
    from assay.results.labels_picture import draw_label_costs
    from assay.results.masks_curve import masks_curve
    from assay.results.masks_picture import draw_masks_curve

    drawn: list[tuple[str, str, Callable[[Literal["svg", "png"]], bytes]]] = []
    if (curve := masks_curve(plan, records)) is not None:
        drawn.append(("masks_curve", curve.caption, partial(draw_masks_curve, curve)))
    if (costs := label_costs(plan, records)) is not None:
        drawn.append(("label_costs", costs.caption, partial(draw_label_costs, costs)))
    folder = page.with_name(f"{page.stem}_files")
    forms: tuple[Literal["svg", "png"], ...] = ("svg", "png")
    for name, _, draw in drawn:
        folder.mkdir(exist_ok=True)
        for form in forms:
            file = folder / f"{name}.{form}"
            file.write_bytes(draw(form))
            typer.echo(f"wrote {file}", err=True)
    return {caption: quote(f"{folder.name}/{name}.svg") for name, caption, _ in drawn}


def _write_overlays(plan: Plan, store: Store, records: dict[str, Record], file: Path) -> None:
    import cv2

    from assay.results.pictures import overlay_sheet
    from trainables.errors import InputError

    if file.suffix.lower() != ".png":
        raise InputError(f"--overlays writes a PNG, found {file}. Name a file that ends with .png.")
    written, data = cv2.imencode(".png", overlay_sheet(plan, store, records))
    assert written, "a sheet is a uint8 picture"
    file.write_bytes(data.tobytes())
    typer.echo(f"wrote {file}", err=True)


def logs(trial: TrialId, lines: Lines = 100, storage: Storage = DEFAULT_STORAGE) -> None:
    """Print the end of the log of a trial's last attempt, and why it failed if it did."""
    from assay.cli.lookup import trial_id
    from assay.cli.plan import say_diff
    from assay.results import Record, Store

    store = Store(storage)
    id_ = trial_id(store, trial)
    record = store.record(id_)
    attempts = [start.attempt for start in store.attempts(id_)]
    if isinstance(record, Record):
        typer.echo(f"{id_} {record.status}" + (f": {record.reason}" if record.reason else ""))
        typer.echo(f"differs from the base in: {say_diff(record.trial.get('diff', {}))}")
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
