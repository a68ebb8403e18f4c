"""`assay studies`: the studies that come with assay, and a copy of one to change."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import as_path
from assay.cli.output import console
from trainables.errors import InputError, nearest

if TYPE_CHECKING:
    from assay.study import Study

__all__ = ["group"]

_METHODS = 2  # a study with more says how many

Reader = Annotated[
    str | None, typer.Option("--reader", metavar="READER", help="Only studies on this data set.")
]
Method = Annotated[
    str | None, typer.Option("--method", metavar="METHOD", help="Only studies that train this method.")
]
StudyName = Annotated[str, typer.Argument(metavar="NAME", help="Name of a study that `assay studies` lists.")]
Folder = Annotated[
    Path,
    typer.Argument(metavar="[FOLDER]", parser=as_path, help="Where to put it.", show_default="this folder"),
]

group = typer.Typer()


@group.callback(invoke_without_command=True, epilog="Example: assay studies --reader mtd")
def studies(context: typer.Context, *, reader: Reader = None, method: Method = None) -> None:
    """List the studies that come with assay: what each asks, what it trains on, and how many trials.

    `assay run NAME` trains one in any folder. `assay studies copy NAME` makes a copy to change.
    """
    if context.invoked_subcommand is not None:
        return
    from rich.padding import Padding
    from rich.text import Text

    from assay.study import read_study
    from assay.study.methods import method_names
    from assay.study.shipped import shipped_studies

    shipped = [read_study(path) for path in shipped_studies().values()]
    _refuse_unknown("--reader", reader, {study.data.reader for study in shipped})
    _refuse_unknown("--method", method, {name for study in shipped for name in method_names(study)})
    chosen = [
        study
        for study in shipped
        if reader in (None, study.data.reader) and (method is None or method in method_names(study))
    ]
    out = console()
    for study in sorted(chosen, key=lambda study: (_needs_data(study), study.study)):
        out.print(Text.assemble((study.study, "bold"), f"  {_facts(study)}"))
        out.print(Padding(Text(study.question.strip()), (0, 0, 0, 4), expand=False))
    out.print(
        "\nTrain one: `assay run NAME`, with --data ROOT where it needs data. `assay plan NAME --forecast` "
        "says how long that takes here.\nChange one: `assay studies copy NAME`."
    )


@group.command(epilog="Example: assay studies copy quickstart")
def copy(name: StudyName, folder: Folder = Path()) -> None:
    """Copy a study that comes with assay into a folder, to change it there."""
    from assay.study import read_study
    from assay.study.shipped import copy_study

    path = copy_study(name, folder)
    data = " --data ROOT" if _needs_data(read_study(path)) else ""
    typer.echo(f"wrote {path}")
    typer.echo(f"next: assay run {shlex.quote(str(path))}{data}")


def _facts(study: Study) -> str:
    """``segdec · ksdd · 24 trials · needs data, GPU``: the question stands below, as wide as the terminal."""
    from assay.study.methods import method_names

    methods = method_names(study)
    named = ", ".join(methods) if len(methods) <= _METHODS else f"{len(methods)} methods"
    needs = [*(["data"] if _needs_data(study) else []), *(["GPU"] if study.resources.gpus else [])]
    return f"{named} · {study.data.reader} · {_trials(study)} · needs {', '.join(needs) or 'nothing'}"


def _refuse_unknown(option: str, value: str | None, known: set[str]) -> None:
    if value is not None and value not in known:
        raise InputError(f"no study that comes with assay has {option} {value}; {nearest(value, known)}")


def _needs_data(study: Study) -> bool:
    from trainables.data.readers import READERS

    return READERS[study.data.reader].needs_root


def _trials(study: Study) -> str:
    """The number of trials that the study plans; none where it is confounded on purpose."""
    from assay.study import plan_study

    try:
        plan = plan_study(study, None, "cuda" if study.resources.gpus else "cpu")
    except InputError:
        return "refused"
    return f"{'≤ ' if plan.size > len(plan.trials) else ''}{plan.size} trials"
