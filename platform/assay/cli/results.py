"""`assay report`, `logs`, `labels` and `best`: what a study found.

A report is printed, or written with the files beside it, in a format that is found by its name or by the
suffix of the file (:mod:`assay.report.formats`).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from assay.cli.options import (
    DEFAULT_STORAGE,
    NewFile,
    Storage,
    StoredStudy,
    as_path,
    in_use,
    study_results,
    trial_id,
)
from assay.cli.output import AsJson, answers, check_output, check_picture, console, replace_file
from assay.cli.plan import format_diff
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.analysis.results.results import StudyResults
    from assay.analysis.results.search_results import SearchResults
    from assay.analysis.search_front import FrontPoint
    from assay.report.page.model import Page
    from assay.storage.search_points import EvaluatedPoint
    from assay.study.search.spec import Search

__all__ = [
    "Format",
    "Notes",
    "Output",
    "best",
    "command_for",
    "give_files",
    "labels",
    "logs",
    "offered_points",
    "refuse_beside_json",
    "report",
    "way_on",
]


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
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="A,B",
        help="A table for a paper: these columns of the variants alone, such as loss,image_ap,n; no notes "
        "but with --notes.",
    ),
]
Across = Annotated[
    str | None,
    typer.Option(
        "--across", metavar="FACTOR", help="A table for a paper: the levels of this factor side by side."
    ),
]
Notes = Annotated[
    bool,
    typer.Option("--notes", help="On a terminal: all notes, and the tables behind the answer, too."),
]
Sheet = Annotated[
    str | None,
    typer.Option(
        "--sheet",
        metavar="TRIAL",
        help="The acceptance sheet of one model instead: a trial's id, or `best` by validation images. As "
        "--output ends: .html (prints on two pages), .md, .json.",
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
    notes: Notes = False,
    columns: Columns = None,
    across: Across = None,
    overlays: Overlays = None,
    interactive: Interactive = False,
    sheet: Sheet = None,
    medians: Medians = False,
    test_uncertainty: TestUncertainty = True,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Print the answer of a study: comparisons with verdicts, and the table of its variants.

    A terminal shows the answer on one screen; a pipe and --output get all of the report.

    Of a search: the replicated winners, the best points, what mattered, and every point that was drawn. With
    --output the pictures too (comparisons, effects, the curve over masks, scores against hours of labelling),
    which HTML always holds. CSV is the numbers of the cells, and with --output those of the comparisons in
    FILE_comparisons.csv and of a method's stages in FILE_stages.csv.

    With OTHER two studies side by side: what their settings differ in, and the paired differences of the
    repeats that were tested on the same images.

    With --columns or --across one table for a paper, as Markdown or LaTeX.
    """
    from assay.report.formats import format_of

    if as_json:
        refuse_beside_json({"--format": format, "--output": output, "--overlays": overlays})
        format = "json"

    # What cannot be written is refused before results are read, which takes a while for a large study.
    check_output(output, study, other)
    check_picture("--overlays", overlays)
    form = format_of(format, output.suffix.lower() if output is not None else "")
    name = output.name if output is not None else ""
    on_screen = output is None and format is None and not interactive and sys.stdout.isatty()
    if interactive and (form.name != "html" or other is not None):
        raise InputError(
            f"--interactive writes one study as HTML, found {f'beside {other}' if other else form.name}. "
            "Name one study and an --output that ends with .html."
        )
    for_paper = columns is not None or across is not None
    if for_paper and (form.name not in ("md", "latex") or other is not None or interactive):
        found = f"beside {other}" if other else "--interactive" if interactive else form.name
        raise InputError(
            f"--columns and --across write one study's table as Markdown or LaTeX, found {found}. Name one "
            "study, and --format md or latex."
        )
    results = study_results(storage, study)

    # The acceptance sheet of one model is a page of its own, and no part of the report.
    if sheet is not None:
        given = (other, overlays, "--interactive" if interactive else None, columns, across)
        beside = next(filter(None, given), None)
        if beside is not None:
            raise InputError(f"--sheet is about one model, found it beside {beside}. Leave one of them out.")
        give_files({name: _sheet(results, sheet, ".json" if as_json else Path(name).suffix)}, output)
        return

    # With a second study the page is another one: the two side by side.
    if other is not None:
        from assay.analysis.study_pair import pair_studies

        beside = study_results(storage, other)
        if overlays is not None:
            raise InputError(
                f"--overlays draws the cells of one study, found {results.name} and {beside.name}. Leave it "
                "out, or name one study."
            )
        pair = pair_studies(results, beside)
        if on_screen:
            from assay.report.pages import pair_page

            again = "" if notes else f"assay report {results.name} {beside.name} --notes"
            _show_page(pair_page(pair), again, storage)
        else:
            give_files(form.pair_files(pair, name), output, as_json=as_json)
        return

    # Both change what is computed, so they come before any form of the report is made.
    if not test_uncertainty:
        results = results.without_predictions()
    if medians:
        results = results.with_medians()
    if for_paper:
        names = [name for name in (columns or "").split(",") if name.strip()]
        give_files({name: _paper(results, names, across, form.name, notes=notes)}, output)
    elif interactive:
        from assay.report.interactive.page import interactive_page

        give_files({name: interactive_page(results).encode()}, output)
    elif on_screen:
        from assay.report.pages import study_page

        again = "" if notes else f"assay report {results.name} --notes"
        _show_page(study_page(results, brief=not notes), again, storage)
    else:
        give_files(form.study_files(results, name), output, as_json=as_json)

    # The pictures come last, drawn from the maps that trials have kept: the report stands without them.
    if overlays is None:
        return
    import cv2

    from assay.report.masks.sheets import lineage_sheets, overlay_sheet

    store = results.store
    assert store is not None, "results of the command line come from a storage"
    sheets = {overlays.name: overlay_sheet(results, store)}
    for lineage, picture in lineage_sheets(results, store):
        sheets[f"{overlays.stem}_files/{lineage}"] = picture
    encoded = {path: cv2.imencode(".png", picture) for path, picture in sheets.items()}
    assert all(written for written, _ in encoded.values()), "a sheet is a uint8 picture"
    give_files({path: data.tobytes() for path, (_, data) in encoded.items()}, overlays)


