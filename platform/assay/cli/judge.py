"""`assay judge`: verdicts on a table of scores."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from assay.cli.options import as_path
from assay.cli.output import AsJson, check_output, console
from assay.cli.results import Format, Notes, Output, give_files, refuse_beside_json
from trainables.errors import InputError

__all__ = ["scores"]

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
Over = Annotated[
    str | None,
    typer.Option(
        "--over",
        metavar="COLUMN",
        help="Column of data sets: also whether what is compared holds over them, each one unit. `study` "
        "takes each study of joined summaries for one.",
    ),
]
CanGo = Annotated[
    list[str] | None,
    typer.Option(
        "--can-go",
        metavar="WHAT",
        help='"WITHOUT -> WITH", a factor, or "FACTOR: WITHOUT -> WITH"; several times: does dropping the '
        "right side surely lose less than --resolve?",
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
    can_go: CanGo = None,
    over: Over = None,
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
    notes: Notes = False,
    format: Format = None,
    output: Output = None,
) -> None:
    """Tell which differences in a table of scores are significant, negligible or undecided, and what can go.

    One value per cell and repeat, from a paper, a tracker or a script: a row per repeat and metric, or a row
    per repeat with a column for each metric. Extras read further layouts. The rules are those of a study.
    """
    from assay.analysis.scores.score_file import ScoreQuestion, analyse_score_file
    from assay.analysis.scores.score_table import ColumnNames
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

    # All that was typed becomes one question, which is held against the table where its columns are known.
    question = ScoreQuestion(
        columns=ColumnNames(tuple(cell or ()), seed, fold, tuple(score or ()), over),
        against=against,
        compared=tuple(compare or ()),
        can_go=tuple(can_go or ()),
        over=over,
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

    # A person gets the answer on one page, a file or a program all of it.
    if format is None and output is None:
        from assay.report.page.terminal import terminal_page
        from assay.report.pages import score_page

        short = sys.stdout.isatty() and not notes
        rest = f"assay judge {shlex.quote(str(table))} --notes" if short and not typed else ""
        console().print(terminal_page(score_page(analysed), whole=not rest, rest=rest))
    else:
        give_files(
            form.score_files(analysed, output.name if output is not None else ""), output, as_json=as_json
        )
