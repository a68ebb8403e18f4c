"""`assay gate`: the command, whose libraries load when it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import DEFAULT_CACHE, DEFAULT_STORAGE, Cache, Data, Storage, StudyFile, as_path
from assay.cli.output import AsJson, answers, check_output, replace_file
from trainables.errors import InputError

__all__ = ["gate"]

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
Processes = Annotated[
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
    processes: Processes = None,
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
    question = open_gate(study, repository, base, head, path or [".", "src"])
    name, sides = question.study.study, (question.base, question.head)
    place = storage if "://" in storage else str(Path(os.path.expanduser(storage)).resolve())
    folders = {"data": data and str(data.resolve()), "cache": str(cache.resolve())}
    verdict = question.verdict(
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