def _sheet(results: StudyResults, trial: str, suffix: str) -> bytes:
    """The acceptance sheet of a trial that is named by its id, or `best`."""
    from assay.analysis.best_model import best_trial
    from assay.report.acceptance_sheet import acceptance_sheet, kept_pictures, sheet_bytes

    store = results.store
    assert store is not None, "results of the command line come from a storage"
    if trial == "best":
        record = best_trial(results)
    else:
        id_ = trial_id(store, trial)
        known = results.records.get(id_)
        if known is None:
            raise InputError(
                f"--sheet takes a trial of {results.name} that came to an end, found {id_}. `assay plan "
                f"{results.name}` lists them."
            )
        record = known
    sheet = acceptance_sheet(results, store, record)
    pictures = kept_pictures(store, record) if suffix == ".html" else {}
    return sheet_bytes(sheet, pictures, suffix)


def _paper(
    results: StudyResults, columns: Sequence[str], across: str | None, form: str, *, notes: bool
) -> bytes:
    """One table for a paper, as Markdown or LaTeX."""
    from assay.report.page.latex import latex_float
    from assay.report.page.markdown import markdown_table, note_lines
    from assay.report.tables.paper import paper_table

    made = paper_table(results, columns, across, notes=notes)
    if form == "latex":
        return latex_float(made.title, made.caption, made.table, made.groups, made.notes).encode()
    table = made.in_one_line
    below = "\n".join(note_lines(table, made.notes))
    return "\n\n".join(filter(None, [markdown_table(table), below])).encode() + b"\n"


def _show_page(page: Page, rest: str, storage: str) -> None:
    """Print a page to a terminal; ``rest``: the command that shows all of it, empty: that is shown now."""
    from assay.report.page.terminal import terminal_page

    console().print(terminal_page(page, whole=not rest, rest=in_use(rest, storage=storage) if rest else ""))


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

    # An attempt that was killed at once has left no log.
    text = None
    if attempts:
        with suppress(FileNotFoundError):
            log = store.read_bytes(f"{store.trial(id_)}/{attempts[-1]}/log.txt")
            text = log.decode(errors="replace")
    if text is None:
        typer.echo("it left no log")
    else:
        typer.echo("\n".join(map(visible, text.splitlines()[-lines:])))
    if isinstance(record, Record) and record.error and (text is None or record.error not in text):
        typer.echo(visible(record.error))


# What to label next ------------------------------------------------------------------------------------


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
    from assay.report.page.markdown import markdown_section
    from assay.report.tables.labels import next_section

    typer.echo(markdown_section(next_section(further)))


# The winner of a search, or its front, and a point of it as a study ------------------------------------


SearchName = Annotated[str, typer.Argument(metavar="STUDY", help="The search: its name or file.")]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Name of the new study. Without it the point is only named."),
]
Design = Annotated[
    Literal["leave_one_out"] | None,
    typer.Option("--design", help="Write a study that takes the point apart, one change after the other."),
]
CellName = Annotated[
    str | None,
    typer.Option("--cell", metavar="CELL", help="Whose winner, where several cells were searched."),
]
PointNumber = Annotated[
    int | None,
    typer.Option("--point", metavar="N", help="Which point, `base #N`; default: the best. A front has none."),
]


