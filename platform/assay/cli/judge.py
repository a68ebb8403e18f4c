"""`assay judge` and `assay gate`: verdicts on a table of scores, and on a change of method code."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.cli.options import DEFAULT_CACHE, DEFAULT_STORAGE, Cache, Data, Storage, StudyFile, as_path
from assay.cli.output import AsJson, answers, check_output, console, replace_file
from assay.cli.results import Format, Output, give_files, refuse_beside_json
from trainables.errors import InputError

__all__ = ["gate", "scores"]


_MOST_PRINTED = 5  # metrics that nobody named: a study's summary has all that it stores, 30 and more

ScoreFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        parser=as_path,
        help="CSV, TSV or Parquet with a value for each repeat; - reads stdin.",
    ),
]
Against = Annotated[
    str | None, typer.Option("--against", metavar="CELL", help="Compare every other cell with this one.")
]
Compare = Annotated[
    list[str] | None,
    typer.Option(
        "--compare",
        metavar="WHAT",
        help='"CELL -> CELL", a factor, or "FACTOR: LEVEL -> LEVEL"; several times. Default: cells that '
        "differ in one factor; all pairs where the table has no factors.",
    ),
]
Resolve = Annotated[
    float | None,
    typer.Option(
        "--resolve", metavar="X", help="Difference worth knowing: what is surely smaller is negligible."
    ),
]
Cell = Annotated[
    list[str] | None,
    typer.Option("--cell", metavar="COLUMN", help="Column that names the cell; several times for factors."),
]
Seed = Annotated[
    str | None, typer.Option("--seed", metavar="COLUMN", help="Column of the repeat that cells share.")
]
Fold = Annotated[str | None, typer.Option("--fold", metavar="COLUMN", help="Column of the fold.")]
Score = Annotated[
    list[str] | None,
    typer.Option(
        "--score", metavar="NAME", help="Column of a score, or a metric; the first is the primary one."
    ),
]
Lower = Annotated[
    list[str] | None, typer.Option("--lower", metavar="NAME", help="A score of which lower is better.")
]
Splits = Annotated[
    Literal["prescribed", "per_seed"],
    typer.Option(
        "--splits",
        metavar="KIND",
        help="prescribed (seeds share the split or folds) or per_seed (every seed drew its own).",
    ),
]
Looks = Annotated[
    list[int] | None,
    typer.Option(
        "--look",
        metavar="N",
        min=1,
        help="Number of seeds, the first in the table, at which it was looked at before.",
    ),
]
ExactTest = Annotated[
    Literal["sign-flip", "wilcoxon"],
    typer.Option("--exact-test", metavar="TEST", help="sign-flip or wilcoxon."),
]
Signs = Annotated[
    str | None,
    typer.Option(
        "--signs", metavar="HASH", help="Beyond 14 repeats: draw the signs of the study of this hash."
    ),
]


def scores(
    table: ScoreFile,
    *,
    against: Against = None,
    compare: Compare = None,
    resolve: Resolve = None,
    cell: Cell = None,
    seed: Seed = None,
    fold: Fold = None,
    score: Score = None,
    lower: Lower = None,
    splits: Splits = "prescribed",
    look: Looks = None,
    exact_test: ExactTest = "sign-flip",
    signs: Signs = None,
    as_json: AsJson = False,
    format: Format = None,
    output: Output = None,
) -> None:
    """Tell which differences in a table of scores are shown, suggested, negligible or open.

    One value per cell and repeat, from a paper, a tracker or a script: a row per repeat, a row per repeat and
    metric, the exports of W&B and MLflow, or a column per cell (autorank). The rules are those of a study.
    """
    from assay.analysis.scores.score_columns import ColumnNames
    from assay.analysis.scores.score_file import ScoreQuestion, analyse_score_file
    from assay.report.formats import format_of

    if as_json:
        refuse_beside_json({"--format": format, "--output": output})
        format = "json"
    if against is not None and compare:
        raise InputError(
            f"--against compares all cells with one, found --compare {compare[0]} beside it. Leave one of "
            "the two out."
        )
    check_output(output, table)
    form = format_of(format, output.suffix.lower() if output is not None else "")
    if resolve is not None and not (resolve > 0 and math.isfinite(resolve)):
        raise InputError(
            f"--resolve is a difference above 0, found {resolve:g}. Name the smallest that matters."
        )
    question = ScoreQuestion(
        columns=ColumnNames(tuple(cell or ()), seed, fold, tuple(score or ())),
        against=against,
        compared=tuple(compare or ()),
        resolve=resolve,
        lower=tuple(lower or ()),
        splits=splits,
        looks=tuple(look or ()),
        test=exact_test,
        signs=signs,
        most_metrics=_MOST_PRINTED if not score and format is None and output is None else None,
    )
    typed = table == Path("-")
    content = sys.stdin.buffer.read() if typed else table.read_bytes()
    analysed = analyse_score_file("scores" if typed else table.name, content, question)
    if format is None and output is None:
        from assay.report.page.terminal import terminal_page
        from assay.report.pages import score_page

        console().print(terminal_page(score_page(analysed)))
    else:
        give_files(
            form.score_files(analysed, output.name if output is not None else ""), output, as_json=as_json
        )


# Gate: does a change of method code make a study worse? ------------------------------------------------


Base = Annotated[str, typer.Argument(metavar="BASE", help="A revision of git: what is there.")]
Head = Annotated[str, typer.Argument(metavar="HEAD", help="A revision of git: what shall come.")]
Repository = Annotated[
    Path, typer.Option("--repository", metavar="FOLDER", parser=as_path, help="The git repository.")
]
Paths = Annotated[
    list[str] | None,
    typer.Option(
        "--path",
        metavar="FOLDER",
        help="Folder of the repository that Python imports from, seen from its root; several times. What "
        "lies elsewhere is not code.",
        show_default=". and src",
    ),
]
VerdictFile = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", parser=as_path, help="Markdown, also to here."),
]
Junit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", parser=as_path, help="JUnit XML, to here.")
]

GateProcesses = Annotated[
    int | None,
    typer.Option(
        "--processes",
        min=0,
        help="Trainings at once. 0: in this process.",
        show_default="as many as cores allow",
    ),
]

_WORSE = 1


def gate(
    study: StudyFile,
    base: Base,
    head: Head,
    *,
    repository: Repository = Path(),
    path: Paths = None,
    output: VerdictFile = None,
    junit: Junit = None,
    data: Data = None,
    cache: Cache = DEFAULT_CACHE,
    storage: Storage = DEFAULT_STORAGE,
    processes: GateProcesses = None,
    as_json: AsJson = False,
) -> None:
    """Train a study with the code of two revisions and the same seeds, and say whether HEAD is worse.

    The first seed is trained alone: where it ends in the same bits, nothing more is. Exit code 0: not worse,
    or undecided; 1: worse; 2: bad input, or a revision with which the study cannot be trained.
    """
    from assay.extras.gate.gate import open_gate
    from assay.extras.gate.writing import gate_answer, gate_junit, gate_markdown

    for file in (output, junit):
        check_output(file, study)
    asked_of = open_gate(study, repository, base, head, path or [".", "src"])
    name, sides = asked_of.study.study, (asked_of.base, asked_of.head)
    place = storage if "://" in storage else str(Path(os.path.expanduser(storage)).resolve())
    folders = {"data": data and str(data.resolve()), "cache": str(cache.resolve())}
    verdict = asked_of.verdict(
        place, {**folders, "processes": processes}, lambda text: typer.echo(text, err=True)
    )
    text = gate_markdown(name, *sides, verdict)
    if as_json:
        answers().give(gate_answer(name, *sides, verdict))
    else:
        typer.echo(text, nl=False)
    if output is not None:
        _leave(output, text.encode())
    if junit is not None:
        _leave(junit, gate_junit(name, verdict))
    if verdict.decision == "worse":
        raise typer.Exit(_WORSE)


def _leave(file: Path, content: bytes) -> None:
    """Write a file; where that fails, the verdict and its exit code stand."""
    try:
        replace_file(file, content)
    except InputError as error:
        typer.echo(f"warning: {error}", err=True)
