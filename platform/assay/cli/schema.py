"""`assay schema`: the JSON Schema of the study file, for editors, and of answers in JSON, for programs."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.files import check_output, replace_file
from assay.cli.options import NewFile

__all__ = ["schema"]

Of = Annotated[
    str,
    typer.Option(
        "--of", metavar="WHAT", help="study (the file), or an answer: plan, status, report … (docs/json.md)."
    ),
]


def schema(of: Of = "study", output: NewFile = None) -> None:
    """Print the JSON Schema (draft 2020-12) of the study file, or of what a command answers with --json.

    With the YAML extension of an editor, start a study with the line
    `# yaml-language-server: $schema=study.schema.json`.
    """
    import json

    check_output(output)
    if of == "study":
        from assay.study import study_schema

        content = study_schema()
    else:
        from assay.report.answers import answer_schema

        content = answer_schema(of)
    text = json.dumps(content, indent=2)
    if output is None:
        typer.echo(text)
    else:
        replace_file(output, f"{text}\n".encode())