def best(
    study: SearchName,
    name: As = None,
    *,
    design: Design = None,
    cell: CellName = None,
    point: PointNumber = None,
    output: NewFile = None,
    as_json: AsJson = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Say which point of a search is best. With --as, write it as a study on the search's fresh seeds.

    With --design leave_one_out that study takes the point apart: each setting that the search changed is back
    where the search started, one at a time.

    Best is what the objective says on validation images. Of a search that is not over, the best so far. With
    several objectives no point is best: the front is listed, and --point takes one of it.
    """
    import re

    from assay.analysis.results.search_results import SearchResults
    from assay.report.tables.search import search_line
    from assay.storage.method_store import load_methods
    from assay.study.file.writing import study_of_point, study_that_leaves_one_out
    from assay.study.names import NAME_PATTERN, counted
    from trainables.plugins.catalogue import find_trainable

    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        raise InputError(f"a study is named like {NAME_PATTERN}, found --as {name!r}.")
    made = {"--point": point, "--output": output, "--design": design}
    option = next((option for option, value in made.items() if value is not None), None)
    if name is None and option is not None:
        raise InputError(f"{option} makes a study, which has a name, found none. Add --as NAME.")
    check_output(output, study)
    results = study_results(storage, study)
    if name == results.name:
        raise InputError(f"a study of its own has a name of its own, found --as {name}: that of the search.")
    if not isinstance(results, SearchResults):
        raise InputError(f"{results.name} is no search: its study file says all that it trains.")
    plan = results.plan
    offered = _offered(results, cell)

    # Without a name nothing is written: the points are shown, and how one of them becomes a study.
    if name is None:
        _show(results, offered, storage, as_json=as_json)
        return
    if len(offered) > 1:
        names = ", ".join(f'"{each}"' for each in offered)  # `base, fold 0` has a comma of its own
        raise InputError(f"{plan.study.study} searched several cells. Choose one with --cell: {names}.")
    ((cell, best_ones),) = offered.items()
    searched = next(each for each in plan.searched if each.cell.name == cell)
    points = results.evaluated_points[cell]
    chosen = _chosen(plan.search, best_ones, points, point)
    is_best = chosen is best_ones[0].evaluated and not plan.search.has_front

    # The new study file begins with this sentence: whoever finds it later knows how its settings were chosen.
    why = (
        f"{'The best point' if is_best else 'A point'} of {plan.study.study}: "
        f"{_valued(plan.search, chosen)} "
        f"(mean over {counted(len(chosen.repeats), 'repeat')}). "
        f"{search_line(plan, {searched.cell.name: points})}"
    )
    of_point, trained = (plan, searched, chosen.point, name, why), results.records.keys()

    # The point becomes one cell as it is, or a design in which each change of the search can be left out.
    if design is None:
        text = study_of_point(*of_point, best=is_best, trained=trained)
    else:
        assert results.store is not None, "results of a storage"
        load_methods(results.store, [searched.cell.trainable])  # of a file, as the search trained it
        trainable = find_trainable(searched.cell.trainable)
        text = study_that_leaves_one_out(*of_point, trainable=trainable, trained=trained)
    if output is not None:
        replace_file(output, text.encode())
        typer.echo(f"wrote {output}", err=True)
    if as_json:
        from assay.report.answers.results import BestAnswer, objective_values

        answers().give(
            BestAnswer(
                study=plan.study.study,
                cell=searched.cell.name,
                point=chosen.point.index,
                best=is_best,
                values=objective_values(plan.search.objectives, chosen),
                repeats=len(chosen.repeats),
                drawn=dict(chosen.point.values),
                name=name,
                study_file=text,
            )
        )
    elif output is None:
        typer.echo(text, nl=False)


def offered_points(results: SearchResults, cell: str) -> list[FrontPoint]:
    """The best point of a searched cell, or its front; empty while no point is finished."""
    from assay.analysis.search_front import FrontPoint, search_front
    from assay.storage.search_points import best_points

    if results.plan.search.has_front:
        return search_front(results, cell)
    return [FrontPoint(each) for each in best_points(results.plan, results.evaluated_points[cell], 1)]


def command_for(results: SearchResults, cell: str | None = None) -> str | None:
    """The command that takes a winner, of a front a point that is still to be chosen.

    Args:
        results: Of a search.
        cell: The searched one; None: the first that has a point which is finished.

    Returns:
        None where no point is finished.
    """
    search, name = results.plan.search, results.name
    searched = list(results.evaluated_points)
    first = next((each for each in searched if cell in (None, each) and offered_points(results, each)), None)
    if first is None:
        return None
    new, point = ("NAME", " --point N") if search.has_front else (f"{name[:59]}_best", "")
    several = f" --cell {shlex.quote(first)}" if len(searched) > 1 else ""
    return f"assay best {name} --as {new}{several}{point}"


def way_on(results: SearchResults, storage: str) -> str | None:
    """The line with which a search ends: how its winner, or a point of its front, becomes a study."""
    command = command_for(results)
    if command is None:
        return None
    if not results.plan.search.has_front:
        return f"the winner as a study:    {in_use(command, storage=storage)}"
    fronts = (offered_points(results, cell) for cell in results.evaluated_points)
    unbeaten = [point.name for point in next(filter(None, fronts)) if point.unbeaten]
    known = f"not beaten on fresh seeds: {', '.join(unbeaten)}"
    listed = f"`{in_use(f'assay best {results.name}', storage=storage)}` lists the front"
    return f"a point as a study:       {in_use(command, storage=storage)} ({known if unbeaten else listed})"


def _offered(results: SearchResults, cell: str | None) -> dict[str, list[FrontPoint]]:
    """The points that are offered in each searched cell, or in the one that is named.

    Raises:
        InputError: If there is no such cell, or no finished point.
    """
    cells = list(results.evaluated_points)
    if cell is not None and cell not in cells:
        raise InputError(f"{results.name} has no cell {cell}. It searched {', '.join(cells)}.")
    offered = {each: offered_points(results, each) for each in cells if cell in (None, each)}
    if any(offered.values()):
        return offered

    # The search goes on, or all its points ended without a value.
    from assay.storage.search_points import MEASURED_ANEW
    from trainables.data.inspect.findings import summarise

    points = [results.evaluated_points[each] for each in offered]
    drawn = [point for of_cell in points for point in of_cell]
    to_draw = results.plan.budget * len(points) - len(drawn)
    if to_draw > 0 or any(point.status == "open" for point in drawn):
        raise InputError(f"no point of {results.name} is finished yet. `assay status` shows how far it is.")
    reasons = summarise([f"{point.point.name}: {point.reason}" for point in drawn], separator="; ")
    raise InputError(
        f"a point is offered where all its repeats have a value, none of {results.name} has: {reasons}. "
        f"{MEASURED_ANEW}"
    )


def _show(
    results: SearchResults, offered: Mapping[str, Sequence[FrontPoint]], storage: str, *, as_json: bool
) -> None:
    """Print the best point of each cell, or its front, and how one becomes a study."""
    from assay.study.planning.compare import format_value

    search = results.plan.search
    if as_json:
        from assay.report.answers.results import best_points_answer

        answers().give(best_points_answer(results, offered))
        return
    for cell, points in offered.items():
        if not points:
            typer.echo(f"{cell}: no point is finished yet")
            continue
        typer.echo(
            f"{cell}: {'the front, of which no point is best' if search.has_front else 'the best point'}"
        )
        for point in points:
            typer.echo(f"  {_described(search, point)}")
            drawn = (f"{path} {format_value(value)}" for path, value in point.evaluated.point.values.items())
            typer.echo(f"    {', '.join(drawn)}")
        command = command_for(results, cell)
        assert command is not None
        typer.echo(f"  as a study: {in_use(command, storage=storage)}")


def _chosen(
    search: Search, offered: Sequence[FrontPoint], points: Sequence[EvaluatedPoint], number: int | None
) -> EvaluatedPoint:
    """The point of a number, or the best.

    Raises:
        InputError: If there is no such finished point, or a front and no number.
    """
    if number is None and search.has_front:
        listed = "\n".join(f"  {_described(search, each)}" for each in offered)
        raise InputError(
            f"the search has {len(search.objectives)} objectives, and none of the {len(offered)} points of "
            f"its front is best. Take one with --point N, its number:\n{listed}"
        )
    if number is None:
        return offered[0].evaluated
    chosen = next((each for each in points if each.point.index == number), None)
    if chosen is None or chosen.value is None:
        state = "it was not drawn" if chosen is None else f"it is {chosen.status}"
        raise InputError(f"a point that becomes a study is finished, found --point {number}: {state}.")
    return chosen


def _described(search: Search, point: FrontPoint) -> str:
    """``base #3, validation.image_ap 0.9795, latency_ms 4.1: not beaten on fresh seeds``."""
    from assay.study.names import counted

    text = _valued(search, point.evaluated)
    if not search.has_front:
        return f"{text} (mean over {counted(len(point.evaluated.repeats), 'repeat')})"
    if point.unbeaten is None:
        return f"{text}: {'not trained again' if point.fresh is None else 'not complete on fresh seeds'}"
    return f"{text}: {'not beaten' if point.unbeaten else f'beaten by {point.beaten_by}'} on fresh seeds"


def _valued(search: Search, point: EvaluatedPoint) -> str:
    """``base #3, validation.image_ap 0.9795, latency_ms 4.1``."""
    from assay.report.tables.search import objective_text

    values = zip(search.objectives, point.values, strict=True)
    texts = (f"{goal.max or goal.min} {objective_text(goal, value)}" for goal, value in values)
    return ", ".join([point.point.name, *texts])
