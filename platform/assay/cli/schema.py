"""`assay schema`: the JSON Schema of the study file, for completion and checks in an editor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register", "schema"]

Output = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write here, not to stdout.")]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay schema --output study.schema.json")(schema)


def schema(output: Output = None) -> None:
    """Print the JSON Schema of the study file, for editors.

    With the YAML extension of an editor, start a study with the line
    `# yaml-language-server: $schema=study.schema.json`.
    """
    import json

    from assay.study import study_schema

    text = json.dumps(study_schema(), indent=2)
    if output is None:
        typer.echo(text)
    else:
        output.write_text(text + "\n", encoding="utf-8")
